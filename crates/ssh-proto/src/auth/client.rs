//! The client's half: one question at a time, and what its answer means (RFC 4252 §5, §7).

use sterna_sshwire::Reader;

use crate::error::{Error, PeerError};
use crate::event::ClientAuth;
use crate::messages::auth::{
    METHOD_NONE, METHOD_PASSWORD, decode_failure, decode_passwd_changereq, decode_pk_ok,
    encode_password, encode_public_key, put_request_head,
};
use crate::messages::transport::peer_text;
use crate::messages::{
    USERAUTH_FAILURE, USERAUTH_PASSWD_CHANGEREQ, USERAUTH_PK_OK, USERAUTH_SUCCESS,
};

/// State of the client's side of authentication.
pub(crate) struct AuthClient {
    user: Vec<u8>,
    pending: Option<Pending>,
    /// From the last FAILURE.
    can_continue: Vec<String>,
}

/// Message 60 means something else for each of them (PUB-1).
enum Pending {
    Query { algorithm: String, key_blob: Vec<u8> },
    Password,
    Attempt,
}

/// What the server's answer says.
pub(crate) enum ClientOutcome {
    Success(Vec<u8>),
    Turn {
        can_continue: Vec<String>,
        partial: bool,
    },
    KeyAccepted {
        algorithm: String,
        key_blob: Vec<u8>,
    },
    /// The password has expired. We change none; other methods may go on.
    PasswordExpired {
        prompt: String,
        can_continue: Vec<String>,
    },
}

impl AuthClient {
    pub fn new(user: Vec<u8>) -> Self {
        Self { user, pending: None, can_continue: Vec::new() }
    }

    /// The payload of one attempt.
    ///
    /// # Panics
    /// If an attempt is still unanswered: the caller's mistake.
    pub fn try_auth(&mut self, auth: ClientAuth) -> zeroize::Zeroizing<Vec<u8>> {
        assert!(self.pending.is_none(), "one attempt at a time");
        let mut out = zeroize::Zeroizing::new(Vec::with_capacity(1024));
        let pending = match auth {
            ClientAuth::None => {
                put_request_head(&mut out, &self.user, METHOD_NONE);
                Pending::Attempt
            }
            ClientAuth::Password { password } => {
                encode_password(&mut out, &self.user, &password);
                Pending::Password
            }
            ClientAuth::PublicKeyQuery { algorithm, key_blob } => {
                encode_public_key(&mut out, &self.user, &algorithm, &key_blob, None);
                Pending::Query { algorithm, key_blob }
            }
            ClientAuth::PublicKey { algorithm, key_blob, signature } => {
                encode_public_key(&mut out, &self.user, &algorithm, &key_blob, Some(&signature));
                Pending::Attempt
            }
        };
        self.pending = Some(pending);
        out
    }

    /// An answer: messages 51, 52 and 60 to 79.
    pub fn handle_answer(
        &mut self,
        number: u8,
        r: &mut Reader<'_>,
    ) -> Result<ClientOutcome, Error> {
        let pending = self.pending.take().ok_or(PeerError::UnaskedAnswer)?;
        match (number, pending) {
            (USERAUTH_SUCCESS, Pending::Attempt | Pending::Password) => {
                r.finish("USERAUTH_SUCCESS").map_err(Error::malformed("USERAUTH_SUCCESS"))?;
                Ok(ClientOutcome::Success(self.user.clone()))
            }
            (USERAUTH_FAILURE, Pending::Attempt | Pending::Password | Pending::Query { .. }) => {
                let (can_continue, partial) =
                    decode_failure(r).map_err(Error::malformed("USERAUTH_FAILURE"))?;
                self.can_continue.clone_from(&can_continue);
                Ok(ClientOutcome::Turn { can_continue, partial })
            }
            (USERAUTH_PK_OK, Pending::Query { algorithm, key_blob }) => {
                let (their_algorithm, their_key) =
                    decode_pk_ok(r).map_err(Error::malformed("USERAUTH_PK_OK"))?;
                if their_algorithm != algorithm.as_bytes() || their_key != key_blob {
                    return Err(PeerError::UnaskedAnswer.into());
                }
                Ok(ClientOutcome::KeyAccepted { algorithm, key_blob })
            }
            (USERAUTH_PASSWD_CHANGEREQ, Pending::Password) => {
                let prompt = decode_passwd_changereq(r)
                    .map_err(Error::malformed("USERAUTH_PASSWD_CHANGEREQ"))?;
                let others = self.can_continue.iter().filter(|m| *m != METHOD_PASSWORD);
                Ok(ClientOutcome::PasswordExpired {
                    prompt: peer_text(prompt),
                    can_continue: others.cloned().collect(),
                })
            }
            // Success without an attempt, or an answer of a method that we did not try.
            (_, Pending::Attempt | Pending::Password | Pending::Query { .. }) => {
                Err(PeerError::UnaskedAnswer.into())
            }
        }
    }
}
