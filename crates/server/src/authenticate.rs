//! The core's login questions to `identity` and back: judged on threads of their own, since a
//! password hash takes long on purpose.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use sterna_identity::{
    Attempt, Credential, Decision, Directory, Method, Progress, Reason, User, authenticate,
};
use sterna_sftp_proto::messages::Symlink;
use sterna_ssh_crypto::OfferedKey;
use sterna_ssh_proto::{AuthAnswer, AuthMethod, AuthRequest, SignatureCheck};
use sterna_storage::Backend;

use crate::sftp::SessionPolicy;

/// Where a user's files are and what is allowed there. Called once per login, where blocking does
/// no harm.
pub type StorageOf =
    dyn Fn(&User) -> Result<(Arc<dyn Backend>, SessionPolicy), sterna_storage::Error> + Send + Sync;

/// Judges login attempts. [`Users`] is the usual one; an application may bring its own.
pub trait Authenticator: Send + Sync + 'static {
    /// Judges one attempt. May block.
    fn authenticate(&self, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision;
}

/// The users of a [`Directory`] that can be replaced while the server runs.
pub struct Users(RwLock<Arc<Directory>>);

impl Users {
    pub fn new(directory: Directory) -> Self {
        Self(RwLock::new(Arc::new(directory)))
    }

    /// From now on these users and no others. Sessions go on.
    pub fn replace(&self, directory: Directory) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }

    /// The users of this moment.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Authenticator for Users {
    fn authenticate(&self, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision {
        authenticate(&self.directory(), progress, attempt)
    }
}

impl<A: Authenticator> Authenticator for Arc<A> {
    fn authenticate(&self, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision {
        (**self).authenticate(progress, attempt)
    }
}

/// Who logged in, with what the session needs.
pub(crate) struct Login {
    pub(crate) user: Arc<User>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) policy: SessionPolicy,
}

/// One attempt on its way through the pool.
pub(crate) struct Judgement {
    pub(crate) progress: Progress,
    pub(crate) answer: AuthAnswer,
    pub(crate) login: Option<Login>,
}

/// Judges `request`, logs the outcome, and opens the user's storage after the last step.
pub(crate) fn judge(
    authenticator: &dyn Authenticator,
    storage_of: &StorageOf,
    mut progress: Progress,
    request: &AuthRequest,
    source: SocketAddr,
    client_version: &[u8],
) -> Judgement {
    let credential = match &request.method {
        AuthMethod::None => Credential::None,
        AuthMethod::Password { password } => Credential::Password(password),
        AuthMethod::PublicKeyQuery { key: OfferedKey::Plain(key), .. } => {
            Credential::PublicKeyQuery(key)
        }
        AuthMethod::PublicKey { key: OfferedKey::Plain(key), signature, .. } => {
            let touched = match signature {
                SignatureCheck::Invalid => false,
                SignatureCheck::Valid => true,
                SignatureCheck::ValidByToken(token) => token.touched,
            };
            Credential::PublicKey { key, signature_valid: touched }
        }
        // Changing passwords is not offered; the old one must not count as a login.
        AuthMethod::PasswordChange { .. } => Credential::Other(b"password change"),
        AuthMethod::Other { name } => Credential::Other(name.as_bytes()),
        _ => Credential::Other(b"unknown"),
    };
    let attempt = Attempt { user: &request.user, credential, source: source.ip(), client_version };
    let decision = authenticator.authenticate(&mut progress, &attempt);

    let user = request.user.escape_ascii();
    let (answer, login) = match decision {
        Decision::Accept(account) => match storage_of(&account) {
            Ok((backend, mut policy)) => {
                policy.draft_symlinks |= Symlink::is_in_draft_order_for(client_version);
                let version = client_version.escape_ascii();
                tracing::info!(%user, %source, client = %version, ?credential, "logged in");
                (AuthAnswer::Accept, Some(Login { user: account, backend, policy }))
            }
            Err(error) => {
                tracing::error!(%user, %source, %error, "login refused: no storage");
                (AuthAnswer::Reject { methods: Vec::new() }, None)
            }
        },
        Decision::KeyOk => (AuthAnswer::PublicKeyOk, None),
        Decision::Continue { methods } => (AuthAnswer::Partial { methods: names(&methods) }, None),
        Decision::Reject { reason, methods } => {
            // Every client asks with nothing first.
            if reason != Reason::NothingOffered {
                tracing::info!(%user, %source, ?credential, %reason, "login refused");
            }
            (AuthAnswer::Reject { methods: names(&methods) }, None)
        }
    };
    Judgement { progress, answer, login }
}

fn names(methods: &[Method]) -> Vec<String> {
    methods.iter().map(|method| method.name().to_owned()).collect()
}
