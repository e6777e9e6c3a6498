//! The key exchange as a state machine: KEXINIT, the method's messages, NEWKEYS (RFC 4253 §7-9).
//!
//! It takes messages and answers, and returns [`Action`]s in the order in which they must be done.
//! It never touches sockets, packets or keys in use; `connection.rs` carries the actions out.
//!
//! Not here: what may be sent meanwhile (`phase.rs`), when to start again (`connection.rs`).

mod client;
mod hash;
mod negotiate;
mod server;

use sterna_ssh_crypto::{
    ClientExchange, DhGroup, DirectionKeys, HashAlgorithm, KexKind, OfferedKey, Random,
    SharedSecret, derive_key,
};
use sterna_sshwire::Reader;
use zeroize::Zeroizing;

use crate::Role;
use crate::config::Algorithms;
use crate::error::{Error, PeerError};
use crate::event::{HostKeyQuestion, SignRequest};
use crate::messages::NEWKEYS;
use crate::messages::kex::{GexRequest, KexInit, encode_kexinit};

pub(crate) use negotiate::Direction;
use negotiate::{
    EXT_INFO_CLIENT, EXT_INFO_SERVER, Negotiated, Offer, STRICT_CLIENT, STRICT_SERVER, negotiate,
};

/// What the connection must do, in order.
pub(crate) enum Action {
    Send(Vec<u8>),
    AskHostKey(HostKeyQuestion),
    AskSignature(SignRequest),
    /// Our NEWKEYS is out: seal with these from here on.
    SealWith(NewKeys),
    /// Their NEWKEYS came: open with these from here on.
    OpenWith(NewKeys),
    /// Both directions have new keys.
    Done,
}

/// Keys of one direction and what they are for.
pub(crate) struct NewKeys {
    pub direction: Direction,
    pub keys: DirectionKeys,
    /// Sequence numbers begin again (strict key exchange).
    pub reset_sequence: bool,
}

/// One side's key exchange, from connect to the end of the connection.
pub(crate) struct Kex {
    role: Role,
    stage: Stage,
    /// H of the first exchange, for ever.
    session_id: Option<Vec<u8>>,
    /// The host key of the first exchange; it may not change.
    host_key: Option<Vec<u8>>,
    /// Client: its signature over H of the first exchange.
    host_signature: Vec<u8>,
    /// Both sides announced the strict exchange in their first KEXINIT.
    strict: bool,
    initial_done: bool,
    /// The peer announced EXT_INFO in its first KEXINIT.
    peer_takes_ext_info: bool,
    /// Name of the host key algorithm of the last negotiation.
    host_key_algorithm: String,
}

/// Constant through one connection; lent for each call.
pub(crate) struct Context<'a> {
    pub our_version: &'a [u8],
    pub their_version: &'a [u8],
    pub algorithms: &'a Algorithms,
    /// Server: public halves of our host keys, and their certificates.
    pub host_keys: &'a [OfferedKey],
    pub random: &'a mut dyn Random,
}

enum Stage {
    /// No exchange is running.
    Idle,
    /// Our KEXINIT is out; theirs is awaited.
    InitSent { ours: Vec<u8> },
    /// Both KEXINITs are known; the method's messages run.
    Running(Box<Running>),
    /// Our NEWKEYS is out; theirs is awaited.
    NewKeysSent { incoming: NewKeys },
}

/// An exchange between both KEXINITs and NEWKEYS.
struct Running {
    negotiated: Negotiated,
    our_kexinit: Vec<u8>,
    their_kexinit: Vec<u8>,
    ignore_next: bool,
    step: Step,
}

/// What the method waits for.
enum Step {
    ClientAwaitsReply {
        exchange: Box<dyn ClientExchange>,
        group: Option<(GexRequest, DhGroup)>,
    },
    ClientAwaitsGroup {
        request: GexRequest,
    },
    /// The application thinks about the host key.
    ClientAwaitsTrust {
        agreed: Agreed,
    },
    ServerAwaitsInit {
        group: Option<(GexRequest, &'static DhGroup)>,
    },
    ServerAwaitsGroupRequest,
    /// The application signs H.
    ServerAwaitsSignature {
        agreed: Agreed,
        public: Vec<u8>,
    },
}

/// The shared secret and what it is bound to.
struct Agreed {
    secret: SharedSecret,
    hash: Vec<u8>,
    host_key: Vec<u8>,
}

impl Kex {
    pub fn new(role: Role) -> Self {
        Self {
            role,
            stage: Stage::Idle,
            session_id: None,
            host_key: None,
            host_signature: Vec::new(),
            strict: false,
            initial_done: false,
            peer_takes_ext_info: false,
            host_key_algorithm: String::new(),
        }
    }

    /// An exchange is running: only its own messages may be sent.
    pub fn blocks_sending(&self) -> bool {
        matches!(self.stage, Stage::InitSent { .. } | Stage::Running(_))
    }

    /// The peer's KEXINIT came and its NEWKEYS did not: only messages of the exchange may come.
    pub fn expects_exchange_only(&self) -> bool {
        matches!(self.stage, Stage::Running(_) | Stage::NewKeysSent { .. })
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// The peer's first NEWKEYS has not come yet.
    pub fn is_initial(&self) -> bool {
        !self.initial_done
    }

    pub fn strict(&self) -> bool {
        self.strict
    }

    pub fn peer_takes_ext_info(&self) -> bool {
        self.peer_takes_ext_info
    }

    pub fn session_id(&self) -> Option<&[u8]> {
        self.session_id.as_deref()
    }

    pub fn host_key(&self) -> Option<&[u8]> {
        self.host_key.as_deref()
    }

    /// Client: the host key's signature over the session identifier.
    pub fn host_signature(&self) -> &[u8] {
        &self.host_signature
    }

    pub fn host_key_algorithm(&self) -> &str {
        &self.host_key_algorithm
    }

    /// Sends our KEXINIT, if none is out already.
    pub fn start(&mut self, cx: &mut Context<'_>) -> Vec<Action> {
        if !self.is_idle() {
            return Vec::new();
        }
        let ours = self.kexinit(cx);
        let actions = vec![Action::Send(ours.clone())];
        self.stage = Stage::InitSent { ours };
        actions
    }

    fn kexinit(&self, cx: &mut Context<'_>) -> Vec<u8> {
        let offer = Offer::new(cx.algorithms, self.host_key_offer(cx.algorithms, cx.host_keys));
        let mut kex = offer.kex.clone();
        if self.session_id.is_none() {
            kex.extend_from_slice(match self.role {
                Role::Client => &[EXT_INFO_CLIENT, STRICT_CLIENT],
                Role::Server => &[EXT_INFO_SERVER, STRICT_SERVER],
            });
        }
        let mut cookie = [0; 16];
        cx.random.fill(&mut cookie);
        let mut out = Vec::with_capacity(2048);
        encode_kexinit(
            &mut out,
            &cookie,
            &kex,
            &offer.host_key,
            &offer.ciphers,
            &offer.macs,
            &offer.compression,
        );
        out
    }

    /// A server offers what its keys can do, in the order of its keys; a client what it accepts.
    fn host_key_offer<'a>(
        &self,
        algorithms: &'a Algorithms,
        host_keys: &'a [OfferedKey],
    ) -> Vec<&'a str> {
        let allowed = |name: &&str| algorithms.host_key.iter().any(|a| a == name);
        match self.role {
            Role::Client => algorithms.host_key.iter().map(String::as_str).collect(),
            Role::Server => host_keys
                .iter()
                .flat_map(|key| key.algorithms().iter().copied())
                .filter(allowed)
                .collect(),
        }
    }

    /// The peer's KEXINIT: `payload` is all of it. `first_packet` says that nothing came before.
    pub fn handle_kexinit(
        &mut self,
        payload: &[u8],
        first_packet: bool,
        cx: &mut Context<'_>,
    ) -> Result<Vec<Action>, Error> {
        let mut actions = self.start(cx);
        let Stage::InitSent { ours } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return Err(PeerError::OutOfPhase(payload[0]).into());
        };
        let theirs = KexInit::decode(&mut Reader::new(&payload[1..]))
            .map_err(Error::malformed("KEXINIT"))?;
        if self.session_id.is_none() {
            let (strict, ext_info) = match self.role {
                Role::Client => (STRICT_SERVER, EXT_INFO_SERVER),
                Role::Server => (STRICT_CLIENT, EXT_INFO_CLIENT),
            };
            self.strict = theirs.kex.contains(strict);
            self.peer_takes_ext_info = theirs.kex.contains(ext_info);
            if self.strict && !first_packet {
                return Err(PeerError::StrictKexBroken.into());
            }
        }
        let offer = Offer::new(cx.algorithms, self.host_key_offer(cx.algorithms, cx.host_keys));
        let negotiated = negotiate(self.role, &offer, &theirs)?;
        self.host_key_algorithm.clone_from(&negotiated.host_key);
        let step = match self.role {
            Role::Client => client::begin(&negotiated, cx, &mut actions)?,
            Role::Server => server::begin(&negotiated),
        };
        self.stage = Stage::Running(Box::new(Running {
            ignore_next: negotiated.ignore_guess,
            negotiated,
            our_kexinit: ours,
            their_kexinit: payload.to_vec(),
            step,
        }));
        Ok(actions)
    }

    /// One message of the method, numbers 30 to 49; `payload` begins with the number.
    pub fn handle_method(
        &mut self,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Vec<Action>, Error> {
        let Stage::Running(mut running) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return Err(PeerError::OutOfPhase(payload[0]).into());
        };
        if std::mem::take(&mut running.ignore_next) {
            self.stage = Stage::Running(running);
            return Ok(Vec::new());
        }
        match self.role {
            Role::Client => self.client_handle(running, payload, cx),
            Role::Server => self.server_handle(running, payload, cx),
        }
    }

    /// `SSH_MSG_NEWKEYS` from the peer.
    pub fn handle_newkeys(&mut self) -> Result<Vec<Action>, Error> {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::NewKeysSent { incoming } => {
                self.initial_done = true;
                Ok(vec![Action::OpenWith(incoming), Action::Done])
            }
            Stage::Idle | Stage::InitSent { .. } | Stage::Running(_) => {
                Err(PeerError::OutOfPhase(NEWKEYS).into())
            }
        }
    }

    /// The secret is there and trusted: our NEWKEYS, and keys for both directions.
    fn finish(&mut self, running: Running, agreed: Agreed) -> Vec<Action> {
        let session_id = self.session_id.get_or_insert_with(|| agreed.hash.clone());
        let hash = running.negotiated.kex.hash;
        let derive = |letters: [u8; 3], direction: Direction| NewKeys {
            keys: direction_keys(hash, &agreed, session_id, letters, direction),
            direction,
            reset_sequence: self.strict,
        };
        let to_server = derive([b'A', b'C', b'E'], running.negotiated.client_to_server);
        let to_client = derive([b'B', b'D', b'F'], running.negotiated.server_to_client);
        let (outgoing, incoming) = match self.role {
            Role::Client => (to_server, to_client),
            Role::Server => (to_client, to_server),
        };
        self.host_key.get_or_insert(agreed.host_key);
        self.stage = Stage::NewKeysSent { incoming };
        vec![Action::Send(vec![NEWKEYS]), Action::SealWith(outgoing)]
    }
}

/// IV, key and MAC key of one direction, under their letters (RFC 4253 §7.2).
fn direction_keys(
    hash: HashAlgorithm,
    agreed: &Agreed,
    session_id: &[u8],
    [iv, key, mac]: [u8; 3],
    direction: Direction,
) -> DirectionKeys {
    let derive = |letter, len| -> Zeroizing<Vec<u8>> {
        derive_key(hash, &agreed.secret, &agreed.hash, letter, session_id, len)
    };
    DirectionKeys {
        iv: derive(iv, direction.cipher.iv_len),
        key: derive(key, direction.cipher.key_len),
        mac: derive(mac, direction.mac.map_or(0, |m| m.key_len)),
    }
}

/// Finite-field methods write their public values as mpints.
fn as_mpint(kind: &KexKind) -> bool {
    matches!(kind, KexKind::DhGroup | KexKind::DhGroupExchange)
}

#[cfg(test)]
mod tests;
