//! Which message may come now: asked with its number alone, before anything is parsed (RFC 4250
//! §4.1, RFC 4252 §5-6, RFC 4253 §7.1; the table is `protocol` item DIS-3).

use crate::Role;
use crate::messages::kex::GEX_REQUEST;
use crate::messages::{
    CHANNEL_FAILURE, CHANNEL_OPEN, DEBUG, DISCONNECT, EXT_INFO, GLOBAL_REQUEST, KEX_METHOD_FIRST,
    KEX_METHOD_LAST, KEXINIT, NEWKEYS, PING, PONG, REQUEST_FAILURE, SERVICE_ACCEPT,
    SERVICE_REQUEST, USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_INFO_RESPONSE, USERAUTH_PK_OK,
    USERAUTH_REQUEST, USERAUTH_SUCCESS,
};

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The peer's version line is awaited.
    Version,
    /// The first key exchange runs.
    InitialKex,
    /// Encrypted; no service yet.
    Service,
    /// The authentication service runs.
    Auth,
    /// Logged in.
    Open,
    /// Over; nothing is read any more.
    Ended,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Process,
    /// Legal and without meaning now.
    Ignore,
    /// Not known: say so and go on (RFC 4253 §11.4).
    Unimplemented,
    /// A violation: the connection ends.
    Refuse,
}

/// Judges `number`. `exchange_only`: the peer's KEXINIT came, its NEWKEYS not yet. `strict`: both
/// sides agreed on the strict exchange, and this is the first one.
pub(crate) fn judge(
    role: Role,
    phase: Phase,
    exchange_only: bool,
    strict: bool,
    number: u8,
) -> Verdict {
    use Verdict::{Ignore, Process, Refuse, Unimplemented};

    let transport = (DISCONNECT..=DEBUG).contains(&number);
    if exchange_only {
        return match number {
            DISCONNECT | NEWKEYS | KEX_METHOD_FIRST..=KEX_METHOD_LAST => Process,
            _ if transport && !strict => Process,
            _ => Refuse,
        };
    }
    if transport || number == KEXINIT {
        return Process;
    }
    match (phase, role, number) {
        (Phase::Version | Phase::InitialKex | Phase::Ended, _, _) => Refuse,

        (Phase::Service, Role::Server, SERVICE_REQUEST | EXT_INFO) => Process,
        (Phase::Service, Role::Client, SERVICE_ACCEPT | EXT_INFO) => Process,

        // The service once more: Paramiko asks for it before each attempt.
        (
            Phase::Auth,
            Role::Server,
            SERVICE_REQUEST | USERAUTH_REQUEST | USERAUTH_INFO_RESPONSE,
        ) => Process,
        (
            Phase::Auth,
            Role::Client,
            USERAUTH_FAILURE | USERAUTH_SUCCESS | USERAUTH_BANNER | USERAUTH_PK_OK..=79 | EXT_INFO,
        ) => Process,

        (Phase::Open, Role::Server, USERAUTH_REQUEST) => Ignore,
        (
            Phase::Open,
            _,
            GLOBAL_REQUEST..=REQUEST_FAILURE | CHANNEL_OPEN..=CHANNEL_FAILURE | PING | PONG,
        ) => Process,

        // Known numbers outside their phase: the ways around authentication lead through here.
        (
            Phase::Service | Phase::Auth,
            _,
            SERVICE_REQUEST..=EXT_INFO
            | NEWKEYS..=KEX_METHOD_LAST
            | USERAUTH_REQUEST..=127
            | PING
            | PONG,
        ) => Refuse,
        (Phase::Open, _, NEWKEYS | KEX_METHOD_FIRST..=GEX_REQUEST | USERAUTH_SUCCESS) => Refuse,
        (Phase::Service | Phase::Auth | Phase::Open, _, _) => Unimplemented,
    }
}

#[cfg(test)]
mod tests;
