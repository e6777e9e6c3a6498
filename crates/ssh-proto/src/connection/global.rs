//! Global requests (RFC 4254 §4): keep-alive, host key announcement and proof.

use std::collections::VecDeque;
use std::sync::Arc;

use sterna_ssh_crypto::PublicKey;
use sterna_sshwire::Reader;

use super::{Config, Connection, Question};
use crate::error::{Error, PeerError};
use crate::event::{Event, SignRequest};
use crate::limits::GLOBAL_REQUESTS_MAX;
use crate::messages::global::{
    HOST_KEYS, HOST_KEYS_PROVE, NO_MORE_SESSIONS, Request, decode_blobs, encode_failure,
    encode_request, encode_success, prove_bytes,
};
use crate::messages::{GLOBAL_REQUEST, REQUEST_SUCCESS};
use crate::packet::OutputBuffer;

/// What belongs to the connection as a whole.
#[derive(Default)]
pub(super) struct Globals {
    /// Our requests, in the order in which they will be answered.
    asked: VecDeque<Asked>,
    /// The client promised to open no further session.
    pub no_more_sessions: bool,
    /// The server announced its keys; only the first announcement counts (ROT-2).
    announced: bool,
    proof: Option<Proof>,
    pub ext_infos: u32,
    pub server_signatures: Option<Arc<[String]>>,
    /// Client: public-key logins are bound to the server's host key.
    pub host_bound: bool,
    pub compress_out: bool,
    pub compress_in: bool,
}

/// A global request of ours.
pub(super) enum Asked {
    KeepAlive,
    Proof(Vec<Vec<u8>>),
}

/// A client's request for proof being answered, one signature after the other.
struct Proof {
    keys: VecDeque<Vec<u8>>,
    signatures: Vec<Vec<u8>>,
}

impl Globals {
    pub fn ask(&mut self, asked: Asked) -> Result<(), Error> {
        if self.asked.len() >= GLOBAL_REQUESTS_MAX {
            // Keep-alive gives up on such a peer long before.
            return Err(PeerError::Flood.into());
        }
        self.asked.push_back(asked);
        Ok(())
    }
}

impl Connection {
    /// Messages 80 to 82.
    pub(super) fn handle_global(
        &mut self,
        number: u8,
        payload: &[u8],
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if number == GLOBAL_REQUEST {
            let request = Request::decode(&mut Reader::new(&payload[1..]))
                .map_err(Error::malformed("GLOBAL_REQUEST"))?;
            return self.handle_global_request(&request, out);
        }
        // Answers that nobody asked for are ignored: they held up others (CVE-2026-39830).
        match self.globals.asked.pop_front() {
            Some(Asked::Proof(keys)) => {
                let proved = number == REQUEST_SUCCESS && self.proof_holds(&keys, &payload[1..]);
                let keys = if proved { keys } else { Vec::new() };
                self.events.push_back(Event::HostKeysProved(keys));
            }
            Some(Asked::KeepAlive) | None => {}
        }
        Ok(())
    }

    fn handle_global_request(
        &mut self,
        request: &Request<'_>,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        let name = std::str::from_utf8(request.name).unwrap_or_default();
        match (name, &self.config) {
            (NO_MORE_SESSIONS, Config::Server(_)) => self.globals.no_more_sessions = true,
            (HOST_KEYS, Config::Client(_)) if !self.globals.announced => {
                self.globals.announced = true;
                // An announcement that cannot be read is ignored as a whole.
                if let Ok(keys) = decode_blobs(request.fields)
                    && !keys.is_empty()
                {
                    self.events.push_back(Event::HostKeysAnnounced(keys));
                }
            }
            (HOST_KEYS_PROVE, Config::Server(config)) if request.want_reply => {
                let keys =
                    decode_blobs(request.fields).map_err(Error::malformed("hostkeys-prove"))?;
                let ours = |key: &Vec<u8>| config.plain_host_keys().any(|blob| blob == *key);
                if !keys.is_empty() && keys.iter().all(ours) {
                    self.globals.proof = Some(Proof { keys: keys.into(), signatures: Vec::new() });
                    self.ask_next_proof();
                    return Ok(());
                }
            }
            _ => {}
        }
        if request.want_reply { self.send_with(out, encode_failure) } else { Ok(()) }
    }

    fn ask_next_proof(&mut self) {
        let Some(key_blob) = self.globals.proof.as_ref().and_then(|p| p.keys.front()).cloned()
        else {
            return;
        };
        let data = prove_bytes(self.session_id(), &key_blob);
        let algorithm = proof_algorithm(&key_blob, self.kex.host_key_algorithm());
        self.question = Some(Question::ProofSignature);
        self.events.push_back(Event::Sign(SignRequest { key_blob, algorithm, data }));
    }

    pub(super) fn answer_proof(
        &mut self,
        signature: Option<Vec<u8>>,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        let Some(mut proof) = self.globals.proof.take() else { return Ok(()) };
        let Some(signature) = signature else { return self.send_with(out, encode_failure) };
        proof.keys.pop_front();
        proof.signatures.push(signature);
        if proof.keys.is_empty() {
            return self.send_with(out, |p| encode_success(p, &proof.signatures));
        }
        self.globals.proof = Some(proof);
        self.ask_next_proof();
        Ok(())
    }

    /// Asks the server to prove that it holds these announced keys.
    pub fn prove_host_keys(&mut self, keys: Vec<Vec<u8>>, out: &mut OutputBuffer) {
        if self.globals.ask(Asked::Proof(keys.clone())).is_ok() {
            // Held back at most; the bound of held payloads is far above one request.
            let _ = self.send_with(out, |p| encode_request(p, HOST_KEYS_PROVE, true, &keys));
        }
    }

    /// One valid signature for each key, in order.
    fn proof_holds(&self, keys: &[Vec<u8>], fields: &[u8]) -> bool {
        let Ok(signatures) = decode_blobs(fields) else { return false };
        let holds = |(key_blob, signature): (&Vec<u8>, &Vec<u8>)| {
            let Ok(key) = PublicKey::from_wire(key_blob) else { return false };
            let data = prove_bytes(self.session_id(), key_blob);
            key.signature_algorithms().iter().any(|a| key.verify(a, &data, signature).is_ok())
        };
        signatures.len() == keys.len() && keys.iter().zip(&signatures).all(holds)
    }
}

/// RSA keys sign as they did in the exchange if they did, else with SHA-256 (ROT-2).
fn proof_algorithm(key_blob: &[u8], exchange_algorithm: &str) -> String {
    let Ok(key) = PublicKey::from_wire(key_blob) else { return String::new() };
    let algorithms = key.signature_algorithms();
    let chosen = if algorithms.contains(&exchange_algorithm) {
        Some(exchange_algorithm)
    } else {
        algorithms.last().copied()
    };
    chosen.unwrap_or_default().to_owned()
}
