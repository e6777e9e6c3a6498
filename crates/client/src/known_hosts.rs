//! Files of known host keys: who they say a host is, and adding to them (HKV-1…HKV-4).
//!
//! A line says "these names have this key". The first line for a name is not enough: a `@revoked`
//! line anywhere wins over all others, so every file is read whole before an answer is given.

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustix::fs::{FlockOperation, flock};
use sterna_ssh_crypto::{PublicKey, Random, SystemRandom};

use crate::Error;
use crate::limits::KNOWN_HOSTS_FILE_LEN_MAX;
use sterna_ssh_files::pattern::pattern_list_matches;

/// The name under which a host is recorded: `host` on port 22, else `[host]:port`; lower case.
pub fn record_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// What the files say about one name and one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This key is recorded for this name.
    Known,
    /// Another key of the same type is recorded here: somebody changed the key, or is in between.
    Changed { file: PathBuf, line: usize },
    /// The key is marked as never to be trusted.
    Revoked { file: PathBuf, line: usize },
    /// The name is recorded with keys of other types only.
    OtherTypesOnly { file: PathBuf, line: usize },
    /// Nothing is recorded for the name.
    Unknown,
}

/// The lines of all files, read once.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    /// The key signs host certificates. Kept for when certificates are supported; matches no key.
    CertAuthority,
}

#[derive(Clone, Debug)]
struct Line {
    file: PathBuf,
    number: usize,
    marker: Marker,
    names: Names,
    key_type: String,
    key_blob: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Names {
    Patterns(String),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl KnownHosts {
    /// Reads `files`; one that does not exist is empty. Lines that cannot be read are skipped, as
    /// OpenSSH does: they can only make a host unknown, never trusted.
    ///
    /// # Errors
    /// [`Error::Local`] for a file that exists and cannot be read: its `@revoked` lines would be lost.
    pub fn read(files: &[PathBuf]) -> Result<Self, Error> {
        let mut all = Self::default();
        for file in files {
            let mut text = Vec::new();
            match File::open(file)
                .and_then(|f| f.take(KNOWN_HOSTS_FILE_LEN_MAX).read_to_end(&mut text))
            {
                Ok(_) => all.add_text(file, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::local("read known hosts", file, error)),
            }
        }
        Ok(all)
    }

    fn add_text(&mut self, file: &Path, text: &[u8]) {
        for (index, line) in text.split(|b| *b == b'\n').enumerate() {
            let parsed =
                std::str::from_utf8(line).ok().and_then(|l| parse_line(file, index + 1, l));
            self.lines.extend(parsed);
        }
    }

    /// What is known about `key` under `name` (see [`record_name`]).
    pub fn lookup(&self, name: &str, key: &PublicKey) -> Lookup {
        let (key_type, blob) = (key.key_type(), key.to_wire());
        let mut answer = Lookup::Unknown;
        for line in self.lines.iter().filter(|l| l.names.contain(name)) {
            let (file, number) = (line.file.clone(), line.number);
            let same_key = line.key_blob == blob;
            let found = match line.marker {
                Marker::Revoked if same_key => return Lookup::Revoked { file, line: number },
                Marker::Revoked | Marker::CertAuthority => continue,
                Marker::None if same_key => Lookup::Known,
                Marker::None if line.key_type == key_type => Lookup::Changed { file, line: number },
                Marker::None => Lookup::OtherTypesOnly { file, line: number },
            };
            if found.weight() > answer.weight() {
                answer = found;
            }
        }
        answer
    }

    /// Whether the exact key stands in a line that names exactly this host: no wildcards (ROT-2).
    pub(crate) fn records_exactly(&self, name: &str, key_blob: &[u8]) -> bool {
        let plain = |line: &&Line| line.marker == Marker::None && line.key_blob == key_blob;
        self.lines.iter().filter(plain).any(|l| l.names.name_exactly(name))
    }

    /// Host key algorithms with those first for which a key of `name` is recorded, so that a known
    /// host shows the key by which we know it (NEG-4). Otherwise the order stays.
    pub(crate) fn lead_with_recorded(&self, name: &str, algorithms: &mut [String]) {
        let recorded: Vec<&str> = self
            .lines
            .iter()
            .filter(|l| l.marker == Marker::None && l.names.contain(name))
            .map(|l| l.key_type.as_str())
            .collect();
        algorithms.sort_by_key(|algorithm| !recorded.contains(&key_type_of(algorithm)));
    }

    /// Appends a line for `name` to `file`, which is made with mode 0600 if it is not there.
    ///
    /// Safe with other writers: the file is locked, looked at again, and the line goes in by one
    /// write at the end. A line that is already there is not repeated.
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be written.
    pub fn append(file: &Path, name: &str, key: &PublicKey, hashed: bool) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::local("record host key in", file, error);
        if let Some(directory) = file.parent().filter(|d| !d.as_os_str().is_empty() && !d.exists())
        {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(failed)?;
        }
        let open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file);
        let mut handle = open.map_err(failed)?;
        if !handle.metadata().map_err(failed)?.is_file() {
            return Ok(()); // "/dev/null": the person wants nothing recorded.
        }
        flock(&handle, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;

        let mut text = Vec::new();
        handle.seek(SeekFrom::Start(0)).map_err(failed)?;
        Read::by_ref(&mut handle)
            .take(KNOWN_HOSTS_FILE_LEN_MAX)
            .read_to_end(&mut text)
            .map_err(failed)?;
        let mut there = Self::default();
        there.add_text(file, &text);
        if there.records_exactly(name, &key.to_wire()) {
            return Ok(());
        }
        let mut line = String::new();
        if text.last().is_some_and(|b| *b != b'\n') {
            line.push('\n');
        }
        line.push_str(&if hashed { hashed_name(name, &mut SystemRandom) } else { name.to_owned() });
        line.push(' ');
        line.push_str(key.to_openssh("").trim());
        line.push('\n');
        handle.write_all(line.as_bytes()).map_err(failed)
    }
}

impl Lookup {
    /// Among several lines for one name the most telling answer wins.
    fn weight(&self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::OtherTypesOnly { .. } => 1,
            Self::Changed { .. } => 2,
            Self::Known => 3,
            Self::Revoked { .. } => 4,
        }
    }
}

impl Names {
    fn contain(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => pattern_list_matches(patterns.split(','), name),
            Self::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::sign(&key, name.as_bytes()).as_ref() == hash.as_slice()
            }
        }
    }

    fn name_exactly(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                !patterns.contains(['*', '?', '!'])
                    && patterns.split(',').any(|p| p.eq_ignore_ascii_case(name))
            }
            Self::Hashed { .. } => self.contain(name),
        }
    }
}

/// The type of key that a host key algorithm needs.
fn key_type_of(algorithm: &str) -> &str {
    match algorithm {
        "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
        other => other,
    }
}

fn parse_line(file: &Path, number: usize, line: &str) -> Option<Line> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let mut word = words.next()?;
    let marker = match word {
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::CertAuthority,
        _ if word.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        word = words.next()?;
    }
    let names = match word.strip_prefix("|1|") {
        Some(rest) => {
            let (salt, hash) = rest.split_once('|')?;
            Names::Hashed {
                salt: BASE64_STANDARD.decode(salt).ok()?,
                hash: BASE64_STANDARD.decode(hash).ok()?,
            }
        }
        None => Names::Patterns(word.to_owned()),
    };
    let key_type = words.next()?.to_owned();
    let key_blob = BASE64_STANDARD.decode(words.next()?).ok()?;
    Some(Line { file: file.to_owned(), number, marker, names, key_type, key_blob })
}

/// `|1|salt|HMAC-SHA1(salt, name)`, with a fresh salt.
fn hashed_name(name: &str, random: &mut dyn Random) -> String {
    let mut salt = [0u8; 20];
    random.fill(&mut salt);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    let hash = hmac::sign(&key, name.as_bytes());
    format!("|1|{}|{}", BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(hash.as_ref()))
}
