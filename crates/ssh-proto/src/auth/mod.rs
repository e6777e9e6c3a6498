//! Authentication (RFC 4252): the server's bookkeeping of attempts, the client's of its questions.
//!
//! Who may come in is not decided here: the server side asks the application, the client side is
//! told what to try. Another method finds its place in `messages/auth.rs` and in the two halves.

mod client;
mod server;

pub(crate) use client::{AuthClient, ClientOutcome};
pub(crate) use server::{Against, AuthServer, ServerOutcome};
