//! The client against this workspace's own server, over SSH on loopback.

mod login;
mod resume;
mod stage;
mod verify;
