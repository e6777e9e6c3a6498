//! The decision over one login attempt: users, what was proven so far, an attempt in; a verdict out.
//!
//! Steps of a chain are proven in its order. What was proven belongs to one user name: with another
//! name everything starts anew (RFC 4252 §5). What costs time, a password hash or an authority's
//! signature, is done before anybody looks whether the user exists.
//!
//! Here is the order of things; what a method demands is in its own file: `password_step.rs`,
//! `public_key.rs`, `host_based.rs`, `keyboard.rs`.

use std::sync::Arc;

use crate::hook::{ExternalAnswer, Prompts};
use crate::progress::{Progress, Proof};
use crate::trace::Trace;
use crate::world::World;
use crate::{
    Attempt, Chain, Credential, Directory, Method, Reason, Refusal, Restrictions, User, host_based,
    keyboard, password_step, policy, public_key,
};

/// The verdict.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Logged in.
    Accept(Login),
    /// The key of a query would do: the peer may sign with it.
    KeyOk,
    /// One step was proven and there are more: "partial success" with what may come next.
    Continue { proof: Proof, methods: Vec<Method> },
    /// Ask this; the answers come as [`Credential::Answers`].
    Ask(Prompts),
    /// The password is right and must be changed first: [`Credential::PasswordChange`] may follow.
    ChangePassword { prompt: String },
    /// No. `refusal` is for the log; outside every refusal looks the same.
    Reject { refusal: Refusal, methods: Vec<Method> },
}

/// Who logged in, by what, and what that leaves.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: Arc<User>,
    pub restrictions: Restrictions,
    /// One for each step of the chain.
    pub proofs: Vec<Proof>,
}

/// What every rule may look at.
pub(crate) struct Context<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) world: &'a dyn World,
    pub(crate) attempt: &'a Attempt<'a>,
    pub(crate) trace: &'a mut Trace,
}

/// What a method's own rules found.
pub(crate) enum Verdict {
    KeyOk,
    Ask(Prompts),
    ChangePassword(String),
    Proven { user: Arc<User>, vouched: bool, proof: Proof, restrictions: Restrictions },
}

/// A user that may be the one; `vouched`: a program outside says that this credential is good.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) user: Arc<User>,
    pub(crate) vouched: bool,
}

/// Judges `attempt`, notes in `progress` what it proved, and in `trace` which rules were met.
///
/// May take long: as a password's hash wants, also for names that are not there, or as programs
/// outside do. Call it where that is no harm.
pub fn authenticate(
    directory: &Directory,
    world: &dyn World,
    progress: &mut Progress,
    attempt: &Attempt<'_>,
    trace: &mut Trace,
) -> Decision {
    progress.belong_to(attempt.user);
    let mut cx = Context { directory, world, attempt, trace };
    match judge(&mut cx, progress) {
        Ok(Verdict::KeyOk) => Decision::KeyOk,
        Ok(Verdict::Ask(prompts)) => Decision::Ask(prompts),
        Ok(Verdict::ChangePassword(prompt)) => Decision::ChangePassword { prompt },
        Ok(Verdict::Proven { user, vouched, proof, restrictions }) => {
            if let Err(why) = progress.restrictions.join(&restrictions) {
                let refusal = Refusal::new(Reason::KeyCommand, why.to_string());
                return Decision::Reject { refusal, methods: offered(directory, progress) };
            }
            let chains = cx.chains(&user, vouched.then_some(proof.method));
            progress.proofs.push(proof.clone());
            match next_methods(&chains, &progress.proofs) {
                None => {
                    let restrictions = progress.restrictions.clone();
                    Decision::Accept(Login { user, restrictions, proofs: progress.proofs.clone() })
                }
                Some(methods) => Decision::Continue { proof, methods },
            }
        }
        Err(refusal) => Decision::Reject { refusal, methods: offered(directory, progress) },
    }
}

fn judge(cx: &mut Context<'_>, progress: &mut Progress) -> Result<Verdict, Refusal> {
    // Whatever is not an answer ends a dialogue.
    let dialogue = progress.dialogue.take();
    match cx.attempt.credential {
        Credential::None => Err(Reason::NothingOffered.into()),
        Credential::Other(name) => {
            Err(Refusal::new(Reason::UnknownMethod, name.escape_ascii().to_string()))
        }
        Credential::Password(password) => password_step::password(cx, progress, password),
        Credential::PasswordChange { old, new } => password_step::change(cx, progress, old, new),
        Credential::PublicKeyQuery(key) => {
            public_key::check_key(cx, key)?;
            let Candidate { user, vouched } = cx.candidate(progress, Method::PublicKey)?;
            match vouched {
                true => public_key::vouched(cx, progress, key)?,
                false => public_key::grant(cx, &user, progress, key)?,
            };
            Ok(Verdict::KeyOk)
        }
        Credential::PublicKey { key, signature } => {
            public_key::check_key(cx, key)?;
            let Candidate { user, vouched } = cx.candidate(progress, Method::PublicKey)?;
            let grant = match vouched {
                true => public_key::vouched(cx, progress, key)?,
                false => public_key::grant(cx, &user, progress, key)?,
            };
            let (proof, restrictions) = public_key::prove(cx, grant, key, signature)?;
            Ok(Verdict::Proven { user, vouched, proof, restrictions })
        }
        Credential::HostBased(claim) => {
            let host = host_based::check_claim(cx, &claim)?;
            let Candidate { user, vouched } = cx.candidate(progress, Method::HostBased)?;
            // A program outside knows users, not hosts: the host's own rules hold for everybody.
            let rules = cx.directory.rules().host_based.as_ref();
            let rules = rules.ok_or(Reason::MethodNotNext)?;
            let proof = host_based::prove(cx, &user, rules, &claim, &host)?;
            Ok(Verdict::Proven { user, vouched, proof, restrictions: Restrictions::default() })
        }
        Credential::KeyboardInteractive => keyboard::begin(cx, progress),
        Credential::Answers(answers) => {
            let dialogue = dialogue.ok_or(Reason::NoDialogue)?;
            keyboard::go_on(cx, progress, dialogue, answers)
        }
    }
}

impl<'a> Context<'a> {
    /// The user of the attempt, if there is one who may log in, from here and at this time, and for
    /// whom `method` comes next.
    pub(crate) fn candidate(
        &mut self,
        progress: &Progress,
        method: Method,
    ) -> Result<Candidate, Refusal> {
        let candidate = self.find(self.attempt)?.ok_or(Reason::UnknownUser)?;
        self.admit(progress, &candidate, method)?;
        Ok(candidate)
    }

    /// The user of the attempt, in the settings or outside, whether or not it may log in.
    pub(crate) fn find(&mut self, attempt: &Attempt<'_>) -> Result<Option<Candidate>, Refusal> {
        if let Some(user) = self.directory.user(attempt.user) {
            return Ok(Some(Candidate { user: user.clone(), vouched: false }));
        }
        let Some(external) = &self.directory.rules().external else { return Ok(None) };
        let failed = |why| Refusal::new(Reason::HookFailed, why);
        let candidate = match external.ask(attempt).map_err(failed)? {
            ExternalAnswer::Deny => return Err(Reason::HookDenied.into()),
            ExternalAnswer::Allow(user) => Candidate { user: external_user(user), vouched: true },
            ExternalAnswer::Judge(user) => Candidate { user: external_user(user), vouched: false },
        };
        if candidate.user.name.as_bytes() != attempt.user {
            return Err(failed("it answered about another user".to_owned()));
        }
        self.trace.passed("hook", candidate.user.place.as_ref(), || {
            let what = if candidate.vouched { "vouches for" } else { "describes" };
            format!("the external program {what} the user")
        });
        Ok(Some(candidate))
    }

    /// Whether the user may log in at all, and by `method` as the next step.
    pub(crate) fn admit(
        &mut self,
        progress: &Progress,
        candidate: &Candidate,
        method: Method,
    ) -> Result<(), Refusal> {
        let user = &candidate.user;
        policy::check(self, user)?;
        let chains = self.chains(user, candidate.vouched.then_some(method));
        let wanted = next_methods(&chains, &progress.proofs).unwrap_or_default();
        if !wanted.contains(&method) {
            let names: Vec<&str> = wanted.iter().map(|m| m.name()).collect();
            let detail = format!("{} instead of {}", method.name(), names.join(" or "));
            return Err(Refusal::new(Reason::MethodNotNext, detail).at(user.place.as_ref()));
        }
        self.trace.passed("user.methods", user.place.as_ref(), || {
            format!("{} may come now", method.name())
        });
        Ok(())
    }

    /// The chains of which one must be completed. Where a program outside vouches and nothing else
    /// is said, its word is enough; but not for a password alone beside a second factor.
    fn chains(&self, user: &User, vouched: Option<Method>) -> Vec<Chain> {
        let mut chains = self.directory.chains(user);
        if user.methods.is_empty() {
            let enough = |method: &Method| *method != Method::Password || user.totp.is_none();
            chains.extend(vouched.filter(enough).map(Chain::one));
        }
        chains
    }
}

/// Marks who came from outside; an answer may have said so already.
fn external_user(user: Arc<User>) -> Arc<User> {
    if user.is_external {
        return user;
    }
    Arc::new(User { is_external: true, ..Arc::unwrap_or_clone(user) })
}

/// What may be proven next, in the order of [`Method::ALL`]; `None` once a chain is complete.
pub(crate) fn next_methods(chains: &[Chain], done: &[Proof]) -> Option<Vec<Method>> {
    let mut next = Vec::new();
    for chain in chains {
        let mut ahead = chain.steps();
        // As OpenSSH: what was proven for another chain is not needed for this one.
        for proof in done {
            if ahead.first() == Some(&proof.method) {
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
        Some(user) if !progress.proofs.is_empty() => {
            next_methods(&directory.chains(user), &progress.proofs).unwrap_or_default()
        }
        _ => directory.offered().to_vec(),
    }
}

#[cfg(test)]
mod tests;
