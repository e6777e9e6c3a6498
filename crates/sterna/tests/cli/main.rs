//! The real binary in temporary folders: a server of its own, and every command against it.

mod exit_codes;
mod files;
mod serve;
mod settings;
mod shell;
mod support;
mod transfer;
mod user;
mod user_login;
