//! Logging in: which methods, in which order, how often (AUT-8).
//!
//! The order is OpenSSH's: `none` to learn what the server takes, then public keys (agent, then
//! files), then the password. A step that succeeds only partly starts the round again with the
//! methods that are left. Everything is counted: no server can keep this going for ever.

mod agent;
mod keys;

use std::sync::Arc;

use sterna_ssh_proto::ClientAuth;
use zeroize::Zeroizing;

use crate::limits::AUTH_ATTEMPTS_MAX;
use crate::prompt::Prompt;
use crate::session::login::{Login, Turn};
use crate::ssh_config::HostSettings;
use crate::{Error, display_name};

use keys::{Identity, Signer};

/// What may be used to log in.
pub(crate) struct Credentials<'c> {
    pub(crate) settings: &'c HostSettings,
    /// From a file or the environment; tried once, before a person is asked.
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) prompt: &'c Arc<dyn Prompt>,
    /// False if the host key was let through although it is not trusted: then no secret is sent.
    pub(crate) host_is_trusted: bool,
}

/// Logs in, or says what was tried.
///
/// # Errors
/// [`Error::Auth`] when everything has been refused; [`Error::Connect`] if the connection ends.
pub(crate) async fn log_in(login: &mut Login, credentials: &Credentials<'_>) -> Result<(), Error> {
    let mut round = Round::new(login, credentials);
    // The first turn comes before any attempt and knows no methods.
    let mut turn = round.login.next_turn().await?;
    if let Turn::Refused { can_continue, .. } = &turn
        && can_continue.is_empty()
    {
        turn = round.attempt("none", ClientAuth::None).await?;
    }
    loop {
        let Turn::Refused { can_continue, .. } = turn else { return Ok(()) };
        turn = match round.run(&can_continue).await? {
            Progress::LoggedIn => return Ok(()),
            // Partial success: go on with the methods that are left, everything fresh (AUT-8).
            Progress::Partly(methods) => Turn::Refused { can_continue: methods, partial: true },
            Progress::Nothing => return Err(round.refused(&can_continue)),
        };
    }
}

enum Progress {
    LoggedIn,
    Partly(Vec<String>),
    Nothing,
}

struct Round<'r> {
    login: &'r mut Login,
    credentials: &'r Credentials<'r>,
    attempts: usize,
    passwords_asked: u32,
    given_password_used: bool,
    /// What was tried, for the message at the end.
    tried: Vec<String>,
    identities: Option<Vec<Identity>>,
    /// Keys that were already good for one step: not good for a second (AUT-5).
    spent: Vec<Vec<u8>>,
}

impl<'r> Round<'r> {
    fn new(login: &'r mut Login, credentials: &'r Credentials<'r>) -> Self {
        Self {
            login,
            credentials,
            attempts: 0,
            passwords_asked: 0,
            given_password_used: false,
            tried: Vec::new(),
            identities: None,
            spent: Vec::new(),
        }
    }

    async fn run(&mut self, can_continue: &[String]) -> Result<Progress, Error> {
        let settings = self.credentials.settings;
        for method in &settings.preferred_authentications {
            if !can_continue.iter().any(|m| m == method) {
                continue;
            }
            let progress = match method.as_str() {
                "publickey" if settings.pubkey_authentication.is_on() => self.public_keys().await?,
                "password" if settings.password_authentication => self.password().await?,
                _ => Progress::Nothing,
            };
            if !matches!(progress, Progress::Nothing) {
                return Ok(progress);
            }
        }
        Ok(Progress::Nothing)
    }

    async fn attempt(&mut self, what: &str, auth: ClientAuth) -> Result<Turn, Error> {
        self.attempts += 1;
        if self.attempts > AUTH_ATTEMPTS_MAX {
            return Err(self.error(format!("gave up after {AUTH_ATTEMPTS_MAX} attempts")));
        }
        // "none" only asks what there is.
        if what != "none" && !self.tried.iter().any(|t| t == what) {
            self.tried.push(what.to_owned());
        }
        self.login.try_auth(auth).await
    }

    async fn public_keys(&mut self) -> Result<Progress, Error> {
        let identities = match self.identities.take() {
            Some(identities) => identities,
            None => keys::collect(self.credentials.settings, self.credentials.prompt).await,
        };
        let mut result = Progress::Nothing;
        for identity in &identities {
            if self.spent.contains(&identity.blob) {
                continue;
            }
            match self.public_key(identity).await? {
                Progress::Nothing => {}
                progress => {
                    self.spent.push(identity.blob.clone());
                    result = progress;
                    break;
                }
            }
        }
        self.identities = Some(identities);
        Ok(result)
    }

    /// Asks whether the key would do, and only then signs: a passphrase or a touch is not wasted.
    async fn public_key(&mut self, identity: &Identity) -> Result<Progress, Error> {
        let accepted = self.login.server_signature_algorithms().await?;
        let Some(algorithm) = keys::algorithm_for(identity, &accepted, self.credentials.settings)
        else {
            return Ok(Progress::Nothing);
        };
        let blob = &identity.blob;
        let query =
            ClientAuth::PublicKeyQuery { algorithm: algorithm.clone(), key_blob: blob.clone() };
        match self.attempt(&identity.label, query).await? {
            Turn::KeyAccepted { algorithm: theirs, key_blob }
                if theirs == algorithm && key_blob == *blob => {}
            // An acceptance of something else is not an acceptance (PUB-1).
            Turn::KeyAccepted { .. } => {
                return Err(self.error("the server accepted a key that was not offered".into()));
            }
            turn => return Ok(progress_of(turn)),
        }
        let message = self.login.signed_bytes(&algorithm, blob).await?;
        let signature = match &identity.signer {
            Signer::File(file) => {
                keys::sign_with_file(file, self.credentials, &algorithm, message).await
            }
            Signer::Key(key) => key.sign(&algorithm, &message).map_err(|e| e.to_string()),
            Signer::Agent(agent) => agent.sign(blob, &algorithm, &message).await,
        };
        let signature = match signature {
            Ok(signature) => signature,
            Err(why) => {
                self.credentials.prompt.inform(&format!(
                    "{}: {}",
                    identity.label,
                    display_name(why.as_bytes())
                ));
                return Ok(Progress::Nothing);
            }
        };
        let auth = ClientAuth::PublicKey { algorithm, key_blob: blob.clone(), signature };
        self.attempt(&identity.label, auth).await.map(progress_of)
    }

    async fn password(&mut self) -> Result<Progress, Error> {
        if !self.credentials.host_is_trusted {
            self.credentials.prompt.inform("no password is sent: the host key is not trusted");
            return Ok(Progress::Nothing);
        }
        loop {
            let Some(password) = self.next_password().await? else { return Ok(Progress::Nothing) };
            let password = Zeroizing::new(password.as_bytes().to_vec());
            match progress_of(self.attempt("password", ClientAuth::Password { password }).await?) {
                Progress::Nothing => {}
                progress => return Ok(progress),
            }
        }
    }

    async fn next_password(&mut self) -> Result<Option<Zeroizing<String>>, Error> {
        if let Some(password) =
            self.credentials.password.clone().filter(|_| !self.given_password_used)
        {
            self.given_password_used = true;
            return Ok(Some(password));
        }
        let settings = self.credentials.settings;
        let may_ask = !settings.batch_mode && self.credentials.password.is_none();
        if !may_ask || self.passwords_asked >= settings.password_prompts {
            return Ok(None);
        }
        self.passwords_asked += 1;
        let (prompt, attempt) = (self.credentials.prompt.clone(), self.passwords_asked);
        let (user, host) = (settings.user.clone(), settings.host.clone());
        tokio::task::spawn_blocking(move || prompt.password(&user, &host, attempt))
            .await
            .map_err(|_| self.error("the question for a password failed".into()))
    }

    fn refused(&self, can_continue: &[String]) -> Error {
        let listed = |names: &[String]| match names {
            [] => "nothing".to_owned(),
            names => {
                names.iter().map(|n| display_name(n.as_bytes())).collect::<Vec<_>>().join(", ")
            }
        };
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
