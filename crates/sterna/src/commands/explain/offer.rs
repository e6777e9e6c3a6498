//! What is offered as a proof, and what the rules make of it.

use std::{net::IpAddr, path::Path};

use sterna_identity::{
    Attempt, Credential, Decision, Directory, Finding, HostClaim, Login, Method, Progress, Reason,
    Refusal, Signature, Trace, authenticate,
};
use sterna_ssh_crypto::{OfferedKey, PublicKey, TokenUse};
use zeroize::Zeroizing;

use super::world::Assumed;
use crate::{
    failure::{Failure, Result, io_reason},
    output::display_name,
    settings::Files,
};

/// Bytes of a file with one public key or certificate.
const KEY_FILE_LEN_MAX: u64 = 64 * 1024;

/// Rounds of questions: password, new password, code, and one more that never comes.
const ROUNDS_MAX: usize = 4;

/// Stands for the password of the user, which every hash here fits.
const PASSWORD: &[u8] = b"assumed to be right";

/// Stands for a password that the user chooses: long enough for every rule.
const NEW_PASSWORD: &[u8] = b"assumed to be good";

/// One thing that is offered.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer {
    PublicKey(OfferedKey),
    Password,
    KeyboardInteractive,
    HostBased {
        key: OfferedKey,
        host: String,
        user: String,
    },
    /// The user has the method, and nothing to try it with was named.
    Missing(Method, &'static str),
}

impl Offer {
    pub fn method(&self) -> Method {
        match self {
            Self::PublicKey(_) => Method::PublicKey,
            Self::Password => Method::Password,
            Self::KeyboardInteractive => Method::KeyboardInteractive,
            Self::HostBased { .. } => Method::HostBased,
            Self::Missing(method, _) => *method,
        }
    }

    pub fn key(&self) -> Option<&OfferedKey> {
        match self {
            Self::PublicKey(key) | Self::HostBased { key, .. } => Some(key),
            Self::Password | Self::KeyboardInteractive | Self::Missing(..) => None,
        }
    }
}

/// Who wants to log in, from where and when.
pub struct Question<'q> {
    pub directory: &'q Directory,
    pub world: Assumed,
    pub user: &'q str,
    pub source: IpAddr,
    /// Seconds since 1970.
    pub now: u64,
    pub after: &'q [Method],
    /// Right for whoever has a second factor.
    pub code: Zeroizing<String>,
}

/// How a judgement came about.
pub struct Outcome {
    pub findings: Vec<Finding>,
    pub verdict: Verdict,
    /// What happens on the way in.
    pub notes: Vec<&'static str>,
}

pub enum Verdict {
    LetIn(Box<Login>),
    StepPassed(Vec<Method>),
    KeptOut {
        refusal: Refusal,
        methods: Vec<Method>,
    },
    /// Somebody else decides, or something is missing: why.
    Open(String),
}

impl Outcome {
    pub fn is_good(&self) -> bool {
        matches!(self.verdict, Verdict::LetIn(_) | Verdict::StepPassed(_))
    }
}

impl Question<'_> {
    /// Judges an offer whose proof is right.
    pub fn judge(&self, offer: &Offer) -> Outcome {
        if let Offer::Missing(_, why) = offer {
            let verdict = Verdict::Open((*why).to_owned());
            return Outcome { findings: Vec::new(), verdict, notes: Vec::new() };
        }
        let mut progress = Progress::assumed(self.user.as_bytes(), self.after);
        let (mut trace, mut notes) = (Trace::on(), Vec::new());
        let mut decision = self.decide(&mut progress, &mut trace, credential(offer));
        for _ in 0..ROUNDS_MAX {
            decision = match decision {
                Decision::Ask(asked) => {
                    // Two questions are for a new password; as an old one everything is right.
                    let is_change = asked.prompts.len() == 2;
                    if is_change {
                        notes.push(MUST_CHANGE);
                    }
                    let answer = if is_change { NEW_PASSWORD } else { self.code.as_bytes() };
                    let answers: Vec<_> =
                        asked.prompts.iter().map(|_| Zeroizing::new(answer.to_vec())).collect();
                    self.decide(&mut progress, &mut trace, Credential::Answers(&answers))
                }
                Decision::ChangePassword { .. } => {
                    notes.push(MUST_CHANGE);
                    let change = Credential::PasswordChange { old: PASSWORD, new: NEW_PASSWORD };
                    self.decide(&mut progress, &mut trace, change)
                }
                decided => {
                    decision = decided;
                    break;
                }
            };
        }
        let mut findings: Vec<Finding> = Vec::new();
        for finding in trace.findings() {
            // Every round of a dialogue looks at the user anew.
            if !findings.contains(finding) {
                findings.push(finding.clone());
            }
        }
        Outcome { findings, verdict: verdict(decision), notes }
    }

    fn decide(
        &self,
        progress: &mut Progress,
        trace: &mut Trace,
        credential: Credential<'_>,
    ) -> Decision {
        let attempt = Attempt {
            user: self.user.as_bytes(),
            credential,
            source: self.source,
            client_version: b"",
            groups: None,
            now: self.now,
        };
        authenticate(self.directory, &self.world, progress, &attempt, trace)
    }
}

const MUST_CHANGE: &str = "the password must be changed on the way in";

fn verdict(decision: Decision) -> Verdict {
    match decision {
        Decision::Accept(login) => Verdict::LetIn(Box::new(login)),
        Decision::Continue { methods, .. } => Verdict::StepPassed(methods),
        // All programs and services here say that they are not asked.
        Decision::Reject { refusal, .. } if refusal.reason == Reason::HookFailed => {
            Verdict::Open(refusal.detail)
        }
        Decision::Reject { refusal, methods } => Verdict::KeptOut { refusal, methods },
        Decision::KeyOk | Decision::Ask(_) | Decision::ChangePassword { .. } => {
            Verdict::Open("the questions do not end".to_owned())
        }
    }
}

/// The offer with a right proof.
fn credential(offer: &Offer) -> Credential<'_> {
    match offer {
        Offer::PublicKey(key) => {
            let token = TokenUse { touched: true, user_verified: true, counter: 0 };
            let signature = match key.key() {
                PublicKey::SkEd25519 { .. } | PublicKey::SkEcdsaP256 { .. } => {
                    Signature::ByToken(token)
                }
                _ => Signature::Valid,
            };
            Credential::PublicKey { key, signature }
        }
        Offer::Password => Credential::Password(PASSWORD),
        Offer::KeyboardInteractive => Credential::KeyboardInteractive,
        Offer::HostBased { key, host, user } => Credential::HostBased(HostClaim {
            key,
            client_host: host.as_bytes(),
            client_user: user.as_bytes(),
            signature_valid: true,
        }),
        Offer::Missing(..) => Credential::None,
    }
}

/// The key or certificate in a file.
///
/// # Errors
/// If it cannot be read or holds none.
pub fn read_key(file: &Path) -> Result<OfferedKey> {
    let shown = || display_name(file.as_os_str().as_encoded_bytes());
    let bytes = Files::on_disk()
        .read_regular(file, KEY_FILE_LEN_MAX)
        .map_err(|error| Failure::usage(shown(), io_reason(&error)))?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let read = OfferedKey::from_openssh(line.unwrap_or_default());
    read.map(|(key, _)| key).map_err(|error| {
        let failure = Failure::usage(shown(), format!("not a public key: {error}"));
        failure.hint("public keys are in the files that end in .pub")
    })
}
