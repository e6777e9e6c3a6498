//! Passwords as a step of a login, and their change on the way in (RFC 4252 §8).

use crate::authenticate::{Candidate, Context, Verdict};
use crate::limits::{NEW_PASSWORD_LEN_MIN, PASSWORD_LEN_MAX};
use crate::progress::{Progress, Proof};
use crate::{Attempt, Credential, Method, Reason, Refusal, Restrictions, User};

const CHANGE: &str = "The password must be changed.";

/// A password alone.
pub(crate) fn password(
    cx: &mut Context<'_>,
    progress: &Progress,
    password: &[u8],
) -> Result<Verdict, Refusal> {
    let Candidate { user, vouched } = check(cx, progress, Method::Password, password)?;
    if user.must_change_password && !vouched {
        return Ok(Verdict::ChangePassword(CHANGE.to_owned()));
    }
    let proof = Proof::new(Method::Password, "");
    Ok(Verdict::Proven { user, vouched, proof, restrictions: Restrictions::default() })
}

/// The old password and a new one.
pub(crate) fn change(
    cx: &mut Context<'_>,
    progress: &Progress,
    old: &[u8],
    new: &[u8],
) -> Result<Verdict, Refusal> {
    let Candidate { user, vouched } = check(cx, progress, Method::Password, old)?;
    // Only whom we asked: otherwise whoever once saw a password could keep its owner out.
    if !user.must_change_password || vouched {
        return Err(Refusal::new(Reason::PasswordNotChanged, "nobody asked for it"));
    }
    if let Err(why) = check_new(old, new) {
        return Ok(Verdict::ChangePassword(format!("{CHANGE} {why}")));
    }
    store(cx, &user, new)?;
    let proof = Proof::new(Method::Password, "changed");
    Ok(Verdict::Proven { user, vouched, proof, restrictions: Restrictions::default() })
}

/// Checks a password for a step by `method`. Costs one hash, whoever is named.
pub(crate) fn check(
    cx: &mut Context<'_>,
    progress: &Progress,
    method: Method,
    password: &[u8],
) -> Result<Candidate, Refusal> {
    if password.len() > PASSWORD_LEN_MAX {
        return Err(Reason::PasswordTooLong.into());
    }
    if password.is_empty() {
        // Nobody's: to a directory service an empty one may mean "anybody" (RFC 4513 §5.1.2).
        return Err(Refusal::new(Reason::WrongPassword, "it is empty"));
    }
    // Answers in a dialogue are a password to a program outside, too.
    let attempt = Attempt { credential: Credential::Password(password), ..*cx.attempt };
    let found = cx.find(&attempt);
    let candidate = found.as_ref().ok().and_then(Option::as_ref);
    let vouched = candidate.is_some_and(|candidate| candidate.vouched);
    let hash = candidate.and_then(|candidate| candidate.user.password.as_ref());
    // Also for whom the program outside denies or vouches: it must not show in the cost.
    let fits = cx.directory.verify_password(cx.world, attempt.user, hash, password);
    let right = vouched || fits;
    let candidate = found?.ok_or(Reason::UnknownUser)?;
    cx.admit(progress, &candidate, method)?;
    if !right {
        return Err(Refusal::from(Reason::WrongPassword).at(candidate.user.place.as_ref()));
    }
    cx.trace.passed("password", candidate.user.place.as_ref(), || "the password is right".into());
    Ok(candidate)
}

/// Whether a new password will do.
///
/// # Errors
/// What is wrong with it, for the person who chose it.
pub(crate) fn check_new(old: &[u8], new: &[u8]) -> Result<(), String> {
    if new.len() < NEW_PASSWORD_LEN_MIN {
        return Err(format!("The new one needs at least {NEW_PASSWORD_LEN_MIN} characters."));
    }
    if new.len() > PASSWORD_LEN_MAX {
        return Err(format!("The new one may have at most {PASSWORD_LEN_MAX} characters."));
    }
    if new == old {
        return Err("The new one must differ from the old one.".to_owned());
    }
    Ok(())
}

pub(crate) fn store(cx: &Context<'_>, user: &User, new: &[u8]) -> Result<(), Refusal> {
    let failed = |why| Refusal::new(Reason::PasswordNotChanged, why).at(user.place.as_ref());
    cx.world.change_password(user, new).map_err(failed)
}
