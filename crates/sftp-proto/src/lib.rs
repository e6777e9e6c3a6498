//! SFTP version 3 and its extensions: codec, sans-IO client half, sans-IO server half.
//!
//! ```text
//! channel bytes -> FrameAssembler -> frame -> server::Server -> (id, Request) -> Order -> work
//! work -> Reply::encode(id) -> channel bytes
//!
//! client::Client::request(Request, token) -> channel bytes
//! channel bytes -> FrameAssembler -> frame -> client::Client -> (token, Reply)
//! ```
//!
//! The crate knows no files and no clock, and paths are bytes. Every message borrows from its
//! frame. Whatever a peer sends: no panic, no memory beyond `limits.rs`.

pub mod attrs;
pub mod client;
pub mod extension;
pub mod frame;
pub mod limits;
pub mod longname;
pub mod messages;
mod open_flags;
pub mod order;
pub mod server;
mod status;

pub use attrs::{Attrs, Owner, Times};
pub use messages::{Reply, Request};
pub use open_flags::OpenFlags;
pub use status::StatusCode;
