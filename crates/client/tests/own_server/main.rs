//! The client against this workspace's own server: over SSH on loopback, and without SSH behind a relay
//! that makes faults.

mod allocations;
mod breaks;
mod counting;
mod delta;
mod faults;
mod login;
mod power_cut;
mod relay;
mod repair;
mod resume;
mod sides;
mod stage;
mod sync;
mod verify;
