//! From a destination to a session: settings, the way there, host key, login.

mod dial;

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use sterna_ssh_crypto::{PublicKey, cipher, kex, mac, names};
use sterna_ssh_proto::{Algorithms, ClientConfig};
use sterna_ssh_tokio::Driver;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::auth::{Credentials, KeyFiles, log_in};
use crate::host_key::{Accepted, HostKeyCheck};
use crate::limits::{PROXY_HOPS_MAX, SESSION_QUEUE_LEN};
use crate::prompt::{NoPrompt, Prompt};
use crate::proxy::Transport;
use crate::session::login::Login;
use crate::session::{ClientService, Command, Notice, Session};
use crate::ssh_config::{
    AlgorithmChange, ConfigSource, HostSettings, Proxy, PubkeyAuthentication, UpdateHostKeys,
};
use crate::{Destination, Error, display_name};

/// Describes a connection; [`connect`](Self::connect) makes it.
#[derive(Clone)]
pub struct SessionBuilder {
    destination: Destination,
    config: ConfigSource,
    /// The way to a hop; empty: as the configuration says.
    hops: Vec<Destination>,
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
            hops: Vec::new(),
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

    pub(crate) fn prompter(&self) -> Arc<dyn Prompt> {
        self.prompt.clone()
    }

    /// The settings that [`connect`](Self::connect) would use.
    ///
    /// May block: the configuration can run commands and ask for names.
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
        if !self.hops.is_empty() {
            settings.proxy = Proxy::Jump(self.hops.clone());
        }
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
        self.connect_within(PROXY_HOPS_MAX).await
    }

    /// Boxed, because the way to a server may lead through other servers.
    fn connect_within(
        self,
        hops_left: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Session, Error>> + Send>> {
        Box::pin(async move {
            // All files at once: each way to another thread costs more than reading a few of them.
            let (this, prepared) = blocking(move || {
                let prepared = self.prepare();
                (self, prepared)
            })
            .await?;
            let prepared = prepared?;
            let config = client_config(&prepared.settings, &prepared.check)?;
            let transport = this.open(&prepared.settings, hops_left).await?;
            this.log_in(prepared, config, transport).await
        })
    }

    /// Reads the files. Blocks.
    fn prepare(&self) -> Result<Prepared, Error> {
        let settings = self.settings()?;
        self.tell_oddities(&settings);
        let check = HostKeyCheck::new(&settings, &self.prompt)?;
        let key_files = KeyFiles::read(&settings);
        Ok(Prepared { settings, check, key_files })
    }

    fn tell_oddities(&self, settings: &HostSettings) {
        for setting in &settings.not_honoured {
            let (keyword, why, at) = (&setting.keyword, setting.why, &setting.at);
            tracing::info!(keyword, why, at, "setting without effect");
        }
        for file in self.identities.iter().filter(|file| !file.exists()) {
            let file = display_name(file.as_os_str().as_encoded_bytes());
            self.prompt.inform(&format!("warning: key {file}: no such file"));
        }
    }

    /// A stream to the server, as the settings say it is reached.
    async fn open(&self, settings: &HostSettings, hops_left: usize) -> Result<Transport, Error> {
        let failed = |why: String| Error::Connect { host: settings.host.clone(), why };
        let hops = match &settings.proxy {
            Proxy::Direct => return dial::dial(settings).await.map(Transport::Tcp),
            Proxy::Command(command) => return Transport::run(command).map_err(failed),
            Proxy::Jump(hops) => hops,
        };
        let Some((last, before)) = hops.split_last().filter(|_| hops_left > 0) else {
            let why = "more servers on the way than can be meant; ProxyJump may lead in a circle";
            return Err(failed(why.to_owned()));
        };
        // As in OpenSSH, options, keys and passwords that were given for the destination are not for
        // the hops: those have what the files say about them.
        let hop = Self {
            destination: last.clone(),
            config: ConfigSource { options: Vec::new(), ..self.config.clone() },
            hops: before.to_vec(),
            port: None,
            identities: Vec::new(),
            password: None,
            batch_mode: settings.batch_mode,
            prompt: self.prompt.clone(),
        };
        let session = hop.connect_within(hops_left - 1).await?;
        let tunnel =
            timeout(settings.connect_timeout, session.tunnel(&settings.host, settings.port));
        let tunnel =
            tunnel.await.map_err(|_| timed_out(settings, "no answer through the hop"))??;
        Ok(Transport::Tunnel(tunnel))
    }

    async fn log_in(
        self,
        prepared: Prepared,
        config: ClientConfig,
        transport: Transport,
    ) -> Result<Session, Error> {
        let Prepared { settings, check, key_files } = prepared;
        let peer = transport.peer_address();
        // Its address tells this machine's name, for host-based logins.
        let socket = transport.socket().filter(|_| settings.hostbased_authentication);
        let (commands, commands_out) = mpsc::channel(SESSION_QUEUE_LEN);
        let (notices_in, notices) = mpsc::channel(crate::session::NOTICES_MAX);
        let end = Arc::new(OnceLock::new());
        let service = ClientService::new(commands_out, notices_in, end.clone());
        let connection = Box::pin(run(transport, config, service));

        let prompt = self.prompt.clone();
        let host = settings.host.clone();
        let mut login =
            Login { commands, notices, end: end.clone(), prompt, host, disconnected: None };
        let password = self.password;
        let logging_in = async {
            let shown = timeout(settings.connect_timeout, login.host_key()).await;
            let shown = shown.map_err(|_| timed_out(&settings, "the server shows no host key"))?;
            let key = shown.map_err(|error| named_after_proxy(error, &settings))?;
            let (check, key, decision) = if check.may_block(&key) {
                let decide = move || {
                    let decision = check.decide(&key, peer);
                    (check, key, decision)
                };
                blocking(decide).await?
            } else {
                let decision = check.decide(&key, peer);
                (check, key, decision)
            };
            login.send(Command::HostKeyAnswer(decision.is_ok())).await?;
            let accepted = decision?;

            let credentials = Credentials {
                settings: &settings,
                password,
                prompt: &self.prompt,
                host_is_trusted: accepted != Accepted::WithoutTrust,
                socket,
            };
            log_in(&mut login, &credentials, key_files).await?;
            let software = display_name(&login.peer_software().await?);
            Ok::<_, Error>((check, key, accepted, software))
        };
        let (result, connection) = beside(connection, logging_in).await;
        // It says goodbye in a task of its own, too.
        connection.map(tokio::spawn);
        let (check, key, accepted, software) = result?;
        let Login { commands, notices, .. } = login;
        if settings.update_host_keys != UpdateHostKeys::No && accepted == Accepted::Trusted {
            let in_use = key.key().clone();
            tokio::spawn(learn_host_keys(check, in_use, commands.downgrade(), notices));
        }
        Ok(Session::new(commands, end, settings, software))
    }
}

/// What a connection needs from files.
struct Prepared {
    settings: HostSettings,
    check: HostKeyCheck,
    key_files: KeyFiles,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the connection in the task of its login until that is done: they only ever wait for each other,
/// and a task of its own for each would mean a way between threads for every word. Returns the
/// connection too, unless it is over.
async fn beside<T>(
    mut connection: Running,
    login: impl Future<Output = T>,
) -> (T, Option<Running>) {
    let mut login = std::pin::pin!(login);
    let mut is_over = false;
    let result = poll_fn(|cx| {
        if !is_over {
            is_over = connection.as_mut().poll(cx).is_ready();
        }
        login.as_mut().poll(cx)
    })
    .await;
    (result, (!is_over).then_some(connection))
}

/// A proxy's silence looks like the server's: the error says who was asked.
fn named_after_proxy(error: Error, settings: &HostSettings) -> Error {
    match (error, &settings.proxy) {
        (Error::Connect { host, why }, Proxy::Command(command)) => {
            let why = format!("{why} (ProxyCommand: {})", display_name(command.as_bytes()));
            Error::Connect { host, why }
        }
        (error, _) => error,
    }
}

/// The connection's task.
async fn run(transport: Transport, config: ClientConfig, mut service: ClientService) {
    let result = Driver::client(transport, Arc::new(config)).run(&mut service).await;
    let why = match result {
        Ok(_) => "the server closed the connection".to_owned(),
        Err(error) => error.to_string(),
    };
    service.finish(&why);
}

/// Waits for the server's announcement of its keys, has the new ones proven, and brings the file of
/// known hosts up to date (ROT-2).
async fn learn_host_keys(
    check: HostKeyCheck,
    in_use: PublicKey,
    commands: mpsc::WeakSender<Command>,
    mut notices: mpsc::Receiver<Notice>,
) {
    let check = Arc::new(check);
    let mut change = None;
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::HostKeysAnnounced(keys) => {
                let (check, in_use) = (check.clone(), in_use.clone());
                let wanted = blocking(move || check.compare(&in_use, &keys)).await;
                let Ok(Some(wanted)) = wanted else { return };
                if wanted.new.is_empty() {
                    change = Some(wanted);
                    break;
                }
                let Some(commands) = commands.upgrade() else { return };
                let _ = commands.send(Command::ProveHostKeys(wanted.new.clone())).await;
                change = Some(wanted);
            }
            Notice::HostKeysProved(keys) => {
                change = change.filter(|change| change.new == keys);
                break;
            }
            _ => {}
        }
    }
    if let Some(change) = change {
        let _ = blocking(move || check.update(&change)).await;
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

fn timed_out(settings: &HostSettings, what: &str) -> Error {
    let seconds = settings.connect_timeout.as_secs();
    Error::Connect { host: settings.host.clone(), why: format!("{what} within {seconds} seconds") }
}

#[cfg(test)]
mod tests {
    use super::*;

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
