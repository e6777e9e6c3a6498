//! The settings file of `serve --config`: read and judged as a whole, so that a start or a reload
//! applies all of it or nothing. Every mistake is named with file, line, key and reason.

mod check;
pub mod effective;
mod files;
mod location;
mod schema;
mod source;

pub use check::{
    Legacy, Settings, USERS_MAX, authorized_keys_of, listen_default, load, load_from, parse_listen,
};
pub use files::Files;
pub use location::{file_or_default, named_file, state_dir_of};
pub use source::{SettingsError, Source};
