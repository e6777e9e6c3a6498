//! What can be seen of a running server: its audit log, who is logged in and what moves, and its figures.
//!
//! Each connection has an [`Observer`], which knows whose session it is and hands records to the audit log.
//! It is called where something ends: a handle, a request that changes something, the session. Bytes are
//! counted at the open file ([`FileMoves`]); whoever wants sums adds them up when asked.

mod figures;
mod latency;
mod metrics;
mod moves;
mod observer;

use std::sync::Arc;

use sterna_ssh_crypto::Random;

pub use figures::Figures;
pub(crate) use latency::Latency;
pub(crate) use metrics::{Cause, Metrics};
pub(crate) use moves::{FileMoves, digest_text};
pub(crate) use observer::{LoginFacts, Observer, login_refused};
pub use observer::{Moving, SessionInfo};

/// A name for a connection in logs and lists: 10 letters and digits, without those that look alike.
pub(crate) fn random_id(random: &mut dyn Random) -> Arc<str> {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| DIGITS[usize::from(byte % 32)] as char).collect::<String>().into()
}
