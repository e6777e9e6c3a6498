//! SFTP servers that do what a test says, over any byte stream: an in-memory pipe or stdio.
//!
//! - [`Script`]: played by hand, request by request;
//! - [`OddServer`]: honest over a small [`Tree`] in memory, except where a rule says otherwise:
//!   `server.on(Request::named("read").from(3), Odd::Cut)`.

mod answer;
mod odd;
mod rule;
mod script;
mod tree;

pub use answer::{Answer, Named};
pub use odd::OddServer;
pub use rule::{Odd, Request};
pub use script::Script;
pub use tree::{Node, Tree};
