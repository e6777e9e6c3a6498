//! What runs above one connection, and what it may touch.

use std::task::Context;
use std::time::Instant;

use sterna_ssh_proto::{Connection, Error, Event, OutputBuffer};

/// The connection and its output, lent to a [`Service`] for one call.
pub struct Link<'l> {
    pub connection: &'l mut Connection,
    pub output: &'l mut OutputBuffer,
    pub now: Instant,
}

/// What runs above one connection, inside its task. It never blocks and never awaits: work that
/// takes time goes to other threads, and their results come back through [`Service::poll`].
pub trait Service {
    /// One event of the core.
    ///
    /// # Errors
    /// What the core's answering methods return; the connection then ends with that error.
    fn handle_event(&mut self, event: Event<'_>, link: &mut Link<'_>) -> Result<(), Error>;

    /// Called on every wake-up, after the events and again whenever the socket took something: takes
    /// completions and commands, writes what can be written, registers `cx` for what is awaited.
    ///
    /// # Errors
    /// As [`handle_event`](Self::handle_event).
    fn poll(&mut self, cx: &mut Context<'_>, link: &mut Link<'_>) -> Result<(), Error>;

    /// The connection has been idle for a while: memory that is remade when it is needed may go.
    fn release(&mut self) {}

    /// True once for something that the service will say the next time the task runs: what is to be
    /// sent waits for it, and leaves in the same write. Asked after each [`poll`](Self::poll).
    fn answers_soon(&mut self) -> bool {
        false
    }

    /// False holds back all further input of the connection. Channels have their windows for that;
    /// this is for a service that is not ready at all.
    fn wants_input(&self) -> bool {
        true
    }
}
