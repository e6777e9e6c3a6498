//! Files of known host keys on disk: reading them, and changing the person's own (HKV-4, ROT-2).
//!
//! What the lines mean is in `sterna-ssh-files`. Here every change happens under a lock on the file;
//! lines are added at its end, and when lines go a new file takes its place in one step.

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sterna_ssh_crypto::{PublicKey, Random, SystemRandom};
use sterna_ssh_files::KNOWN_HOSTS_LEN_MAX;
use sterna_ssh_files::known_hosts::{HASHED_NAME_SALT_LEN, KnownHosts, line_for};

use crate::Error;
use crate::limits::KNOWN_HOSTS_LOCK_TRIES_MAX;

/// The file that holds nothing and keeps nothing.
pub(crate) const NOTHING: &str = "/dev/null";

/// Reads `files`; one that does not exist is empty.
///
/// # Errors
/// [`Error::Local`] for a file that exists and cannot be read whole: its `@revoked` lines would be
/// lost.
pub(crate) fn read(files: &[PathBuf]) -> Result<KnownHosts, Error> {
    let mut all = KnownHosts::default();
    for file in files.iter().filter(|file| file.as_os_str() != NOTHING) {
        let failed = |error: io::Error| Error::local("read known hosts", file, error);
        match bytes_of(file, KNOWN_HOSTS_LEN_MAX) {
            Ok(text) => {
                all.add_text(file, &text).map_err(|error| failed(io::Error::other(error)))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(all)
}

/// Records `key` for `host` (as `record_name` makes it) in `file`, which is made with mode 0600 if it
/// is not there. What is recorded already is not repeated.
///
/// # Errors
/// [`Error::Local`] if the file cannot be written.
pub(crate) fn record(file: &Path, host: &str, key: &PublicKey, hashed: bool) -> Result<(), Error> {
    update(file, host, std::slice::from_ref(key), &[], hashed)
}

/// Records `new` and forgets `gone` for `host`: of the latter only lines that name this host alone,
/// without wildcards or markers.
///
/// # Errors
/// [`Error::Local`]; the file is then as it was.
pub(crate) fn update(
    file: &Path,
    host: &str,
    new: &[PublicKey],
    gone: &[Vec<u8>],
    hashed: bool,
) -> Result<(), Error> {
    let change = || -> io::Result<()> {
        // "/dev/null": the person wants nothing recorded.
        let Some(mut locked) = lock(file)? else { return Ok(()) };
        let mut known = KnownHosts::default();
        known.add_text(file, &locked.text).map_err(io::Error::other)?;
        let mut lines = String::new();
        for key in new.iter().filter(|key| !known.records_exactly(host, &key.to_wire())) {
            lines.push_str(&line(host, key, hashed)?);
            lines.push('\n');
        }
        let stale = known.exact_lines_for(host).into_iter();
        let stale = stale.filter(|line| !line.names_others && gone.contains(&line.key_blob));
        let stale: Vec<usize> = stale.map(|line| line.place.line).collect();
        if stale.is_empty() { locked.append(&lines) } else { locked.replace(&stale, &lines) }
    };
    change().map_err(|error| Error::local("record host key in", file, error))
}

fn line(host: &str, key: &PublicKey, hashed: bool) -> io::Result<String> {
    let salt = hashed.then(|| {
        let mut salt = [0u8; HASHED_NAME_SALT_LEN];
        SystemRandom.fill(&mut salt);
        salt
    });
    line_for(host, key, salt.as_ref()).map_err(io::Error::other)
}

/// A file that nobody else changes while this is held.
struct Locked {
    /// Where it really is: a link stays a link.
    path: PathBuf,
    handle: File,
    text: Vec<u8>,
}

/// `None` for what is not a regular file.
fn lock(file: &Path) -> io::Result<Option<Locked>> {
    let directory = file.parent().filter(|d| !d.as_os_str().is_empty() && !d.exists());
    if let Some(directory) = directory {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    for _ in 0..KNOWN_HOSTS_LOCK_TRIES_MAX {
        let handle =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
        let ours = handle.metadata()?;
        if !ours.is_file() {
            return Ok(None);
        }
        flock(&handle, FlockOperation::LockExclusive)?;
        // Somebody may have put another file in its place while we waited.
        let path = std::fs::canonicalize(file)?;
        let there = std::fs::metadata(&path)?;
        if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) {
            let text = bytes_of(&path, KNOWN_HOSTS_LEN_MAX)?;
            return Ok(Some(Locked { path, handle, text }));
        }
    }
    Err(io::Error::other("others keep replacing it"))
}

/// The bytes of a file, and one more than `len_max` if it is longer: that shows it.
pub(crate) fn bytes_of(file: &Path, len_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(len_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Locked {
    /// By one write at the end.
    fn append(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let newline = if self.text.last().is_some_and(|b| *b != b'\n') { "\n" } else { "" };
        self.handle.write_all(format!("{newline}{lines}").as_bytes())
    }

    /// A new file without the lines of these numbers, and with others at its end.
    fn replace(&self, without: &[usize], lines: &str) -> io::Result<()> {
        let mut text = Vec::with_capacity(self.text.len() + lines.len() + 1);
        for (index, line) in self.text.split_inclusive(|b| *b == b'\n').enumerate() {
            if !without.contains(&(index + 1)) {
                text.extend_from_slice(line);
            }
        }
        if text.last().is_some_and(|b| *b != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(lines.as_bytes());

        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".sterna-new");
        let beside = self.path.with_file_name(name);
        // Only whoever has the lock writes it: what lies there is from a program that was killed.
        let _ = std::fs::remove_file(&beside);
        let write = || {
            let mut new =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            new.set_permissions(self.handle.metadata()?.permissions())?;
            new.write_all(&text)?;
            new.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&beside)))
    }
}
