//! The server's half of an exchange: take the client's value, answer, prove the host key.

use sterna_ssh_crypto::{DhGroup, KexKind, names};
use sterna_sshwire::Reader;

use super::hash::{Transcript, Values};
use super::{Action, Agreed, Context, Kex, Negotiated, Running, Stage, Step, as_mpint};
use crate::error::{Error, PeerError};
use crate::event::SignRequest;
use crate::messages::kex::{
    EXCHANGE_INIT, EXCHANGE_REPLY, ExchangeReply, GEX_INIT, GEX_REPLY, GEX_REQUEST, GexRequest,
    decode_init, encode_gex_group,
};

/// What the negotiated method waits for first.
pub(super) fn begin(negotiated: &Negotiated) -> Step {
    match negotiated.kex.kind {
        KexKind::DhGroupExchange => Step::ServerAwaitsGroupRequest,
        KexKind::Ecdh | KexKind::DhGroup => Step::ServerAwaitsInit { group: None },
    }
}

impl Kex {
    pub(super) fn server_handle(
        &mut self,
        mut running: Box<Running>,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Vec<Action>, Error> {
        let (number, mut r) = (payload[0], Reader::new(&payload[1..]));
        match running.step {
            Step::ServerAwaitsGroupRequest if number == GEX_REQUEST => {
                let request =
                    GexRequest::decode(&mut r).map_err(Error::malformed("GEX_REQUEST"))?;
                let group = DhGroup::choose(request.min, request.n, request.max)
                    .ok_or(PeerError::BadKeyExchange)?;
                let mut out = Vec::new();
                encode_gex_group(&mut out, group.p(), group.g());
                running.step = Step::ServerAwaitsInit { group: Some((request, group)) };
                self.stage = Stage::Running(running);
                Ok(vec![Action::Send(out)])
            }
            Step::ServerAwaitsInit { group }
                if number == if group.is_some() { GEX_INIT } else { EXCHANGE_INIT } =>
            {
                let as_mpint = as_mpint(&running.negotiated.kex.kind);
                let client_public =
                    decode_init(&mut r, as_mpint).map_err(Error::malformed("key exchange init"))?;
                let (public, secret) = match &group {
                    Some((_, group)) => group.server_reply(client_public, cx.random),
                    None => running.negotiated.kex.server_reply(client_public, cx.random),
                }
                .map_err(|_| PeerError::BadKeyExchange)?;

                let algorithm = running.negotiated.host_key.clone();
                let host_key = cx
                    .host_keys
                    .iter()
                    .find(|key| key.algorithms().contains(&algorithm.as_str()))
                    .ok_or(Error::Local("no host key for the negotiated algorithm"))?;
                // A certificate is shown, the key inside it signs.
                let (signer, host_key) = (host_key.key().to_wire(), host_key.to_wire());
                let transcript = Transcript {
                    client_version: cx.their_version,
                    server_version: cx.our_version,
                    client_kexinit: &running.their_kexinit,
                    server_kexinit: &running.our_kexinit,
                    host_key: &host_key,
                };
                let values = Values {
                    client_public,
                    server_public: &public,
                    as_mpint,
                    group: group.as_ref().map(|(request, group)| (request, *group)),
                };
                let hash = transcript.hash(running.negotiated.kex.hash, &values, &secret);
                let algorithm = names::signature_algorithm(&algorithm).to_owned();
                let request = SignRequest { key_blob: signer, algorithm, data: hash.clone() };
                let agreed = Agreed { secret, hash, host_key };
                running.step = Step::ServerAwaitsSignature { agreed, public };
                self.stage = Stage::Running(running);
                Ok(vec![Action::AskSignature(request)])
            }
            Step::ServerAwaitsGroupRequest
            | Step::ServerAwaitsInit { .. }
            | Step::ServerAwaitsSignature { .. }
            | Step::ClientAwaitsReply { .. }
            | Step::ClientAwaitsGroup { .. }
            | Step::ClientAwaitsTrust { .. } => Err(PeerError::OutOfPhase(number).into()),
        }
    }

    /// The signature blob over H, or `None` if the key's holder could not sign.
    ///
    /// # Panics
    /// If no signature was asked for: the caller's mistake.
    pub fn answer_signature(&mut self, signature: Option<Vec<u8>>) -> Result<Vec<Action>, Error> {
        let Stage::Running(mut running) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            panic!("answer_signature without an open question");
        };
        let Step::ServerAwaitsSignature { agreed, public } =
            std::mem::replace(&mut running.step, Step::ServerAwaitsGroupRequest)
        else {
            panic!("answer_signature without an open question");
        };
        let signature = signature.ok_or(Error::Local("the host key could not sign"))?;
        let number = match running.negotiated.kex.kind {
            KexKind::DhGroupExchange => GEX_REPLY,
            KexKind::Ecdh | KexKind::DhGroup => EXCHANGE_REPLY,
        };
        let mut out = Vec::with_capacity(2048);
        ExchangeReply { host_key: &agreed.host_key, public: &public, signature: &signature }
            .encode(&mut out, number, as_mpint(&running.negotiated.kex.kind));
        let mut actions = vec![Action::Send(out)];
        actions.extend(self.finish(*running, agreed));
        Ok(actions)
    }
}
