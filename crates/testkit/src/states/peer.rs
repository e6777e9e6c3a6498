//! A peer that knows the cryptography and no rules: it says anything at any time, of either role.
//!
//! It is written apart from the core: lengths, padding, exchange hash and changes of keys are its own,
//! so that what the core allows is not what this side would allow.

use sterna_ssh_crypto::{
    ClientExchange, DirectionKeys, HashAlgorithm, KeyType, OpenPacket, PrivateKey, SealPacket,
    SharedSecret, SystemRandom, cipher, derive_key, kex, none_opener, none_sealer,
};
use sterna_ssh_proto::Role;
use sterna_ssh_proto::messages::kex::{ExchangeReply, decode_init, encode_kexinit, encode_public};
use sterna_ssh_proto::messages::{KEXINIT, NEWKEYS};
use sterna_sshwire::{Reader, put_string};

const KEX: &str = "curve25519-sha256";
/// Its nonce is the sequence number: what shifts that is noticed.
const CIPHER: &str = "chacha20-poly1305@openssh.com";
const MAC: &str = "hmac-sha2-256-etm@openssh.com";
const VERSION: &[u8] = b"SSH-2.0-hostile";

/// Keys of every peer in one test: making them costs more than a connection.
pub struct Keys {
    pub host: PrivateKey,
    pub user: PrivateKey,
}

impl Keys {
    pub fn generate() -> Self {
        let make = || PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
        Self { host: make(), user: make() }
    }
}

/// What came is not what this side would have expected.
struct CannotFollow;

/// A change of the next payload before it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// The byte at this place, counted around the end.
    Xor { at: usize, with: u8 },
    /// All behind this place goes.
    Cut { at: usize },
    /// So many bytes more of this value.
    Grow { by: usize, with: u8 },
    /// Four bytes at this place: a length, a channel, an offset.
    Word { at: usize, word: u32 },
}

impl Spoil {
    fn apply(self, payload: &mut Vec<u8>) {
        let len = payload.len();
        match self {
            Self::Xor { at, with } => payload[at % len] ^= with,
            Self::Cut { at } => payload.truncate(1 + at % len),
            Self::Grow { by, with } => payload.resize(len + by, with),
            Self::Word { at, word } => {
                for (i, byte) in word.to_be_bytes().into_iter().enumerate() {
                    payload[(at + i) % len] = byte;
                }
            }
        }
    }
}

/// One hostile end of a connection.
pub struct Peer<'k> {
    role: Role,
    keys: &'k Keys,
    /// What goes to the subject.
    pub said: Vec<u8>,
    /// Payloads that came, since they were taken last.
    pub heard: Vec<Vec<u8>>,
    /// How many of all that came did so before the first keys.
    pub heard_in_clear: Vec<u8>,
    raw: Vec<u8>,
    their_version: Option<Vec<u8>>,
    our_kexinit: Vec<u8>,
    their_kexinit: Vec<u8>,
    strict: bool,
    exchange: Option<Box<dyn ClientExchange>>,
    client_public: Vec<u8>,
    /// What this side keeps of a finished exchange until each NEWKEYS.
    outgoing: Option<DirectionKeys>,
    incoming: Option<DirectionKeys>,
    pub session_id: Vec<u8>,
    sealer: Box<dyn SealPacket>,
    opener: Box<dyn OpenPacket>,
    sealed: u32,
    opened: u32,
    keyed: bool,
    /// What becomes of the next payload.
    pub spoils: Vec<Spoil>,
    /// The subject said something that this side cannot follow, because it was told something spoilt: it is not listened
    /// to any more.
    pub deaf: bool,
    /// Keep counting over NEWKEYS although the strict exchange was agreed on.
    pub forgets_to_reset: bool,
}

impl<'k> Peer<'k> {
    pub fn new(role: Role, keys: &'k Keys) -> Self {
        Self {
            role,
            keys,
            said: Vec::new(),
            heard: Vec::new(),
            heard_in_clear: Vec::new(),
            raw: Vec::new(),
            their_version: None,
            our_kexinit: Vec::new(),
            their_kexinit: Vec::new(),
            strict: false,
            exchange: None,
            client_public: Vec::new(),
            outgoing: None,
            incoming: None,
            session_id: Vec::new(),
            sealer: none_sealer(),
            opener: none_opener(),
            sealed: 0,
            opened: 0,
            keyed: false,
            spoils: Vec::new(),
            deaf: false,
            forgets_to_reset: false,
        }
    }

    pub fn keys(&self) -> &'k Keys {
        self.keys
    }

    // ---- what it says ----

    pub fn version(&mut self) {
        self.said.extend_from_slice(VERSION);
        self.said.extend_from_slice(b"\r\n");
    }

    /// Any payload, under the keys of the moment; behind a NEWKEYS the next ones hold.
    ///
    /// # Panics
    /// If `payload` is empty.
    pub fn payload(&mut self, payload: &[u8]) {
        let mut payload = payload.to_vec();
        for spoil in self.spoils.drain(..) {
            spoil.apply(&mut payload);
        }
        let shape = self.sealer.shape();
        let counted = 1 + payload.len() + if shape.length_is_aligned { 4 } else { 0 };
        let padding_len = shape.block_len - counted % shape.block_len;
        let padding_len = padding_len + if padding_len < 4 { shape.block_len } else { 0 };
        let mut packet = ((1 + payload.len() + padding_len) as u32).to_be_bytes().to_vec();
        packet.push(padding_len as u8);
        packet.extend_from_slice(&payload);
        packet.resize(packet.len() + padding_len + shape.tag_len, 0);
        self.sealer.seal(self.sealed, &mut packet);
        self.sealed = self.sealed.wrapping_add(1);
        self.said.extend_from_slice(&packet);
        if payload == [NEWKEYS]
            && let Some(keys) = self.outgoing.take()
        {
            self.sealer = cipher(CIPHER).unwrap().sealer(None, &keys);
            if self.strict && !self.forgets_to_reset {
                self.sealed = 0;
            }
        }
    }

    pub fn kexinit(&mut self, strict: bool) {
        let (ext_info, marker) = match self.role {
            Role::Client => ("ext-info-c", "kex-strict-c-v00@openssh.com"),
            Role::Server => ("ext-info-s", "kex-strict-s-v00@openssh.com"),
        };
        let names = if strict { &[KEX, ext_info, marker][..] } else { &[KEX, ext_info] };
        let mut payload = Vec::new();
        let host_keys = ["ssh-ed25519"];
        encode_kexinit(&mut payload, &[7; 16], names, &host_keys, &[CIPHER], &[MAC], &["none"]);
        if self.session_id.is_empty() {
            self.strict = strict;
        }
        self.our_kexinit = payload.clone();
        self.payload(&payload);
    }

    /// The client's public value.
    pub fn init(&mut self) {
        let exchange = kex(KEX).unwrap().client_start(&mut SystemRandom).unwrap();
        let mut payload = Vec::new();
        encode_public(&mut payload, 30, exchange.public(), false);
        self.exchange = Some(exchange);
        self.payload(&payload);
    }

    /// The server's public value, its host key, and a signature over what was heard so far.
    pub fn reply(&mut self, signature_fits: bool) {
        let method = kex(KEX).unwrap();
        let made = method.server_reply(&self.client_public, &mut SystemRandom);
        let host_key = self.keys.host.public().to_wire();
        // Without a value of the client there is nothing to agree on; the message is well formed.
        let (public, signature) = match made {
            Ok((public, secret)) => {
                let hash = self.hash(&host_key, &self.client_public, &public, &secret);
                let signed = if signature_fits { hash.clone() } else { vec![1; 32] };
                self.agree(&secret, hash);
                (public, self.keys.host.sign("ssh-ed25519", &signed).unwrap())
            }
            Err(_) => (vec![9; 32], self.keys.host.sign("ssh-ed25519", b"nothing").unwrap()),
        };
        let reply = ExchangeReply { host_key: &host_key, public: &public, signature: &signature };
        let mut payload = Vec::new();
        reply.encode(&mut payload, 31, false);
        self.payload(&payload);
    }

    // ---- what it hears ----

    pub fn hear(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        if self.deaf {
            return;
        }
        if self.their_version.is_none() {
            let Some(end) = self.raw.iter().position(|b| *b == b'\n') else { return };
            let line: Vec<u8> = self.raw.drain(..=end).collect();
            self.their_version = Some(line[..end - 1].to_vec());
        }
        loop {
            let payload = match self.open() {
                Ok(Some(payload)) => payload,
                Ok(None) => return,
                Err(CannotFollow) => {
                    self.deaf = true;
                    return;
                }
            };
            if !self.keyed {
                self.heard_in_clear.push(payload[0]);
            }
            self.deaf = self.learn_from(&payload).is_none();
            self.heard.push(payload);
            if self.deaf {
                return;
            }
        }
    }

    fn open(&mut self) -> Result<Option<Vec<u8>>, CannotFollow> {
        let shape = self.opener.shape();
        if self.raw.len() < shape.head_len {
            return Ok(None);
        }
        let length = self.opener.packet_length(self.opened, &mut self.raw[..shape.head_len]);
        let total = (length as usize).saturating_add(4 + shape.tag_len);
        // The subject sends whole packets.
        if self.raw.len() < total || length < 6 {
            return Err(CannotFollow);
        }
        let mut packet: Vec<u8> = self.raw.drain(..total).collect();
        self.opener.open(self.opened, &mut packet).map_err(|_| CannotFollow)?;
        self.opened = self.opened.wrapping_add(1);
        let payload_len = (length as usize - 1).checked_sub(packet[4] as usize);
        Ok(Some(packet[5..5 + payload_len.ok_or(CannotFollow)?].to_vec()))
    }

    /// Takes part in the exchange; `None` if there is none that it could follow.
    fn learn_from(&mut self, payload: &[u8]) -> Option<()> {
        match payload[0] {
            KEXINIT => self.their_kexinit = payload.to_vec(),
            30 => {
                let value = decode_init(&mut Reader::new(&payload[1..]), false).ok()?;
                self.client_public = value.to_vec();
            }
            31 => {
                let reply = ExchangeReply::decode(&mut Reader::new(&payload[1..]), false).ok()?;
                let exchange = self.exchange.take()?;
                let public = exchange.public().to_vec();
                let secret = exchange.finish(reply.public).ok()?;
                let hash = self.hash(reply.host_key, &public, reply.public, &secret);
                self.agree(&secret, hash);
            }
            NEWKEYS => {
                self.keyed = true;
                let keys = self.incoming.take()?;
                self.opener = cipher(CIPHER)?.opener(None, &keys);
                if self.strict {
                    self.opened = 0;
                }
            }
            _ => {}
        }
        Some(())
    }

    // ---- the mathematics ----

    fn hash(
        &self,
        host_key: &[u8],
        client_public: &[u8],
        server_public: &[u8],
        secret: &SharedSecret,
    ) -> Vec<u8> {
        let theirs = self.their_version.as_deref().unwrap_or_default();
        let (client, server) = match self.role {
            Role::Client => ((VERSION, &self.our_kexinit), (theirs, &self.their_kexinit)),
            Role::Server => ((theirs, &self.their_kexinit), (VERSION, &self.our_kexinit)),
        };
        let mut out = Vec::new();
        for field in [client.0, server.0, client.1, server.1, host_key] {
            put_string(&mut out, field);
        }
        put_string(&mut out, client_public);
        put_string(&mut out, server_public);
        HashAlgorithm::Sha256.digest(&[&out, secret.encoded()])
    }

    fn agree(&mut self, secret: &SharedSecret, hash: Vec<u8>) {
        if self.session_id.is_empty() {
            self.session_id.clone_from(&hash);
        }
        let row = cipher(CIPHER).unwrap();
        let derive = |letter, len| {
            derive_key(HashAlgorithm::Sha256, secret, &hash, letter, &self.session_id, len)
        };
        let keys = |iv, key| DirectionKeys {
            iv: derive(iv, row.iv_len),
            key: derive(key, row.key_len),
            mac: derive(b'E', 0),
        };
        let (to_server, to_client) = (keys(b'A', b'C'), keys(b'B', b'D'));
        let (outgoing, incoming) = match self.role {
            Role::Client => (to_server, to_client),
            Role::Server => (to_client, to_server),
        };
        (self.outgoing, self.incoming) = (Some(outgoing), Some(incoming));
    }
}
