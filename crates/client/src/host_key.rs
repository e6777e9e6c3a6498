//! Whether a server's host key is accepted (HKV-3, CRT-6), and learning its further keys (ROT-2).

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use sterna_ssh_crypto::{Certificate, CertificateKind, OfferedKey, PublicKey, names};
use sterna_ssh_files::known_hosts::record_name;
use sterna_ssh_files::pattern::wildcard_match;
use sterna_ssh_files::{KnownHosts, Lookup, Place, RevokedKeys};

use crate::limits::ANNOUNCED_KEYS_MAX;
use crate::prompt::{HostKeyQuestion, Prompt};
use crate::ssh_config::{HostSettings, UpdateHostKeys};
use crate::{Error, display_name, known_hosts};

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
    /// Because an authority says so, or because nobody is asked about this machine: the key itself is
    /// not on record, so nothing is learnt from its server.
    Unrecorded,
    /// `StrictHostKeyChecking=no` and a changed key: good enough for public keys, not for secrets.
    WithoutTrust,
}

/// How the file of known hosts is to change after a server's announcement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Keys that are to be proven and then recorded.
    pub(crate) new: Vec<Vec<u8>>,
    /// Recorded keys that the server does not announce any more.
    pub(crate) gone: Vec<Vec<u8>>,
}

/// One connection's view of the known hosts. Its methods read and write files and may ask a person:
/// they are for a thread that may block, [`HostKeyCheck::decide`] unless it says that it will not.
pub(crate) struct HostKeyCheck {
    /// As recorded: `host` or `[host]:port`, or the alias.
    name: String,
    /// Without the port: principals of certificates are such names.
    host: String,
    /// `CheckHostIP`: the port that is recorded with an address.
    ip_port: Option<u16>,
    has_alias: bool,
    known: KnownHosts,
    user_files: Vec<PathBuf>,
    revoked: Option<RevokedKeys>,
    strict: StrictHostKeyChecking,
    hashed: bool,
    trusts_this_machine: bool,
    rsa_bits_min: usize,
    ca_algorithms: Cow<'static, [String]>,
    update: UpdateHostKeys,
    ask: Option<Arc<dyn Prompt>>,
}

impl HostKeyCheck {
    /// Reads the files that `settings` names. `prompt` is not asked in batch mode.
    ///
    /// # Errors
    /// [`Error::Local`] for known hosts that cannot be read, [`Error::HostKey`] for revoked keys that
    /// cannot: no key is then known to be good. [`Error::Usage`] for unknown algorithms.
    pub(crate) fn new(settings: &HostSettings, prompt: &Arc<dyn Prompt>) -> Result<Self, Error> {
        let files = [&settings.user_known_hosts[..], &settings.global_known_hosts[..]].concat();
        let (name, host) = match &settings.host_key_alias {
            Some(alias) => (alias.to_ascii_lowercase(), alias.to_ascii_lowercase()),
            None => {
                (record_name(&settings.host, settings.port), settings.host.to_ascii_lowercase())
            }
        };
        static CA_DEFAULT: LazyLock<Vec<String>> = LazyLock::new(|| {
            names::CA_SIGNATURE_DEFAULT.iter().map(|name| (*name).to_owned()).collect()
        });
        let ca_algorithms = match &settings.ca_signature_algorithms {
            Some(change) => {
                Cow::Owned(change.apply("CASignatureAlgorithms", &CA_DEFAULT, |name| {
                    names::CA_SIGNATURE_DEFAULT.contains(&name)
                })?)
            }
            None => Cow::Borrowed(&CA_DEFAULT[..]),
        };
        Ok(Self {
            revoked: revoked_keys(settings, &name)?,
            has_alias: settings.host_key_alias.is_some(),
            ip_port: settings.check_host_ip.then_some(settings.port),
            name,
            host,
            known: known_hosts::read(&files)?,
            user_files: settings.user_known_hosts.clone(),
            strict: settings.strict_host_key_checking,
            hashed: settings.hash_known_hosts,
            trusts_this_machine: settings.no_host_authentication_for_localhost,
            rsa_bits_min: settings.required_rsa_size as usize,
            ca_algorithms,
            update: settings.update_host_keys,
            ask: (!settings.batch_mode).then(|| prompt.clone()),
        })
    }

    /// Host key algorithms, those by which the host is known first (NEG-4).
    pub(crate) fn order(&self, algorithms: &mut [String]) {
        self.known.lead_with_recorded(&[&self.name], algorithms);
    }

    /// Whether [`decide`](Self::decide) may ask a person about this key or change a file.
    pub(crate) fn may_block(&self, offered: &OfferedKey) -> bool {
        match self.known.lookup(&[&self.name], offered.key()) {
            Lookup::Known(_) => self.ip_port.is_some(),
            Lookup::Unknown | Lookup::OtherTypesOnly(_) => match self.strict {
                StrictHostKeyChecking::Yes => false,
                StrictHostKeyChecking::Ask => self.ask.is_some(),
                StrictHostKeyChecking::No | StrictHostKeyChecking::AcceptNew => {
                    self.recorded_in().is_some()
                }
            },
            Lookup::Changed(_) | Lookup::Revoked(_) => false,
        }
    }

    /// Judges what the server shows. `peer` is its address, if the connection goes there directly.
    /// Nothing secret has been sent before this returns.
    ///
    /// # Errors
    /// [`Error::HostKey`] if the key is not to be trusted, with what to do about it.
    pub(crate) fn decide(
        &self,
        offered: &OfferedKey,
        peer: Option<IpAddr>,
    ) -> Result<Accepted, Error> {
        let key = offered.key();
        if let Some(revocation) = self.revoked.as_ref().and_then(|keys| keys.revocation(offered)) {
            return Err(self.refuse(format!("RevokedHostKeys: the server's {revocation}")));
        }
        self.check_size(key)?;
        let is_here = peer.is_some_and(|address| address.is_loopback());
        if self.trusts_this_machine && is_here && !self.has_alias {
            return Ok(Accepted::Unrecorded);
        }
        if let Some(certificate) = offered.certificate() {
            if let Some(place) = self.known.is_revoked(&[&self.name, &self.host], &certificate.ca) {
                let (kind, fingerprint) = (certificate.ca.key_type(), certificate.ca.fingerprint());
                return Err(self.refuse(format!(
                    "the {kind} key {fingerprint} that signed the server's certificate is marked as \
                     revoked in {}",
                    shown(&place)
                )));
            }
            match self.judge_certificate(certificate) {
                Ok(true) => return Ok(Accepted::Unrecorded),
                Ok(false) => {}
                Err(why) => self.inform(&format!(
                    "warning: host certificate of {}: {why}; its key is judged by itself",
                    self.name
                )),
            }
        }
        let accepted = self.decide_key(key)?;
        if accepted == Accepted::Trusted {
            self.check_address(key, peer)?;
        }
        Ok(accepted)
    }

    /// True if an authority of this host vouches for it by this certificate; false if it is of nobody
    /// whom we know (CRT-6).
    fn judge_certificate(&self, certificate: &Certificate) -> Result<bool, String> {
        let ca = &certificate.ca;
        let authority = self.known.certificate_authority(&[&self.name], ca);
        // As OpenSSH: what is said of the host holds for its other ports, too.
        let authority = authority.or_else(|| self.known.certificate_authority(&[&self.host], ca));
        if authority.is_none() || self.known.is_revoked(&[&self.name], &certificate.key).is_some() {
            return Ok(false);
        }
        if certificate.kind != CertificateKind::Host {
            return Err("it is a user's certificate".into());
        }
        let algorithms: Vec<&str> = self.ca_algorithms.iter().map(String::as_str).collect();
        certificate
            .verify_ca(&algorithms)
            .map_err(|error| format!("signature of the authority: {error}"))?;
        self.check_size(ca).map_err(|_| "the authority's key is too short".to_owned())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if !certificate.is_valid_at(now) {
            return Err(
                if now < certificate.valid_after { "not valid yet" } else { "expired" }.into()
            );
        }
        if let Some(option) = certificate.critical_options.first() {
            return Err(format!("critical option {}", display_name(&option.name)));
        }
        let named = certificate
            .principals
            .iter()
            .any(|principal| wildcard_match(&principal.to_ascii_lowercase(), self.host.as_bytes()));
        if named { Ok(true) } else { Err(format!("it does not name {}", self.host)) }
    }

    fn decide_key(&self, key: &PublicKey) -> Result<Accepted, Error> {
        use StrictHostKeyChecking as Strict;
        let lookup = self.known.lookup(&[&self.name], key);
        match (&lookup, self.strict) {
            (Lookup::Known(_), _) => Ok(Accepted::Trusted),
            (Lookup::Revoked(place), _) => Err(self.refuse(format!(
                "the server's {} key {} is marked as revoked in {}",
                key.key_type(),
                key.fingerprint(),
                shown(place),
            ))),
            (Lookup::Changed(place), strict) => {
                let why = format!(
                    "THE KEY HAS CHANGED: the server shows the {} key {}, another one is recorded in {}. \
                     Somebody may be intercepting the connection, or the server got a new key; if you know that it did, \
                     remove that line (ssh-keygen -R '{}')",
                    key.key_type(),
                    key.fingerprint(),
                    shown(place),
                    self.name,
                );
                if strict != Strict::No {
                    return Err(self.refuse(why));
                }
                self.inform(&format!("warning: host key of {}: {why}", self.name));
                Ok(Accepted::WithoutTrust)
            }
            (Lookup::Unknown | Lookup::OtherTypesOnly(_), strict) => {
                // As OpenSSH: a key that is recorded for the host without its port will do.
                match self.known.lookup(&[&self.host], key) {
                    Lookup::Known(_) if !self.has_alias => return Ok(Accepted::Unrecorded),
                    Lookup::Revoked(place) => {
                        let why =
                            format!("the server's key is marked as revoked in {}", shown(&place));
                        return Err(self.refuse(why));
                    }
                    _ => {}
                }
                match strict {
                    Strict::Yes => Err(self.unknown(key)),
                    Strict::Ask => self.ask_person(key, &lookup),
                    Strict::No | Strict::AcceptNew => {
                        self.record(&self.name, key);
                        Ok(Accepted::Trusted)
                    }
                }
            }
        }
    }

    /// `CheckHostIP`: the server's address must not be on record with another key, and is recorded.
    fn check_address(&self, key: &PublicKey, peer: Option<IpAddr>) -> Result<(), Error> {
        let (Some(port), Some(peer), false) = (self.ip_port, peer, self.has_alias) else {
            return Ok(());
        };
        let address = record_name(&peer.to_string(), port);
        if address == self.name {
            return Ok(());
        }
        match self.known.lookup(&[&address], key) {
            Lookup::Known(_) => {}
            Lookup::Unknown | Lookup::OtherTypesOnly(_) => self.record(&address, key),
            Lookup::Changed(place) | Lookup::Revoked(place) => {
                let why = format!(
                    "{} has the recorded key, but {address} has another one in {}",
                    self.name,
                    shown(&place)
                );
                if self.strict != StrictHostKeyChecking::No {
                    return Err(self.refuse(why));
                }
                self.inform(&format!("warning: {why}"));
            }
        }
        Ok(())
    }

    fn check_size(&self, key: &PublicKey) -> Result<(), Error> {
        let bits = key.bits();
        if matches!(key, PublicKey::Rsa(_)) && bits < self.rsa_bits_min {
            let least = self.rsa_bits_min;
            let why = format!("an RSA key of {bits} bits; RequiredRSASize asks for {least}");
            return Err(self.refuse(why));
        }
        Ok(())
    }

    fn ask_person(&self, key: &PublicKey, lookup: &Lookup) -> Result<Accepted, Error> {
        let Some(prompt) = &self.ask else { return Err(self.unknown(key)) };
        let question = HostKeyQuestion {
            host: self.name.clone(),
            key_type: key.key_type(),
            fingerprint: key.fingerprint(),
            other_types_known: matches!(lookup, Lookup::OtherTypesOnly(_)),
        };
        let answer = prompt.host_key(&question).ok_or_else(|| self.unknown(key))?;
        // Exactly "yes", or the fingerprint pasted from another source (HKV-3): "y" is too easy.
        if answer.trim() != "yes" && answer.trim() != question.fingerprint {
            return Err(self.refuse("not accepted".into()));
        }
        self.record(&self.name, key);
        Ok(Accepted::Trusted)
    }

    /// Where new keys are recorded. Whoever names `/dev/null` wants them nowhere.
    fn recorded_in(&self) -> Option<&PathBuf> {
        self.user_files.first().filter(|file| file.as_os_str() != known_hosts::NOTHING)
    }

    /// Records a key; failing to is worth a word, not the end of the session.
    fn record(&self, name: &str, key: &PublicKey) {
        let Some(file) = self.recorded_in() else { return };
        if let Err(error) = known_hosts::record(file, name, key, self.hashed) {
            self.inform(&format!("warning: {error}"));
        }
    }

    /// What the person's file lacks and has too much after an announcement. `None` unless the key in
    /// use is recorded there under exactly this name and announced, and for announcements that are
    /// broken (ROT-2).
    pub(crate) fn compare(
        &self,
        in_use: &PublicKey,
        announced: &[Vec<u8>],
    ) -> Option<Announcement> {
        let fresh = known_hosts::read(&self.user_files).ok()?;
        let in_use = in_use.to_wire();
        let broken = announced.len() > ANNOUNCED_KEYS_MAX
            || announced.iter().enumerate().any(|(n, blob)| announced[..n].contains(blob));
        if broken || !announced.contains(&in_use) || !fresh.records_exactly(&self.name, &in_use) {
            return None;
        }
        let is_new = |blob: &&Vec<u8>| {
            PublicKey::from_wire(blob).is_ok_and(|key| {
                let lookup = self.known.lookup(&[&self.name], &key);
                let revoked = self.revoked.as_ref();
                !matches!(lookup, Lookup::Known(_) | Lookup::Revoked(_))
                    && self.check_size(&key).is_ok()
                    && revoked.is_none_or(|keys| keys.revocation(&key.into()).is_none())
            })
        };
        let recorded = fresh.exact_lines_for(&self.name).into_iter();
        let stale = recorded.filter(|l| !l.names_others && !announced.contains(&l.key_blob));
        let announcement = Announcement {
            new: announced.iter().filter(is_new).cloned().collect(),
            gone: stale.map(|line| line.key_blob).collect(),
        };
        (announcement != Announcement::default()).then_some(announcement)
    }

    /// Brings the person's files up to date, once the server has proven the new keys.
    pub(crate) fn update(&self, change: &Announcement) {
        if self.update == UpdateHostKeys::Ask && !self.person_agrees(change) {
            return;
        }
        let new: Vec<PublicKey> =
            change.new.iter().filter_map(|blob| PublicKey::from_wire(blob).ok()).collect();
        for (index, file) in self.user_files.iter().enumerate() {
            let new = if index == 0 { &new[..] } else { &[] };
            if !file.exists() && new.is_empty() {
                continue;
            }
            if let Err(error) =
                known_hosts::update(file, &self.name, new, &change.gone, self.hashed)
            {
                self.inform(&format!("warning: {error}"));
                return;
            }
        }
    }

    fn person_agrees(&self, change: &Announcement) -> bool {
        let Some(prompt) = &self.ask else { return false };
        let mut text = format!("{} announces a change of its host keys:\n", self.name);
        for (sign, blobs) in [("+", &change.new), ("-", &change.gone)] {
            for key in blobs.iter().filter_map(|blob| PublicKey::from_wire(blob).ok()) {
                text += &format!("{sign} {} {}\n", key.key_type(), key.fingerprint());
            }
        }
        text += "Change the known hosts accordingly? (yes/no) ";
        prompt.question(&text, true).is_some_and(|answer| answer.trim() == "yes")
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

/// The keys of `RevokedHostKeys`. Without that file nobody knows which keys are bad (KRL-3).
fn revoked_keys(settings: &HostSettings, name: &str) -> Result<Option<RevokedKeys>, Error> {
    let Some(file) = &settings.revoked_host_keys else { return Ok(None) };
    let shown = display_name(file.as_os_str().as_encoded_bytes());
    let refuse = |why: String| Error::HostKey {
        host: name.to_owned(),
        why: format!("RevokedHostKeys {shown}: {why}"),
    };
    let bytes = known_hosts::bytes_of(file, sterna_ssh_files::REVOKED_KEYS_LEN_MAX)
        .map_err(|error| refuse(crate::error::io_reason(&error)))?;
    RevokedKeys::from_bytes(&bytes).map(Some).map_err(|error| refuse(error.to_string()))
}

fn shown(place: &Place) -> String {
    format!("{}:{}", display_name(place.file.as_os_str().as_encoded_bytes()), place.line)
}
