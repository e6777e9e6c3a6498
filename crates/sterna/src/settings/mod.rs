//! The settings file of `serve --config`: read and judged as a whole, so that a start or a reload
//! applies all of it or nothing. Every mistake is named with file, line, key and reason.

mod check;
mod diff;
mod effective;
mod files;
mod location;
mod machine;
mod places;
mod schema;
mod source;

pub use check::{
    AuditSettings, Confinement, KEEP_UNFINISHED_DEFAULT, Legacy, SandboxMode, Settings, USERS_MAX,
    audit_state_in, authorized_keys_of, limits_default, listen_default, load, load_from,
    parse_listen,
};
pub use diff::{Change, NEEDS_RESTART, between};
pub use effective::Effective;
pub use files::Files;
pub use location::{file_or_default, named_file, state_dir_of};
pub use machine::raise_descriptors;
pub use places::Places;
pub use source::{SettingsError, Source};
