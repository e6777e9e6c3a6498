//! From a destination to a session: settings, TCP, host key, login.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use sterna_ssh_crypto::{PublicKey, cipher, kex, mac, names};
use sterna_ssh_proto::{Algorithms, ClientConfig};
use sterna_ssh_tokio::Driver;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use crate::auth::{Credentials, log_in};
use crate::error::io_reason;
use crate::host_key::{Accepted, HostKeyCheck};
use crate::limits::{CONNECT_ADDRESSES_MAX, CONNECT_STAGGER, SESSION_QUEUE_LEN};
use crate::prompt::{NoPrompt, Prompt};
use crate::session::login::Login;
use crate::session::{ClientService, Command, Notice, Session};
use crate::ssh_config::{
    AddressFamily, AlgorithmChange, ConfigSource, HostSettings, PubkeyAuthentication,
    UpdateHostKeys,
};
use crate::{Destination, Error, display_name};

/// Describes a connection; [`connect`](Self::connect) makes it.
pub struct SessionBuilder {
    destination: Destination,
    config: ConfigSource,
    port: Option<u16>,
    identities: Vec<PathBuf>,
    password: Option<Zeroizing<String>>,
    batch_mode: bool,
    prompt: Arc<dyn Prompt>,
}

impl SessionBuilder {
    pub(crate) fn new(destination: &Destination) -> Self {
        Self {
            destination: destination.clone(),
            config: ConfigSource::default(),
            port: None,
            identities: Vec::new(),
            password: None,
            batch_mode: false,
            prompt: Arc::new(NoPrompt),
        }
    }

    /// Reads only this configuration file (`-F`); `none` reads none.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.file = Some(path.into());
        self
    }

    /// Adds a `KEY=VALUE` that wins over files (`-o`). A bad one fails [`connect`](Self::connect).
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.config.options.push(option.into());
        self
    }

    /// The port, unless the destination names one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Adds a private key file, tried before those of the configuration (`-i`).
    #[must_use]
    pub fn identity(mut self, path: impl Into<PathBuf>) -> Self {
        self.identities.push(path.into());
        self
    }

    /// A password to try once, in place of asking for one.
    #[must_use]
    pub fn password(mut self, password: Zeroizing<String>) -> Self {
        self.password = Some(password);
        self
    }

    /// Asks nobody anything.
    #[must_use]
    pub fn batch_mode(mut self, on: bool) -> Self {
        self.batch_mode = on;
        self
    }

    /// Who is asked about host keys, passwords and passphrases.
    #[must_use]
    pub fn prompt(mut self, prompt: Arc<dyn Prompt>) -> Self {
        self.prompt = prompt;
        self
    }

    /// The settings that [`connect`](Self::connect) would use.
    ///
    /// # Errors
    /// [`Error::Usage`] for a bad option or configuration file.
    pub fn settings(&self) -> Result<HostSettings, Error> {
        let destination = &self.destination;
        let port = destination.port().or(self.port);
        let mut settings = self.config.resolve(destination.host(), destination.user(), port)?;
        if !self.identities.is_empty() {
            let from_files =
                if settings.identity_files_named { settings.identity_files } else { Vec::new() };
            settings.identity_files = [&self.identities[..], &from_files[..]].concat();
            settings.identity_files_named = true;
        }
        settings.batch_mode |= self.batch_mode;
        Ok(settings)
    }

    /// Connects, checks the host key, logs in.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::Connect`], [`Error::HostKey`], [`Error::Auth`]: the first that
    /// applies, in this order. No password is sent before the host key was accepted.
    ///
    /// # Cancelling
    /// Dropping the future ends the connection.
    pub async fn connect(self) -> Result<Session, Error> {
        let settings = self.settings()?;
        for setting in &settings.not_honoured {
            let (keyword, why, at) = (&setting.keyword, setting.why, &setting.at);
            tracing::info!(keyword, why, at, "setting without effect");
        }
        for file in self.identities.iter().filter(|file| !file.exists()) {
            let file = crate::display_name(file.as_os_str().as_encoded_bytes());
            self.prompt.inform(&format!("warning: key {file}: no such file"));
        }
        let check = {
            let (settings, prompt) = (settings.clone(), self.prompt.clone());
            blocking(move || HostKeyCheck::new(&settings, &prompt)).await??
        };
        let config = client_config(&settings, &check)?;
        let stream = dial(&settings).await?;
        // Its address tells this machine's name, for host-based logins.
        let socket = settings.hostbased_authentication.then(|| stream.as_fd().try_clone_to_owned());

        let (commands, commands_out) = mpsc::channel(SESSION_QUEUE_LEN);
        let (notices_in, notices) = mpsc::channel(crate::session::NOTICES_MAX);
        let end = Arc::new(OnceLock::new());
        let service = ClientService::new(commands_out, notices_in, end.clone());
        tokio::spawn(run(stream, config, service));

        let prompt = self.prompt.clone();
        let host = settings.host.clone();
        let mut login =
            Login { commands, notices, end: end.clone(), prompt, host, disconnected: None };
        let shown = timeout(settings.connect_timeout, login.host_key()).await;
        let key = shown.map_err(|_| timed_out(&settings, "the server shows no host key"))??;
        let (check, key, decision) = blocking(move || {
            let decision = check.decide(&key);
            (check, key, decision)
        })
        .await?;
        login.send(Command::HostKeyAnswer(decision.is_ok())).await?;
        let host_is_trusted = decision? == Accepted::Trusted;

        let credentials = Credentials {
            settings: &settings,
            password: self.password,
            prompt: &self.prompt,
            host_is_trusted,
            socket: socket.and_then(Result::ok),
        };
        log_in(&mut login, &credentials).await?;
        let software = display_name(&login.peer_software().await?);
        let Login { commands, notices, .. } = login;
        if settings.update_host_keys != UpdateHostKeys::No && host_is_trusted {
            tokio::spawn(learn_host_keys(check, key, commands.downgrade(), notices));
        }
        Ok(Session::new(commands, end, settings, software))
    }
}

/// The connection's task.
async fn run(stream: TcpStream, config: ClientConfig, mut service: ClientService) {
    let result = Driver::client(stream, Arc::new(config)).run(&mut service).await;
    let why = match result {
        Ok(_) => "the server closed the connection".to_owned(),
        Err(error) => error.to_string(),
    };
    service.finish(&why);
}

/// Waits for the server's announcement of its keys, has the new ones proven, records them (ROT-2).
async fn learn_host_keys(
    check: HostKeyCheck,
    in_use: PublicKey,
    commands: mpsc::WeakSender<Command>,
    mut notices: mpsc::Receiver<Notice>,
) {
    let check = Arc::new(check);
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::HostKeysAnnounced(keys) => {
                let (check, in_use) = (check.clone(), in_use.clone());
                let wanted =
                    blocking(move || check.worth_proving(&in_use, &keys)).await.unwrap_or_default();
                let Some(commands) = commands.upgrade().filter(|_| !wanted.is_empty()) else {
                    continue;
                };
                let _ = commands.send(Command::ProveHostKeys(wanted)).await;
            }
            Notice::HostKeysProved(keys) => {
                let check = check.clone();
                let _ = blocking(move || check.learn(&keys)).await;
                return;
            }
            _ => {}
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let failed = |_| Error::Interrupted { doing: "connect", why: "the program is ending".into() };
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn client_config(settings: &HostSettings, check: &HostKeyCheck) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::new(settings.user.as_bytes());
    config.host_bound = settings.pubkey_authentication != PubkeyAuthentication::Unbound;
    let common = &mut config.common;
    let algorithms: &mut Algorithms = &mut common.algorithms;
    let change = |list: &mut Vec<String>,
                  change: &Option<AlgorithmChange>,
                  keyword,
                  known: &dyn Fn(&str) -> bool| {
        if let Some(change) = change {
            *list = change.apply(keyword, list, known)?;
        }
        Ok::<_, Error>(())
    };
    let known_host_key = |name: &str| {
        names::HOST_KEY_DEFAULT.contains(&name) || names::LEGACY_SIGNATURE.contains(&name)
    };
    change(&mut algorithms.kex, &settings.kex_algorithms, "KexAlgorithms", &|n| kex(n).is_some())?;
    change(&mut algorithms.ciphers, &settings.ciphers, "Ciphers", &|n| cipher(n).is_some())?;
    change(&mut algorithms.macs, &settings.macs, "MACs", &|n| mac(n).is_some())?;
    change(
        &mut algorithms.host_key,
        &settings.host_key_algorithms,
        "HostKeyAlgorithms",
        &known_host_key,
    )?;
    if settings.host_key_algorithms.is_none() {
        check.order(&mut algorithms.host_key);
    }
    let compression: &[&str] =
        if settings.compression { &["zlib@openssh.com", "none"] } else { &["none"] };
    algorithms.compression = compression.iter().map(|n| (*n).to_owned()).collect();
    common.keepalive = settings.server_alive_interval;
    common.keepalive_count_max = settings.server_alive_count_max;
    common.rekey_bytes = settings.rekey_bytes.unwrap_or(common.rekey_bytes);
    common.rekey_time = settings.rekey_time.unwrap_or(common.rekey_time);
    Ok(config)
}

/// Connects to the first address that answers. The next one is tried after a failure or a short
/// silence, beside those that are still on their way (RFC 8305 in short).
async fn dial(settings: &HostSettings) -> Result<TcpStream, Error> {
    let failed = |why: String| Error::Connect { host: settings.host.clone(), why };
    let attempt = async {
        let found = tokio::net::lookup_host((settings.host.as_str(), settings.port)).await;
        let addresses = found.map_err(|e| failed(format!("no such host: {}", io_reason(&e))))?;
        let addresses = interleaved(addresses.collect(), settings.address_family);
        if addresses.is_empty() {
            return Err(failed("the name has no usable address".into()));
        }
        connect_first(&addresses).await.map_err(failed)
    };
    let stream = timeout(settings.connect_timeout, attempt).await;
    let stream = stream.map_err(|_| timed_out(settings, "no address answers"))??;
    // Small requests must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn connect_first(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.iter();
    let mut last_error = String::from("nothing was tried");
    let mut try_next = true;
    loop {
        if try_next && let Some(address) = waiting.next().copied() {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        } else if attempts.is_empty() {
            return Err(last_error);
        }
        try_next = tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    last_error = format!("{address}: {}", io_reason(&error));
                    true
                }
                Err(error) => {
                    last_error = error.to_string();
                    true
                }
            },
            () = sleep(CONNECT_STAGGER), if waiting.len() > 0 => true,
        };
    }
}

/// Addresses of the wanted family, the two families taking turns in the resolver's order.
fn interleaved(addresses: Vec<SocketAddr>, family: AddressFamily) -> Vec<SocketAddr> {
    let wanted = |a: &SocketAddr| match family {
        AddressFamily::Any => true,
        AddressFamily::V4 => a.is_ipv4(),
        AddressFamily::V6 => a.is_ipv6(),
    };
    let wanted: Vec<_> = addresses.into_iter().filter(wanted).collect();
    let first_is_v6 = wanted.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let len = first.len().max(second.len());
    let turns = (0..len).flat_map(|n| [first.get(n), second.get(n)]).flatten().copied();
    turns.take(CONNECT_ADDRESSES_MAX).collect()
}

fn timed_out(settings: &HostSettings, what: &str) -> Error {
    let seconds = settings.connect_timeout.as_secs();
    Error::Connect { host: settings.host.clone(), why: format!("{what} within {seconds} seconds") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_take_turns() {
        let all =
            ["[::1]:22", "[::2]:22", "[::3]:22", "1.1.1.1:22"].map(|a| a.parse().unwrap()).to_vec();

        let order = |family| {
            interleaved(all.clone(), family).iter().map(|a| a.ip().to_string()).collect::<Vec<_>>()
        };

        assert_eq!(order(AddressFamily::Any), ["::1", "1.1.1.1", "::2", "::3"]);
        assert_eq!(order(AddressFamily::V4), ["1.1.1.1"]);
    }

    #[tokio::test]
    async fn a_closed_port_is_an_error_that_exits_with_3() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let place = Destination::parse("u@127.0.0.1:").unwrap();

        let builder = Session::builder(&place).config_file("none").port(port);
        let error = builder.option("UserKnownHostsFile=/dev/null").connect().await.err().unwrap();

        assert_eq!(error.exit_code(), 3, "{error}");
    }
}
