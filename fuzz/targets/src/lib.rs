//! What is fuzzed: everything that reads bytes of a peer or of a file, one function each.
//!
//! libFuzzer drives them from `fuzz/fuzz_targets`; `tests/seeded.rs` gives each its corpus and seeded changes of it, with
//! all other tests.

pub mod audit_log;
pub mod authorized_keys;
pub mod certificates;
mod changes;
pub mod connection;
pub mod handshake;
pub mod key_files;
pub mod known_hosts;
pub mod manifests;
pub mod public_keys;
pub mod revoked_keys;
pub mod session;
pub mod sftp_client;
pub mod sftp_model;
pub mod sftp_server;
pub mod shosts;
pub mod ssh_config;
pub mod ssh_messages;
pub mod state_file;
pub mod typed_places;
pub mod wire_reader;
pub mod worker_messages;
