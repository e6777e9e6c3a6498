//! `sterna serve`: receives and gives files. One shared directory from the command line, or
//! everything from a settings file.

mod answer;
mod confine;
mod greeting;
pub mod helpers;
mod metrics;
mod observe;
pub mod reload;
mod service_manager;
mod sessions;
mod signals;
mod state;

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use clap::Args;
use ipnet::IpNet;
use sterna_identity::{Directory, PasswordHash, User, UserKey};
use sterna_server::{
    Authenticator as _, Banner, BuildError, HostKeys, ListenAt, LiveLimits, Roots, Server,
    Sessions, SystemWorld, Users,
    defence::DefenceSettings,
    listening_socket,
    sftp::{Names, SessionPolicy, SystemNames},
};
use sterna_ssh_crypto::{Random, SystemRandom};
use sterna_storage::Backend;
use sterna_worker::Monitor;
use tokio::task::AbortHandle;

pub use self::answer::unban;
use self::{
    answer::Answers,
    confine::{Reach, confine},
    greeting::{Share, greet},
    observe::Collecting,
    reload::Reloader,
    signals::{Asked, Signals},
    state::{open_host_keys, open_state, start_defence, state_dir_of},
};
use crate::{
    control::{Control, HandoverFrom, Other, SocketFile, TakenOver},
    exit::Exit,
    failure::{Failure, Result, output_failed},
    output::display_name,
    prompt,
    settings::{self, Confinement, Effective, Legacy, Settings, SettingsError},
};

const EXAMPLES: &str = "\
Examples:
  sterna serve ~/inbox                              makes a password and prints it
  sterna serve /srv/in --user partner --authorized-keys partner.pub
  sterna serve /srv/out --read-only --listen 127.0.0.1:2022 --password-file secret
  sterna serve --config /etc/sterna/sterna.toml     many users; `sterna reload` reads it again
  sterna serve --config sterna.toml --check         only says what is wrong with it";

/// How long sessions may take to finish what they do when a server without settings is asked to end.
const SHARE_DRAIN: Duration = Duration::from_secs(5);

/// Time between two looks for unfinished uploads that are too old.
const SWEEP_PAUSE: Duration = Duration::from_secs(3600);

/// Share a directory, or run a server from a settings file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Directory that is shown as / (default: here)
    #[arg(value_name = "DIR", conflicts_with = "config")]
    pub dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one (may be repeated)
    #[arg(long, value_name = "ADDR", value_parser = parse_listen, conflicts_with = "config")]
    pub listen: Vec<SocketAddr>,
    /// Name to log in with (default: who runs this)
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub user: Option<String>,
    /// File whose first line is the password to log in with
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub password_file: Option<PathBuf>,
    /// File of public keys to log in with, as OpenSSH's authorized_keys
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub authorized_keys: Option<PathBuf>,
    /// Private key to show as the host's; made and kept by itself otherwise (may be repeated)
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub host_key: Vec<PathBuf>,
    /// Where host keys are kept (default: $XDG_STATE_HOME/sterna or ~/.local/state/sterna)
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub state_dir: Option<PathBuf>,
    /// Refuse everything that would change something
    #[arg(long, conflicts_with = "config")]
    pub read_only: bool,
    /// Settings file with users and everything else
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Read the settings file, say what is wrong with it, and end
    #[arg(long, requires = "config")]
    pub check: bool,
    /// Take over from the server that runs with this state directory (as `sterna upgrade` does)
    #[arg(long, requires = "config", conflicts_with = "check", hide = true)]
    pub take_over: bool,
}

impl ServeArgs {
    /// Does everything for which the rights of whoever starts the server are needed, and gives these up: while there
    /// is one thread, for others would keep them. `None`: there was only something to check.
    pub fn start(self) -> Result<Option<Started>> {
        // What else was open where this was started is nobody's business here.
        sterna_sandbox::close_all_but(&service_manager::inherited_descriptors());
        let plan = match &self.config {
            Some(file) => Plan::from_settings(file)?,
            None => self.plan()?,
        };
        if self.check {
            return Ok(None);
        }
        plan.start(self.take_over).map(Some)
    }

    /// One user who sees one directory.
    fn plan(&self) -> Result<Plan> {
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        let root = dir.canonicalize().map_err(|error| unusable(&dir, &error))?;
        if !root.is_dir() {
            return Err(Failure::usage(shown(&dir), "not a directory"));
        }
        let name = self.user.clone().unwrap_or_else(whoami);
        let mut user = User::new(&name, &root);
        user.read_only = self.read_only;
        let mut made_password = None;
        if let Some(file) = &self.authorized_keys {
            let (keys, refused) = settings::authorized_keys_of(file)
                .map_err(|why| Failure::usage(shown(file), why))?;
            for line in refused {
                tracing::warn!("{line}");
            }
            if keys.is_empty() {
                return Err(Failure::usage(shown(file), "holds no usable key"));
            }
            user.authorized_keys = keys.into_iter().map(UserKey::from).collect();
        }
        if let Some(file) = &self.password_file {
            user.password = Some(hash(&prompt::read_password_file(file)?)?);
        } else if self.authorized_keys.is_none() {
            let password = make_password(&mut SystemRandom);
            user.password = Some(hash(&password)?);
            made_password = Some(password);
        }
        let users =
            Directory::new([user]).map_err(|error| Failure::usage("--user", error.to_string()))?;
        let listen = match self.listen.is_empty() {
            true => vec![settings::listen_default()],
            false => self.listen.clone(),
        };
        let listen = listen.into_iter().map(ListenAt::from).collect();
        let settings = Settings {
            listen,
            state_dir: self.state_dir.clone(),
            host_keys: self.host_key.clone(),
            host_certificates: Vec::new(),
            banner: None,
            strict_algorithms: false,
            legacy: Legacy::default(),
            defence: DefenceSettings { exempt: loopback(), ..DefenceSettings::default() },
            confinement: Confinement::default(),
            audit: None,
            metrics: None,
            system_users: None,
            users,
            keep_unfinished: settings::KEEP_UNFINISHED_DEFAULT,
            listens_by_default: false,
            limits: settings::limits_default(),
            drain: SHARE_DRAIN,
            warnings: Vec::new(),
        };
        let share = Share { root, user: name, made_password, read_only: self.read_only };
        Ok(Plan { settings, settings_file: None, share: Some(share) })
    }
}

/// Everything that a start needs, checked.
struct Plan {
    settings: Settings,
    /// Read again on SIGHUP.
    settings_file: Option<PathBuf>,
    share: Option<Share>,
}

impl Plan {
    fn from_settings(file: &Path) -> Result<Self> {
        let settings = settings::load(file).map_err(|errors| Failure::from_settings(&errors))?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self { settings, settings_file: Some(file.to_owned()), share: None })
    }

    /// While there is one thread.
    fn start(self, take_over: bool) -> Result<Started> {
        let Self { mut settings, settings_file, share } = self;
        settings::raise_descriptors();
        sterna_server::look_at_the_machine();
        let mut taken_over = match (state_dir_of(&settings), take_over) {
            (Some(dir), true) => Some(take_over_from(&dir)?),
            _ => None,
        };
        let mut inherited = match &mut taken_over {
            Some(taken_over) => std::mem::take(&mut taken_over.sockets),
            None => service_manager::inherited_sockets(),
        };
        if taken_over.is_none() {
            service_manager::listen_where_inherited(&mut settings, &inherited);
        }
        let host_keys = open_host_keys(&settings)?;
        let mut sockets = Vec::new();
        let addresses: Result<Vec<_>> = settings
            .listen
            .iter()
            .map(|ListenAt { address, rules }| {
                let fail = |source| cannot_start(BuildError::Listen { address: *address, source });
                let socket = listening_socket(*address, &mut inherited).map_err(fail)?;
                let own = socket.local_addr().map_err(fail)?;
                sockets.push(socket);
                Ok(ListenAt { address: own, rules: Arc::clone(rules) })
            })
            .collect();
        let fixed = reload::Fixed::of(&settings);
        // With the ports that the system chose.
        settings.listen = addresses?;
        let reloads = match settings_file {
            Some(file) => {
                let effective = Effective::of(&file, &settings, false)
                    .map_err(|errors| Failure::from_settings(&errors))?;
                Some((file, effective))
            }
            None => None,
        };
        let collectors = observe::listen_for_collectors(settings.metrics, &mut inherited)?;
        let reach = Arc::new(confine(&settings, reloads.as_ref(), share.as_ref())?);
        Ok(Started {
            settings,
            share,
            host_keys,
            sockets,
            collectors,
            taken_over,
            fixed,
            reloads,
            reach,
        })
    }
}

/// A server that has what it needs, and no other rights any more.
pub struct Started {
    settings: Settings,
    share: Option<Share>,
    host_keys: HostKeys,
    sockets: Vec<TcpListener>,
    /// For whoever collects figures.
    collectors: Option<TcpListener>,
    /// From the server in whose place this one comes.
    taken_over: Option<TakenOver>,
    fixed: reload::Fixed,
    /// The settings file, and what it says.
    reloads: Option<(PathBuf, Effective)>,
    reach: Arc<Reach>,
}

impl Started {
    pub async fn run(self) -> Result<Exit> {
        let settings = self.settings;
        let state = open_state(&settings, self.reloads.is_some())?;
        let control_dir = state_dir_of(&settings);
        let audit = observe::start_audit(&settings, control_dir.as_deref())?;
        let system_users = settings.system_users.is_some();
        let Settings {
            listen,
            banner,
            strict_algorithms,
            legacy,
            defence,
            users,
            keep_unfinished,
            limits,
            drain,
            ..
        } = settings;
        let defence = start_defence(defence, state.as_ref())?;
        let mut world = SystemWorld::new();
        if let Some(state) = state {
            world = world.state(state);
        }
        // The world of the users can change their passwords, and then reads the settings again.
        let reloader: Arc<OnceLock<Weak<Reloader>>> = Arc::default();
        if let Some((file, _)) = &self.reloads {
            world = world.change_password(reload::password_changer(file, Arc::clone(&reloader)));
        }
        let users = Arc::new(Users::with_world(users, world));
        let sessions = users.sessions();
        let banner = Banner::new(banner);
        let roots = match system_users {
            true => {
                let sessions = users.sessions();
                Roots::new().system_users(move |user| {
                    let (sessions, lost) = (Arc::clone(&sessions), user.system.clone());
                    // A session whose worker is gone can do nothing any more.
                    Monitor::files_of(user, move || {
                        sessions.end_unless(|of| of.system.is_none() || of.system != lost);
                    })
                })
            }
            false => Roots::new(),
        };
        let roots = Arc::new(roots);
        let limits = Arc::new(LiveLimits::new(limits));
        let builder = Server::builder()
            .host_keys(self.host_keys)
            .authenticator(Arc::clone(&users))
            .defence(Arc::clone(&defence))
            .banner(banner.clone())
            .ssh(move |config| {
                if strict_algorithms {
                    config.common.algorithms.keep_strict();
                }
                legacy.allow_in(&mut config.common.algorithms);
            })
            .limits(Arc::clone(&limits))
            .storage(storage_of(Arc::clone(&roots), SystemNames::load(), Arc::clone(&limits)));
        let builder = audit.iter().fold(builder, |builder, audit| builder.audit(audit.clone()));
        let builder = listen.into_iter().fold(builder, |builder, at| builder.listen_at(at));
        let builder = builder.metrics(self.collectors.is_some()).inherited(self.sockets);
        let server = builder.bind().map_err(cannot_start)?;
        let collecting = observe::start_metrics(self.collectors, &server)?;
        let metrics = collecting.as_ref().map(|collecting| collecting.address);
        tokio::spawn(sweep_hourly(roots, Arc::clone(&users), keep_unfinished));
        let live = self.reloads.map(|(file, effective)| {
            let defence = Arc::clone(&defence);
            let parts = reload::Parts { users, defence, banner, limits };
            let audit = audit.clone();
            let live = Reloader::new(file, self.fixed, parts, audit, effective);
            Arc::new(live.within(self.reach))
        });
        let is_successor = self.taken_over.is_some();
        let mut _control = None;
        if let Some(live) = &live {
            // Nothing else sets it.
            let _ = reloader.set(Arc::downgrade(live));
            let handover = handover_of(&server, Arc::clone(&sessions), collecting);
            let reloader = Arc::clone(live);
            let answers = Answers { reloader, defence, sessions, audit: audit.clone() };
            let other = if is_successor { Other::Succeed } else { Other::Refuse };
            _control =
                control_dir.and_then(|dir| listen_for_commands(&dir, other, answers, handover));
        }
        // Handlers first: whoever sees the last line may send a signal at once.
        let mut signals = Signals::new(live.is_some())?;
        let mut second = Signals::new(false)?;
        self.taken_over.map_or(Ok(()), serve_in_place_of)?;
        let greeted = observe::greet_metrics(metrics).and_then(|()| {
            greet(self.share.as_ref(), &server.fingerprints(), &server.local_addrs())
        });
        match greeted {
            Ok(()) => {}
            // Nobody else serves any more, whoever read the old server's words.
            Err(error) if is_successor => tracing::warn!(%error, "standard output"),
            Err(error) => return Err(output_failed(&error)),
        }
        service_manager::tell_ready();
        tokio::spawn(service_manager::keep_watchdog_quiet());
        let asked_to_end = async {
            while let Asked::Reload = signals.next().await {
                if let Some(live) = &live {
                    let live = Arc::clone(live);
                    service_manager::tell_reloading();
                    // Files and hashes may take their time.
                    let _ = tokio::task::spawn_blocking(move || live.reload()).await;
                    service_manager::tell_ready();
                }
            }
            service_manager::tell_stopping();
        };
        tokio::select! {
            () = server.run(asked_to_end, drain) => {}
            // Who asks twice does not want to wait.
            () = second.asked_to_end(2) => tracing::info!("ended without waiting for sessions"),
        }
        observe::close_audit(audit).await;
        Ok(Exit::Done)
    }
}

/// This machine itself: who shares a directory without settings tries it out from here, and has no place
/// to say that this is no attack.
fn loopback() -> Vec<IpNet> {
    let networks = [(Ipv4Addr::new(127, 0, 0, 0).into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
    networks.into_iter().filter_map(|(address, bits)| IpNet::new(address, bits).ok()).collect()
}

/// Answers commands until the result is dropped with the server's end. A server that cannot still serves.
fn listen_for_commands(
    dir: &Path,
    other: Other,
    answers: Answers,
    handover: HandoverFrom,
) -> Option<SocketFile> {
    match Control::bind(dir, other) {
        Ok((control, file)) => {
            tokio::spawn(control.run(move |request| answers.answer(request), Some(handover)));
            Some(file)
        }
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "commands cannot reach this server");
            None
        }
    }
}

/// The sockets of the server that runs with this state directory.
fn take_over_from(state_dir: &Path) -> Result<TakenOver> {
    TakenOver::from(state_dir).map_err(|error| {
        Failure::io(shown(state_dir), &error).hint("is there a server that runs with it?")
    })
}

/// Lets the old server leave. Who started this one reads a line on what was its standard output; what is
/// said later goes where the old server wrote to.
fn serve_in_place_of(old: TakenOver) -> Result<()> {
    let pid = old.pid;
    let told = |sessions: usize| {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "serving in place of {pid}, {sessions} sessions go on there")?;
        stdout.flush()
    };
    let left = old.serving(told);
    left.map_err(|error| Failure::io(format!("take over from process {pid}"), &error))
}

/// What a successor needs of this server, and what becomes of it then.
fn handover_of(
    server: &Server,
    sessions: Arc<Sessions>,
    collecting: Option<Collecting>,
) -> HandoverFrom {
    let (socket, task) = collecting.map(|it| (it.socket, it.task)).unzip();
    HandoverFrom::new(server.handover(), socket, move |successor| {
        // Figures are the successor's from here on.
        task.iter().for_each(AbortHandle::abort);
        tracing::info!(successor, sessions = sessions.len(), "a successor serves");
        service_manager::tell_successor(successor);
        sessions.len()
    })
}

impl Failure {
    /// All mistakes of a settings file, one a line.
    fn from_settings(errors: &[SettingsError]) -> Self {
        for error in errors {
            eprintln!("sterna: {error}");
        }
        Self::reported(Exit::Usage)
    }
}

fn cannot_start(error: BuildError) -> Failure {
    let BuildError::Listen { address, source } = &error else {
        return Failure::usage("start", error.to_string());
    };
    let failure = Failure::io(format!("listen on {address}"), source);
    match source.kind() {
        io::ErrorKind::AddrInUse => failure.hint("another program has this port"),
        io::ErrorKind::PermissionDenied => {
            failure.hint("ports below 1024 need rights; use another with --listen")
        }
        _ => failure,
    }
}

/// Removes what was left unfinished for too long, now and every hour.
async fn sweep_hourly(roots: Arc<Roots>, users: Arc<Users>, keep: Duration) {
    let mut hours = tokio::time::interval(SWEEP_PAUSE);
    loop {
        hours.tick().await;
        let (roots, users) = (Arc::clone(&roots), Arc::clone(&users));
        // A sweep that panicked has said so; the next one may do better.
        let _ = tokio::task::spawn_blocking(move || {
            roots.expect(users.directory().users().map(|user| &**user));
            roots.sweep(keep)
        })
        .await;
    }
}

/// Opens a user's directory at login, so that one that vanished concerns its user only.
fn storage_of(
    roots: Arc<Roots>,
    names: SystemNames,
    limits: Arc<LiveLimits>,
) -> impl Fn(&User) -> sterna_storage::Result<(Arc<dyn Backend>, SessionPolicy)> + Send + Sync {
    let names: Arc<dyn Names> = Arc::new(names);
    move |user| {
        let backend = roots.open(user)?;
        let policy = SessionPolicy::of_user(user).within(&limits.now());
        let mut policy = SessionPolicy { names: Arc::clone(&names), ..policy };
        if let Some(system) = &user.system {
            policy.home.clone_from(&system.start_dir);
            policy.start_dir.clone_from(&system.start_dir);
        }
        Ok((backend, policy))
    }
}

fn whoami() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let known = SystemNames::load().user(uid);
    known.or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "sterna".to_owned())
}

/// Twenty characters that cannot be mistaken for each other, in groups: 100 bits.
pub fn make_password(random: &mut dyn Random) -> String {
    // 32 characters, without 0 1 l o: every byte picks one without bias.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    random.fill(&mut bytes);
    let letters = bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    let groups: Vec<String> = letters.chunks(5).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

fn hash(password: &str) -> Result<PasswordHash> {
    PasswordHash::make(password.as_bytes(), &mut SystemRandom)
        .map_err(|error| Failure::usage("password", error.to_string()))
}

fn parse_listen(text: &str) -> std::result::Result<SocketAddr, String> {
    settings::parse_listen(text)
        .ok_or_else(|| "not an address such as 127.0.0.1:2022 or [::]:2022".to_owned())
}

fn shown(path: &Path) -> String {
    display_name(path.as_os_str().as_encoded_bytes())
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(shown(path), crate::failure::io_reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u8);

    impl Random for Count {
        fn fill(&mut self, out: &mut [u8]) {
            for byte in out {
                *byte = self.0;
                self.0 = self.0.wrapping_add(13);
            }
        }
    }

    #[test]
    fn a_made_password_is_four_groups_of_plain_characters() {
        let password = make_password(&mut Count(1));

        assert_eq!(password.len(), 23);
        assert_eq!(password.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5]);
        assert_ne!(password, make_password(&mut Count(2)));
    }
}
