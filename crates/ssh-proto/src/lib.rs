//! The SSH-2 core, sans-IO, for both sides (RFC 4250-4254 and OpenSSH's extensions).
//!
//! It knows no sockets, no clock, no users and holds no private key. Bytes come in through an
//! [`InputBuffer`], sealed bytes go out through an [`OutputBuffer`], time is an argument, and
//! whatever needs a decision is *asked* by an [`Event`] and answered by value:
//!
//! ```text
//! loop {
//!     while let Some(event) = connection.poll_event(now, &mut input, &mut output)? {
//!         // act: answer questions, take data, send data
//!     }
//!     // write output.pending() to the socket; read into input.space(); sleep until next_timeout()
//! }
//! ```
//!
//! A packet's way in: `packet/reader.rs` (length, open in place, padding) → `phase.rs` (may this
//! number come now?) → `connection/` (route) → `kex/`, `auth/`, `channel/` → an event. Its way out:
//! a mutator of [`Connection`] → `packet/writer.rs` (lay out, pad, seal in place).

mod auth;
mod channel;
mod config;
mod connection;
mod error;
mod event;
mod ident;
mod kex;
pub mod limits;
pub mod messages;
mod packet;
mod phase;
mod refusal;
#[cfg(test)]
mod vectors;

pub use channel::WindowBudget;
pub use config::{Algorithms, ClientConfig, Common, ServerConfig};
pub use connection::Connection;
pub use error::{Deadline, Error, PeerError, Reason};
pub use event::{
    AuthAnswer, AuthMethod, AuthRequest, ChannelId, ChannelRequest, ClientAuth, Event,
    HostKeyQuestion, Prompt, Prompts, SessionBinding, SignRequest, SignatureCheck,
};
pub use packet::{InputBuffer, OutputBuffer};
pub use refusal::encode_refusal;

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}
