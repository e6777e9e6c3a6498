//! Servers that lie, stall, refuse and break off: nothing lands outside of the target, nothing right is
//! lost, and what went wrong is said.

mod listings;
mod lost;
mod refusals;
mod sizes;
mod stage;
mod start;
mod sync;
