//! The server's half: one request at a time, bound to one user, counted, and asked about.

use sterna_ssh_crypto::{OfferedKey, names};
use sterna_sshwire::Reader;
use zeroize::Zeroizing;

use crate::error::{Error, PeerError};
use crate::event::{AuthAnswer, AuthMethod, AuthRequest, SignatureCheck};
use crate::limits::{AUTH_REQUESTS_MAX, PROMPT_ROUNDS_MAX, USER_LEN_MAX};
use crate::messages::USERAUTH_INFO_RESPONSE;
use crate::messages::auth::{
    METHOD_HOST_BASED, METHOD_KEYBOARD_INTERACTIVE, METHOD_PUBLIC_KEY, Method, Request,
    SERVICE_CONNECTION, encode_failure, encode_passwd_changereq, encode_pk_ok, encode_success,
    host_based_signed_bytes, signed_bytes,
};
use crate::messages::keyboard::{decode_info_response, encode_info_request};

/// State of the server's authentication service.
pub(crate) struct AuthServer {
    failures_max: u32,
    /// Everything before success belongs to this user; a change ends the connection (AUT-2).
    user: Option<Vec<u8>>,
    failures: u32,
    requests: u32,
    pending: Option<Pending>,
    dialogue: Option<Dialogue>,
}

/// Questions that are out (RFC 4256). A request in place of the answers ends them.
struct Dialogue {
    prompts: usize,
    rounds: u32,
}

/// A request that the application thinks about.
enum Pending {
    None,
    Query {
        algorithm: Vec<u8>,
        key: Vec<u8>,
    },
    Attempt,
    /// As `Attempt`; the answer may ask for a change of the password.
    Password,
    /// As `Attempt`; the answer may ask something, which is then round `rounds + 1`.
    Keyboard {
        rounds: u32,
    },
    /// An attempt whose signature is wrong: no answer makes it right.
    BadSignature,
}

/// What an answer led to.
pub(crate) enum ServerOutcome {
    Continue(Vec<u8>),
    Success(Vec<u8>, Vec<u8>),
}

/// What signatures are checked against.
pub(crate) struct Against<'a> {
    pub session_id: &'a [u8],
    /// Our host key of the first exchange.
    pub host_key: &'a [u8],
    /// Algorithms that users and client hosts may use.
    pub algorithms: &'a [String],
}

impl AuthServer {
    pub fn new(failures_max: u32) -> Self {
        Self { failures_max, user: None, failures: 0, requests: 0, pending: None, dialogue: None }
    }

    /// The application has a request to answer.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// One more message that wants an answer, whatever it is.
    pub fn count_request(&mut self) -> Result<(), Error> {
        self.requests += 1;
        match self.requests > AUTH_REQUESTS_MAX {
            true => Err(PeerError::TooManyAuthAttempts.into()),
            false => Ok(()),
        }
    }

    /// One message of the client, behind its number.
    pub fn handle(
        &mut self,
        number: u8,
        r: &mut Reader<'_>,
        against: &Against<'_>,
    ) -> Result<AuthRequest, Error> {
        self.count_request()?;
        let dialogue = self.dialogue.take();
        if number == USERAUTH_INFO_RESPONSE {
            let dialogue = dialogue.ok_or(PeerError::OutOfPhase(number))?;
            return self.handle_answers(r, &dialogue);
        }
        self.handle_request(r, against)
    }

    /// `SSH_MSG_USERAUTH_REQUEST`.
    fn handle_request(
        &mut self,
        r: &mut Reader<'_>,
        against: &Against<'_>,
    ) -> Result<AuthRequest, Error> {
        // The whole request is parsed before anybody looks whether the user exists (CVE-2018-15473).
        let request = Request::decode(r).map_err(Error::malformed("USERAUTH_REQUEST"))?;
        if request.service != SERVICE_CONNECTION.as_bytes() {
            return Err(PeerError::UnknownService.into());
        }
        match &self.user {
            Some(user) if user != request.user => return Err(PeerError::ChangedUser.into()),
            Some(_) => {}
            None => self.user = Some(request.user.to_vec()),
        }
        let (pending, method) = if request.user.len() > USER_LEN_MAX {
            (Pending::Attempt, AuthMethod::Other { name: "overlong user name".to_owned() })
        } else {
            read_method(&request, against)
        };
        self.pending = Some(pending);
        Ok(AuthRequest { user: request.user.to_vec(), method })
    }

    /// `SSH_MSG_USERAUTH_INFO_RESPONSE`.
    fn handle_answers(
        &mut self,
        r: &mut Reader<'_>,
        dialogue: &Dialogue,
    ) -> Result<AuthRequest, Error> {
        let answers = decode_info_response(r, dialogue.prompts)
            .map_err(Error::malformed("USERAUTH_INFO_RESPONSE"))?;
        let (pending, method) = match answers {
            Some(answers) => (
                Pending::Keyboard { rounds: dialogue.rounds },
                AuthMethod::PromptAnswers { answers },
            ),
            // Not what was asked: a failed attempt.
            None => (Pending::Attempt, other(METHOD_KEYBOARD_INTERACTIVE)),
        };
        self.pending = Some(pending);
        Ok(AuthRequest { user: self.user.clone().unwrap_or_default(), method })
    }

    /// The application's answer.
    ///
    /// # Panics
    /// If nothing was asked: the caller's mistake.
    pub fn answer(&mut self, answer: AuthAnswer) -> Result<ServerOutcome, Error> {
        let pending = self.pending.take().expect("answer_auth without an open request");
        let mut out = Vec::with_capacity(128);
        match (answer, pending) {
            (AuthAnswer::PublicKeyOk, Pending::Query { algorithm, key }) => {
                encode_pk_ok(&mut out, &algorithm, &key);
                Ok(ServerOutcome::Continue(out))
            }
            (
                AuthAnswer::Accept,
                Pending::None | Pending::Attempt | Pending::Password | Pending::Keyboard { .. },
            ) => {
                encode_success(&mut out);
                Ok(ServerOutcome::Success(out, self.user.clone().unwrap_or_default()))
            }
            (
                AuthAnswer::Partial { methods },
                Pending::None | Pending::Attempt | Pending::Password | Pending::Keyboard { .. },
            ) => {
                encode_failure(&mut out, &methods, true);
                Ok(ServerOutcome::Continue(out))
            }
            (AuthAnswer::Prompt(prompts), Pending::Keyboard { rounds })
                if rounds < PROMPT_ROUNDS_MAX =>
            {
                encode_info_request(&mut out, &prompts);
                let prompts = prompts.prompts.len();
                self.dialogue = Some(Dialogue { prompts, rounds: rounds + 1 });
                Ok(ServerOutcome::Continue(out))
            }
            (AuthAnswer::ChangePassword { prompt }, Pending::Password) => {
                encode_passwd_changereq(&mut out, &prompt);
                Ok(ServerOutcome::Continue(out))
            }
            (AuthAnswer::Reject { methods }, pending) => self.reject(methods, &pending, out),
            // An answer that does not fit the request: to a query only `PublicKeyOk` says yes, and
            // to a wrong signature nothing does.
            (
                AuthAnswer::Accept
                | AuthAnswer::Partial { .. }
                | AuthAnswer::PublicKeyOk
                | AuthAnswer::Prompt(_)
                | AuthAnswer::ChangePassword { .. },
                pending,
            ) => self.reject(vec![METHOD_PUBLIC_KEY.to_owned()], &pending, out),
        }
    }

    fn reject(
        &mut self,
        methods: Vec<String>,
        pending: &Pending,
        mut out: Vec<u8>,
    ) -> Result<ServerOutcome, Error> {
        match pending {
            // To learn the list, and to ask whether a key would do, costs nothing.
            Pending::None | Pending::Query { .. } => {}
            Pending::Attempt
            | Pending::Password
            | Pending::Keyboard { .. }
            | Pending::BadSignature => self.failures += 1,
        }
        if self.failures >= self.failures_max {
            return Err(PeerError::TooManyAuthAttempts.into());
        }
        encode_failure(&mut out, &methods, false);
        Ok(ServerOutcome::Continue(out))
    }
}

/// The method with its signature checked, and what its answer will need.
fn read_method(request: &Request<'_>, against: &Against<'_>) -> (Pending, AuthMethod) {
    let user = request.user;
    let secret = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    match request.method {
        Method::None => (Pending::None, AuthMethod::None),
        Method::Password { password, new_password: None } => {
            (Pending::Password, AuthMethod::Password { password: secret(password) })
        }
        Method::Password { password, new_password: Some(new) } => (
            Pending::Password,
            AuthMethod::PasswordChange { old: secret(password), new: secret(new) },
        ),
        Method::PublicKey { algorithm, key: blob, signature, bound_to } => {
            let Some((algorithm, key)) = usable(algorithm, blob, against.algorithms) else {
                return (Pending::Attempt, other(METHOD_PUBLIC_KEY));
            };
            let Some(signature) = signature else {
                let pending =
                    Pending::Query { algorithm: algorithm.clone().into(), key: blob.to_vec() };
                return (pending, AuthMethod::PublicKeyQuery { algorithm, key });
            };
            let bytes = signed_bytes(against.session_id, user, &algorithm, blob, bound_to);
            let bound = bound_to.is_none_or(|bound| bound == against.host_key);
            let signature = match key.verify_token(&algorithm, &bytes, signature) {
                Ok(None) if bound => SignatureCheck::Valid,
                Ok(Some(token)) if bound => SignatureCheck::ValidByToken(token),
                _ => SignatureCheck::Invalid,
            };
            let method = AuthMethod::PublicKey { algorithm, key, signature };
            (attempt_if(signature.is_valid()), method)
        }
        Method::HostBased { algorithm, key: blob, client_host, client_user, signature } => {
            let Some((algorithm, key)) = usable(algorithm, blob, against.algorithms) else {
                return (Pending::Attempt, other(METHOD_HOST_BASED));
            };
            let bytes = host_based_signed_bytes(
                against.session_id,
                user,
                &algorithm,
                blob,
                client_host,
                client_user,
            );
            let signature_valid =
                matches!(key.verify_token(&algorithm, &bytes, signature), Ok(None));
            let method = AuthMethod::HostBased {
                algorithm,
                key,
                client_host: client_host.to_vec(),
                client_user: client_user.to_vec(),
                signature_valid,
            };
            (attempt_if(signature_valid), method)
        }
        Method::KeyboardInteractive { submethods } => (
            Pending::Keyboard { rounds: 0 },
            AuthMethod::KeyboardInteractive { submethods: submethods.to_vec() },
        ),
        Method::Other { name } => (Pending::Attempt, other(&String::from_utf8_lossy(name))),
    }
}

fn attempt_if(signature_valid: bool) -> Pending {
    if signature_valid { Pending::Attempt } else { Pending::BadSignature }
}

fn other(name: &str) -> AuthMethod {
    AuthMethod::Other { name: name.to_owned() }
}

/// Algorithm and key, if we allow the one and it fits the other (HKA-6).
fn usable(algorithm: &[u8], blob: &[u8], allowed: &[String]) -> Option<(String, OfferedKey)> {
    let algorithm = std::str::from_utf8(algorithm).ok()?;
    if !allowed.iter().any(|name| name == algorithm) {
        return None;
    }
    let key = OfferedKey::from_wire(blob).ok()?;
    // SHA-1 is named nowhere but in a list for old partners.
    let fits = key.algorithms().contains(&algorithm)
        || (algorithm == names::SSH_RSA && key.type_name() == names::SSH_RSA);
    fits.then(|| (algorithm.to_owned(), key))
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};

    use super::*;

    #[test]
    fn sha_1_is_usable_for_rsa_keys_where_it_is_allowed() {
        let blob = |kind| PrivateKey::generate(kind, &mut SystemRandom).unwrap().public().to_wire();
        let (rsa, ed25519) = (blob(KeyType::Rsa { bits: 2048 }), blob(KeyType::Ed25519));
        let default = crate::Algorithms::default().user_keys;
        let legacy = [default.clone(), vec![names::SSH_RSA.to_owned()]].concat();

        assert!(usable(b"ssh-rsa", &rsa, &legacy).is_some());
        assert!(usable(b"ssh-rsa", &rsa, &default).is_none());
        assert!(usable(b"ssh-rsa", &ed25519, &legacy).is_none());
        assert!(usable(b"rsa-sha2-512", &rsa, &default).is_some());
    }
}
