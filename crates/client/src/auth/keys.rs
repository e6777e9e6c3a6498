//! Which keys are offered: those of the agent and those in files, each once.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sterna_ssh_crypto::{KeyFileError, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::Credentials;
use super::agent::Agent;
use crate::error::io_reason;
use crate::limits::{KEY_FILE_LEN_MAX, PASSPHRASE_PROMPTS_MAX};
use crate::prompt::Prompt;
use crate::ssh_config::HostSettings;

/// A key that can be offered.
pub(super) struct Identity {
    /// Its public half, as on the wire.
    pub(super) blob: Vec<u8>,
    pub(super) key: PublicKey,
    /// For messages: where it comes from.
    pub(super) label: String,
    pub(super) signer: Signer,
}

pub(super) enum Signer {
    Key(Box<PrivateKey>),
    /// Encrypted: opened when the server wants it, with a passphrase.
    File(PathBuf),
    Agent(Arc<Agent>),
}

/// All identities in the order of trying: named files that the agent holds too are signed for by the
/// agent; then the agent's other keys (unless `IdentitiesOnly`); then files.
/// Files that are there and cannot be used are told to the person.
pub(super) async fn collect(settings: &HostSettings, prompt: &Arc<dyn Prompt>) -> Vec<Identity> {
    let mut from_agent = agent_identities(settings).await;
    let (files, prompt) = (settings.identity_files.clone(), prompt.clone());
    let from_files = tokio::task::spawn_blocking(move || {
        let usable = |file: &PathBuf| match from_file(file) {
            Ok(identity) => Some(identity),
            Err(why) => {
                if file.exists() {
                    let file = crate::display_name(file.as_os_str().as_encoded_bytes());
                    prompt.inform(&format!("warning: key {file} is left out: {why}"));
                }
                None
            }
        };
        files.iter().filter_map(usable).collect::<Vec<_>>()
    });
    let from_files = from_files.await.unwrap_or_default();

    let mut identities: Vec<Identity> = Vec::new();
    let mut later = Vec::new();
    for identity in from_files {
        match from_agent.iter().position(|a| a.blob == identity.blob) {
            Some(index) => identities.push(from_agent.remove(index)),
            None => later.push(identity),
        }
    }
    // Files that a person named go before keys that merely lie in the agent.
    let (named, rest) =
        if settings.identity_files_named { (later, Vec::new()) } else { (Vec::new(), later) };
    identities.extend(named);
    if !settings.identities_only {
        identities.extend(from_agent);
    }
    identities.extend(rest);
    identities
}

async fn agent_identities(settings: &HostSettings) -> Vec<Identity> {
    let Some(socket) = &settings.agent else { return Vec::new() };
    let Ok(agent) = Agent::connect(socket).await else { return Vec::new() };
    let agent = Arc::new(agent);
    let keys = match agent.keys().await {
        Ok(keys) => keys,
        Err(why) => {
            tracing::debug!(why, "no keys from the agent");
            return Vec::new();
        }
    };
    let identity = |key: super::agent::AgentKey| {
        Some(Identity {
            key: PublicKey::from_wire(&key.blob).ok()?,
            blob: key.blob,
            label: format!("agent key {}", key.comment),
            signer: Signer::Agent(agent.clone()),
        })
    };
    keys.into_iter().filter_map(identity).collect()
}

/// The identity of a private key file. If it is encrypted, the public half must lie beside it (`.pub`).
fn from_file(path: &Path) -> Result<Identity, String> {
    let label = format!("key {}", crate::display_name(path.as_os_str().as_encoded_bytes()));
    let text = read_private(path)?;
    match PrivateKey::from_text(&text, None) {
        Ok(key) => {
            let public = key.public().clone();
            Ok(Identity {
                blob: public.to_wire(),
                key: public,
                label,
                signer: Signer::Key(Box::new(key)),
            })
        }
        Err(KeyFileError::Encrypted) => {
            let mut beside = path.as_os_str().to_owned();
            beside.push(".pub");
            let lacks =
                || "it is encrypted, and its public half (.pub) is not beside it".to_owned();
            let public = std::fs::read_to_string(Path::new(&beside)).map_err(|_| lacks())?;
            let line = public.lines().next().ok_or_else(lacks)?;
            let (key, _) = PublicKey::from_openssh(line).map_err(|e| format!("its .pub: {e}"))?;
            Ok(Identity { blob: key.to_wire(), key, label, signer: Signer::File(path.to_owned()) })
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a private key file that nobody else can read (KEY-1).
fn read_private(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = std::fs::File::open(path).map_err(|e| io_reason(&e))?;
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    let mine = metadata.uid() == rustix::process::geteuid().as_raw();
    if mine && metadata.mode() & 0o077 != 0 {
        return Err(format!("its mode {:03o} lets others read it", metadata.mode() & 0o777));
    }
    if metadata.len() > KEY_FILE_LEN_MAX {
        return Err("it is too large for a key".into());
    }
    let mut text = Zeroizing::new(String::with_capacity(metadata.len() as usize + 1));
    file.take(KEY_FILE_LEN_MAX).read_to_string(&mut text).map_err(|e| e.to_string())?;
    Ok(text)
}

/// Opens an encrypted key file with a person's help and signs.
pub(super) async fn sign_with_file(
    path: &Path,
    credentials: &Credentials<'_>,
    algorithm: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, String> {
    if credentials.settings.batch_mode {
        return Err("it is encrypted and nobody can be asked".into());
    }
    let (path, prompt, algorithm) =
        (path.to_owned(), credentials.prompt.clone(), algorithm.to_owned());
    let work = move || {
        let key = open_encrypted(&path, prompt.as_ref())?;
        key.sign(&algorithm, &message).map_err(|e| e.to_string())
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
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

/// The signature algorithm for a key: the strongest of its own that the server announced (RFC 8308)
/// and the settings allow. Without an announcement, the key's first.
pub(super) fn algorithm_for(
    identity: &Identity,
    announced: &[String],
    settings: &HostSettings,
) -> Option<String> {
    let own: Vec<String> =
        identity.key.signature_algorithms().iter().map(|a| (*a).to_owned()).collect();
    let allowed = match &settings.pubkey_algorithms {
        Some(change) => {
            let default: Vec<String> = sterna_ssh_crypto::names::USER_KEY_DEFAULT
                .iter()
                .map(|a| (*a).to_owned())
                .collect();
            change.apply("PubkeyAcceptedAlgorithms", &default, |_| true).unwrap_or_default()
        }
        None => own.clone(),
    };
    let usable = own.into_iter().filter(|a| allowed.contains(a)).collect::<Vec<_>>();
    let listed = usable.iter().find(|a| announced.contains(a)).cloned();
    match (listed, announced.is_empty()) {
        (Some(algorithm), _) => Some(algorithm),
        (None, true) => usable.into_iter().next(),
        // Lists of old servers leave out what they take anyway; RSA is the only one with a choice.
        (None, false) => usable.into_iter().next().filter(|a| !a.starts_with("rsa-")),
    }
}
