//! Services, EXT_INFO and authentication on a connection: routing, and what success switches on.

use std::sync::Arc;
use std::time::Instant;

use sterna_sshwire::{NameList, Reader};

use super::{Auth, Config, Connection};
use crate::auth::{Against, ClientOutcome, ServerOutcome};
use crate::error::{Error, PeerError};
use crate::event::{AuthAnswer, ClientAuth, Event, SessionBinding};
use crate::messages::auth::{
    SERVICE_USERAUTH, decode_banner, encode_banner, host_based_signed_bytes, signed_bytes,
};
use crate::messages::transport::{
    decode_ext_info, encode_ext_info, encode_service_accept, peer_text,
};
use crate::messages::{USERAUTH_BANNER, global};
use crate::packet::{Deflate, Inflate, OutputBuffer};
use crate::phase::Phase;

/// EXT_INFO messages that each side may send: behind its first NEWKEYS, and a server once more before
/// it says SUCCESS (RFC 8308 §2.4).
const EXT_INFO_OF_CLIENT_MAX: u32 = 1;
const EXT_INFO_OF_SERVER_MAX: u32 = 2;

impl Connection {
    /// SERVICE_REQUEST to a server, SERVICE_ACCEPT to a client. A repeated request changes nothing: what
    /// was proven stays, and stays bound to its user.
    pub(super) fn handle_service(
        &mut self,
        service: &[u8],
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if service != SERVICE_USERAUTH.as_bytes() {
            return Err(PeerError::UnknownService.into());
        }
        let again = self.phase == Phase::Auth;
        self.phase = Phase::Auth;
        if let Auth::Server(auth) = &mut self.auth {
            auth.count_request()?;
        }
        if let Config::Server(config) = &self.config {
            let banner = config.banner.clone().filter(|_| !again);
            self.send_with(out, |p| encode_service_accept(p, SERVICE_USERAUTH))?;
            if let Some(banner) = banner {
                self.send_with(out, |p| encode_banner(p, &banner))?;
            }
        }
        Ok(())
    }

    /// Our EXT_INFO: what signatures we take, and what else we can do.
    pub(super) fn send_ext_info(&mut self, out: &mut OutputBuffer) {
        let Config::Server(config) = &self.config else { return };
        let algorithms = config.common.algorithms.user_keys.join(",");
        let entries: [(&str, &[u8]); 3] = [
            ("server-sig-algs", algorithms.as_bytes()),
            ("publickey-hostbound@openssh.com", b"0"),
            ("ping@openssh.com", b"0"),
        ];
        let mut payload = Vec::with_capacity(512);
        encode_ext_info(&mut payload, &entries);
        self.writer.seal(out, &mut *self.random, &payload);
    }

    pub(super) fn handle_ext_info(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        self.globals.ext_infos += 1;
        let count_max = match self.config {
            Config::Client(_) => EXT_INFO_OF_SERVER_MAX,
            Config::Server(_) => EXT_INFO_OF_CLIENT_MAX,
        };
        if self.globals.ext_infos > count_max {
            return Err(PeerError::Flood.into());
        }
        let (mut signatures, mut host_bound) = (None, false);
        decode_ext_info(r, |name, value| match name {
            b"server-sig-algs" => {
                let names = NameList::new(value).iter().map(str::to_owned).collect();
                signatures = Some(names);
            }
            b"publickey-hostbound@openssh.com" => host_bound = value == b"0",
            _ => {}
        })
        .map_err(Error::malformed("EXT_INFO"))?;
        // Only the first one: what a login signs must not change under it.
        if self.globals.ext_infos == 1
            && let Config::Client(config) = &self.config
        {
            self.globals.host_bound = host_bound && config.host_bound;
        }
        if signatures.is_some() {
            self.globals.server_signatures = signatures;
        }
        Ok(())
    }

    /// The signature algorithms that the server takes from users, if it said so.
    pub fn server_signature_algorithms(&self) -> Option<&Arc<[String]>> {
        self.globals.server_signatures.as_ref()
    }

    /// Messages 50 to 79.
    pub(super) fn handle_auth(
        &mut self,
        number: u8,
        payload: &[u8],
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        let r = &mut Reader::new(&payload[1..]);
        match (&mut self.auth, &self.config) {
            (Auth::Server(auth), Config::Server(config)) => {
                let against = Against {
                    session_id: self.kex.session_id().unwrap_or_default(),
                    host_key: self.kex.host_key().unwrap_or_default(),
                    algorithms: &config.common.algorithms.user_keys,
                };
                let request = auth.handle(number, r, &against)?;
                self.events.push_back(Event::AuthRequest(request));
                Ok(())
            }
            (Auth::Client(_), Config::Client(_)) if number == USERAUTH_BANNER => {
                let text = decode_banner(r).map_err(Error::malformed("USERAUTH_BANNER"))?;
                self.events.push_back(Event::Banner(peer_text(text)));
                Ok(())
            }
            (Auth::Client(auth), Config::Client(_)) => match auth.handle_answer(number, r)? {
                ClientOutcome::Success(user) => self.logged_in(user, now, out),
                ClientOutcome::Turn { can_continue, partial } => {
                    self.events.push_back(Event::AuthTurn { can_continue, partial });
                    Ok(())
                }
                ClientOutcome::PasswordExpired { prompt } => {
                    self.events.push_back(Event::PasswordExpired { prompt });
                    Ok(())
                }
                ClientOutcome::Prompted(prompts) => {
                    self.events.push_back(Event::Prompted(prompts));
                    Ok(())
                }
                ClientOutcome::KeyAccepted { algorithm, key_blob } => {
                    self.events.push_back(Event::PublicKeyAccepted { algorithm, key_blob });
                    Ok(())
                }
            },
            (Auth::Server(_), Config::Client(_)) | (Auth::Client(_), Config::Server(_)) => {
                unreachable!("both are made together")
            }
        }
    }

    /// The server's answer to [`Event::AuthRequest`]. After the end of the connection it means nothing.
    ///
    /// # Errors
    /// The attempts are used up: the connection is over, our DISCONNECT is in `out`.
    ///
    /// # Panics
    /// If nothing was asked, or on a client.
    pub fn answer_auth(
        &mut self,
        answer: AuthAnswer,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if self.is_ended() {
            return Ok(());
        }
        let Auth::Server(auth) = &mut self.auth else { panic!("answer_auth on a client") };
        let result = match auth.answer(answer) {
            Ok(ServerOutcome::Continue(payload)) => self.send(&payload, out),
            Ok(ServerOutcome::Success(payload, user)) => {
                self.send(&payload, out).and_then(|()| self.logged_in(user, now, out))
            }
            Err(error) => Err(error),
        };
        self.fail_if(result, out)
    }

    /// One attempt of the client, after [`Event::AuthTurn`], [`Event::PublicKeyAccepted`],
    /// [`Event::Prompted`] or [`Event::PasswordExpired`].
    ///
    /// # Panics
    /// If an attempt is still unanswered, if answers are not as many as the prompts, or on a server.
    pub fn try_auth(&mut self, attempt: ClientAuth, out: &mut OutputBuffer) {
        let Auth::Client(auth) = &mut self.auth else { panic!("try_auth on a server") };
        let bound_to = self.globals.host_bound.then(|| self.kex.host_key()).flatten();
        let payload = auth.try_auth(attempt, bound_to);
        // Held back at most, never refused: there is one attempt at a time.
        let _ = self.send(&payload, out);
    }

    /// The bytes that a public key attempt must sign (RFC 4252 §7).
    pub fn public_key_signed_bytes(&self, algorithm: &str, key_blob: &[u8]) -> Vec<u8> {
        let bound_to = self.globals.host_bound.then(|| self.kex.host_key()).flatten();
        signed_bytes(self.session_id(), self.login_user(), algorithm, key_blob, bound_to)
    }

    /// The bytes that a host-based attempt must sign (RFC 4252 §9).
    pub fn host_based_signed_bytes(
        &self,
        algorithm: &str,
        key_blob: &[u8],
        client_host: &[u8],
        client_user: &[u8],
    ) -> Vec<u8> {
        host_based_signed_bytes(
            self.session_id(),
            self.login_user(),
            algorithm,
            key_blob,
            client_host,
            client_user,
        )
    }

    /// What an agent wants to know before it signs for this connection; on a client, once the first
    /// exchange is over.
    pub fn session_binding(&self) -> Option<SessionBinding> {
        Some(SessionBinding {
            host_key: self.kex.host_key()?.to_vec(),
            session_id: self.kex.session_id()?.to_vec(),
            signature: self.kex.host_signature().to_vec(),
        })
    }

    /// The user that this client logs in as.
    fn login_user(&self) -> &[u8] {
        match &self.config {
            Config::Client(config) => &config.user,
            Config::Server(_) => &[],
        }
    }

    /// Login is over: compression starts, the host keys are announced.
    fn logged_in(
        &mut self,
        user: Vec<u8>,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        self.phase = Phase::Open;
        self.timers.logged_in(now);
        self.writer.set_deflate(self.globals.compress_out.then(Deflate::new));
        self.reader.set_inflate(self.globals.compress_in.then(Inflate::new));
        self.events.push_back(Event::Authenticated { user });
        let Config::Server(config) = &self.config else { return Ok(()) };
        if self.ident.dislikes_host_key_update() {
            return Ok(());
        }
        let blobs: Vec<_> = config.plain_host_keys().collect();
        self.send_with(out, |p| global::encode_request(p, global::HOST_KEYS, false, &blobs))
    }

    /// The negotiated compression, switched on by login.
    pub(super) fn auth_compression_out(&mut self, compress: bool) {
        self.globals.compress_out = compress;
    }

    pub(super) fn auth_compression_in(&mut self, compress: bool) {
        self.globals.compress_in = compress;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientConfig, ServerConfig};
    use std::sync::Arc;
    use sterna_ssh_crypto::OfferedKey;
    use sterna_testkit::Seed;

    #[test]
    fn a_server_takes_one_ext_info_and_a_client_two() {
        let (now, mut out) = (Instant::now(), OutputBuffer::new());
        let random = || Box::new(Seed::new(1));
        let server = Arc::new(ServerConfig::new(Vec::<OfferedKey>::new()));
        let client = Arc::new(ClientConfig::new(*b"alice"));
        let server = Connection::server(server, random(), now, &mut out);
        let client = Connection::client(client, random(), now, &mut out);
        for (mut connection, count_max) in [(server, 1), (client, 2)] {
            for _ in 0..count_max {
                assert_eq!(connection.handle_ext_info(&mut Reader::new(&[0; 4])), Ok(()));
            }
            let one_more = connection.handle_ext_info(&mut Reader::new(&[0; 4]));
            assert_eq!(one_more, Err(PeerError::Flood.into()));
        }
    }
}
