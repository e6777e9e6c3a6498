//! New settings for a running server: all that is in them, or nothing. Nobody is cut but users who are
//! gone or disabled.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use sterna_audit::{Audit, Record};
use sterna_identity::{PasswordHash, User};
use sterna_server::{
    Banner, ChangePassword, ListenAt, ListenerRules, LiveLimits, Users, defence::Defence,
};
use sterna_ssh_crypto::SystemRandom;
use sterna_worker::Policy;

use super::confine::Reach;
use crate::{
    commands::user,
    settings::{
        self, AuditSettings, Change, Confinement, Effective, Legacy, NEEDS_RESTART, Settings,
        SettingsError,
    },
};

/// What a running server takes over from its settings file, and where it came from.
pub struct Reloader {
    file: PathBuf,
    started_with: Fixed,
    /// What the server can reach of what new settings name.
    reach: Arc<Reach>,
    parts: Parts,
    audit: Option<Audit>,
    /// What the settings in force say, for whoever compares.
    in_force: Mutex<Effective>,
    /// Two at once might end with the older settings.
    turn: Mutex<()>,
}

/// What of a running server takes new settings.
pub struct Parts {
    pub users: Arc<Users>,
    pub defence: Arc<Defence>,
    pub banner: Banner,
    pub limits: Arc<LiveLimits>,
}

/// What a reload changed, and what it could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    /// How many users there are.
    pub users: usize,
    /// Sessions that were told to end, because their users are gone or disabled.
    pub sessions_ended: usize,
    /// What was left out although the settings stand.
    pub warnings: Vec<String>,
    /// Keys whose new values need a restart.
    pub needs_restart: Vec<&'static str>,
}

impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "settings reloaded: {} users", self.users)?;
        if self.sessions_ended > 0 {
            write!(f, ", {} sessions ended", self.sessions_ended)?;
        }
        if !self.needs_restart.is_empty() {
            write!(f, "; a restart is needed for {}", self.needs_restart.join(", "))?;
        }
        Ok(())
    }
}

/// The part of the settings that cannot change while the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    listen: Vec<ListenAt>,
    state_dir: Option<PathBuf>,
    host_keys: Vec<PathBuf>,
    host_certificates: Vec<PathBuf>,
    strict_algorithms: bool,
    legacy: Legacy,
    keep_unfinished: Duration,
    drain: Duration,
    confinement: Confinement,
    audit: Option<AuditSettings>,
    metrics: Option<SocketAddr>,
    system_users: Option<Policy>,
}

impl Fixed {
    pub fn of(settings: &Settings) -> Self {
        Self {
            listen: settings.listen.clone(),
            state_dir: settings.state_dir.clone(),
            host_keys: settings.host_keys.clone(),
            host_certificates: settings.host_certificates.clone(),
            strict_algorithms: settings.strict_algorithms,
            legacy: settings.legacy.clone(),
            keep_unfinished: settings.keep_unfinished,
            drain: settings.drain,
            confinement: settings.confinement.clone(),
            audit: settings.audit.clone(),
            metrics: settings.metrics,
            system_users: settings.system_users.clone(),
        }
    }

    /// Keys that say something else in `new`.
    fn changed(&self, new: &Self) -> Vec<&'static str> {
        // An address of `listen` has no rules of its own.
        let with_rules = |all: &[ListenAt]| -> (Vec<ListenAt>, Vec<ListenAt>) {
            all.iter().cloned().partition(|at| *at.rules == ListenerRules::default())
        };
        let (listen, listeners) = with_rules(&self.listen);
        let (new_listen, new_listeners) = with_rules(&new.listen);
        let has_changed = [
            listen != new_listen,
            listeners != new_listeners,
            self.state_dir != new.state_dir,
            self.host_keys != new.host_keys,
            self.host_certificates != new.host_certificates,
            self.strict_algorithms != new.strict_algorithms,
            self.legacy != new.legacy,
            self.keep_unfinished != new.keep_unfinished,
            self.drain != new.drain,
            self.confinement.account.as_ref().map(|account| account.uid)
                != new.confinement.account.as_ref().map(|account| account.uid),
            self.confinement.account.as_ref().map(|account| account.gid)
                != new.confinement.account.as_ref().map(|account| account.gid),
            self.confinement.sandbox != new.confinement.sandbox,
            self.confinement.roots != new.confinement.roots,
            self.audit != new.audit,
            self.metrics != new.metrics,
            self.system_users != new.system_users,
        ];
        let all = NEEDS_RESTART.iter().zip(has_changed);
        all.filter(|(_, changed)| *changed).map(|(key, _)| *key).collect()
    }
}

impl Reloader {
    pub fn new(
        file: PathBuf,
        started_with: Fixed,
        parts: Parts,
        audit: Option<Audit>,
        in_force: Effective,
    ) -> Self {
        let (in_force, turn) = (Mutex::new(in_force), Mutex::new(()));
        let reach = Arc::default();
        Self { file, started_with, reach, parts, audit, in_force, turn }
    }

    /// For a server that cannot reach everything any more.
    #[must_use]
    pub fn within(self, reach: Arc<Reach>) -> Self {
        Self { reach, ..self }
    }

    /// The settings file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What the settings in `file` would change if they were taken over. Blocks on the disk.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn differences(&self, file: &Path) -> Result<Vec<Change>, Vec<SettingsError>> {
        let new = Effective::load(file, false)?;
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(settings::between(&in_force, &new))
    }

    /// Reads the settings again and takes them over, and logs both. Blocks on the disk.
    ///
    /// # Errors
    /// Every mistake in the settings; nothing was changed then.
    pub fn reload(&self) -> Result<ReloadReport, Vec<SettingsError>> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let read = settings::load(&self.file).and_then(|settings| {
            let effective = Effective::of(&self.file, &settings, false)?;
            Ok((settings, effective))
        });
        let (settings, effective) = read.inspect_err(|errors| {
            errors.iter().for_each(|error| tracing::error!("{error}"));
            tracing::error!("settings not reloaded, the old ones are kept");
            let first = errors.first().map_or_else(String::new, ToString::to_string);
            self.record(Record::new("settings-reloaded").result(first));
        })?;
        let out_of_reach = self.reach.lacks(&self.file, &effective);
        let mut report = self.take_over(settings);
        report.warnings.extend(out_of_reach);
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = effective;
        drop(turn);
        report.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        tracing::info!("{report}");
        self.record(Record::new("settings-reloaded").with("summary", report.to_string()));
        Ok(report)
    }

    fn record(&self, record: Record) {
        if let Some(audit) = &self.audit {
            audit.record(record);
        }
    }

    /// From here on nothing can fail.
    fn take_over(&self, settings: Settings) -> ReloadReport {
        let needs_restart = self.started_with.changed(&Fixed::of(&settings));
        let users = settings.users.len();
        self.parts.defence.replace_settings(settings.defence, Instant::now());
        self.parts.banner.replace(settings.banner);
        self.parts.limits.replace(settings.limits);
        let sessions_ended = self.parts.users.replace(settings.users);
        ReloadReport { users, sessions_ended, warnings: settings.warnings, needs_restart }
    }
}

/// Stores passwords that users chose at login in the settings file `file`, and takes them over.
pub fn password_changer(
    file: &Path,
    reloader: Arc<OnceLock<Weak<Reloader>>>,
) -> Box<ChangePassword> {
    let file = file.to_owned();
    Box::new(move |user: &User, new: &[u8]| {
        let hash = PasswordHash::make(new, &mut SystemRandom).map_err(|error| error.to_string())?;
        user::store_password(&file, &user.name, &hash).map_err(|failure| failure.to_string())?;
        tracing::info!(user = user.name, "password changed by the user");
        match reloader.get().and_then(Weak::upgrade) {
            Some(reloader) => {
                reloader.record(Record::new("password-changed").user(user.name.as_bytes()));
                match reloader.reload() {
                    Ok(_) => Ok(()),
                    // The password is stored; what else is wrong has been logged.
                    Err(errors) => Err(format!("{} mistakes in the settings", errors.len())),
                }
            }
            None => Err("the server is ending".to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use sterna_server::SystemWorld;
    use tempfile::TempDir;

    use super::*;

    const HASH: &str =
        "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";

    /// What a server has that was started with `text`.
    fn started(text: &str) -> (TempDir, Arc<Reloader>) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let file = dir.path().join("sterna.toml");
        fs::write(&file, text).unwrap();
        let settings = settings::load(&file).unwrap();
        let fixed = Fixed::of(&settings);
        let effective = Effective::of(&file, &settings, false).unwrap();
        let defence = Defence::new(settings.defence, Instant::now(), SystemTime::now());
        let users = Arc::new(Users::with_world(settings.users, SystemWorld::new()));
        let banner = Banner::new(settings.banner);
        let limits = Arc::new(LiveLimits::new(settings.limits));
        let parts = Parts { users, defence, banner, limits };
        let reloader = Reloader::new(file, fixed, parts, None, effective);
        (dir, Arc::new(reloader))
    }

    fn user(name: &str, more: &str) -> String {
        format!("[[user]]\nname = '{name}'\nroot = 'root'\npassword = '{HASH}'\n{more}\n")
    }

    #[test]
    fn a_reload_takes_over_everything_or_nothing() {
        let (dir, live) = started(&format!("listen = ['127.0.0.1:0']\n{}", user("alice", "")));
        let file = dir.path().join("sterna.toml");
        let names = || {
            let directory = live.parts.users.directory();
            let mut names: Vec<_> = directory.users().map(|user| user.name.clone()).collect();
            names.sort();
            names
        };

        // One mistake at the end, after everything that changes.
        let changes = "listen = ['127.0.0.1:1']\nlegacy = ['ssh-rsa']\nbanner = 'new'\n\
                       [defence]\nlogin_grace_s = 7\n";
        fs::write(&file, format!("{changes}{}", user("bob", "hours = ['never']"))).unwrap();
        let errors = live.reload().unwrap_err();

        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!((errors[0].line, &*errors[0].key), (Some(10), "user.hours"));
        assert_eq!(names(), ["alice"]);
        assert_eq!(live.parts.defence.settings().login_grace.as_secs(), 60);

        fs::write(&file, format!("{changes}{}", user("bob", ""))).unwrap();
        let report = live.reload().unwrap();

        assert_eq!(names(), ["bob"]);
        assert_eq!(live.parts.defence.settings().login_grace.as_secs(), 7);
        assert_eq!(report.needs_restart, ["listen", "legacy"]);
        assert_eq!(
            report.to_string(),
            "settings reloaded: 1 users; a restart is needed for listen, legacy"
        );
    }

    #[test]
    fn a_chosen_password_is_stored_with_the_comments_kept_and_holds_at_once() {
        let more = "must_change_password = true # until the first login";
        let (dir, live) = started(&format!("# ours\n{}# the end\n", user("alice", more)));
        let file = dir.path().join("sterna.toml");
        let reloader = Arc::new(OnceLock::from(Arc::downgrade(&live)));
        let change = password_changer(&file, reloader);
        let alice = live.parts.users.directory().user(b"alice").cloned().unwrap();
        assert!(alice.must_change_password);

        change(&alice, b"a new password").unwrap();

        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# ours\n") && text.ends_with("# the end\n"), "{text}");
        assert!(!text.contains("must_change_password"), "{text}");
        let alice = live.parts.users.directory().user(b"alice").cloned().unwrap();
        assert!(!alice.must_change_password);
        let hash = alice.password.as_ref().unwrap();
        assert!(hash.as_str().starts_with("$argon2id$"));
        assert!(hash.verify(b"a new password") && !hash.verify(b"Hello world!"));
        // Somebody whom only a program outside knows.
        assert!(change(&User::new("stranger", "/"), b"a new password").is_err());
    }
}
