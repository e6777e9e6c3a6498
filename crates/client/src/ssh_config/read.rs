//! Turns the values that hold for a host into [`HostSettings`].

use std::path::{Path, PathBuf};

use super::canonical::{CanonicalNames, Canonicalize};
use super::local::Local;
use super::reader::{Owner, Reader, Value, is_none, refuse};
use super::tokens::OF_PROXY;
use super::values::{
    add_keys_to_agent, duration, number, rekey_limit, strictness, time_or_none, yes_no,
};
use super::{
    AddressFamily, AlgorithmChange, HostSettings, Proxy, PubkeyAuthentication, UpdateHostKeys,
};
use crate::limits::REQUIRED_RSA_SIZE_DEFAULT;
use crate::{Destination, Error};

/// Where settings come from, in order of weight.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// `KEY=VALUE` or `KEY VALUE`, as `-o` takes them.
    pub options: Vec<String>,
    /// `-F`: only this file (it must exist); `none` reads no file. Unset: the two usual files.
    pub file: Option<PathBuf>,
    /// The user's home directory; `$HOME` if unset.
    pub home: Option<PathBuf>,
}

impl ConfigSource {
    /// Everything that holds for `alias`, for a user named by the destination or not.
    ///
    /// May block: `Match exec` runs commands, `CanonicalizeHostname` asks the resolver.
    ///
    /// # Errors
    /// [`Error::Usage`] for what cannot be understood (with file and line, or the option), or an
    /// unreadable `-F` file.
    pub fn resolve(
        &self,
        alias: &str,
        user: Option<&str>,
        port: Option<u16>,
    ) -> Result<HostSettings, Error> {
        use std::net::ToSocketAddrs;
        let exists =
            |name: &str| (name, 22).to_socket_addrs().is_ok_and(|mut a| a.next().is_some());
        self.resolve_with(alias, user, port, &exists)
    }

    /// The same with another resolver.
    pub(super) fn resolve_with(
        &self,
        alias: &str,
        user: Option<&str>,
        port: Option<u16>,
        exists: &dyn Fn(&str) -> bool,
    ) -> Result<HostSettings, Error> {
        let local = Local::new(self.home.clone());
        let mut reader = Reader::new(alias, user, port, &local);
        for option in &self.options {
            reader.take_option(option)?;
        }
        self.read_files(&mut reader)?;
        let first = reader.settings()?;
        let names = reader.canonical_names()?;
        let full = names.apply(&first.host, &first.proxy, exists);
        let full = full.map_err(|why| Error::Connect { host: first.host.clone(), why })?;
        if names.when == Canonicalize::No && !reader.wants_final {
            return Ok(first);
        }
        reader.begin_final_pass(full.unwrap_or(first.host));
        self.read_files(&mut reader)?;
        reader.settings()
    }

    fn read_files(&self, reader: &mut Reader<'_>) -> Result<(), Error> {
        match &self.file {
            Some(file) if file.as_os_str() == "none" => Ok(()),
            Some(file) => reader.read_file(file, Owner::Named),
            None => {
                if let Some(file) = reader.local.below_dot_ssh("config") {
                    reader.read_file(&file, Owner::User)?;
                }
                reader.read_file(Path::new("/etc/ssh/ssh_config"), Owner::System)
            }
        }
    }
}

impl Reader<'_> {
    fn settings(&self) -> Result<HostSettings, Error> {
        if let Some(refusal) = self.value("RefuseConnection") {
            return Err(refuse(&refusal.at, &refusal.words[0]));
        }
        let user = self.user_so_far();
        let mut s = HostSettings::defaults(self.alias, &user, self.local.home.as_deref());
        let at = |name| self.value(name).map_or("HostName", |value| value.at.as_str());
        s.host = self.host_so_far().map_err(|why| refuse(at("HostName"), &why))?;
        // A HostName or a User from a file is as dangerous as a typed one (CLI-1).
        Destination::new(Some(user), s.host.clone(), None, Vec::new())?;
        s.port = self.port_so_far();
        self.connection(&mut s)?;
        self.host_keys(&mut s)?;
        self.login(&mut s)?;
        s.not_honoured = self.not_honoured.clone();
        Ok(s)
    }

    fn connection(&self, s: &mut HostSettings) -> Result<(), Error> {
        s.address_family = match self.word("AddressFamily") {
            Some(v) if v.eq_ignore_ascii_case("inet") => AddressFamily::V4,
            Some(v) if v.eq_ignore_ascii_case("inet6") => AddressFamily::V6,
            _ => AddressFamily::Any,
        };
        s.bind_address = self.word("BindAddress").map(str::to_owned);
        s.bind_interface = self.word("BindInterface").map(str::to_owned);
        s.compression = self.flag("Compression", false)?;
        s.tcp_keep_alive = self.flag("TCPKeepAlive", true)?;
        s.batch_mode = self.flag("BatchMode", false)?;
        s.connection_attempts = self.number("ConnectionAttempts")?.unwrap_or(1);
        s.connect_timeout = match self.value("ConnectTimeout") {
            Some(value) if !is_none(&value.words[0]) => self.parsed(value, duration)?,
            _ => s.connect_timeout,
        };
        if s.connect_timeout.is_zero() {
            s.connect_timeout = crate::limits::CONNECT_TIMEOUT_DEFAULT;
        }
        if let Some(value) = self.value("ServerAliveInterval") {
            s.server_alive_interval = self.parsed(value, time_or_none)?;
        }
        s.server_alive_count_max = self.number("ServerAliveCountMax")?.unwrap_or(3).max(1);
        if let Some(value) = self.value("RekeyLimit") {
            let limit = rekey_limit(&value.words).map_err(|why| refuse(&value.at, why))?;
            (s.rekey_bytes, s.rekey_time) = limit;
        }
        s.kex_algorithms = self.algorithms("KexAlgorithms");
        s.ciphers = self.algorithms("Ciphers");
        s.macs = self.algorithms("MACs");
        s.proxy = self.proxy()?;
        Ok(())
    }

    fn proxy(&self) -> Result<Proxy, Error> {
        if let Some(value) = self.value("ProxyCommand").filter(|v| !is_none(&v.words[0])) {
            if self.value("ProxyUseFdpass").is_some() {
                let why = "ProxyUseFdpass is not supported: the command has to carry the bytes";
                return Err(refuse(&value.at, why));
            }
            let command =
                self.with_tokens(|tokens| tokens.expand_for_shell(&value.words[0], OF_PROXY));
            return command.map(Proxy::Command).map_err(|why| refuse(&value.at, &why));
        }
        let Some(value) = self.value("ProxyJump").filter(|v| !is_none(&v.words[0])) else {
            return Ok(Proxy::Direct);
        };
        let hops = self
            .with_tokens(|tokens| tokens.expand(&value.words[0], OF_PROXY))
            .map_err(|why| refuse(&value.at, &why))?;
        let hops = hops.split(',').map(|hop| Destination::parse_hop(hop.trim()));
        let hops = hops.collect::<Result<Vec<_>, _>>();
        hops.map(Proxy::Jump).map_err(|error| refuse(&value.at, &error.to_string()))
    }

    fn host_keys(&self, s: &mut HostSettings) -> Result<(), Error> {
        if let Some(value) = self.value("UserKnownHostsFile") {
            s.user_known_hosts = self.paths(value)?;
            // A file that a person chose is not filled without being asked, as in OpenSSH.
            s.update_host_keys = UpdateHostKeys::No;
        }
        if let Some(value) = self.value("GlobalKnownHostsFile") {
            let files = value.words.iter().filter(|word| !is_none(word));
            s.global_known_hosts = files.map(|word| self.local.path(word)).collect();
        }
        match self.word("UpdateHostKeys") {
            Some(v) if v.eq_ignore_ascii_case("ask") => s.update_host_keys = UpdateHostKeys::Ask,
            Some(v) if yes_no(v) == Ok(true) => s.update_host_keys = UpdateHostKeys::Yes,
            Some(_) => s.update_host_keys = UpdateHostKeys::No,
            // Whoever wants the DNS asked trusts no file alone.
            None if self.value("VerifyHostKeyDNS").is_some() => {
                s.update_host_keys = UpdateHostKeys::No;
            }
            None => {}
        }
        s.host_key_alias = self.word("HostKeyAlias").map(str::to_lowercase);
        s.hash_known_hosts = self.flag("HashKnownHosts", false)?;
        s.check_host_ip = self.flag("CheckHostIP", false)?;
        s.no_host_authentication_for_localhost =
            self.flag("NoHostAuthenticationForLocalhost", false)?;
        if let Some(value) = self.value("StrictHostKeyChecking") {
            s.strict_host_key_checking = self.parsed(value, strictness)?;
        }
        if let Some(value) = self.value("RevokedHostKeys").filter(|v| !is_none(&v.words[0])) {
            s.revoked_host_keys = Some(self.path(value, &value.words[0])?);
        }
        let rsa = self.number("RequiredRSASize")?;
        s.required_rsa_size =
            rsa.unwrap_or(REQUIRED_RSA_SIZE_DEFAULT).max(REQUIRED_RSA_SIZE_DEFAULT);
        s.host_key_algorithms = self.algorithms("HostKeyAlgorithms");
        s.ca_signature_algorithms = self.algorithms("CASignatureAlgorithms");
        Ok(())
    }

    fn login(&self, s: &mut HostSettings) -> Result<(), Error> {
        if !self.identity_files.is_empty() {
            s.identity_files_named = true;
            s.identity_files = self.all_paths(&self.identity_files)?;
        }
        s.certificate_files = self.all_paths(&self.certificate_files)?;
        s.identities_only = self.flag("IdentitiesOnly", false)?;
        if let Some(value) = self.value("IdentityAgent") {
            let from_environment = |name: &str| {
                std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from)
            };
            s.agent = match value.words[0].as_str() {
                word if is_none(word) => None,
                "SSH_AUTH_SOCK" => from_environment("SSH_AUTH_SOCK"),
                word => match word.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                    Some(name) => from_environment(name),
                    None => Some(self.path(value, word)?),
                },
            };
        }
        if let Some(value) = self.value("AddKeysToAgent") {
            let parsed = add_keys_to_agent(&value.words);
            s.add_keys_to_agent = parsed.map_err(|why| refuse(&value.at, why))?;
        }
        let list = |text: &str| text.split(',').map(|m| m.trim().to_owned()).collect();
        if let Some(methods) = self.word("PreferredAuthentications") {
            s.preferred_authentications = list(methods);
        }
        s.pubkey_authentication = match self.word("PubkeyAuthentication") {
            None => PubkeyAuthentication::On,
            Some(v) if v.eq_ignore_ascii_case("unbound") => PubkeyAuthentication::Unbound,
            Some(v) if v.eq_ignore_ascii_case("host-bound") => PubkeyAuthentication::HostBound,
            Some(v) if yes_no(v) == Ok(true) => PubkeyAuthentication::On,
            Some(_) => PubkeyAuthentication::Off,
        };
        s.pubkey_algorithms = self.algorithms("PubkeyAcceptedAlgorithms");
        s.password_authentication = self.flag("PasswordAuthentication", true)?;
        s.kbd_interactive_authentication = self.flag("KbdInteractiveAuthentication", true)?;
        s.kbd_interactive_devices = self.word("KbdInteractiveDevices").map_or_else(Vec::new, list);
        s.hostbased_authentication = self.flag("HostbasedAuthentication", false)?;
        s.hostbased_accepted_algorithms = self.algorithms("HostbasedAcceptedAlgorithms");
        s.enable_ssh_keysign = self.flag("EnableSSHKeysign", false)?;
        s.password_prompts = self.number("NumberOfPasswordPrompts")?.unwrap_or(s.password_prompts);
        Ok(())
    }

    fn canonical_names(&self) -> Result<CanonicalNames, Error> {
        Ok(CanonicalNames {
            when: match self.word("CanonicalizeHostname") {
                Some(v) if v.eq_ignore_ascii_case("always") => Canonicalize::Always,
                Some(v) if yes_no(v) == Ok(true) => Canonicalize::Yes,
                _ => Canonicalize::No,
            },
            domains: self.value("CanonicalDomains").map_or_else(Vec::new, |value| {
                value.words.iter().filter(|word| !is_none(word)).cloned().collect()
            }),
            dots_max: self.number("CanonicalizeMaxDots")?.map_or(1, |n| n as usize),
            fallback_local: self.flag("CanonicalizeFallbackLocal", true)?,
        })
    }

    fn parsed<T>(
        &self,
        value: &Value,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<T, Error> {
        parse(&value.words[0]).map_err(|why| refuse(&value.at, why))
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, Error> {
        self.value(name).map_or(Ok(default), |value| self.parsed(value, yes_no))
    }

    fn number(&self, name: &str) -> Result<Option<u32>, Error> {
        self.value(name).map(|value| self.parsed(value, number)).transpose()
    }

    fn algorithms(&self, name: &str) -> Option<AlgorithmChange> {
        self.word(name).map(AlgorithmChange::parse)
    }

    fn paths(&self, value: &Value) -> Result<Vec<PathBuf>, Error> {
        let words = value.words.iter().filter(|word| !is_none(word));
        words.map(|word| self.path(value, word)).collect()
    }

    fn all_paths(&self, values: &[Value]) -> Result<Vec<PathBuf>, Error> {
        let mut all = Vec::new();
        for value in values {
            all.extend(self.paths(value)?);
        }
        Ok(all)
    }
}
