//! What the network process asks about logins: a helper for each question, which answers once. Where it was asked to
//! become the user, its channel belongs to the user's files afterwards.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sterna_identity::{
    Attempt, Credential, SystemAccount, User, UserKey, hook::ExternalAnswer, hook::ExternalIdentity,
};
use sterna_sandbox::Channel;
use sterna_ssh_files::parse_authorized_keys;
use sterna_storage::{Backend, Error, ErrorKind};
use zeroize::Zeroizing;

use crate::limits::{PASSWORD_MAX, USER_NAME_MAX};
use crate::login_messages::{Checked, Known, Question};
use crate::remote::RemoteBackend;

/// Numbers of logins.
static LOGINS: AtomicU64 = AtomicU64::new(0);

/// The monitor of this process, which starts helpers: there is one, from before the process gave up its rights.
static MONITOR: OnceLock<Monitor> = OnceLock::new();

/// The network process's end.
#[derive(Debug)]
pub struct Monitor {
    channel: Mutex<Channel>,
}

impl Monitor {
    /// At the other end of `channel` is [`run_monitor`](crate::run_monitor).
    pub fn set(channel: Channel) {
        // One for the life of the process; the first stays.
        let _ = MONITOR.set(Self { channel: Mutex::new(channel) });
    }

    fn get() -> io::Result<&'static Self> {
        MONITOR.get().ok_or_else(|| io::Error::other("there is no monitor in this process"))
    }

    /// A helper of its own.
    fn helper(&self) -> io::Result<Channel> {
        let (own, other) = Channel::pair()?;
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel.send(&[1], &[other.as_fd()])?;
        Ok(own)
    }

    fn ask(question: &Question<'_>) -> io::Result<(Checked, Channel)> {
        let helper = Self::get()?.helper()?;
        helper.send(&question.encode(), &[])?;
        let gone = || io::Error::other("the helper ended without an answer; there may be too many");
        let reply = Zeroizing::new(helper.receive()?.ok_or_else(gone)?.bytes);
        let checked = Checked::decode(&reply).map_err(io::Error::other)?;
        Ok((checked, helper))
    }

    /// The files of a user, by a process of that user's. It ends when the backend is dropped; if it ends before, `lost`
    /// is called by whoever notices first.
    ///
    /// # Errors
    /// There is no such user any more, or no process for it.
    pub fn files_of(
        user: &User,
        lost: impl Fn() + Send + Sync + 'static,
    ) -> sterna_storage::Result<Arc<dyn Backend>> {
        let fail = |why: io::Error| Error {
            kind: ErrorKind::Other,
            doing: "open root",
            source: Some(why),
        };
        match Self::ask(&Question::Files { name: &user.name }).map_err(fail)? {
            (Checked::Known(_), channel) => {
                Ok(Arc::new(RemoteBackend::new(channel, &user.name, lost)))
            }
            (Checked::Refused(why), _) => Err(fail(io::Error::other(why))),
        }
    }
}

/// Users of the machine as users of the server.
#[derive(Clone, Debug)]
pub struct SystemIdentity {
    pub read_only: bool,
}

impl ExternalIdentity for SystemIdentity {
    fn ask(&self, attempt: &Attempt<'_>) -> Result<ExternalAnswer, String> {
        let Ok(name) = std::str::from_utf8(attempt.user) else { return Ok(ExternalAnswer::Deny) };
        if name.is_empty() || name.len() > USER_NAME_MAX {
            return Ok(ExternalAnswer::Deny);
        }
        let source = attempt.source.to_string();
        let question = match attempt.credential {
            Credential::Password(password) | Credential::PasswordChange { old: password, .. } => {
                if password.len() > PASSWORD_MAX {
                    return Ok(ExternalAnswer::Deny);
                }
                Question::Password { name, password, source: &source }
            }
            Credential::PublicKeyQuery(_) | Credential::PublicKey { .. } => Question::Keys { name },
            _ => Question::User { name },
        };
        let vouches = matches!(question, Question::Password { .. });
        match Monitor::ask(&question).map_err(|error| error.to_string())?.0 {
            Checked::Refused(why) => {
                tracing::debug!(user = %name.escape_debug(), why, "no user of the machine");
                Ok(ExternalAnswer::Deny)
            }
            Checked::Known(known) => {
                let user = Arc::new(self.user(name, known));
                Ok(if vouches { ExternalAnswer::Allow(user) } else { ExternalAnswer::Judge(user) })
            }
        }
    }
}

impl SystemIdentity {
    fn user(&self, name: &str, known: Known) -> User {
        let (keys, refused) = parse_authorized_keys(&known.keys);
        for line in refused {
            tracing::warn!(user = name, file = %known.keys_file.display(), line = line.line, why = %line.why, "line of keys left out");
        }
        let file: Arc<std::path::Path> = known.keys_file.into();
        let place = |line| Some(sterna_identity::Place { file: Arc::clone(&file), line });
        let keys = keys.into_iter().map(|key| UserKey { place: place(key.line), key });
        User {
            authorized_keys: keys.take(sterna_identity::limits::USER_KEYS_MAX).collect(),
            read_only: self.read_only,
            is_external: true,
            system: Some(SystemAccount {
                start_dir: known.start_dir,
                login: LOGINS.fetch_add(1, Ordering::Relaxed),
            }),
            ..User::new(name, known.root)
        }
    }
}
