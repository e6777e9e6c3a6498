//! Hooks as real processes and over real sockets of this machine.

mod identity_by_program;
mod identity_by_service;
mod keys_command;
mod questions;
mod support;
