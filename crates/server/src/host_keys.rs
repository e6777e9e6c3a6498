//! The server's own keys: read from files, or made once and kept in the state directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, process};

use sterna_ssh_crypto::{
    Certificate, CertificateKind, KeyFileError, KeyType, OfferedKey, PrivateKey, PublicKey,
    SystemRandom,
};

/// Bytes of a key file that are read: an RSA key of 16384 bits as text has about 13,000.
const KEY_FILE_LEN_MAX: u64 = 64 * 1024;

/// What is made where nothing is: the names are OpenSSH's, best first.
const MADE: [(&str, KeyType); 3] = [
    ("ssh_host_ed25519_key", KeyType::Ed25519),
    ("ssh_host_ecdsa_key", KeyType::EcdsaP256),
    ("ssh_host_rsa_key", KeyType::Rsa { bits: 3072 }),
];

/// The private halves. They never leave this type; it signs.
pub struct HostKeys {
    keys: Vec<(PrivateKey, Vec<u8>)>,
    certificates: Vec<Certificate>,
}

/// A host key that cannot be used.
#[derive(Debug)]
pub struct HostKeyError {
    pub path: PathBuf,
    pub why: HostKeyWhy,
}

#[derive(Debug)]
#[non_exhaustive]
pub enum HostKeyWhy {
    Io(io::Error),
    /// Not a key file that we read, or one with a passphrase.
    Key(KeyFileError),
    /// The system gave no randomness, or the library refused.
    Generate,
    /// A certificate that is not for hosts, or for none of the keys; says which.
    Certificate(&'static str),
}

impl fmt::Display for HostKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host key {}: ", self.path.display())?;
        match &self.why {
            HostKeyWhy::Io(error) => {
                let text = error.to_string();
                f.write_str(text.split(" (os error ").next().unwrap_or(&text))
            }
            HostKeyWhy::Key(error) => error.fmt(f),
            HostKeyWhy::Generate => f.write_str("cannot be made"),
            HostKeyWhy::Certificate(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HostKeyError {}

impl HostKeys {
    /// Keys that the caller has, best first.
    pub fn new(keys: impl IntoIterator<Item = PrivateKey>) -> Self {
        let with_blob = |key: PrivateKey| {
            let blob = key.public().to_wire();
            (key, blob)
        };
        Self { keys: keys.into_iter().map(with_blob).collect(), certificates: Vec::new() }
    }

    /// Reads key files, in this order of preference.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn from_files<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, HostKeyError> {
        let keys: Result<Vec<_>, _> = paths.into_iter().map(|path| load(path.as_ref())).collect();
        Ok(Self::new(keys?))
    }

    /// The keys in `dir`; those that are missing are made, readable by the owner only. Two servers
    /// that start at the same time end up with the same keys.
    ///
    /// # Errors
    /// A key cannot be read, made or written.
    pub fn in_dir(dir: &Path) -> Result<Self, HostKeyError> {
        let fail = |error| HostKeyError { path: dir.to_owned(), why: HostKeyWhy::Io(error) };
        // Only what is made here is private: the mode of a directory that exists is its owner's choice.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
        let mut keys = Vec::new();
        for (name, key_type) in MADE {
            let path = dir.join(name);
            if !path.exists() {
                make(&path, key_type)?;
            }
            keys.push(load(&path)?);
        }
        Ok(Self::new(keys))
    }

    /// Adds the certificates in these files (`ssh_host_ed25519_key-cert.pub`). Clients who know the
    /// authority need not know the keys.
    ///
    /// # Errors
    /// The first file that cannot be read, or is no host certificate of one of the keys.
    pub fn with_certificates<P: AsRef<Path>>(
        mut self,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, HostKeyError> {
        for path in paths {
            let path = path.as_ref();
            let fail = |why| HostKeyError { path: path.to_owned(), why };
            let certificate = read_certificate(path).map_err(fail)?;
            if !self.public().any(|key| *key == certificate.key) {
                return Err(fail(HostKeyWhy::Certificate("is of none of the host keys")));
            }
            self.certificates.push(certificate);
        }
        Ok(self)
    }

    /// What is shown to clients: certificates, then the public halves, best first.
    pub(crate) fn offered(&self) -> impl Iterator<Item = OfferedKey> {
        let certificates = self.certificates.iter().cloned().map(OfferedKey::from);
        certificates.chain(self.public().cloned().map(OfferedKey::from))
    }

    /// The public halves, best first.
    pub fn public(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|(key, _)| key.public())
    }

    /// Whether a signature of this algorithm takes milliseconds: with RSA. The others take a fraction
    /// of what a hop to another thread costs.
    pub(crate) fn is_slow(algorithm: &str) -> bool {
        algorithm.contains("rsa")
    }

    /// Signs with the key whose public blob this is; `None` if it is not ours or cannot.
    pub(crate) fn sign(&self, blob: &[u8], algorithm: &str, data: &[u8]) -> Option<Vec<u8>> {
        let (key, _) = self.keys.iter().find(|(_, known)| known == blob)?;
        key.sign(algorithm, data).ok()
    }
}

fn read_certificate(path: &Path) -> Result<Certificate, HostKeyWhy> {
    let meta = fs::metadata(path).map_err(HostKeyWhy::Io)?;
    if meta.len() > KEY_FILE_LEN_MAX {
        return Err(HostKeyWhy::Io(io::ErrorKind::FileTooLarge.into()));
    }
    let text = fs::read_to_string(path).map_err(HostKeyWhy::Io)?;
    match OfferedKey::from_openssh(text.trim()) {
        Ok((OfferedKey::Certified(certificate), _))
            if certificate.kind == CertificateKind::Host =>
        {
            Ok(*certificate)
        }
        Ok((OfferedKey::Certified(_), _)) => {
            Err(HostKeyWhy::Certificate("is a certificate for users, not for hosts"))
        }
        _ => Err(HostKeyWhy::Certificate("is not a certificate")),
    }
}

fn load(path: &Path) -> Result<PrivateKey, HostKeyError> {
    let fail = |why| HostKeyError { path: path.to_owned(), why };
    let meta = fs::metadata(path).map_err(|e| fail(HostKeyWhy::Io(e)))?;
    if meta.len() > KEY_FILE_LEN_MAX {
        return Err(fail(HostKeyWhy::Io(io::ErrorKind::FileTooLarge.into())));
    }
    let text = fs::read_to_string(path).map(zeroize::Zeroizing::new);
    let text = text.map_err(|e| fail(HostKeyWhy::Io(e)))?;
    PrivateKey::from_text(&text, None).map_err(|e| fail(HostKeyWhy::Key(e)))
}

/// Writes a new key beside its place and links it there: it is complete or absent, and one that
/// somebody else has just put there stays.
fn make(path: &Path, key_type: KeyType) -> Result<(), HostKeyError> {
    let fail = |why| HostKeyError { path: path.to_owned(), why };
    let key = PrivateKey::generate(key_type, &mut SystemRandom)
        .map_err(|_| fail(HostKeyWhy::Generate))?;
    let temporary = path.with_extension(format!("new-{}", process::id()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(key.to_openssh_text("").as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    };
    let written = write();
    let _ = fs::remove_file(&temporary);
    written.map_err(|e| fail(HostKeyWhy::Io(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_for_the_owner_only_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");

        let made = HostKeys::in_dir(&state).unwrap();
        let again = HostKeys::in_dir(&state).unwrap();

        assert!(made.public().eq(again.public()));
        let mut names: Vec<_> =
            fs::read_dir(&state).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["ssh_host_ecdsa_key", "ssh_host_ed25519_key", "ssh_host_rsa_key"]);
        for name in names {
            let mode = fs::metadata(state.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_broken_key_file_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ssh_host_ed25519_key");
        fs::write(&path, "garbage").unwrap();

        let error = HostKeys::in_dir(dir.path()).err().unwrap();

        assert_eq!(error.path, path);
        assert_eq!(fs::read(&path).unwrap(), b"garbage");
    }

    #[test]
    fn only_own_keys_sign() {
        let key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
        let blob = key.public().to_wire();
        let keys = HostKeys::new([key]);

        assert!(keys.sign(&blob, "ssh-ed25519", b"data").is_some());
        assert!(keys.sign(&blob[1..], "ssh-ed25519", b"data").is_none());
        assert!(keys.sign(&blob, "rsa-sha2-512", b"data").is_none());
    }
}
