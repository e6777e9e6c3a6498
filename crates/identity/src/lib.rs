//! Who may log in, and by what: users, their secrets, and the decision over one login attempt.
//!
//! An [`Attempt`] is plain data and [`authenticate`] a function from it to a [`Decision`]: nothing
//! here knows messages, sockets or time, so every login rule can be tested as a table. The one thing
//! a reader must not miss: whoever asks from outside learns nothing from a refusal, neither by its
//! content nor by its cost; the reason is for the log only.
//!
//! Not here: checking signatures (`ssh-crypto`), messages (`ssh-proto`), settings files (`sterna`).

mod attempt;
mod authenticate;
pub mod limits;
mod method;
mod password;
mod recovery;
mod totp;
mod user;
mod users;

pub use attempt::{Attempt, Credential};
pub use authenticate::{Decision, Progress, Reason, authenticate};
pub use method::{Chain, ChainError, Method};
pub use password::{PasswordError, PasswordHash};
pub use sterna_ssh_files::{
    AuthorizedKey, KeyOptions, LineError, RefusedLine, parse_authorized_keys,
};
pub use recovery::{RecoveryCode, RecoveryHash, RecoveryHashError};
pub use totp::{TOTP_STEP_S, TotpError, TotpSecret};
pub use user::User;
pub use users::{Directory, DirectoryError, UserError};
