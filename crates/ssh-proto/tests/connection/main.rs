//! Whole connections in memory: what peers may do, and what none may.

mod channels;
mod closing;
mod ended;
mod flood;
mod global;
mod handshake;
mod hostile_auth;
mod hostile_exchange;
mod hostile_methods;
mod rekey;
mod states;
mod support;
mod windows;
