//! SFTP client library: connect, check the host key, log in, work with files, transfer them.
//!
//! ```no_run
//! use sterna_client::{Destination, Session, transfer::Transfer};
//!
//! # async fn run() -> Result<(), sterna_client::Error> {
//! let place = Destination::parse("alice@files.example.org:/reports")?;
//! let session = Session::builder(&place).connect().await?;
//! let sftp = session.sftp().await?;
//! for entry in sftp.list(place.path()).await? {
//!     println!("{}", sterna_client::display_name(&entry.name));
//! }
//! Transfer::new(&sftp).get(&[b"/reports/a.csv"], "a.csv".as_ref()).await?;
//! # Ok(()) }
//! ```
//!
//! What the pieces are:
//! - [`Destination`] and [`Place`]: what a person types; [`ssh_config`]: what `~/.ssh/config` says about it;
//! - [`Session`]: one authenticated SSH connection, a cloneable handle to the task that runs it;
//! - [`Sftp`]: one SFTP channel on it (or on any byte stream), cloneable, many requests in flight;
//! - [`transfer`]: files and trees, pipelined, resumable, verified; [`sync`]: one tree made equal to another;
//! - [`Prompt`]: the questions a person may be asked; [`Error::exit_code`]: how failures end a program.
//!
//! The server is treated as hostile: whatever names, links, sizes or replies it sends, nothing is
//! written outside the directory that the caller chose, and nothing grows without a bound
//! ([`limits`]). Remote paths and names are bytes, never assumed to be UTF-8.

mod auth;
mod connect;
mod destination;
mod display;
mod error;
mod host_key;
mod known_hosts;
pub mod limits;
mod prompt;
mod proxy;
mod reconnect;
mod session;
mod sftp;
pub mod ssh_config;
pub mod sync;
pub mod transfer;

pub use connect::SessionBuilder;
pub use destination::{Destination, Place};
pub use display::display_name;
pub use error::{Error, Refusal};
pub use host_key::StrictHostKeyChecking;
pub use prompt::{HostKeyQuestion, NoPrompt, Prompt};
pub use reconnect::{Connection, Connector, Reconnect};
pub use session::{ExecOutput, Session};
pub use sftp::{
    Attrs, BlockDigests, DataRanges, Dir, Entry, File, FileKind, FileReader, Limits, OpenOptions,
    ReadData, RenameOutcome, Sftp, SftpOptions, SpaceAvailable, StatVfs,
};
pub use zeroize::Zeroizing;
