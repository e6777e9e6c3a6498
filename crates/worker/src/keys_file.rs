//! A user's file of keys, read as that user, and only if nobody else could have written it (OpenSSH's `StrictModes`).

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::limits::KEYS_LEN_MAX;

/// Group and others may write.
const OTHERS_WRITE: u32 = 0o022;

/// Reads `file` with the rights of this process, which must be the user's by now. `None`: there is none.
///
/// # Errors
/// Why it is not to be trusted, or cannot be read.
pub(crate) fn read(file: &Path, home: &Path, uid: u32) -> Result<Option<Vec<u8>>, String> {
    let real = match fs::canonicalize(file) {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let home = fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
    let opened = fs::OpenOptions::new()
        .read(true)
        // A FIFO must not hold anybody up, nor what was put there meanwhile be followed.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(&real)
        .map_err(|error| format!("{}: {error}", real.display()))?;
    let about = opened.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err(format!("{}: not a file", real.display()));
    }
    trusted(&real, &about, uid)?;
    for dir in real.ancestors().skip(1) {
        let about = fs::metadata(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        trusted(dir, &about, uid)?;
        // Who may write above the home is the administrator's business.
        if dir == home {
            break;
        }
    }
    let mut bytes = Vec::new();
    opened
        .take(KEYS_LEN_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() > KEYS_LEN_MAX {
        return Err(format!("{}: longer than {KEYS_LEN_MAX} bytes", real.display()));
    }
    Ok(Some(bytes))
}

fn trusted(path: &Path, about: &fs::Metadata, uid: u32) -> Result<(), String> {
    if about.uid() != 0 && about.uid() != uid {
        return Err(format!("{}: belongs neither to root nor to the user", path.display()));
    }
    if about.mode() & OTHERS_WRITE != 0 {
        return Err(format!("{}: others than the user may write it", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_could_have_written_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let dir = home.path().join(".ssh");
        let file = dir.join("authorized_keys");
        fs::create_dir(&dir).unwrap();
        fs::write(&file, "key").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let read = || read(&file, home.path(), uid);
        for (of_home, of_dir, of_file, good) in [
            (0o755, 0o700, 0o600, true),
            (0o755, 0o755, 0o644, true),
            (0o755, 0o755, 0o664, false),
            (0o755, 0o777, 0o600, false),
            (0o775, 0o700, 0o600, false),
        ] {
            set(home.path(), of_home);
            set(&dir, of_dir);
            set(&file, of_file);
            assert_eq!(read().is_ok(), good, "{of_home:o} {of_dir:o} {of_file:o}");
        }
        set(home.path(), 0o755);
        fs::remove_file(&file).unwrap();
        assert_eq!(read(), Ok(None));
        fs::create_dir(&file).unwrap();
        assert!(read().is_err());
        fs::remove_dir(&file).unwrap();
        fs::write(&file, vec![b'x'; KEYS_LEN_MAX + 1]).unwrap();
        assert!(read().is_err());
    }
}
