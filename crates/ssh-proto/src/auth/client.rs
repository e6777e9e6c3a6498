//! The client's half: one question at a time, and what its answer means (RFC 4252 §5, §7-9; RFC 4256).

use sterna_sshwire::{Reader, put_string};
use zeroize::Zeroizing;

use crate::error::{Error, PeerError};
use crate::event::{ClientAuth, Prompts};
use crate::messages::auth::{
    METHOD_NONE, decode_failure, decode_passwd_changereq, decode_pk_ok,
    encode_keyboard_interactive, encode_password, encode_public_key, put_host_based,
    put_request_head,
};
use crate::messages::keyboard::{decode_info_request, encode_info_response};
use crate::messages::transport::peer_text;
use crate::messages::{
    USERAUTH_FAILURE, USERAUTH_INFO_REQUEST, USERAUTH_PASSWD_CHANGEREQ, USERAUTH_PK_OK,
    USERAUTH_SUCCESS,
};

/// State of the client's side of authentication.
pub(crate) struct AuthClient {
    user: Vec<u8>,
    pending: Option<Pending>,
    /// How many answers the server's last questions want; any other attempt ends the dialogue.
    prompts: Option<usize>,
}

/// Message 60 means something else for each of them (PUB-1).
enum Pending {
    Query { algorithm: String, key_blob: Vec<u8> },
    Password,
    Keyboard,
    Attempt,
}

/// What the server's answer says.
pub(crate) enum ClientOutcome {
    Success(Vec<u8>),
    Turn { can_continue: Vec<String>, partial: bool },
    KeyAccepted { algorithm: String, key_blob: Vec<u8> },
    PasswordExpired { prompt: String },
    Prompted(Prompts),
}

impl AuthClient {
    pub fn new(user: Vec<u8>) -> Self {
        Self { user, pending: None, prompts: None }
    }

    /// The payload of one attempt. `bound_to` is the server's host key if public-key logins are to be
    /// bound to it.
    ///
    /// # Panics
    /// If an attempt is still unanswered, or answers are not as many as the prompts were: the
    /// caller's mistake.
    pub fn try_auth(&mut self, auth: ClientAuth, bound_to: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
        assert!(self.pending.is_none(), "one attempt at a time");
        let prompts = self.prompts.take();
        let mut out = Zeroizing::new(Vec::with_capacity(2048));
        let user = &self.user;
        let pending = match auth {
            ClientAuth::None => {
                put_request_head(&mut out, user, METHOD_NONE);
                Pending::Attempt
            }
            ClientAuth::Password { password } => {
                encode_password(&mut out, user, &password, None);
                Pending::Password
            }
            ClientAuth::PasswordChange { old, new } => {
                encode_password(&mut out, user, &old, Some(&new));
                Pending::Password
            }
            ClientAuth::PublicKeyQuery { algorithm, key_blob } => {
                encode_public_key(&mut out, user, &algorithm, &key_blob, bound_to, None);
                Pending::Query { algorithm, key_blob }
            }
            ClientAuth::PublicKey { algorithm, key_blob, signature } => {
                let signature = Some(&signature[..]);
                encode_public_key(&mut out, user, &algorithm, &key_blob, bound_to, signature);
                Pending::Attempt
            }
            ClientAuth::HostBased { algorithm, key_blob, client_host, client_user, signature } => {
                put_host_based(&mut out, user, &algorithm, &key_blob, &client_host, &client_user);
                put_string(&mut out, &signature);
                Pending::Attempt
            }
            ClientAuth::KeyboardInteractive { submethods } => {
                encode_keyboard_interactive(&mut out, user, &submethods);
                Pending::Keyboard
            }
            ClientAuth::PromptAnswers { answers } => {
                assert_eq!(prompts, Some(answers.len()), "one answer for each prompt");
                encode_info_response(&mut out, &answers);
                Pending::Keyboard
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
            (USERAUTH_SUCCESS, Pending::Attempt | Pending::Password | Pending::Keyboard) => {
                r.finish("USERAUTH_SUCCESS").map_err(Error::malformed("USERAUTH_SUCCESS"))?;
                Ok(ClientOutcome::Success(self.user.clone()))
            }
            (
                USERAUTH_FAILURE,
                Pending::Attempt | Pending::Password | Pending::Keyboard | Pending::Query { .. },
            ) => {
                let (can_continue, partial) =
                    decode_failure(r).map_err(Error::malformed("USERAUTH_FAILURE"))?;
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
                Ok(ClientOutcome::PasswordExpired { prompt: peer_text(prompt) })
            }
            (USERAUTH_INFO_REQUEST, Pending::Keyboard) => {
                let prompts =
                    decode_info_request(r).map_err(Error::malformed("USERAUTH_INFO_REQUEST"))?;
                self.prompts = Some(prompts.prompts.len());
                Ok(ClientOutcome::Prompted(prompts))
            }
            // Success without an attempt, or an answer of a method that we did not try.
            (
                _,
                Pending::Attempt | Pending::Password | Pending::Keyboard | Pending::Query { .. },
            ) => Err(PeerError::UnaskedAnswer.into()),
        }
    }
}
