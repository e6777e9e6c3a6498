//! What the interop tests share: servers and clients of every make behind two interfaces, and the
//! scenarios that each pair of them must get through.
//!
//! Everything is black box. A [`server::Server`] is a running program whose files we see from
//! behind, a [`client::Client`] is a program that moves files; a [`scenario`] lets one use the other
//! and compares what lies on both sides, byte by byte.
//!
//! With `STERNA_INTEROP_BASELINE=1` OpenSSH takes Sterna's place on either side. What fails then too
//! is a fault of the test or of the peer.

pub mod algorithms;
pub mod binary;
pub mod client;
pub mod content;
pub mod machine;
pub mod names;
pub mod place;
pub mod raw;
pub mod relay;
pub mod scenario;
pub mod server;
pub mod steps;
pub mod terminal;
pub mod token;
pub mod trees;
