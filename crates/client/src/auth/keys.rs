//! Which keys are offered, in which order, and who signs for each.
//!
//! Certificates go first: those that are named, then those in the agent. Keys of the agent that a file
//! names follow in the order of the files, then the agent's other keys (unless `IdentitiesOnly`), then
//! files that no agent holds. Each is offered once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sterna_ssh_crypto::{CertificateKind, OfferedKey, PublicKey};
use sterna_ssh_proto::SessionBinding;

use super::Credentials;
use super::agent::{Agent, AgentKey};
use super::key_file::{KeyFile, NamedCertificate, NamedKey, certificate_beside};
use crate::ssh_config::HostSettings;

/// A key or certificate that can be offered.
pub(super) struct Identity {
    /// `None` for an encrypted file that must be opened before anything is known.
    pub(super) offer: Option<OfferedKey>,
    /// For messages: where it comes from.
    pub(super) label: String,
    pub(super) signer: Signer,
}

/// Who makes the signature.
#[derive(Clone)]
pub(super) enum Signer {
    File(Arc<KeyFile>),
    /// `blob` is what the agent knows the key by.
    Agent {
        agent: Arc<Agent>,
        blob: Vec<u8>,
    },
}

/// What there is to log in with.
pub(super) struct Collected {
    pub(super) identities: Vec<Identity>,
    pub(super) agent: Option<Arc<Agent>>,
}

/// Collects all identities. Named files that are there and cannot be used are told to the person.
pub(super) async fn collect(
    credentials: &Credentials<'_>,
    mut named: KeyFiles,
    binding: Option<SessionBinding>,
) -> Collected {
    let settings = credentials.settings;
    let (agent, agent_keys) = match connect(settings, binding).await {
        Some((agent, keys)) => (Some(agent), keys),
        None => (None, Vec::new()),
    };
    named.keys.retain(|key| key.public.as_ref().is_none_or(|key| is_long_enough(key, settings)));
    named.certificates.retain(|c| is_long_enough(&c.certificate.key, settings));
    let held = agent.clone().map(|agent| Held {
        agent,
        keys: agent_keys
            .into_iter()
            .filter(|held| is_long_enough(held.key.key(), settings))
            .collect(),
    });
    let (identities, unusable) = arrange(named, held, settings.identities_only);
    for Unusable { label, why, is_there } in unusable {
        if is_there {
            credentials.prompt.inform(&format!("warning: {label} is left out: {why}"));
        } else {
            tracing::info!(label, why, "left out");
        }
    }
    Collected { identities, agent }
}

/// The agent with its keys, once it knows which connection it signs for.
async fn connect(
    settings: &HostSettings,
    binding: Option<SessionBinding>,
) -> Option<(Arc<Agent>, Vec<AgentKey>)> {
    let socket = settings.agent.as_ref()?;
    let agent = match Agent::connect(socket).await {
        Ok(agent) => agent,
        Err(error) => {
            tracing::info!(socket = %socket.display(), %error, "the agent cannot be reached");
            return None;
        }
    };
    if let Some(binding) = binding {
        match agent.bind(&binding).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!("the agent takes no binding to a connection"),
            Err(why) => tracing::info!(why, "no keys from the agent"),
        }
    }
    match agent.keys().await {
        Ok(keys) => {
            if keys.is_empty() {
                tracing::info!("the agent shows no keys; a locked one never does (ssh-add -X)");
            }
            Some((Arc::new(agent), keys))
        }
        Err(why) => {
            tracing::info!(why, "no keys from the agent");
            None
        }
    }
}

/// What the files hold that the settings name.
#[derive(Default)]
pub(crate) struct KeyFiles {
    keys: Vec<NamedKey>,
    certificates: Vec<NamedCertificate>,
}

impl KeyFiles {
    /// Reads them; nothing if public keys are not to be used. Blocks on the disk.
    pub(crate) fn read(settings: &HostSettings) -> Self {
        if !settings.pubkey_authentication.is_on() {
            return Self::default();
        }
        let read = |file: &PathBuf| match NamedCertificate::read(file) {
            Ok(certificate) => Some(certificate),
            Err(why) => {
                tracing::info!(file = %file.display(), why, "certificate is left out");
                None
            }
        };
        let files = &settings.identity_files;
        let certificates = if settings.certificate_files.is_empty() {
            files.iter().map(AsRef::<Path>::as_ref).filter_map(certificate_beside).collect()
        } else {
            settings.certificate_files.iter().filter_map(read).collect()
        };
        Self { keys: files.iter().filter_map(|file| NamedKey::read(file)).collect(), certificates }
    }
}

fn is_long_enough(key: &PublicKey, settings: &HostSettings) -> bool {
    let fits =
        !matches!(key, PublicKey::Rsa(_)) || key.bits() >= settings.required_rsa_size as usize;
    if !fits {
        tracing::info!(bits = key.bits(), "an RSA key is shorter than RequiredRSASize");
    }
    fits
}

/// What an agent holds.
struct Held {
    agent: Arc<Agent>,
    keys: Vec<AgentKey>,
}

/// A file that nothing can be done with.
struct Unusable {
    label: String,
    why: String,
    is_there: bool,
}

/// Puts everything into the order of trying.
fn arrange(
    named: KeyFiles,
    held: Option<Held>,
    identities_only: bool,
) -> (Vec<Identity>, Vec<Unusable>) {
    let keys_of = |held: &Held, key: &PublicKey| {
        // As itself rather than by a certificate of it.
        let exact = held.keys.iter().find(|k| k.key.certificate().is_none() && k.key.key() == key);
        exact.map(|k| signer(held, k))
    };
    let by_agent = |key: &PublicKey| held.as_ref().and_then(|held| keys_of(held, key));
    let certificate_by_agent = |certificate: &OfferedKey| {
        let held = held.as_ref()?;
        held.keys.iter().find(|k| k.key == *certificate).map(|k| signer(held, k))
    };
    let by_file = |key: &PublicKey| {
        let file = named.keys.iter().find(|named| named.public.as_ref() == Some(key))?;
        file.private.as_ref().ok().map(|file| Signer::File(file.clone()))
    };

    let (mut identities, mut unusable) = (Vec::<Identity>::new(), Vec::new());
    for NamedCertificate { label, certificate } in named.certificates {
        let key = certificate.key.clone();
        let offer = OfferedKey::from(certificate);
        let signer =
            certificate_by_agent(&offer).or_else(|| by_agent(&key)).or_else(|| by_file(&key));
        match signer {
            Some(signer) => identities.push(Identity { offer: Some(offer), label, signer }),
            None => {
                let why = "no file and no agent holds its private key".to_owned();
                unusable.push(Unusable { label, why, is_there: true });
            }
        }
    }
    let offered = |identities: &[Identity], key: &OfferedKey| {
        identities.iter().any(|i| i.offer.as_ref() == Some(key))
    };
    let from_agent = |held: &Held, key: &AgentKey| Identity {
        offer: Some(key.key.clone()),
        label: format!("agent key {}", key.comment),
        signer: signer(held, key),
    };
    let others = held.iter().filter(|_| !identities_only);
    for (held, key) in others.clone().flat_map(|held| held.keys.iter().map(move |k| (held, k))) {
        let is_for_users = key.key.certificate().is_some_and(|c| c.kind == CertificateKind::User);
        if is_for_users && !offered(&identities, &key.key) {
            identities.push(from_agent(held, key));
        }
    }
    let mut from_files = Vec::new();
    for NamedKey { label, public, private, is_there } in named.keys {
        let offer = public.clone().map(OfferedKey::from);
        if let Some(offer) = &offer
            && (offered(&identities, offer) || offered(&from_files, offer))
        {
            continue;
        }
        match (public.and_then(|key| by_agent(&key)), private) {
            (Some(signer), _) => identities.push(Identity { offer, label, signer }),
            (None, Ok(file)) => {
                from_files.push(Identity { offer, label, signer: Signer::File(file) });
            }
            (None, Err(why)) => unusable.push(Unusable { label, why, is_there }),
        }
    }
    for (held, key) in others.flat_map(|held| held.keys.iter().map(move |k| (held, k))) {
        if key.key.certificate().is_none() && !offered(&identities, &key.key) {
            identities.push(from_agent(held, key));
        }
    }
    identities.extend(from_files);
    (identities, unusable)
}

fn signer(held: &Held, key: &AgentKey) -> Signer {
    Signer::Agent { agent: held.agent.clone(), blob: key.key.to_wire() }
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::PrivateKey;

    use super::*;
    use crate::auth::tests::certificate_line;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from_ed25519_seed(&[seed; 32]).unwrap()
    }

    fn file(label: &str, seed: u8) -> NamedKey {
        NamedKey {
            label: label.into(),
            public: Some(key(seed).public().clone()),
            private: Ok(Arc::new(KeyFile::opened(Path::new(label), key(seed)))),
            is_there: true,
        }
    }

    fn public_half(label: &str, seed: u8) -> NamedKey {
        NamedKey { private: Err("it is a public key".into()), ..file(label, seed) }
    }

    fn certificate(seed: u8) -> OfferedKey {
        OfferedKey::from_openssh(certificate_line(&key(seed), 1).trim()).unwrap().0
    }

    fn named_certificate(label: &str, seed: u8) -> NamedCertificate {
        let certificate = certificate(seed).certificate().unwrap().clone();
        NamedCertificate { label: label.into(), certificate }
    }

    async fn held(keys: Vec<(&str, OfferedKey)>) -> Held {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let agent = Arc::new(Agent::connect(&socket).await.unwrap());
        let keys = keys.into_iter().map(|(comment, key)| AgentKey { key, comment: comment.into() });
        Held { agent, keys: keys.collect() }
    }

    /// Each identity with who signs for it.
    fn order(identities: &[Identity]) -> Vec<String> {
        let by = |signer: &Signer| match signer {
            Signer::File(_) => "file",
            Signer::Agent { .. } => "agent",
        };
        identities.iter().map(|i| format!("{} by {}", i.label, by(&i.signer))).collect()
    }

    #[tokio::test]
    async fn certificates_then_named_keys_of_the_agent_then_its_others_then_files() {
        let plain = |seed| OfferedKey::from(key(seed).public().clone());
        let agent = || {
            held(vec![
                ("other", plain(1)),
                ("second", plain(3)),
                ("first", plain(2)),
                ("other certificate", certificate(1)),
            ])
        };
        let named = || KeyFiles {
            keys: vec![
                file("alone", 4),
                file("first", 2),
                public_half("second.pub", 3),
                file("first again", 2),
                public_half("nobody.pub", 9),
            ],
            certificates: vec![named_certificate("c4", 4), named_certificate("c1", 1)],
        };

        let (identities, unusable) = arrange(named(), Some(agent().await), false);
        assert_eq!(
            order(&identities),
            [
                "c4 by file",
                "c1 by agent",
                "first by agent",
                "second.pub by agent",
                "agent key other by agent",
                "alone by file"
            ]
        );
        assert_eq!(unusable.iter().map(|u| &u.label[..]).collect::<Vec<_>>(), ["nobody.pub"]);

        let (identities, _) = arrange(named(), Some(agent().await), true);
        assert_eq!(
            order(&identities),
            ["c4 by file", "c1 by agent", "first by agent", "second.pub by agent", "alone by file"]
        );

        // A certificate that only the agent has, and one whose key nobody has.
        let lonely =
            KeyFiles { certificates: vec![named_certificate("c8", 8)], ..KeyFiles::default() };
        let (identities, unusable) = arrange(lonely, Some(agent().await), false);
        assert_eq!(order(&identities)[0], "agent key other certificate by agent");
        assert_eq!(unusable[0].label, "c8");
    }
}
