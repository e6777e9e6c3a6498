//! Drives the sans-IO SSH core: the only place where it meets sockets, timers and tasks.
//!
//! One task owns one connection: [`Driver`] reads, lets the core open packets in place, hands each
//! event to a [`Service`], and writes what both produced. The service runs inside that task; it never
//! blocks and never awaits, so no file byte crosses a task on its way.

mod clock;
mod driver;
mod service;
mod socket;
mod spare;
mod turns;

pub use clock::now;
pub use driver::{DriveError, Driver, End};
pub use service::{Link, Service};
pub use socket::prepare_socket;
pub use turns::Turns;
