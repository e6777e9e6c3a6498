//! The server's half: one request at a time, bound to one user, counted, and asked about.

use sterna_ssh_crypto::PublicKey;
use sterna_sshwire::Reader;
use zeroize::Zeroizing;

use crate::error::{Error, PeerError};
use crate::event::{AuthAnswer, AuthMethod, AuthRequest};
use crate::limits::{AUTH_REQUESTS_MAX, USER_LEN_MAX};
use crate::messages::auth::{
    METHOD_PUBLIC_KEY, Method, Request, SERVICE_CONNECTION, encode_failure, encode_pk_ok,
    encode_success, signed_bytes,
};

/// State of the server's authentication service.
pub(crate) struct AuthServer {
    failures_max: u32,
    /// Everything before success belongs to this user; a change ends the connection (AUT-2).
    user: Option<Vec<u8>>,
    failures: u32,
    requests: u32,
    pending: Option<Pending>,
}

/// A request that the application thinks about.
enum Pending {
    None,
    Query {
        algorithm: Vec<u8>,
        key: Vec<u8>,
    },
    Attempt,
    /// A public key attempt whose signature is wrong: no answer makes it right.
    BadSignature,
}

/// What an answer led to.
pub(crate) enum ServerOutcome {
    Continue(Vec<u8>),
    Success(Vec<u8>, Vec<u8>),
}

impl AuthServer {
    pub fn new(failures_max: u32) -> Self {
        Self { failures_max, user: None, failures: 0, requests: 0, pending: None }
    }

    /// The application has a request to answer.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// `SSH_MSG_USERAUTH_REQUEST`, behind its number.
    pub fn handle_request(
        &mut self,
        r: &mut Reader<'_>,
        session_id: &[u8],
        host_key: &[u8],
        algorithms: &[String],
    ) -> Result<AuthRequest, Error> {
        // The whole request is parsed before anybody looks whether the user exists (CVE-2018-15473).
        let request = Request::decode(r).map_err(Error::malformed("USERAUTH_REQUEST"))?;
        self.requests += 1;
        if self.requests > AUTH_REQUESTS_MAX {
            return Err(PeerError::TooManyAuthAttempts.into());
        }
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
            read_method(&request, session_id, host_key, algorithms)
        };
        self.pending = Some(pending);
        Ok(AuthRequest { user: request.user.to_vec(), method })
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
            (AuthAnswer::Accept, Pending::None | Pending::Attempt) => {
                encode_success(&mut out);
                Ok(ServerOutcome::Success(out, self.user.clone().unwrap_or_default()))
            }
            (AuthAnswer::Partial { methods }, Pending::None | Pending::Attempt) => {
                encode_failure(&mut out, &methods, true);
                Ok(ServerOutcome::Continue(out))
            }
            (AuthAnswer::Reject { methods }, pending) => self.reject(methods, &pending, out),
            // An answer that does not fit the request: to a query only `PublicKeyOk` says yes, and
            // to a wrong signature nothing does.
            (
                AuthAnswer::Accept | AuthAnswer::Partial { .. } | AuthAnswer::PublicKeyOk,
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
            Pending::Attempt | Pending::BadSignature => self.failures += 1,
        }
        if self.failures >= self.failures_max {
            return Err(PeerError::TooManyAuthAttempts.into());
        }
        encode_failure(&mut out, &methods, false);
        Ok(ServerOutcome::Continue(out))
    }
}

/// The method with its signature checked, and what its answer will need.
fn read_method(
    request: &Request<'_>,
    session_id: &[u8],
    host_key: &[u8],
    algorithms: &[String],
) -> (Pending, AuthMethod) {
    match request.method {
        Method::None => (Pending::None, AuthMethod::None),
        Method::Password { password, new_password: None } => {
            (Pending::Attempt, AuthMethod::Password { password: Zeroizing::new(password.to_vec()) })
        }
        Method::Password { password, new_password: Some(new) } => (
            Pending::Attempt,
            AuthMethod::PasswordChange {
                old: Zeroizing::new(password.to_vec()),
                new: Zeroizing::new(new.to_vec()),
            },
        ),
        Method::PublicKey { algorithm, key, signature, bound_to } => {
            let foreign =
                || (Pending::Attempt, AuthMethod::Other { name: METHOD_PUBLIC_KEY.to_owned() });
            let Some(name) = std::str::from_utf8(algorithm)
                .ok()
                .filter(|name| algorithms.iter().any(|a| a == name))
            else {
                return foreign();
            };
            let Ok(public_key) = PublicKey::from_wire(key) else { return foreign() };
            if !public_key.signature_algorithms().contains(&name) {
                return foreign();
            }
            let algorithm_name = name.to_owned();
            let Some(signature) = signature else {
                let pending = Pending::Query { algorithm: algorithm.to_vec(), key: key.to_vec() };
                let method =
                    AuthMethod::PublicKeyQuery { algorithm: algorithm_name, key: public_key };
                return (pending, method);
            };
            let bytes = signed_bytes(session_id, request.user, name, key, bound_to);
            let signature_valid = bound_to.is_none_or(|bound| bound == host_key)
                && public_key.verify(name, &bytes, signature).is_ok();
            let pending = if signature_valid { Pending::Attempt } else { Pending::BadSignature };
            let method = AuthMethod::PublicKey {
                algorithm: algorithm_name,
                key: public_key,
                signature_valid,
            };
            (pending, method)
        }
        Method::Other { name } => {
            let name = String::from_utf8_lossy(name).into_owned();
            (Pending::Attempt, AuthMethod::Other { name })
        }
    }
}
