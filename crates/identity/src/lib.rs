//! Who may log in, and by what: users, their secrets, and the decision over one login attempt.
//!
//! An [`Attempt`] is plain data and [`authenticate`] a function from it to a [`Decision`]: nothing
//! here knows messages or sockets, time comes with the attempt, and what is needed from outside is a
//! [`World`], so every login rule can be tested as a table. The one thing a reader must not miss:
//! whoever asks from outside learns nothing from a refusal, neither by its content nor by its cost;
//! the reason is for the log only.
//!
//! Not here: checking signatures (`ssh-crypto`), the formats of OpenSSH's files (`ssh-files`), messages
//! (`ssh-proto`), settings files (`sterna`).

mod attempt;
mod authenticate;
mod certificate;
pub mod hook;
mod host_based;
mod hours;
mod keyboard;
pub mod limits;
mod method;
mod password;
mod password_step;
mod policy;
mod progress;
mod public_key;
mod reason;
mod recovery;
mod restrictions;
mod rules;
mod totp;
mod trace;
mod user;
mod users;
mod world;

pub use attempt::{Attempt, Credential, HostClaim, Signature};
pub use authenticate::{Decision, Login, authenticate};
pub use hook::Prompts;
pub use hours::{Hours, HoursError};
pub use method::{Chain, ChainError, Method};
pub use password::{PasswordError, PasswordHash};
pub use progress::{Progress, Proof};
pub use reason::{Reason, Refusal};
pub use recovery::{RecoveryCode, RecoveryHash, RecoveryHashError};
pub use restrictions::{CommandRefused, Restrictions};
pub use rules::{Authority, HostBasedRules, LoginRules, Revoked};
pub use sterna_ssh_files::{
    AuthorizedKey, KeyOptions, LineError, Place, RefusedLine, parse_authorized_keys,
};
pub use totp::{TOTP_STEP_S, TotpError, TotpSecret};
pub use trace::{Finding, Trace};
pub use user::{FolderRules, HostUser, Publish, SystemAccount, User, UserKey};
pub use users::{Directory, DirectoryError, UserError};
pub use world::{EmptyWorld, World};
