//! The real binary in temporary folders: a server of its own, and every command against it.

mod config;
mod control;
mod exit_codes;
mod explain;
mod files;
mod live;
mod observe;
mod serve;
mod settings;
mod shell;
mod shortage;
mod support;
mod sync;
mod system_users;
mod transfer;
mod upgrade;
mod user;
mod user_login;
