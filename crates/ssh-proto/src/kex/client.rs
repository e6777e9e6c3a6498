//! The client's half of an exchange: offer a public value, check the answer, ask about the host key.

use sterna_ssh_crypto::{DhGroup, KexKind, OfferedKey};
use sterna_sshwire::Reader;

use super::hash::{Transcript, Values};
use super::{Action, Agreed, Context, Kex, Negotiated, Running, Stage, Step, as_mpint};
use crate::error::{Error, PeerError};
use crate::event::HostKeyQuestion;
use crate::messages::kex::{
    EXCHANGE_INIT, EXCHANGE_REPLY, ExchangeReply, GEX_GROUP, GEX_INIT, GEX_REPLY, GexRequest,
    decode_gex_group, encode_public,
};

/// Group exchange: 3072 bits are as strong as our ciphers' 128; below 2048 nothing is accepted.
const GEX_REQUEST: GexRequest = GexRequest { min: 2048, n: 3072, max: 8192 };

/// The first message of the negotiated method.
pub(super) fn begin(
    negotiated: &Negotiated,
    cx: &mut Context<'_>,
    actions: &mut Vec<Action>,
) -> Result<Step, Error> {
    let mut out = Vec::new();
    let step = match negotiated.kex.kind {
        KexKind::DhGroupExchange => {
            GEX_REQUEST.encode(&mut out);
            Step::ClientAwaitsGroup { request: GEX_REQUEST }
        }
        KexKind::Ecdh | KexKind::DhGroup => {
            let exchange = negotiated
                .kex
                .client_start(cx.random)
                .map_err(|_| Error::Local("cannot make a key exchange value"))?;
            let as_mpint = as_mpint(&negotiated.kex.kind);
            encode_public(&mut out, EXCHANGE_INIT, exchange.public(), as_mpint);
            Step::ClientAwaitsReply { exchange, group: None }
        }
    };
    actions.push(Action::Send(out));
    Ok(step)
}

impl Kex {
    pub(super) fn client_handle(
        &mut self,
        mut running: Box<Running>,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Vec<Action>, Error> {
        let (number, mut r) = (payload[0], Reader::new(&payload[1..]));
        match running.step {
            Step::ClientAwaitsGroup { request } if number == GEX_GROUP => {
                let (p, g) = decode_gex_group(&mut r).map_err(Error::malformed("GEX_GROUP"))?;
                let group = DhGroup::from_wire(p, g, request.min, request.max)
                    .map_err(|_| PeerError::BadKeyExchange)?;
                let exchange = group
                    .client_start(cx.random)
                    .map_err(|_| Error::Local("cannot make a key exchange value"))?;
                let mut out = Vec::new();
                encode_public(&mut out, GEX_INIT, exchange.public(), true);
                running.step = Step::ClientAwaitsReply { exchange, group: Some((request, group)) };
                self.stage = Stage::Running(running);
                Ok(vec![Action::Send(out)])
            }
            Step::ClientAwaitsReply { exchange, group }
                if number == if group.is_some() { GEX_REPLY } else { EXCHANGE_REPLY } =>
            {
                let as_mpint = as_mpint(&running.negotiated.kex.kind);
                let reply = ExchangeReply::decode(&mut r, as_mpint)
                    .map_err(Error::malformed("key exchange reply"))?;
                let client_public = exchange.public().to_vec();
                let secret =
                    exchange.finish(reply.public).map_err(|_| PeerError::BadKeyExchange)?;
                let transcript = Transcript {
                    client_version: cx.our_version,
                    server_version: cx.their_version,
                    client_kexinit: &running.our_kexinit,
                    server_kexinit: &running.their_kexinit,
                    host_key: reply.host_key,
                };
                let values = Values {
                    client_public: &client_public,
                    server_public: reply.public,
                    as_mpint,
                    group: group.as_ref().map(|(request, group)| (request, group)),
                };
                let hash = transcript.hash(running.negotiated.kex.hash, &values, &secret);

                let algorithm = running.negotiated.host_key.clone();
                let key = OfferedKey::from_wire(reply.host_key)
                    .map_err(|_| PeerError::BadHostKeySignature)?;
                key.verify_token(&algorithm, &hash, reply.signature)
                    .map_err(|_| PeerError::BadHostKeySignature)?;

                let agreed = Agreed { secret, hash, host_key: reply.host_key.to_vec() };
                match &self.host_key {
                    // Renewed keys: the same host, nothing to ask (REK-4).
                    Some(known) if *known == agreed.host_key => {
                        running.step = Step::ClientAwaitsGroup { request: GEX_REQUEST };
                        Ok(self.finish(*running, agreed))
                    }
                    Some(_) => Err(PeerError::HostKeyChanged.into()),
                    None => {
                        self.host_signature = reply.signature.to_vec();
                        running.step = Step::ClientAwaitsTrust { agreed };
                        self.stage = Stage::Running(running);
                        Ok(vec![Action::AskHostKey(HostKeyQuestion { algorithm, key })])
                    }
                }
            }
            Step::ClientAwaitsGroup { .. }
            | Step::ClientAwaitsReply { .. }
            | Step::ClientAwaitsTrust { .. }
            | Step::ServerAwaitsInit { .. }
            | Step::ServerAwaitsGroupRequest
            | Step::ServerAwaitsSignature { .. } => Err(PeerError::OutOfPhase(number).into()),
        }
    }

    /// The application's word on the host key.
    ///
    /// # Panics
    /// If no question is open: the caller's mistake.
    pub fn answer_host_key(&mut self, accepted: bool) -> Result<Vec<Action>, Error> {
        let Stage::Running(mut running) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            panic!("answer_host_key without an open question");
        };
        let idle = Step::ClientAwaitsGroup { request: GEX_REQUEST };
        let Step::ClientAwaitsTrust { agreed } = std::mem::replace(&mut running.step, idle) else {
            panic!("answer_host_key without an open question");
        };
        if !accepted {
            return Err(Error::HostKeyRefused);
        }
        Ok(self.finish(*running, agreed))
    }
}
