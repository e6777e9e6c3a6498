//! The text and binary files of OpenSSH that say whom to trust: parsed and matched, never opened.
//!
//! Bytes come in, answers go out. Whoever owns a file reads, locks and writes it, and hands its bytes
//! and its name over; the name comes back inside every answer as a [`Place`], so that each decision
//! can say which line of which file it follows. Nothing here reads a socket, a clock or a file, with
//! one exception: an `expiry-time` in local time needs the system's time zone.
//!
//! Who writes a mistake into such a file must not open a door by it: a line that does not read gives
//! nobody access, and a revocation file that does not read is an error of the whole file.
//!
//! Not here: keys and certificates themselves (`ssh-crypto`), decisions about logins (`identity`).

pub mod address;
pub mod authorized_keys;
pub mod known_hosts;
pub mod krl;
mod limits;
pub mod pattern;
mod place;
pub mod revoked;
pub mod shosts;
#[cfg(test)]
mod vectors;

pub use address::{AddressError, AddressList, NetworkList};
pub use authorized_keys::{
    AuthorizedKey, KeyOptions, LineError, RefusedLine, parse_authorized_keys,
};
pub use known_hosts::{ExactLine, KnownHosts, Lookup};
pub use krl::{Krl, KrlError};
pub use limits::*;
pub use pattern::ListMatch;
pub use place::Place;
pub use revoked::{Revocation, RevokedBy, RevokedKeys, RevokedKeysError, RevokedPart};
pub use shosts::{Shosts, ShostsVerdict};
