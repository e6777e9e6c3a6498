//! One file for each command: its options, its help, and what it does.

pub mod cat;
pub mod chmod;
pub mod config;
pub mod cp;
pub mod df;
pub mod explain;
pub mod get;
pub mod hash_password;
pub mod ln;
pub mod ls;
pub mod mkdir;
pub mod mv;
pub mod penalties;
pub mod put;
pub mod reload;
pub mod rm;
pub mod rmdir;
pub mod serve;
mod server_place;
pub mod sftp;
pub mod sftp_server;
pub mod stat;
pub mod sum;
pub mod sync;
pub mod upgrade;
pub mod user;
pub mod verify;
