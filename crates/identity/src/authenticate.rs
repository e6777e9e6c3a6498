//! The decision over one login attempt: users, what was proven so far, an attempt in; a verdict out.
//!
//! Steps of a chain are proven in its order. What was proven belongs to one user name: with another
//! name everything starts anew (RFC 4252 §5).

use std::fmt;
use std::sync::Arc;

use sterna_ssh_crypto::PublicKey;

use crate::limits::PASSWORD_LEN_MAX;
use crate::{Attempt, AuthorizedKey, Chain, Credential, Directory, KeyOptions, Method, User};

/// What one connection has proven so far. Starts empty, ends with the connection.
#[derive(Debug, Default)]
pub struct Progress {
    user: Vec<u8>,
    done: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Password,
    PublicKey(PublicKey),
}

impl Step {
    fn method(&self) -> Method {
        match self {
            Self::Password => Method::Password,
            Self::PublicKey(_) => Method::PublicKey,
        }
    }
}

/// The verdict.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Logged in.
    Accept(Arc<User>),
    /// The key of a query would do: the peer may sign with it.
    KeyOk,
    /// One step was proven and there are more: "partial success" with what may come next.
    Continue { methods: Vec<Method> },
    /// No. `reason` is for the log; outside every refusal looks the same.
    Reject { reason: Reason, methods: Vec<Method> },
}

/// Why an attempt was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    UnknownUser,
    UserDisabled,
    /// Nothing was offered; how clients ask for the methods.
    NothingOffered,
    /// Not a method of ours.
    UnknownMethod,
    /// Not what the user's chains want now.
    MethodNotNext,
    PasswordTooLong,
    WrongPassword,
    KeyNotAuthorized,
    BadSignature,
    /// The key has already proven an earlier step.
    KeyAlreadyUsed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownUser => "unknown user",
            Self::UserDisabled => "user is disabled",
            Self::NothingOffered => "nothing offered",
            Self::UnknownMethod => "method is not supported",
            Self::MethodNotNext => "method is not wanted now",
            Self::PasswordTooLong => "password is too long",
            Self::WrongPassword => "wrong password",
            Self::KeyNotAuthorized => "key is not authorized",
            Self::BadSignature => "signature does not verify",
            Self::KeyAlreadyUsed => "key was already used for an earlier step",
        })
    }
}

/// Judges `attempt` and notes in `progress` what it proved.
///
/// For a password this takes as long as its hash wants, also for names that are not there: call it
/// where that is no harm.
pub fn authenticate(
    directory: &Directory,
    progress: &mut Progress,
    attempt: &Attempt<'_>,
) -> Decision {
    if progress.user != attempt.user {
        *progress = Progress { user: attempt.user.to_vec(), done: Vec::new() };
    }
    match judge(directory, progress, attempt) {
        Ok(Verdict::KeyOk) => Decision::KeyOk,
        Ok(Verdict::Proven(user, step)) => {
            progress.done.push(step);
            let chains = user.chains();
            match next_methods(&chains, &progress.done) {
                None => Decision::Accept(user),
                Some(methods) => Decision::Continue { methods },
            }
        }
        Err(reason) => Decision::Reject { reason, methods: offered(directory, progress) },
    }
}

enum Verdict {
    KeyOk,
    Proven(Arc<User>, Step),
}

fn judge(
    directory: &Directory,
    progress: &Progress,
    attempt: &Attempt<'_>,
) -> Result<Verdict, Reason> {
    // The expensive check comes first, for everybody: nothing before it may depend on the user.
    let password_right = match attempt.credential {
        Credential::Password(password) if password.len() > PASSWORD_LEN_MAX => {
            return Err(Reason::PasswordTooLong);
        }
        Credential::Password(password) => directory.verify_password(attempt.user, password),
        _ => false,
    };
    let method = match attempt.credential {
        Credential::None => return Err(Reason::NothingOffered),
        Credential::Other(_) => return Err(Reason::UnknownMethod),
        Credential::Password(_) => Method::Password,
        Credential::PublicKeyQuery(_) | Credential::PublicKey { .. } => Method::PublicKey,
    };
    let user = directory.user(attempt.user).ok_or(Reason::UnknownUser)?;
    if !user.enabled {
        return Err(Reason::UserDisabled);
    }
    let wanted = next_methods(&user.chains(), &progress.done).unwrap_or_default();
    if !wanted.contains(&method) {
        return Err(Reason::MethodNotNext);
    }
    let step = match attempt.credential {
        Credential::Password(_) if password_right => Step::Password,
        Credential::Password(_) | Credential::None | Credential::Other(_) => {
            return Err(Reason::WrongPassword);
        }
        Credential::PublicKeyQuery(key) => {
            check_key(user, progress, key)?;
            return Ok(Verdict::KeyOk);
        }
        Credential::PublicKey { key, signature_valid } => {
            check_key(user, progress, key)?;
            if !signature_valid {
                return Err(Reason::BadSignature);
            }
            Step::PublicKey(key.clone())
        }
    };
    Ok(Verdict::Proven(user.clone(), step))
}

fn check_key(user: &User, progress: &Progress, key: &PublicKey) -> Result<(), Reason> {
    let grants = |authorized: &AuthorizedKey| {
        // Conditions are not enforced here, so a key that has some is not taken.
        let restrict = authorized.options.restrict;
        authorized.key == *key
            && authorized.options == KeyOptions { restrict, ..Default::default() }
    };
    if !user.authorized_keys.iter().any(grants) {
        return Err(Reason::KeyNotAuthorized);
    }
    let used = |step: &Step| matches!(step, Step::PublicKey(earlier) if earlier == key);
    if progress.done.iter().any(used) {
        return Err(Reason::KeyAlreadyUsed);
    }
    Ok(())
}

/// What may be proven next, in the order of [`Method::ALL`]; `None` once a chain is complete.
fn next_methods(chains: &[Chain], done: &[Step]) -> Option<Vec<Method>> {
    let mut next = Vec::new();
    for chain in chains {
        let mut ahead = chain.steps();
        for step in done {
            if ahead.first() == Some(&step.method()) {
                ahead = &ahead[1..];
            }
        }
        next.push(*ahead.first()?);
    }
    next.sort_unstable();
    next.dedup();
    Some(next)
}

/// What a refusal offers. Before anything is proven it is the same for every name; afterwards the
/// peer has shown to be the user and may know what is left.
fn offered(directory: &Directory, progress: &Progress) -> Vec<Method> {
    match directory.user(&progress.user) {
        Some(user) if !progress.done.is_empty() => {
            next_methods(&user.chains(), &progress.done).unwrap_or_default()
        }
        _ => directory.offered().to_vec(),
    }
}

#[cfg(test)]
mod tests;
