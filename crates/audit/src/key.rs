//! The key that signs checkpoints and heads: Ed25519, made once, kept beside the head.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::limits::SMALL_FILE_LEN_MAX;

/// Begins the text of a public key.
const PUBLIC_PREFIX: &str = "ed25519 ";

const SIG_LEN: usize = 64;

/// What a signature is for: the same bytes mean nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Checkpoint,
    Head,
}

impl Purpose {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Checkpoint => b"sterna audit checkpoint v1\0",
            Self::Head => b"sterna audit head v1\0",
        }
    }
}

/// Why a key cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyError {
    Io(io::Error),
    /// Others than its owner may read it.
    NotPrivate,
    /// The file holds something else.
    NotAKey,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotPrivate => f.write_str("others may read it; its mode must be 0600"),
            Self::NotAKey => f.write_str("not a key of the audit log"),
        }
    }
}

impl std::error::Error for KeyError {}

impl From<io::Error> for KeyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Signs. Nothing shows it.
pub(crate) struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key in `path`; made if there is none. The caller holds the lock.
    pub(crate) fn load_or_make(path: &Path) -> Result<Self, KeyError> {
        match fs::File::open(path) {
            Ok(file) => {
                if file.metadata()?.mode() & 0o077 != 0 {
                    return Err(KeyError::NotPrivate);
                }
                let mut bytes = Vec::new();
                file.take(SMALL_FILE_LEN_MAX).read_to_end(&mut bytes)?;
                Ed25519KeyPair::from_pkcs8(&bytes).map(Self).map_err(|_| KeyError::NotAKey)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(error.into()),
        }
    }

    fn make(path: &Path) -> Result<Self, KeyError> {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random)
            .map_err(|_| io::Error::other("no random numbers"))?;
        let key = Self(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| KeyError::NotAKey)?);
        let fresh = path.with_extension("new");
        write_whole(&fresh, pkcs8.as_ref(), 0o600)?;
        fs::rename(&fresh, path)?;
        Ok(key)
    }

    pub(crate) fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Ends an object that is open, with its signature as the last member.
    pub(crate) fn seal(&self, purpose: Purpose, open: &mut Vec<u8>) {
        let signature = self.0.sign(&[purpose.prefix(), open].concat());
        open.extend_from_slice(SIG_KEY);
        open.extend_from_slice(hex::encode(signature.as_ref()).as_bytes());
        open.extend_from_slice(SIG_END);
    }
}

const SIG_KEY: &[u8] = b",\"sig\":\"";
const SIG_END: &[u8] = b"\"}";

/// Verifies checkpoints and heads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads the text of a key: what `Display` writes.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim().strip_prefix(PUBLIC_PREFIX)?, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Reads a file with such a text.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let mut text = String::new();
        let read = fs::File::open(path)?.take(SMALL_FILE_LEN_MAX).read_to_string(&mut text);
        match read {
            Ok(_) => Self::from_text(&text).ok_or(KeyError::NotAKey),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeyError::NotAKey),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the last member of this object is a good signature over what stands before it.
    pub(crate) fn has_sealed(&self, purpose: Purpose, line: &[u8]) -> bool {
        let tail_len = SIG_KEY.len() + 2 * SIG_LEN + SIG_END.len();
        let Some(at) = line.len().checked_sub(tail_len) else { return false };
        let (open, tail) = line.split_at(at);
        let digits = tail.strip_prefix(SIG_KEY).and_then(|tail| tail.strip_suffix(SIG_END));
        let mut signature = [0; SIG_LEN];
        // One way to write a signature: other digits for the same bytes would be a change unseen.
        let is_hex = digits.is_some_and(|digits| {
            !digits.iter().any(u8::is_ascii_uppercase)
                && hex::decode_to_slice(digits, &mut signature).is_ok()
        });
        let signed = [purpose.prefix(), open].concat();
        is_hex && UnparsedPublicKey::new(&ED25519, self.0).verify(&signed, &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes a file anew and brings it to the disk.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // What a process that died left behind.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SigningKey::load_or_make(&path).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::load_or_make(&path).unwrap().public(), key.public());
        let text = key.public().to_string();
        assert_eq!(PublicKey::from_text(&format!("{text}\n")), Some(key.public()));
        assert_eq!(PublicKey::from_text(&text[..text.len() - 1]), None);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::load_or_make(&path), Err(KeyError::NotPrivate)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "notes").unwrap();
        assert!(matches!(SigningKey::load_or_make(&path), Err(KeyError::NotAKey)));
    }

    #[test]
    fn a_seal_holds_for_its_bytes_and_its_purpose() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_make(&dir.path().join("key")).unwrap();
        let mut line = b"{\"seq\":1".to_vec();
        key.seal(Purpose::Head, &mut line);

        assert!(key.public().has_sealed(Purpose::Head, &line));
        assert!(!key.public().has_sealed(Purpose::Checkpoint, &line));
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 0x20;
            assert!(!key.public().has_sealed(Purpose::Head, &changed), "byte {at}");
        }
        assert!(!key.public().has_sealed(Purpose::Head, b"{}"));
    }
}
