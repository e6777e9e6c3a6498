//! The requests of SFTP on real files. They are done where they arrive: in memory none takes long.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions, ReadDir};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use russh_sftp::protocol::{
    Attrs, Data, File as Entry, FileAttributes, Handle, Name, OpenFlags, Status, StatusCode,
};
use russh_sftp::server::Handler;

/// Bytes of one READ at most.
const READ_LEN_MAX: u32 = 255 << 10;
/// Names in one answer to READDIR.
const NAMES_MAX: usize = 100;

enum Open {
    File(File),
    Dir(ReadDir),
}

/// One SFTP channel.
pub struct Files {
    root: PathBuf,
    open: HashMap<String, Open>,
    opened: u64,
}

impl Files {
    pub fn new(root: PathBuf) -> Self {
        Self { root, open: HashMap::new(), opened: 0 }
    }

    fn keep(&mut self, id: u32, open: Open) -> Handle {
        self.opened += 1;
        let handle = self.opened.to_string();
        self.open.insert(handle.clone(), open);
        Handle { id, handle }
    }

    fn file(&self, handle: &str) -> Result<&File, StatusCode> {
        match self.open.get(handle) {
            Some(Open::File(file)) => Ok(file),
            _ => Err(StatusCode::Failure),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(normal(path).trim_start_matches('/'))
    }
}

/// The path from the root, without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    format!("/{}", parts.join("/"))
}

fn code(error: io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    }
}

fn ok(id: u32) -> Status {
    let (error_message, language_tag) = (String::new(), String::new());
    Status { id, status_code: StatusCode::Ok, error_message, language_tag }
}

fn set(file: &File, attrs: &FileAttributes) -> io::Result<()> {
    if let Some(size) = attrs.size {
        file.set_len(size)?;
    }
    if let Some(mode) = attrs.permissions {
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    if let (Some(accessed), Some(modified)) = (attrs.atime, attrs.mtime) {
        let time = |seconds: u32| UNIX_EPOCH + Duration::from_secs(seconds.into());
        let times = FileTimes::new().set_accessed(time(accessed)).set_modified(time(modified));
        file.set_times(times)?;
    }
    Ok(())
}

impl Handler for Files {
    type Error = StatusCode;

    fn unimplemented(&self) -> StatusCode {
        StatusCode::OpUnsupported
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        attrs: FileAttributes,
    ) -> Result<Handle, StatusCode> {
        let mut options = OpenOptions::from(flags);
        options.mode(attrs.permissions.unwrap_or(0o666) & 0o7777);
        let file = options.open(self.at(&path)).map_err(code)?;
        Ok(self.keep(id, Open::File(file)))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, StatusCode> {
        self.open.remove(&handle).map(|_| ok(id)).ok_or(StatusCode::Failure)
    }

    async fn read(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        len: u32,
    ) -> Result<Data, StatusCode> {
        let mut data = vec![0; len.min(READ_LEN_MAX) as usize];
        let got = self.file(&handle)?.read_at(&mut data, offset).map_err(code)?;
        if got == 0 {
            return Err(StatusCode::Eof);
        }
        data.truncate(got);
        Ok(Data { id, data })
    }

    async fn write(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Status, StatusCode> {
        self.file(&handle)?.write_all_at(&data, offset).map_err(code)?;
        Ok(ok(id))
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        let metadata = fs::symlink_metadata(self.at(&path)).map_err(code)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, StatusCode> {
        let metadata = self.file(&handle)?.metadata().map_err(code)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        let metadata = fs::metadata(self.at(&path)).map_err(code)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn setstat(
        &mut self,
        id: u32,
        path: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        let file = OpenOptions::new().write(attrs.size.is_some()).read(true).open(self.at(&path));
        file.and_then(|file| set(&file, &attrs)).map_err(code)?;
        Ok(ok(id))
    }

    async fn fsetstat(
        &mut self,
        id: u32,
        handle: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        set(self.file(&handle)?, &attrs).map_err(code)?;
        Ok(ok(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusCode> {
        let dir = fs::read_dir(self.at(&path)).map_err(code)?;
        Ok(self.keep(id, Open::Dir(dir)))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusCode> {
        let Some(Open::Dir(dir)) = self.open.get_mut(&handle) else {
            return Err(StatusCode::Failure);
        };
        let mut files = Vec::with_capacity(NAMES_MAX);
        for entry in dir.take(NAMES_MAX) {
            let entry = entry.map_err(code)?;
            let metadata = entry.metadata().map_err(code)?;
            files.push(Entry::new(entry.file_name().to_string_lossy(), (&metadata).into()));
        }
        if files.is_empty() { Err(StatusCode::Eof) } else { Ok(Name { id, files }) }
    }

    async fn remove(&mut self, id: u32, path: String) -> Result<Status, StatusCode> {
        fs::remove_file(self.at(&path)).map_err(code)?;
        Ok(ok(id))
    }

    async fn mkdir(
        &mut self,
        id: u32,
        path: String,
        _: FileAttributes,
    ) -> Result<Status, StatusCode> {
        fs::create_dir(self.at(&path)).map_err(code)?;
        Ok(ok(id))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Result<Status, StatusCode> {
        fs::remove_dir(self.at(&path)).map_err(code)?;
        Ok(ok(id))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, StatusCode> {
        Ok(Name { id, files: vec![Entry::dummy(normal(&path))] })
    }

    async fn rename(&mut self, id: u32, from: String, to: String) -> Result<Status, StatusCode> {
        fs::rename(self.at(&from), self.at(&to)).map_err(code)?;
        Ok(ok(id))
    }
}
