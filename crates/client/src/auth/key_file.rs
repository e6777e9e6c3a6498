//! Private keys in files: read, judged by their mode, opened with a passphrase when they are needed.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sterna_ssh_crypto::{
    Certificate, CertificateKind, KeyFileError, OfferedKey, PrivateKey, PublicKey,
};
use zeroize::Zeroizing;

use crate::error::io_reason;
use crate::limits::{KEY_FILE_LEN_MAX, PASSPHRASE_PROMPTS_MAX};
use crate::prompt::Prompt;

/// A private key file: open already, or to be opened with a person's help.
pub(super) struct KeyFile {
    path: PathBuf,
    state: Mutex<State>,
}

enum State {
    Encrypted,
    Open(Arc<PrivateKey>),
    /// Nobody could open it; nobody is asked again.
    GivenUp(String),
}

impl KeyFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn opened(path: &Path, key: PrivateKey) -> Self {
        Self { path: path.to_owned(), state: Mutex::new(State::Open(Arc::new(key))) }
    }

    pub(super) fn encrypted(path: &Path) -> Self {
        Self { path: path.to_owned(), state: Mutex::new(State::Encrypted) }
    }

    /// Whether it can sign without a person.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Open(_))
    }

    /// The key. If it is still encrypted, `ask` is asked for the passphrase: this may wait long.
    pub(super) fn open(&self, ask: Option<&dyn Prompt>) -> Result<Arc<PrivateKey>, String> {
        // A panic while it was held left the state as it was.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Open(key) => return Ok(key.clone()),
            State::GivenUp(why) => return Err(why.clone()),
            State::Encrypted => {}
        }
        let ask = ask.ok_or("it is encrypted and nobody can be asked")?;
        match open_encrypted(&self.path, ask) {
            Ok(key) => {
                let key = Arc::new(key);
                *state = State::Open(key.clone());
                Ok(key)
            }
            Err(why) => {
                *state = State::GivenUp(why.clone());
                Err(why)
            }
        }
    }
}

fn open_encrypted(path: &Path, prompt: &dyn Prompt) -> Result<PrivateKey, String> {
    let text = read_private(path)?;
    for attempt in 1..=PASSPHRASE_PROMPTS_MAX {
        let passphrase = prompt.passphrase(path, attempt).ok_or("no passphrase")?;
        match PrivateKey::from_text(&text, Some(&passphrase)) {
            Err(KeyFileError::WrongPassphrase) => {}
            result => return result.map_err(|e| e.to_string()),
        }
    }
    Err("wrong passphrase".into())
}

/// What lies at one `IdentityFile`.
pub(super) struct NamedKey {
    /// For messages.
    pub(super) label: String,
    /// `None` only for a file that must be opened before its public half is known.
    pub(super) public: Option<PublicKey>,
    /// Or why there is none that we can use: an agent may hold it.
    pub(super) private: Result<Arc<KeyFile>, String>,
    /// A private key file is there: if it cannot be used, its owner wants to know.
    pub(super) is_there: bool,
}

impl NamedKey {
    /// Looks at a file, once, and at the public half beside it. `None` if neither is there.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let label = format!("key {}", crate::display_name(path.as_os_str().as_encoded_bytes()));
        let named = |public, private, is_there| {
            Some(Self { label: label.clone(), public, private, is_there })
        };
        let beside = || public_line(&with_suffix(path, ".pub")).map(|key| key.key().clone());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(_) if !path.exists() => {
                return named(Some(beside()?), Err("its private half is not there".into()), false);
            }
            Err(error) => return named(beside(), Err(io_reason(&error)), true),
        };
        let metadata = match file.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return named(beside(), Err(error.to_string()), true),
        };
        let text = read_text(&file, &metadata);
        // The file may be the public half alone, to say which of an agent's keys is meant.
        if let Some(key) = text.as_ref().ok().and_then(|text| public_line_of(text)) {
            return named(Some(key.key().clone()), Err("it is a public key".into()), false);
        }
        let text = match check_private(&metadata).and(text) {
            Ok(text) => text,
            Err(why) => return named(beside(), Err(why), true),
        };
        let public_half = || sterna_ssh_crypto::public_key_of(&text).map(|(key, _)| key);
        match PrivateKey::from_text(&text, None) {
            Ok(key) => {
                let public = key.public().clone();
                named(Some(public), Ok(Arc::new(KeyFile::opened(path, key))), true)
            }
            Err(KeyFileError::Encrypted) => {
                let public = public_half().or_else(beside).or_else(|| {
                    certificate_beside(path).map(|certificate| certificate.certificate.key)
                });
                named(public, Ok(Arc::new(KeyFile::encrypted(path))), true)
            }
            Err(error) => named(public_half().or_else(beside), Err(error.to_string()), true),
        }
    }
}

/// A user certificate from a file.
pub(super) struct NamedCertificate {
    /// For messages.
    pub(super) label: String,
    pub(super) certificate: Certificate,
}

impl NamedCertificate {
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read(path: &Path) -> Result<Self, &'static str> {
        let label =
            format!("certificate {}", crate::display_name(path.as_os_str().as_encoded_bytes()));
        match public_line(path) {
            Some(OfferedKey::Certified(certificate))
                if certificate.kind == CertificateKind::User =>
            {
                Ok(Self { label, certificate: *certificate })
            }
            Some(OfferedKey::Certified(_)) => Err("it is for a host"),
            Some(OfferedKey::Plain(_)) => Err("it is a key without a certificate"),
            None => Err("it cannot be read as a certificate"),
        }
    }
}

/// The user certificate that lies beside a private key as `KEY-cert.pub`.
pub(super) fn certificate_beside(path: &Path) -> Option<NamedCertificate> {
    NamedCertificate::read(&with_suffix(path, "-cert.pub")).ok()
}

/// The key or certificate of a file with one line `type base64 comment`.
pub(super) fn public_line(path: &Path) -> Option<OfferedKey> {
    let file = File::open(path).ok()?;
    public_line_of(&read_text(&file, &file.metadata().ok()?).ok()?)
}

fn public_line_of(text: &str) -> Option<OfferedKey> {
    Some(OfferedKey::from_openssh(text.lines().next()?).ok()?.0)
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads a private key file that nobody else can read (KEY-1).
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = File::open(path).map_err(|e| io_reason(&e))?;
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    check_private(&metadata)?;
    read_text(&file, &metadata)
}

/// Whether a file may be used as a private key: nobody else can read it, and it is not too long.
fn check_private(metadata: &Metadata) -> Result<(), String> {
    let mine = metadata.uid() == rustix::process::geteuid().as_raw();
    if mine && metadata.mode() & 0o077 != 0 {
        return Err(format!("its mode {:03o} lets others read it", metadata.mode() & 0o777));
    }
    if metadata.len() > KEY_FILE_LEN_MAX {
        return Err("it is too large for a key".into());
    }
    Ok(())
}

/// What a file says, up to [`KEY_FILE_LEN_MAX`] bytes of it.
fn read_text(file: &File, metadata: &Metadata) -> Result<Zeroizing<String>, String> {
    // Room for one byte more than there are: growing would leave a copy behind.
    let capacity = metadata.len().min(KEY_FILE_LEN_MAX) as usize + 1;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    file.take(KEY_FILE_LEN_MAX).read_to_string(&mut text).map_err(|e| e.to_string())?;
    Ok(text)
}
