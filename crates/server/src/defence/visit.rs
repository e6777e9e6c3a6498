//! One connection as the defence sees it: what counts it, and what it turned out to be.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use ipnet::IpNet;
use sterna_ssh_proto::{Deadline, Error, PeerError};
use sterna_ssh_tokio::{DriveError, End};

use super::{Defence, Offence};

/// Counts a connection among those without a login. Whoever owns it drops it when the connection has
/// logged in, and not before: a connection that ends while it is alive ends without a login.
pub struct Admission {
    /// `None` for exempt sources, which are not counted.
    counted: Option<(Arc<Defence>, IpNet)>,
    /// Held weakly by the connection's [`Visit`], so that it sees the admission end.
    conduct: Arc<Conduct>,
}

/// What happened before login.
#[derive(Default)]
struct Conduct(AtomicU8);

const NOTHING: u8 = 0;
const FAILED: u8 = 1;
const FAILED_INVALID_USER: u8 = 2;

impl Admission {
    pub(super) fn exempt() -> Self {
        Self { counted: None, conduct: Arc::default() }
    }

    pub(super) fn counted(defence: Arc<Defence>, source: IpNet) -> Self {
        Self { counted: Some((defence, source)), conduct: Arc::default() }
    }

    /// A login was tried and refused; `invalid_user` if there is nobody of that name. To be called for
    /// every attempt that could have been a guess: not for `none`, not for a method that was passed
    /// as one of several. It counts once for the connection, and not at all if that logs in later.
    pub fn login_failed(&self, invalid_user: bool) {
        let now = if invalid_user { FAILED_INVALID_USER } else { FAILED };
        self.conduct.0.fetch_max(now, Ordering::Relaxed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some((defence, source)) = self.counted.take() {
            defence.end_startup(source);
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("source", &self.counted.as_ref().map(|c| c.1)).finish()
    }
}

/// Follows a connection to its end, and notes what it did if it never logged in. One that is dropped
/// by a panic made the server fail; one that is dropped otherwise was cut by us.
pub(crate) struct Visit {
    defence: Arc<Defence>,
    source: IpAddr,
    conduct: Weak<Conduct>,
}

impl Visit {
    pub(crate) fn new(defence: Arc<Defence>, source: IpAddr, admission: &Admission) -> Self {
        Self { defence, source, conduct: Arc::downgrade(&admission.conduct) }
    }

    /// The connection ended. To be called while its service is alive, with the admission in it.
    pub(crate) fn end(self, result: &Result<End, DriveError>, now: Instant) {
        // No admission: it logged in.
        if let Some(conduct) = self.conduct.upgrade()
            && let Some(offence) = offence(result, conduct.0.load(Ordering::Relaxed))
        {
            self.defence.note(self.source, offence, now);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if std::thread::panicking() && self.conduct.strong_count() > 0 {
            self.defence.note(self.source, Offence::Crash, Instant::now());
        }
    }
}

/// What a connection without a login did, by how it ended and what was tried in it.
fn offence(result: &Result<End, DriveError>, conduct: u8) -> Option<Offence> {
    let tried = match conduct {
        NOTHING => Offence::NoAuth,
        FAILED => Offence::AuthFailed,
        _ => Offence::InvalidUser,
    };
    let error = match result {
        Ok(End::Disconnected | End::PeerClosed) | Err(DriveError::Io(_)) => return Some(tried),
        Err(DriveError::Protocol(error)) => error,
    };
    match error {
        Error::TimedOut(Deadline::Login | Deadline::KeyExchange) => Some(Offence::GraceExceeded),
        Error::TimedOut(Deadline::KeepAlive) => Some(tried),
        // Scanners, health checks and old clients: they asked, and were answered.
        Error::Peer(PeerError::BadVersionLine) | Error::Incompatible { .. } => Some(tried),
        Error::Peer(PeerError::TooManyAuthAttempts) if conduct == NOTHING => {
            Some(Offence::AuthFailed)
        }
        Error::Peer(PeerError::TooManyAuthAttempts) => Some(tried),
        Error::Malformed { .. } | Error::Peer(_) => Some(Offence::ProtocolError),
        // Not the peer's doing.
        Error::HostKeyRefused | Error::Local(_) => None,
        // An error that does not exist yet is nobody's fault.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_connection_without_a_login_did_one_thing() {
        let protocol = |error| Err(DriveError::Protocol(error));
        let peer = |fault| Err(DriveError::Protocol(Error::Peer(fault)));
        let reset = || Err(DriveError::Io(io::ErrorKind::ConnectionReset.into()));
        let table = [
            (Ok(End::PeerClosed), NOTHING, Some(Offence::NoAuth)),
            (Ok(End::Disconnected), NOTHING, Some(Offence::NoAuth)),
            (reset(), NOTHING, Some(Offence::NoAuth)),
            (Ok(End::PeerClosed), FAILED, Some(Offence::AuthFailed)),
            (reset(), FAILED, Some(Offence::AuthFailed)),
            (Ok(End::Disconnected), FAILED_INVALID_USER, Some(Offence::InvalidUser)),
            (protocol(Error::TimedOut(Deadline::Login)), NOTHING, Some(Offence::GraceExceeded)),
            (protocol(Error::TimedOut(Deadline::Login)), FAILED, Some(Offence::GraceExceeded)),
            (
                protocol(Error::TimedOut(Deadline::KeyExchange)),
                NOTHING,
                Some(Offence::GraceExceeded),
            ),
            (peer(PeerError::BadVersionLine), NOTHING, Some(Offence::NoAuth)),
            (peer(PeerError::TooManyAuthAttempts), NOTHING, Some(Offence::AuthFailed)),
            (peer(PeerError::TooManyAuthAttempts), FAILED_INVALID_USER, Some(Offence::InvalidUser)),
            (peer(PeerError::BadMac), NOTHING, Some(Offence::ProtocolError)),
            (peer(PeerError::OutOfPhase(90)), FAILED, Some(Offence::ProtocolError)),
            (protocol(Error::Local("no signature")), NOTHING, None),
        ];

        for (result, conduct, expected) in table {
            assert_eq!(offence(&result, conduct), expected, "{result:?} after {conduct}");
        }
    }
}
