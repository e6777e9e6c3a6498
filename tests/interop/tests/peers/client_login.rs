//! Our client logs in at real servers by every method it has, and is refused beside each.

mod agent;
mod attempt;
mod certificates;
mod chains;
mod host_based;
mod key_files;
mod pam;
mod questions;
mod security_keys;
