//! Logging in: which methods, in which order, how often (AUT-8).
//!
//! The order is OpenSSH's: `none` to learn what the server takes, then the methods of
//! `PreferredAuthentications` that the server takes too. Where the first of these could only be one
//! key that was named for this server, that key is the first attempt and saves a round trip. A step
//! that succeeds only partly starts the round again with the methods that are left. Everything is
//! counted: no server can keep this going for ever.
//!
//! One file a method: `public_key` (with `keys`, `key_file` and `agent` for what is offered and who
//! signs), `password`, `keyboard`, `host_based` (with `keysign` and `local_name`). `remember` hands a
//! key that was used to the agent.

mod agent;
mod host_based;
mod key_file;
mod keyboard;
mod keys;
mod keysign;
mod local_name;
mod password;
mod public_key;
mod remember;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock};

use sterna_ssh_crypto::{PublicKey, names};
use sterna_ssh_proto::ClientAuth;
use zeroize::Zeroizing;

use crate::limits::AUTH_ATTEMPTS_MAX;
use crate::prompt::Prompt;
use crate::session::login::{Login, Turn};
use crate::ssh_config::{AlgorithmChange, HostSettings};
use crate::{Error, display_name};

pub(crate) use keyboard::asks_for_password;

use agent::Agent;
use keys::Identity;
pub(crate) use keys::KeyFiles;
use remember::UsedKey;

/// What may be used to log in.
pub(crate) struct Credentials<'c> {
    pub(crate) settings: &'c HostSettings,
    /// From a file or the environment; each method may try it once, before a person is asked.
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) prompt: &'c Arc<dyn Prompt>,
    /// False if the host key was let through although it is not trusted: then no secret is sent.
    pub(crate) host_is_trusted: bool,
    /// The connection's socket, for host-based logins: its address tells this machine's name. None if
    /// the connection goes through a command or another server.
    pub(crate) socket: Option<OwnedFd>,
}

/// Logs in, or says what was tried. `files` is what the files of the settings hold.
///
/// # Errors
/// [`Error::Auth`] when everything has been refused; [`Error::Connect`] if the connection ends.
pub(crate) async fn log_in(
    login: &mut Login,
    credentials: &Credentials<'_>,
    files: KeyFiles,
) -> Result<(), Error> {
    let mut round = Round::new(login, credentials, files)?;
    // The first turn comes before any attempt and knows no methods.
    let mut turn = round.login.next_turn().await?;
    if let Turn::Refused { can_continue, .. } = &turn
        && can_continue.is_empty()
    {
        turn = match round.key_at_once().await? {
            Some(turn) => turn,
            None => round.attempt("none", ClientAuth::None).await?,
        };
    }
    while let Turn::Refused { can_continue, .. } = turn {
        turn = match round.run(&can_continue).await? {
            Progress::LoggedIn => Turn::LoggedIn,
            // Partial success: go on with the methods that are left, everything fresh (AUT-8).
            Progress::Partly(methods) => {
                round.refused_at_once = None;
                Turn::Refused { can_continue: methods, partial: true }
            }
            Progress::Nothing => return Err(round.refused(&can_continue)),
        };
    }
    round.remember_key().await;
    Ok(())
}

enum Progress {
    LoggedIn,
    Partly(Vec<String>),
    Nothing,
}

/// One login, from the first attempt to the last.
struct Round<'r> {
    login: &'r mut Login,
    credentials: &'r Credentials<'r>,
    attempts: usize,
    /// Times a person was asked for a password since the last step that succeeded.
    passwords_asked: u32,
    given_password_used: bool,
    given_answer_used: bool,
    keys_offered: usize,
    /// What was tried, for the message at the end.
    tried: Vec<String>,
    /// Algorithms that our keys may be used with, the preferred one first.
    key_algorithms: Cow<'static, [String]>,
    /// What is not among `identities` yet.
    files: KeyFiles,
    identities: Option<Vec<Identity>>,
    agent: Option<Arc<Agent>>,
    /// Keys that were already good for one step: not good for a second (AUT-5).
    spent: Vec<PublicKey>,
    /// The key that was tried before anything else, and refused: it is not shown again before another
    /// step has succeeded.
    refused_at_once: Option<PublicKey>,
    /// A key from a file that was good for a step.
    used_key: Option<UsedKey>,
}

impl<'r> Round<'r> {
    fn new(
        login: &'r mut Login,
        credentials: &'r Credentials<'r>,
        files: KeyFiles,
    ) -> Result<Self, Error> {
        Ok(Self {
            login,
            credentials,
            attempts: 0,
            passwords_asked: 0,
            given_password_used: false,
            given_answer_used: false,
            keys_offered: 0,
            tried: Vec::new(),
            key_algorithms: accepted_algorithms(
                "PubkeyAcceptedAlgorithms",
                credentials.settings.pubkey_algorithms.as_ref(),
            )?,
            files,
            identities: None,
            agent: None,
            spent: Vec::new(),
            refused_at_once: None,
            used_key: None,
        })
    }

    async fn run(&mut self, can_continue: &[String]) -> Result<Progress, Error> {
        let settings = self.credentials.settings;
        self.passwords_asked = 0;
        for method in &settings.preferred_authentications {
            if !can_continue.iter().any(|m| m == method) {
                continue;
            }
            let progress = match method.as_str() {
                "hostbased" if settings.hostbased_authentication => self.host_based().await?,
                "publickey" if settings.pubkey_authentication.is_on() => self.public_keys().await?,
                "keyboard-interactive" if settings.kbd_interactive_authentication => {
                    self.keyboard_interactive().await?
                }
                "password" if settings.password_authentication => self.password().await?,
                _ => Progress::Nothing,
            };
            if !matches!(progress, Progress::Nothing) {
                return Ok(progress);
            }
        }
        Ok(Progress::Nothing)
    }

    /// Makes one attempt; `what` names it for people.
    async fn attempt(&mut self, what: &str, auth: ClientAuth) -> Result<Turn, Error> {
        self.attempts += 1;
        if self.attempts > AUTH_ATTEMPTS_MAX {
            return Err(self.error(format!("gave up after {AUTH_ATTEMPTS_MAX} attempts")));
        }
        // "none" only asks what there is.
        if what != "none" && !self.tried.iter().any(|t| t == what) {
            self.tried.push(what.to_owned());
        }
        self.go_on(auth).await
    }

    /// Sends what continues an attempt.
    async fn go_on(&mut self, auth: ClientAuth) -> Result<Turn, Error> {
        let turn = self.login.try_auth(auth).await;
        turn.map_err(|error| self.thrown_out(error))
    }

    /// A server that ends the connection after too many attempts has refused us: that is no fault of
    /// the link.
    fn thrown_out(&self, error: Error) -> Error {
        let Error::Connect { why, .. } = &error else { return error };
        if !self.login.was_thrown_out() {
            return error;
        }
        let hint = match self.keys_offered {
            0 | 1 => String::new(),
            n => format!(
                " after {n} keys were offered; name the right one with -i and -o IdentitiesOnly=yes"
            ),
        };
        self.error(format!("{why}{hint}; tried {}", listed(&self.tried)))
    }

    /// Asks a person one question; nobody in batch mode.
    async fn ask(&self, text: String, echo: bool) -> Result<Option<Zeroizing<String>>, Error> {
        if self.credentials.settings.batch_mode {
            return Ok(None);
        }
        self.with_prompt(move |prompt| prompt.question(&text, echo)).await
    }

    /// Runs what may wait for a person on a thread that may wait.
    async fn with_prompt<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Prompt) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let prompt = self.credentials.prompt.clone();
        tokio::task::spawn_blocking(move || work(prompt.as_ref()))
            .await
            .map_err(|_| self.error("a question to a person failed".into()))
    }

    /// `user@host` for questions.
    fn place(&self) -> String {
        let settings = self.credentials.settings;
        format!("{}@{}", settings.user, settings.host)
    }

    fn inform(&self, text: &str) {
        self.credentials.prompt.inform(text);
    }

    fn refused(&self, can_continue: &[String]) -> Error {
        self.error(format!(
            "refused; tried {}; the server takes {}",
            listed(&self.tried),
            listed(can_continue)
        ))
    }

    fn error(&self, why: String) -> Error {
        let settings = self.credentials.settings;
        Error::Auth { user: settings.user.clone(), host: settings.host.clone(), why }
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.iter().map(|n| display_name(n.as_bytes())).collect::<Vec<_>>().join(", "),
    }
}

/// The algorithms that a setting leaves of those that we have for keys of users and hosts.
///
/// # Errors
/// [`Error::Usage`] if it leaves none.
fn accepted_algorithms(
    keyword: &str,
    change: Option<&AlgorithmChange>,
) -> Result<Cow<'static, [String]>, Error> {
    static ALL: LazyLock<Vec<String>> =
        LazyLock::new(|| names::USER_KEY_DEFAULT.iter().map(|a| (*a).to_owned()).collect());
    match change {
        // A name that we do not know fits none of our keys.
        Some(change) => change.apply(keyword, &ALL, |_| true).map(Cow::Owned),
        None => Ok(Cow::Borrowed(&ALL)),
    }
}

fn progress_of(turn: Turn) -> Progress {
    match turn {
        Turn::LoggedIn => Progress::LoggedIn,
        Turn::Refused { can_continue, partial: true } => Progress::Partly(can_continue),
        Turn::Refused { partial: false, .. }
        | Turn::KeyAccepted { .. }
        | Turn::Prompted(_)
        | Turn::PasswordExpired(_) => Progress::Nothing,
    }
}
