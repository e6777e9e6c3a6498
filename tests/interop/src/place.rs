//! A scratch directory for one test, in memory where there is room.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Room that a test may need, in bytes: three copies of the largest file and a tree, twice.
const ROOM: u64 = 3 << 30;

/// A directory that is removed when it is dropped. `STERNA_INTEROP_KEEP=1` keeps it.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// Makes a directory in `/dev/shm` if that has room, else where temporary files go.
    ///
    /// # Panics
    /// When there is nowhere to write.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let base =
            if free_bytes(memory) >= ROOM { memory.to_owned() } else { std::env::temp_dir() };
        let mut builder = tempfile::Builder::new();
        builder.prefix("sterna-interop-");
        if std::env::var_os("STERNA_INTEROP_KEEP").is_some() {
            builder.disable_cleanup(true);
        }
        Self { dir: builder.tempdir_in(base).expect("a scratch directory") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a directory in it and returns its path.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).expect("make a scratch directory");
        path
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

fn free_bytes(path: &Path) -> u64 {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return 0 };
    rustix::fs::statvfs(name.as_c_str()).map_or(0, |fs| fs.f_bavail * fs.f_frsize)
}
