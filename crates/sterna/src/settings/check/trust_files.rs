//! Files beside the settings that say whom to trust: each read once, however many users name it, and
//! looked at for who else could write it.

use std::{
    collections::{HashMap, HashSet},
    fs, mem,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use sterna_identity::{Place, UserKey};
use sterna_ssh_files::{
    KNOWN_HOSTS_LEN_MAX, KnownHosts, REVOKED_KEYS_LEN_MAX, RevokedKeys, SHOSTS_LEN_MAX, Shosts,
};

use super::authorized_keys_in;
use crate::{failure::io_reason, output::display_name, settings::Files};

/// Owner root.
const ROOT: u32 = 0;
/// Group and others may write.
const OTHERS_WRITE: u32 = 0o022;
/// Who may write a directory may not rename what belongs to others there.
const STICKY: u32 = 0o1000;

/// What was read so far, and what there is to say about it in the log.
pub struct TrustFiles<'f> {
    files: &'f Files,
    known_hosts: HashMap<Vec<PathBuf>, Arc<KnownHosts>>,
    shosts: HashMap<PathBuf, Arc<Shosts>>,
    keys: HashMap<PathBuf, Vec<UserKey>>,
    looked_at: HashSet<PathBuf>,
    warnings: Vec<String>,
}

impl<'f> TrustFiles<'f> {
    pub fn new(files: &'f Files) -> Self {
        Self {
            files,
            known_hosts: HashMap::new(),
            shosts: HashMap::new(),
            keys: HashMap::new(),
            looked_at: HashSet::new(),
            warnings: Vec::new(),
        }
    }

    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    pub fn take_warnings(&mut self) -> Vec<String> {
        mem::take(&mut self.warnings)
    }

    /// The lines of these files together. An error says which file, by its index.
    pub fn known_hosts(&mut self, paths: Vec<PathBuf>) -> Result<Arc<KnownHosts>, (usize, String)> {
        if let Some(read) = self.known_hosts.get(&paths) {
            return Ok(Arc::clone(read));
        }
        let mut all = KnownHosts::default();
        for (index, path) in paths.iter().enumerate() {
            let bytes = self.read(path, KNOWN_HOSTS_LEN_MAX).map_err(|why| (index, why))?;
            all.add_text(path, &bytes).map_err(|error| (index, error.to_string()))?;
        }
        let all = Arc::new(all);
        self.known_hosts.insert(paths, Arc::clone(&all));
        Ok(all)
    }

    pub fn shosts(&mut self, path: &Path) -> Result<Arc<Shosts>, String> {
        if let Some(read) = self.shosts.get(path) {
            return Ok(Arc::clone(read));
        }
        let bytes = self.read(path, SHOSTS_LEN_MAX)?;
        let read = Arc::new(Shosts::parse(path, &bytes).map_err(|error| error.to_string())?);
        self.shosts.insert(path.to_owned(), Arc::clone(&read));
        Ok(read)
    }

    pub fn revoked(&mut self, path: &Path) -> Result<RevokedKeys, String> {
        let bytes = self.read(path, REVOKED_KEYS_LEN_MAX)?;
        RevokedKeys::from_bytes(&bytes).map_err(|error| error.to_string())
    }

    /// The keys of a file, each with its line. A line that was refused is a warning.
    pub fn authorized_keys(&mut self, path: &Path) -> Result<Vec<UserKey>, String> {
        if let Some(read) = self.keys.get(path) {
            return Ok(read.clone());
        }
        let (keys, refused) = authorized_keys_in(path, self.files)?;
        self.look_at(path);
        self.warnings.extend(refused);
        let file: Arc<Path> = path.into();
        let keys: Vec<UserKey> = keys
            .into_iter()
            .map(|key| {
                let place = Some(Place { file: Arc::clone(&file), line: key.line });
                UserKey { key, place }
            })
            .collect();
        self.keys.insert(path.to_owned(), keys.clone());
        Ok(keys)
    }

    /// The bytes of a file that must be whole to mean what it says; its parser refuses one more byte
    /// than `len_max`.
    pub fn read(&mut self, path: &Path, len_max: usize) -> Result<Vec<u8>, String> {
        let read = self.files.read_regular(path, len_max as u64);
        self.look_at(path);
        read.map_err(|error| io_reason(&error))
    }

    /// Warns if somebody else than root, the file's owner and this server could change what it says.
    pub fn look_at(&mut self, path: &Path) {
        if !self.looked_at.insert(path.to_owned()) {
            return;
        }
        // A file that is not there is somebody else's to complain about.
        let Ok(file) = fs::metadata(path) else { return };
        let shown = |path: &Path| display_name(path.as_os_str().as_encoded_bytes());
        if file.is_file() && file.mode() & OTHERS_WRITE != 0 {
            self.warnings.push(format!("{}: others than its owner may write it", shown(path)));
        }
        let Some(dir) = path.parent() else { return };
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        if !self.looked_at.insert(dir.to_owned()) {
            return;
        }
        let Ok(meta) = fs::metadata(dir) else { return };
        let own = [ROOT, rustix::process::geteuid().as_raw(), file.uid()];
        let replaceable = meta.mode() & OTHERS_WRITE != 0 && meta.mode() & STICKY == 0;
        if replaceable || !own.contains(&meta.uid()) {
            let warning = format!("{}: others may replace the files in this directory", shown(dir));
            self.warnings.push(warning);
        }
    }

    /// As [`look_at`](Self::look_at), for a file of the server itself: its owner must be root or whoever
    /// runs the server.
    pub fn look_at_own(&mut self, path: &Path) {
        if self.looked_at.contains(path) {
            return;
        }
        self.look_at(path);
        let own = [ROOT, rustix::process::geteuid().as_raw()];
        if fs::metadata(path).is_ok_and(|file| !own.contains(&file.uid())) {
            let shown = display_name(path.as_os_str().as_encoded_bytes());
            self.warnings.push(format!("{shown}: belongs to another user than the server's"));
        }
    }
}
