//! Why a connection ended, by whose fault; and the one map from there to a disconnect reason.

use std::fmt;

use sterna_sshwire::DecodeError;

/// The connection cannot go on. Our DISCONNECT, if one is due, is already in the output buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer's bytes do not form the message they claim to be.
    Malformed { message: &'static str, why: DecodeError },
    /// The peer's bytes are well formed, and break the protocol.
    Peer(PeerError),
    /// The two sides have nothing in common for one purpose.
    Incompatible { what: &'static str, ours: String, theirs: String },
    /// A deadline passed.
    TimedOut(Deadline),
    /// The host key was not accepted by the application.
    HostKeyRefused,
    /// Our side could not do its part: no signature from the key's holder, no randomness.
    Local(&'static str),
}

/// A rule that the peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerError {
    /// Not an SSH version line, too long, or of a version that we do not speak.
    BadVersionLine,
    /// A length outside its bounds, or padding that does not fit.
    BadPacket,
    /// A packet was changed on the way, or keys differ.
    BadMac,
    /// Compressed data is broken or too large.
    BadCompression,
    /// A message that may not come in this phase, by its number.
    OutOfPhase(u8),
    /// Something came before or inside a strict key exchange (CVE-2023-48795).
    StrictKexBroken,
    /// A public value, a group or a shared secret outside its range.
    BadKeyExchange,
    /// The server's signature over the exchange is wrong.
    BadHostKeySignature,
    /// The host key changed when keys were renewed.
    HostKeyChanged,
    /// Asked for a service that is not there.
    UnknownService,
    /// The user or service changed between authentication requests.
    ChangedUser,
    /// Too many failed logins, or too many requests.
    TooManyAuthAttempts,
    /// Success or an answer to something that was never asked.
    UnaskedAnswer,
    /// A message for a channel that is not open.
    NoSuchChannel,
    /// More data than the window or the packet limit allows.
    WindowExceeded,
    /// Credit beyond 2^32-1.
    WindowOverflow,
    /// Asks more, while it does not read or stalls a key exchange, than we are willing to keep.
    Flood,
    /// A session was opened after the peer said that none would follow.
    SessionAfterNoMore,
    /// Sequence numbers would repeat; the peer does not renew its keys.
    KeysWornOut,
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Login,
    KeyExchange,
    KeepAlive,
}

/// Reasons of DISCONNECT (RFC 4250 §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    ProtocolError = 2,
    KeyExchangeFailed = 3,
    MacError = 5,
    CompressionError = 6,
    ServiceNotAvailable = 7,
    VersionNotSupported = 8,
    HostKeyNotVerifiable = 9,
    ConnectionLost = 10,
    ByApplication = 11,
    TooManyConnections = 12,
    NoMoreAuthMethods = 14,
}

impl Error {
    pub(crate) fn malformed(message: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |why| Self::Malformed { message, why }
    }

    /// What the peer is told. It learns the kind of fault, never which check found it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Malformed { .. } => Reason::ProtocolError,
            Self::Incompatible { .. } => Reason::KeyExchangeFailed,
            Self::TimedOut(Deadline::Login | Deadline::KeyExchange) => Reason::ByApplication,
            Self::TimedOut(Deadline::KeepAlive) => Reason::ConnectionLost,
            Self::HostKeyRefused => Reason::HostKeyNotVerifiable,
            Self::Local(_) => Reason::ByApplication,
            Self::Peer(fault) => match fault {
                PeerError::BadVersionLine => Reason::VersionNotSupported,
                PeerError::BadMac => Reason::MacError,
                PeerError::BadCompression => Reason::CompressionError,
                PeerError::BadKeyExchange => Reason::KeyExchangeFailed,
                PeerError::BadHostKeySignature | PeerError::HostKeyChanged => {
                    Reason::HostKeyNotVerifiable
                }
                PeerError::UnknownService => Reason::ServiceNotAvailable,
                PeerError::TooManyAuthAttempts => Reason::NoMoreAuthMethods,
                PeerError::BadPacket
                | PeerError::OutOfPhase(_)
                | PeerError::StrictKexBroken
                | PeerError::ChangedUser
                | PeerError::UnaskedAnswer
                | PeerError::NoSuchChannel
                | PeerError::WindowExceeded
                | PeerError::WindowOverflow
                | PeerError::Flood
                | PeerError::SessionAfterNoMore
                | PeerError::KeysWornOut => Reason::ProtocolError,
            },
        }
    }
}

impl From<PeerError> for Error {
    fn from(fault: PeerError) -> Self {
        Self::Peer(fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { message, why } => write!(f, "malformed {message}: {why}"),
            Self::Peer(fault) => fault.fmt(f),
            Self::Incompatible { what, ours, theirs } => {
                write!(f, "no common {what}: we offer {ours}; the peer offers {theirs}")
            }
            Self::TimedOut(Deadline::Login) => f.write_str("login took too long"),
            Self::TimedOut(Deadline::KeyExchange) => f.write_str("key exchange took too long"),
            Self::TimedOut(Deadline::KeepAlive) => f.write_str("the peer does not answer"),
            Self::HostKeyRefused => f.write_str("host key not accepted"),
            Self::Local(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::BadVersionLine => "not an SSH-2 version line",
            Self::BadPacket => "bad packet length or padding",
            Self::BadMac => "corrupted packet (MAC)",
            Self::BadCompression => "bad compressed data",
            Self::OutOfPhase(number) => {
                return write!(f, "message {number} is not allowed in this phase");
            }
            Self::StrictKexBroken => "unexpected packet in a strict key exchange",
            Self::BadKeyExchange => "bad key exchange value",
            Self::BadHostKeySignature => "wrong host key signature",
            Self::HostKeyChanged => "host key changed on re-keying",
            Self::UnknownService => "unknown service",
            Self::ChangedUser => "change of user or service not allowed",
            Self::TooManyAuthAttempts => "too many authentication failures",
            Self::UnaskedAnswer => "answer to a question that was not asked",
            Self::NoSuchChannel => "message for a channel that is not open",
            Self::WindowExceeded => "more channel data than allowed",
            Self::WindowOverflow => "window over 2^32-1",
            Self::Flood => "too many requests at once",
            Self::SessionAfterNoMore => "session opened after no-more-sessions",
            Self::KeysWornOut => "keys were not renewed in time",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Error {}
