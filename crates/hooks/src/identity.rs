//! An external identity: a program or service that knows users.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sterna_identity::hook::{ExternalAnswer, ExternalIdentity};
use sterna_identity::limits::{HOST_NAME_LEN_MAX, PASSWORD_LEN_MAX};
use sterna_identity::{Attempt, Credential, Signature, User};
use sterna_ssh_crypto::OfferedKey;
use zeroize::Zeroizing;

use crate::cache::{Cache, Key};
use crate::gate::Gate;
use crate::hook::Asked;
use crate::limits::CONCURRENT_MAX;
use crate::{Hook, HookError, VERSION, name};

/// Makes a user of the name that was asked for and the record of the answer, which has the keys of a
/// `[[user]]` table.
pub type MakeUser = Arc<dyn Fn(&str, Value) -> Result<User, String> + Send + Sync>;

/// Asks a program or service about users that the settings do not know.
///
/// Not asked at all, and denied: a user name, password or host name that is not UTF-8 or beyond its
/// bounds; a signature that does not verify; a method that we do not have. An attempt to change a
/// password is an error: nobody outside takes a new one. A signature by a security key that was not
/// touched is denied even if the answer is `allow`; a record to judge by may say otherwise.
pub struct HookIdentity {
    asked: Asked,
    timeout: Duration,
    cache: Cache,
    gate: Arc<Gate>,
    make_user: MakeUser,
}

#[derive(Serialize)]
struct Request<'a> {
    version: u32,
    user: &'a str,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_user: Option<&'a str>,
    source: IpAddr,
    client_version: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    result: AnswerResult,
    user: Option<Value>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum AnswerResult {
    Deny,
    Allow,
    Judge,
}

impl HookIdentity {
    /// # Errors
    /// As [`Hook::check`], which also looks at the program or token.
    pub fn new(hook: &Hook, make_user: MakeUser) -> Result<Self, HookError> {
        Ok(Self {
            asked: Asked::new(hook)?,
            timeout: hook.timeout,
            cache: Cache::new(hook.cache),
            gate: Gate::new(CONCURRENT_MAX),
            make_user,
        })
    }

    fn answer(&self, request: &Request<'_>) -> Result<ExternalAnswer, HookError> {
        let start = Instant::now();
        let key = self.cache_key(request);
        if let Some(known) = self.cache.get(&key, start) {
            return Ok(known);
        }
        let line = request.to_line()?;
        let text = self.asked.ask(&line, &self.gate, start + self.timeout)?;
        let answer = self.read_answer(request, &text)?;
        // Counted from the question: the answer may be as old.
        self.cache.put(key, &answer, start);
        Ok(answer)
    }

    fn cache_key(&self, request: &Request<'_>) -> Key {
        self.cache.key(&[
            Some(request.user.as_bytes()),
            Some(request.method.as_bytes()),
            request.password.map(str::as_bytes),
            request.public_key.as_deref().map(str::as_bytes),
            request.certificate.as_deref().map(str::as_bytes),
            request.client_host.map(str::as_bytes),
            request.client_user.map(str::as_bytes),
            Some(request.source.to_string().as_bytes()),
        ])
    }

    fn read_answer(&self, request: &Request<'_>, text: &[u8]) -> Result<ExternalAnswer, HookError> {
        let answer: Answer = serde_json::from_slice(text).map_err(HookError::answer)?;
        let record = match (answer.result, answer.user) {
            (AnswerResult::Deny, None) => return Ok(ExternalAnswer::Deny),
            (AnswerResult::Deny, Some(_)) => {
                return Err(HookError::answer("a user beside \"deny\""));
            }
            (AnswerResult::Allow, Some(_)) if !request.has_credential() => {
                return Err(HookError::answer("\"allow\" although nothing was offered"));
            }
            (AnswerResult::Allow | AnswerResult::Judge, Some(record)) => record,
            (AnswerResult::Allow | AnswerResult::Judge, None) => {
                return Err(HookError::answer("no user"));
            }
        };
        let user = (self.make_user)(request.user, record).map_err(HookError::answer)?;
        if user.name != request.user {
            return Err(HookError::answer("another user than the one that was asked about"));
        }
        let user = Arc::new(user);
        Ok(match answer.result {
            AnswerResult::Judge => ExternalAnswer::Judge(user),
            AnswerResult::Allow | AnswerResult::Deny => ExternalAnswer::Allow(user),
        })
    }
}

impl ExternalIdentity for HookIdentity {
    fn ask(&self, attempt: &Attempt<'_>) -> Result<ExternalAnswer, String> {
        if let Credential::PasswordChange { .. } = attempt.credential {
            return Err("passwords of external users are not changed here".into());
        }
        let Some(request) = Request::about(attempt) else { return Ok(ExternalAnswer::Deny) };
        let answer = self.answer(&request).map_err(|error| error.to_string())?;
        match (&answer, attempt.credential) {
            (
                ExternalAnswer::Allow(_),
                Credential::PublicKey { signature: Signature::ByToken(token), .. },
            ) if !token.touched => Ok(ExternalAnswer::Deny),
            _ => Ok(answer),
        }
    }
}

impl<'a> Request<'a> {
    /// `None`: not to be asked.
    fn about(attempt: &Attempt<'a>) -> Option<Self> {
        let mut request = Self {
            version: VERSION,
            user: name::usable(attempt.user)?,
            method: "none",
            password: None,
            public_key: None,
            certificate: None,
            client_host: None,
            client_user: None,
            source: attempt.source.to_canonical(),
            client_version: String::from_utf8_lossy(attempt.client_version),
        };
        match attempt.credential {
            Credential::None => {}
            Credential::Password(password) => {
                request.method = "password";
                request.password = Some(text(password, PASSWORD_LEN_MAX)?);
            }
            Credential::PublicKeyQuery(key) => {
                request.method = "publickey-query";
                request.set_key(key);
            }
            Credential::PublicKey { signature: Signature::Invalid, .. } => return None,
            Credential::PublicKey { key, signature: Signature::Valid | Signature::ByToken(_) } => {
                request.method = "publickey";
                request.set_key(key);
            }
            Credential::HostBased(claim) => {
                if !claim.signature_valid {
                    return None;
                }
                request.method = "hostbased";
                request.set_key(claim.key);
                request.client_host = Some(text(claim.client_host, HOST_NAME_LEN_MAX + 1)?);
                request.client_user = Some(name::usable(claim.client_user)?);
            }
            // The answers are for the record of the user, not for whoever made it.
            Credential::KeyboardInteractive | Credential::Answers(_) => {
                request.method = "keyboard-interactive";
            }
            Credential::PasswordChange { .. } | Credential::Other(_) => return None,
        }
        Some(request)
    }

    fn set_key(&mut self, offered: &OfferedKey) {
        self.public_key = Some(offered.key().to_openssh(""));
        self.certificate = offered.certificate().map(|certificate| {
            format!("{} {}", offered.type_name(), BASE64_STANDARD.encode(certificate.to_wire()))
        });
    }

    fn has_credential(&self) -> bool {
        self.password.is_some() || self.public_key.is_some()
    }

    /// The request as one line of JSON, with its end.
    fn to_line(&self) -> Result<Zeroizing<Vec<u8>>, HookError> {
        // Room for all of it beforehand: a secret that moved would leave a copy behind. JSON writes a
        // byte as up to six.
        let texts = [Some(self.user), self.password, self.client_host, self.client_user];
        let escaped: usize = texts.into_iter().flatten().map(|text| 6 * text.len()).sum();
        let keys = [&self.public_key, &self.certificate].into_iter().flatten();
        let plain: usize = keys.map(String::len).sum();
        let len_max = escaped + plain + 6 * self.client_version.len() + 512;
        let mut line = Zeroizing::new(Vec::with_capacity(len_max));
        serde_json::to_writer(&mut *line, self)
            .map_err(|e| HookError::failed("write the question", e))?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Bytes of the peer as text, without NUL: nobody's password or host holds one.
fn text(bytes: &[u8], len_max: usize) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (text.len() <= len_max && !text.contains('\0')).then_some(text)
}

/// Shows whom it asks.
impl std::fmt::Debug for HookIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookIdentity").field("asked", &self.asked).finish_non_exhaustive()
    }
}
