//! Protocol states from outside: a peer without rules ([`peer`]), all that it can say ([`alphabet`]), the side under test
//! with an application that keeps the books ([`subject`]), and a learner of the machine that it shows ([`learn`]).

pub mod alphabet;
pub mod learn;
pub mod peer;
pub mod subject;

pub use alphabet::{Symbol, find};
pub use learn::{Machine, fresh, learn, step};
pub use peer::{Keys, Peer, Spoil};
pub use subject::{Seen, Subject};
