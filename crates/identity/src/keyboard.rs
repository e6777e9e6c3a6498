//! keyboard-interactive: password, one-time code, change of password, one question at a time; or
//! whatever a program outside asks (RFC 4256, RFC 6238).
//!
//! Who does not exist is asked for a password like everybody else. A code is asked for only behind a
//! right password or another proof, so that no answer tells more than "wrong".

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::authenticate::{Candidate, Context, Verdict, next_methods};
use crate::hook::{Prompts, Questions, Round};
use crate::limits::NEW_PASSWORD_TRIES_MAX;
use crate::progress::{Dialogue, Progress, Proof, Secret};
use crate::{Method, Reason, Refusal, Restrictions, User, password_step};

const METHOD: Method = Method::KeyboardInteractive;

/// The first question.
pub(crate) fn begin(cx: &mut Context<'_>, progress: &mut Progress) -> Result<Verdict, Refusal> {
    let known = cx.directory.user(cx.attempt.user).cloned();
    if progress.proofs.is_empty() {
        // The same for every name: whether it leads to anything, the answer decides.
        if !cx.directory.offered().contains(&METHOD) {
            return Err(Reason::MethodNotNext.into());
        }
    } else if let Some(user) = &known {
        let next = next_methods(&cx.directory.chains(user), &progress.proofs);
        if !next.unwrap_or_default().contains(&METHOD) {
            return Err(Refusal::from(Reason::MethodNotNext).at(user.place.as_ref()));
        }
    }
    if let Some(questioner) = &cx.directory.rules().questioner {
        let user = std::str::from_utf8(cx.attempt.user).map_err(|_| Reason::UnknownUser)?;
        let (source, version) = (cx.attempt.source, cx.attempt.client_version);
        let failed = |why| Refusal::new(Reason::HookFailed, why);
        let questions = questioner.begin(user, known.is_some(), source, version).map_err(failed)?;
        return outside(cx, progress, questions, &[]);
    }
    let password_is_proven = progress.has_proven(Method::Password);
    let only_code = known.as_ref().is_some_and(|user| user.password.is_none());
    if !progress.proofs.is_empty() && (password_is_proven || only_code) {
        return Ok(ask(
            progress,
            Dialogue::Code { password: None, external: None },
            Prompts::secret(CODE),
        ));
    }
    Ok(ask(progress, Dialogue::Password, Prompts::secret(PASSWORD)))
}

const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";

/// Judges the answers to what was asked.
pub(crate) fn go_on(
    cx: &mut Context<'_>,
    progress: &mut Progress,
    dialogue: Dialogue,
    answers: &[Zeroizing<Vec<u8>>],
) -> Result<Verdict, Refusal> {
    match (dialogue, answers) {
        (Dialogue::Outside(questions), answers) => outside(cx, progress, questions, answers),
        (Dialogue::Password, [password]) => {
            let found = password_step::check(cx, progress, METHOD, password)?;
            let password = Secret(password.clone());
            if found.user.totp.is_some() {
                let is_local = cx.directory.user(cx.attempt.user).is_some();
                let external = (!is_local).then_some(found);
                let dialogue = Dialogue::Code { password: Some(password), external };
                return Ok(ask(progress, dialogue, Prompts::secret(CODE)));
            }
            Ok(behind_factors(progress, found, Some(password), "password"))
        }
        (Dialogue::NewPassword { old, tries }, [new, again]) => {
            let Candidate { user, .. } = password_step::check(cx, progress, METHOD, &old.0)?;
            let wrong = match password_step::check_new(&old.0, new) {
                Ok(()) if new == again => None,
                Ok(()) => Some("The two do not agree.".to_owned()),
                Err(why) => Some(why),
            };
            match wrong {
                Some(why) if tries < NEW_PASSWORD_TRIES_MAX => {
                    Ok(ask_new(progress, old, tries + 1, &why))
                }
                Some(why) => Err(Refusal::new(Reason::PasswordNotChanged, why)),
                None => {
                    password_step::store(cx, &user, new)?;
                    Ok(proven(user, false, "password, changed"))
                }
            }
        }
        (Dialogue::Code { password, external }, [code]) => {
            let found = match external {
                Some(found) => {
                    cx.admit(progress, &found, METHOD)?;
                    found
                }
                None => cx.candidate(progress, METHOD)?,
            };
            check_code(cx, &found.user, code)?;
            let detail = if password.is_some() { "password and code" } else { "code" };
            Ok(behind_factors(progress, found, password, detail))
        }
        (Dialogue::Password | Dialogue::NewPassword { .. } | Dialogue::Code { .. }, _) => {
            Err(Reason::NoDialogue.into())
        }
    }
}

/// Password and code are right, as far as there are such: must the password be changed? Not before the
/// code is right, or whoever knows the password alone could keep its owner out.
fn behind_factors(
    progress: &mut Progress,
    found: Candidate,
    password: Option<Secret>,
    detail: &str,
) -> Verdict {
    let Candidate { user, vouched } = found;
    match password {
        Some(old) if user.must_change_password && !vouched => {
            ask_new(progress, old, 1, "The password must be changed.")
        }
        _ if vouched => proven(user, true, &format!("{detail}, vouched for from outside")),
        _ => proven(user, false, detail),
    }
}

/// A one-time code, or a recovery code; each counts once.
fn check_code(cx: &mut Context<'_>, user: &User, code: &[u8]) -> Result<(), Refusal> {
    let place = user.place.as_ref();
    let code = std::str::from_utf8(code).unwrap_or_default();
    let failed = |why| Refusal::new(Reason::StateFailed, why);
    let step = user.totp.as_ref().and_then(|secret| secret.verify(code, cx.attempt.now));
    let recovery = user.recovery_codes.iter().find(|hash| hash.verify(code));
    let unused = match (step, recovery) {
        (Some(step), _) => cx.world.claim_totp_step(&user.name, step).map_err(failed)?,
        (None, Some(hash)) => {
            cx.world.claim_recovery_code(&user.name, &hash.id()).map_err(failed)?
        }
        (None, None) => return Err(Refusal::from(Reason::WrongCode).at(place)),
    };
    if !unused {
        return Err(Refusal::from(Reason::CodeUsed).at(place));
    }
    cx.trace.passed("totp", place, || "the code is right and new".to_owned());
    Ok(())
}

/// One round of a dialogue that a program outside leads.
fn outside(
    cx: &mut Context<'_>,
    progress: &mut Progress,
    mut questions: Box<dyn Questions>,
    answers: &[Zeroizing<Vec<u8>>],
) -> Result<Verdict, Refusal> {
    match questions.next(answers) {
        Ok(Round::Ask(prompts)) => Ok(ask(progress, Dialogue::Outside(questions), prompts)),
        Ok(Round::Allow) => {
            let Candidate { user, vouched } = cx.candidate(progress, METHOD)?;
            Ok(proven(user, vouched, "asked from outside"))
        }
        Ok(Round::Deny) => Err(Reason::HookDenied.into()),
        Err(why) => Err(Refusal::new(Reason::HookFailed, why)),
    }
}

fn ask(progress: &mut Progress, dialogue: Dialogue, prompts: Prompts) -> Verdict {
    progress.dialogue = Some(dialogue);
    Verdict::Ask(prompts)
}

fn ask_new(progress: &mut Progress, old: Secret, tries: u32, instruction: &str) -> Verdict {
    let prompt = |text: &str| (text.to_owned(), false);
    let prompts = vec![prompt("New password: "), prompt("Retype new password: ")];
    let prompts = Prompts { instruction: instruction.to_owned(), prompts };
    ask(progress, Dialogue::NewPassword { old, tries }, prompts)
}

fn proven(user: Arc<User>, vouched: bool, detail: &str) -> Verdict {
    let proof = Proof::new(METHOD, detail);
    Verdict::Proven { user, vouched, proof, restrictions: Restrictions::default() }
}
