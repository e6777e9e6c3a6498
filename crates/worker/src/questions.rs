//! What the network process asks a helper about a login, and what it is told. A helper answers once; where it was asked
//! to become the user, the channel belongs to the user's files afterwards.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sterna_identity::{
    Attempt, Credential, SystemAccount, User, UserKey, hook::ExternalAnswer, hook::ExternalIdentity,
};
use sterna_sandbox::Channel;
use sterna_ssh_files::parse_authorized_keys;
use sterna_sshwire::{DecodeError, Reader, put_string, put_u8};
use sterna_storage::{Backend, Error, ErrorKind};
use zeroize::Zeroizing;

use crate::limits::{HOME_MAX, KEYS_LEN_MAX, PASSWORD_MAX, REASON_MAX, SOURCE_MAX, USER_NAME_MAX};
use crate::remote::RemoteBackend;

/// What a helper is asked, once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question<'a> {
    /// Whether there is such a user.
    User { name: &'a str },
    /// Whether this is the user's password.
    Password { name: &'a str, password: &'a [u8], source: &'a str },
    /// The user's keys.
    Keys { name: &'a str },
    /// Become the user and serve its files.
    Files { name: &'a str },
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    Known(Known),
    /// No; why, for the log.
    Refused(String),
}

/// A user who may log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// On the machine.
    pub root: PathBuf,
    /// Seen from the root.
    pub start_dir: Vec<u8>,
    /// The content of its file of keys, if that was asked for, and its name.
    pub keys: Vec<u8>,
    pub keys_file: PathBuf,
}

impl<'a> Question<'a> {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(USER_NAME_MAX + PASSWORD_MAX + 64));
        let o = &mut *out;
        match self {
            Self::User { name } => one(o, 1, name),
            Self::Password { name, password, source } => {
                one(o, 2, name);
                put_string(o, password);
                put_string(o, source.as_bytes());
            }
            Self::Keys { name } => one(o, 3, name),
            Self::Files { name } => one(o, 4, name),
        }
        out
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let verb = r.u8("question")?;
        let name = r.utf8("name", USER_NAME_MAX)?;
        let question = match verb {
            1 => Self::User { name },
            2 => {
                let password = r.string("password", PASSWORD_MAX)?;
                Self::Password { name, password, source: r.utf8("source", SOURCE_MAX)? }
            }
            3 => Self::Keys { name },
            4 => Self::Files { name },
            _ => return Err(DecodeError::invalid("question")),
        };
        r.finish("question")?;
        Ok(question)
    }
}

fn one(o: &mut Vec<u8>, verb: u8, name: &str) {
    put_u8(o, verb);
    put_string(o, name.as_bytes());
}

impl Checked {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Refused(why) => {
                put_u8(&mut out, 0);
                put_string(&mut out, &why.as_bytes()[..why.floor_char_boundary(REASON_MAX)]);
            }
            Self::Known(known) => {
                put_u8(&mut out, 1);
                put_string(&mut out, known.root.as_os_str().as_encoded_bytes());
                put_string(&mut out, &known.start_dir);
                put_string(&mut out, &known.keys);
                put_string(&mut out, known.keys_file.as_os_str().as_encoded_bytes());
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let checked = match r.u8("answer")? {
            0 => Self::Refused(r.utf8("reason", REASON_MAX)?.to_owned()),
            1 => Self::Known(Known {
                root: r.utf8("root", HOME_MAX)?.into(),
                start_dir: r.string("start", HOME_MAX)?.to_vec(),
                keys: r.string("keys", KEYS_LEN_MAX)?.to_vec(),
                keys_file: r.utf8("keys file", HOME_MAX)?.into(),
            }),
            _ => return Err(DecodeError::invalid("answer")),
        };
        r.finish("answer")?;
        Ok(checked)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_come_back_as_they_were() {
        for question in [
            Question::User { name: "ann" },
            Question::Password { name: "ann", password: b"p\0w", source: "::1" },
            Question::Keys { name: "ann" },
            Question::Files { name: "ann" },
        ] {
            let bytes = question.encode();
            assert_eq!(Question::decode(&bytes), Ok(question));
            assert!(Question::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        let known = Known {
            root: "/srv".into(),
            start_dir: b"/x".to_vec(),
            keys: b"ssh-ed25519 A".to_vec(),
            keys_file: "/k".into(),
        };
        for answer in [Checked::Known(known), Checked::Refused("no".into())] {
            assert_eq!(Checked::decode(&answer.encode()), Ok(answer));
        }
        // Its end is cut, between two characters.
        let long = Checked::Refused("ä".repeat(REASON_MAX));
        assert!(Checked::decode(&long.encode()).is_ok());
        for bytes in [&b""[..], b"\x01", b"\x09\0\0\0\0", b"\x02\0\0\0\x01a\xff\xff\xff\xff"] {
            assert!(Question::decode(bytes).is_err() && Checked::decode(bytes).is_err());
        }
    }
}
