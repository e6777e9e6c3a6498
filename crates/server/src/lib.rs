//! An SFTP server as a library: storage, users and protocol, brought together and nowhere else.
//!
//! ```no_run
//! use std::time::Duration;
//! use sterna_identity::{Directory, PasswordHash, User};
//! use sterna_server::Server;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let hash: PasswordHash = "$argon2id$v=19$…".parse()?;
//! let alice = User { password: Some(hash), ..User::new("alice", "/srv/alice") };
//! let server = Server::builder()
//!     .listen("[::]:2022".parse()?)
//!     .state_dir("state")?
//!     .users(Directory::new([alice])?)
//!     .bind()?;
//! server.run(std::future::pending(), Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Anything that is a [`Backend`](sterna_storage::Backend) can be what a user sees. Here everybody gets
//! an empty tree in memory; `examples/own_storage.rs` serves a backend of its own:
//!
//! ```
//! use std::sync::Arc;
//! use sterna_server::{Server, sftp::SessionPolicy};
//! use sterna_storage::Memory;
//!
//! let builder = Server::builder()
//!     .storage(|user| Ok((Arc::new(Memory::new()), SessionPolicy::of_user(user))));
//! ```
//!
//! A connection is one task: `connection.rs` is the service above the SSH core, and
//! each channel has one [`sftp::SftpSession`], which owns its state alone. What may block goes to an
//! [`IoPool`] and comes back by a wake-up.

mod accept;
mod authenticate;
mod banner;
mod buffers;
mod builder;
mod channel;
mod command;
mod command_line;
mod connection;
pub mod defence;
mod digest_memory;
mod door;
mod flood;
#[cfg(test)]
mod fuzz;
mod handover;
mod host_keys;
mod io_pool;
mod jobs;
pub mod limits;
mod listener;
mod listening;
mod listening_socket;
mod login_delay;
mod machine;
mod memory_watch;
mod observe;
mod places;
mod proxy_header;
mod refuse;
mod results;
mod roots;
mod server_limits;
mod sessions;
pub mod sftp;
mod shutdown;
pub mod stdio;
mod wake;
mod world;

pub use authenticate::{Authenticator, StorageOf, Users};
pub use banner::Banner;
pub use buffers::{Buffer, BufferPool};
pub use builder::{BuildError, Builder};
pub use digest_memory::DigestMemory;
pub use door::{Door, Stream};
pub use handover::Handover;
pub use host_keys::{HostKeyError, HostKeyWhy, HostKeys};
pub use io_pool::IoPool;
pub use listener::Server;
pub use listening::{ListenAt, ListenerRules, listening_socket};
pub use machine::{cores, look_at_the_machine};
pub use observe::{Figures, Moving, SessionInfo};
pub use roots::Roots;
pub use server_limits::{LiveLimits, ServerLimits, share_of};
pub use sessions::Sessions;
pub use world::{ChangePassword, SystemWorld};
