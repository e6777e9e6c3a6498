//! Asks programs and HTTP services about logins: who somebody is, which keys somebody has, and
//! questions for the person itself.
//!
//! Everything here blocks, up to the time-out of its hook, and belongs on threads that may. The one
//! thing a reader must not miss: whatever goes wrong with a question (no answer in time, an answer that
//! does not read, an exit status other than 0, a key in the answer that we do not know) is an error, and
//! an error lets nobody in.
//!
//! # How a hook is asked
//!
//! **A program** is named by an absolute path and its arguments; no shell reads them. It is refused if
//! anybody but root and the user of this server may write it or a directory on the way to it. It runs
//! in `/`, in a process group of its own that is killed when its time is over, with no environment
//! but `PATH`, `LANG` and what begins with `STERNA_` (without `STERNA_PASSWORD`). It reads one line of
//! JSON from standard input, writes one line to standard output and ends with exit status 0. What it
//! writes to standard error comes into the log, shortened: it should not write secrets there.
//!
//! **A service** gets the same JSON by `POST` and answers with status 200 and JSON. Redirects are not
//! followed and proxies not used. `https://` is needed unless the host is this machine or the settings
//! allow plain HTTP; its certificate must come from an authority of the system, or of the file that the
//! settings name instead. A bearer token comes from a file that only its owner may write and others may not
//! read.
//!
//! # External identity
//!
//! [`HookIdentity`] sends one line for one attempt:
//!
//! ```json
//! {"version":1,"user":"alice","method":"password","password":"…","source":"192.0.2.7","client_version":"SSH-2.0-OpenSSH_9.2"}
//! {"version":1,"user":"alice","method":"publickey","public_key":"ssh-ed25519 AAAA…","source":"192.0.2.7","client_version":"SSH-2.0-OpenSSH_9.2"}
//! ```
//!
//! | `method` | further keys |
//! |---|---|
//! | `password` | `password` |
//! | `publickey-query` | `public_key`, `certificate`: would this key do? Nothing is proven yet |
//! | `publickey` | `public_key`, `certificate`: the signature by this key was right |
//! | `hostbased` | `public_key`, `certificate`: of the client's host, whose signature was right; `client_host`, `client_user` |
//! | `keyboard-interactive`, `none` | |
//!
//! `public_key` has the form of `authorized_keys`. `certificate` is there if a certificate was offered, in
//! the form of `id_…-cert.pub`; `public_key` is then the key inside, and nobody has looked at the
//! certificate's authority, names or times yet. The answer is one of
//!
//! ```json
//! {"result":"deny"}
//! {"result":"allow","user":{"root":"/srv/alice"}}
//! {"result":"judge","user":{"root":"/srv/alice","authorized_keys":["ssh-ed25519 AAAA…"]}}
//! ```
//!
//! `allow`: what was offered is good. `judge`: this is the user, and what was offered is judged by this
//! record as if it stood in the settings. `user` has the keys of a `[[user]]` table; a `name` in it must be
//! the one that was asked about. `allow` is an error for methods that offer nothing.
//!
//! A positive answer is kept for [`Hook::cache`] and holds for the same user, method, credential and
//! source. Denials and failures are asked again.
//!
//! # Keys
//!
//! [`KeysCommand`] runs a program that prints lines of `authorized_keys`. A name that begins with `-` or
//! holds control characters is refused before it runs.
//!
//! # Questions for the person
//!
//! [`HookQuestioner`] drives keyboard-interactive. A program lives for the whole dialogue; lines go back and
//! forth, the first from us:
//!
//! ```json
//! {"version":1,"user":"alice","known":true,"source":"192.0.2.7","client_version":"SSH-2.0-OpenSSH_9.2"}
//! {"instruction":"Look at your token.","prompts":[{"text":"Code: ","echo":false}]}
//! {"answers":["123456"]}
//! {"result":"allow"}
//! ```
//!
//! `known` tells whether the settings have such a user: ask unknown ones the same questions. Behind its
//! result the program ends, with exit status 0. A service gets every message as a `POST` of its own, with
//! the keys of the first line, `dialogue` (a random text, the same in all rounds), `round` (1, 2, …) and,
//! from the second round on, `answers`; it forgets a dialogue that it hears no more of.
//!
//! Not here: what an answer means for a login (`sterna-identity`), reading the settings (`sterna`).

mod cache;
mod error;
mod gate;
mod hook;
mod http;
mod identity;
mod keys_command;
pub mod limits;
mod name;
mod process;
mod program;
mod questions;
mod runner;

pub use error::HookError;
pub use hook::{Hook, Transport};
pub use identity::{HookIdentity, MakeUser};
pub use keys_command::KeysCommand;
pub use questions::HookQuestioner;
pub use runner::{run_programs, run_programs_through};

/// The version of what is sent; the first key of every question.
const VERSION: u32 = 1;
