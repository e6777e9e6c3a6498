//! Whether a server's host key is accepted (HKV-3), and learning its further keys (ROT-2).

use std::path::PathBuf;
use std::sync::Arc;

use sterna_ssh_crypto::PublicKey;

use crate::known_hosts::{KnownHosts, Lookup, record_name};
use crate::limits::ANNOUNCED_KEYS_MAX;
use crate::prompt::{HostKeyQuestion, Prompt};
use crate::ssh_config::HostSettings;
use crate::{Error, display_name};

/// What is done about host keys that are not recorded (ssh_config `StrictHostKeyChecking`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StrictHostKeyChecking {
    /// Only recorded keys are accepted; nobody is asked.
    Yes,
    /// New keys are recorded. Changed keys are let through with a warning, but then no password is
    /// ever sent (CLI-3).
    No,
    /// A person is asked about new keys; changed ones are refused.
    #[default]
    Ask,
    /// New keys are recorded; changed ones are refused.
    AcceptNew,
}

/// How a key was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is recorded, or has just been.
    Trusted,
    /// `StrictHostKeyChecking=no` and a changed key: good enough for public keys, not for secrets.
    WithoutTrust,
}

/// One connection's view of the known hosts. Its methods read and write files and may ask a person:
/// they are for a thread that may block.
pub(crate) struct HostKeyCheck {
    /// As recorded: `host` or `[host]:port`.
    pub(crate) name: String,
    known: KnownHosts,
    user_file: Option<PathBuf>,
    strict: StrictHostKeyChecking,
    hashed: bool,
    ask: Option<Arc<dyn Prompt>>,
}

impl HostKeyCheck {
    /// Reads the files that `settings` names. `prompt` is not asked in batch mode.
    pub(crate) fn new(settings: &HostSettings, prompt: &Arc<dyn Prompt>) -> Result<Self, Error> {
        let files = [&settings.user_known_hosts[..], &settings.global_known_hosts[..]].concat();
        let name = match &settings.host_key_alias {
            Some(alias) => alias.to_ascii_lowercase(),
            None => record_name(&settings.host, settings.port),
        };
        Ok(Self {
            name,
            known: KnownHosts::read(&files)?,
            user_file: settings.user_known_hosts.first().cloned(),
            strict: settings.strict_host_key_checking,
            hashed: settings.hash_known_hosts,
            ask: (!settings.batch_mode).then(|| prompt.clone()),
        })
    }

    /// Host key algorithms, those of recorded keys first (NEG-4).
    pub(crate) fn order(&self, algorithms: &mut [String]) {
        self.known.lead_with_recorded(&self.name, algorithms);
    }

    /// Judges `key`. Nothing secret has been sent before this returns.
    ///
    /// # Errors
    /// [`Error::HostKey`] if the key is not to be trusted, with what to do about it.
    pub(crate) fn decide(&self, key: &PublicKey) -> Result<Accepted, Error> {
        use StrictHostKeyChecking as Strict;
        let lookup = self.known.lookup(&self.name, key);
        match (&lookup, self.strict) {
            (Lookup::Known, _) => Ok(Accepted::Trusted),
            (Lookup::Revoked { file, line }, _) => Err(self.refuse(format!(
                "the server's {} key {} is marked as revoked in {}:{line}",
                key.key_type(),
                key.fingerprint(),
                display_name(file.as_os_str().as_encoded_bytes()),
            ))),
            (Lookup::Changed { file, line }, strict) => {
                let why = format!(
                    "THE KEY HAS CHANGED: the server shows the {} key {}, another one is recorded in {}:{line}. \
                     Somebody may be intercepting the connection, or the server got a new key; if you know that it did, \
                     remove that line (ssh-keygen -R '{}')",
                    key.key_type(),
                    key.fingerprint(),
                    display_name(file.as_os_str().as_encoded_bytes()),
                    self.name,
                );
                if strict != Strict::No {
                    return Err(self.refuse(why));
                }
                self.inform(&format!("warning: host key of {}: {why}", self.name));
                Ok(Accepted::WithoutTrust)
            }
            (Lookup::Unknown | Lookup::OtherTypesOnly { .. }, Strict::No | Strict::AcceptNew) => {
                self.record(key);
                Ok(Accepted::Trusted)
            }
            (Lookup::Unknown | Lookup::OtherTypesOnly { .. }, Strict::Ask) => {
                self.ask_person(key, &lookup)
            }
            (Lookup::Unknown | Lookup::OtherTypesOnly { .. }, Strict::Yes) => {
                Err(self.unknown(key))
            }
        }
    }

    fn ask_person(&self, key: &PublicKey, lookup: &Lookup) -> Result<Accepted, Error> {
        let Some(prompt) = &self.ask else { return Err(self.unknown(key)) };
        let question = HostKeyQuestion {
            host: self.name.clone(),
            key_type: key.key_type(),
            fingerprint: key.fingerprint(),
            other_types_known: matches!(lookup, Lookup::OtherTypesOnly { .. }),
        };
        let answer = prompt.host_key(&question).ok_or_else(|| self.unknown(key))?;
        // Exactly "yes", or the fingerprint pasted from another source (HKV-3): "y" is too easy.
        if answer.trim() != "yes" && answer.trim() != question.fingerprint {
            return Err(self.refuse("not accepted".into()));
        }
        self.record(key);
        Ok(Accepted::Trusted)
    }

    /// Records a key; failing to is worth a word, not the end of the session.
    fn record(&self, key: &PublicKey) {
        let Some(file) = &self.user_file else { return };
        if let Err(error) = KnownHosts::append(file, &self.name, key, self.hashed) {
            self.inform(&format!("warning: {error}"));
        }
    }

    /// The announced keys that are worth a proof: none unless the key in use is recorded by exact
    /// name in a file (ROT-2).
    pub(crate) fn worth_proving(&self, in_use: &PublicKey, announced: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let fresh = KnownHosts::read(self.user_file.as_slice()).unwrap_or_default();
        let broken = announced.is_empty()
            || announced.len() > ANNOUNCED_KEYS_MAX
            || announced.iter().enumerate().any(|(n, blob)| announced[..n].contains(blob));
        if broken || !fresh.records_exactly(&self.name, &in_use.to_wire()) {
            return Vec::new();
        }
        let new = |blob: &&Vec<u8>| {
            PublicKey::from_wire(blob).is_ok_and(|key| {
                matches!(
                    self.known.lookup(&self.name, &key),
                    Lookup::Unknown | Lookup::OtherTypesOnly { .. }
                )
            })
        };
        announced.iter().filter(new).cloned().collect()
    }

    /// Records keys that the server has proven to hold.
    pub(crate) fn learn(&self, proven: &[Vec<u8>]) {
        for key in proven.iter().filter_map(|blob| PublicKey::from_wire(blob).ok()) {
            self.record(&key);
        }
    }

    fn unknown(&self, key: &PublicKey) -> Error {
        self.refuse(format!(
            "unknown {} key {}. Check the fingerprint and record the key, for example with \
             -o StrictHostKeyChecking=accept-new",
            key.key_type(),
            key.fingerprint(),
        ))
    }

    fn refuse(&self, why: String) -> Error {
        Error::HostKey { host: self.name.clone(), why }
    }

    fn inform(&self, text: &str) {
        if let Some(prompt) = &self.ask {
            prompt.inform(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
    use zeroize::Zeroizing;

    use super::*;

    struct Says(&'static str);

    impl Prompt for Says {
        fn host_key(&self, question: &HostKeyQuestion) -> Option<String> {
            Some(if self.0 == "fingerprint" {
                question.fingerprint.clone()
            } else {
                self.0.to_owned()
            })
        }

        fn password(&self, _: &str, _: &str, _: u32) -> Option<Zeroizing<String>> {
            None
        }

        fn passphrase(&self, _: &std::path::Path, _: u32) -> Option<Zeroizing<String>> {
            None
        }
    }

    fn key() -> PublicKey {
        PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap().public().clone()
    }

    fn check(
        file: &std::path::Path,
        strict: StrictHostKeyChecking,
        says: &'static str,
    ) -> HostKeyCheck {
        let mut settings = HostSettings::defaults("h", "u", None);
        settings.user_known_hosts = vec![file.to_owned()];
        settings.global_known_hosts.clear();
        settings.strict_host_key_checking = strict;
        settings.batch_mode = says.is_empty();
        HostKeyCheck::new(&settings, &(Arc::new(Says(says)) as Arc<dyn Prompt>)).unwrap()
    }

    #[test]
    fn only_yes_or_the_fingerprint_passes_and_is_then_remembered() {
        use StrictHostKeyChecking::{Ask, Yes};
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        let key = key();

        for refused in ["y", "no", "YES", "SHA256:other", ""] {
            let decision = check(&file, Ask, refused).decide(&key);
            assert!(matches!(decision, Err(Error::HostKey { .. })), "{refused:?}");
        }
        assert!(check(&file, Yes, "yes").decide(&key).is_err());
        assert!(!file.exists());

        assert_eq!(check(&file, Ask, "fingerprint").decide(&key).unwrap(), Accepted::Trusted);
        assert_eq!(check(&file, Yes, "").decide(&key).unwrap(), Accepted::Trusted);
    }

    #[test]
    fn a_changed_key_is_refused_except_by_no_and_then_without_trust() {
        use StrictHostKeyChecking::{AcceptNew, Ask, No};
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        check(&file, AcceptNew, "").decide(&key()).unwrap();
        let other = key();

        for strict in [Ask, AcceptNew] {
            let error = check(&file, strict, "yes").decide(&other).unwrap_err();
            assert!(error.to_string().contains("known_hosts:1"), "{error}");
            assert_eq!(error.exit_code(), 4);
        }
        assert_eq!(check(&file, No, "").decide(&other).unwrap(), Accepted::WithoutTrust);
    }

    #[test]
    fn further_keys_are_learnt_only_for_an_exactly_recorded_host() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        let (used, new) = (key(), key());
        std::fs::write(&file, format!("* {}\n", used.to_openssh("").trim())).unwrap();
        let announced = vec![
            used.to_wire(),
            PrivateKey::generate(KeyType::EcdsaP256, &mut SystemRandom).unwrap().public().to_wire(),
        ];
        let strict = StrictHostKeyChecking::Yes;
        assert!(check(&file, strict, "").worth_proving(&used, &announced).is_empty());

        KnownHosts::append(&file, "h", &used, false).unwrap();

        let check = check(&file, strict, "");
        assert_eq!(check.worth_proving(&used, &announced), announced[1..]);
        // A second key of a recorded type would look like a change: it is not taken.
        assert!(check.worth_proving(&used, &[new.to_wire(), used.to_wire()]).is_empty());
        assert!(
            check.worth_proving(&used, &[announced[1].clone(), announced[1].clone()]).is_empty()
        );
        check.learn(&announced[1..]);
        assert!(KnownHosts::read(&[file]).unwrap().records_exactly("h", &announced[1]));
    }
}
