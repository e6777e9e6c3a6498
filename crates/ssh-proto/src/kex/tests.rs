//! The exchange alone: two state machines talking without packets, and one with a hostile peer.

use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom, kex, names};
use sterna_sshwire::{put_mpint, put_string};
use sterna_testkit::Seed;

use super::*;
use crate::limits::DH_VALUE_LEN_MAX;
use crate::messages::kex::{EXCHANGE_INIT, EXCHANGE_REPLY, GEX_GROUP, GEX_INIT, GEX_REQUEST};

const CLIENT_VERSION: &[u8] = b"SSH-2.0-c";
const SERVER_VERSION: &[u8] = b"SSH-2.0-s";

/// One role with everything its calls need.
struct Party {
    kex: Kex,
    algorithms: Algorithms,
    host_keys: Vec<OfferedKey>,
    random: Seed,
}

impl Party {
    fn new(role: Role, host_keys: &[PrivateKey]) -> Self {
        let host_keys = host_keys.iter().map(|k| k.public().clone().into()).collect();
        let algorithms = Algorithms::default();
        Self { kex: Kex::new(role), algorithms, host_keys, random: Seed::new(role as u64) }
    }

    fn with_kex(mut self, name: &str) -> Self {
        self.algorithms.kex = vec![name.to_owned()];
        self
    }

    fn call<T>(&mut self, run: impl FnOnce(&mut Kex, &mut Context<'_>) -> T) -> T {
        let (our_version, their_version) = match self.kex.role {
            Role::Client => (CLIENT_VERSION, SERVER_VERSION),
            Role::Server => (SERVER_VERSION, CLIENT_VERSION),
        };
        let mut context = Context {
            our_version,
            their_version,
            algorithms: &self.algorithms,
            host_keys: &self.host_keys,
            random: &mut self.random,
        };
        run(&mut self.kex, &mut context)
    }

    fn receive(&mut self, payload: &[u8]) -> Result<Vec<Action>, Error> {
        match payload[0] {
            20 => self.call(|kex, cx| kex.handle_kexinit(payload, true, cx)),
            21 => self.kex.handle_newkeys(),
            _ => self.call(|kex, cx| kex.handle_method(payload, cx)),
        }
    }
}

/// Does what actions say: payloads to send come back, questions are answered with `keys`.
fn carry_out(
    party: &mut Party,
    actions: Vec<Action>,
    keys: &[PrivateKey],
) -> Result<Vec<Vec<u8>>, Error> {
    let mut sent = Vec::new();
    for action in actions {
        let more = match action {
            Action::Send(payload) => {
                sent.push(payload);
                continue;
            }
            Action::AskHostKey(_) => party.kex.answer_host_key(true)?,
            Action::AskSignature(request) => {
                let key = keys.iter().find(|k| k.public().to_wire() == request.key_blob).unwrap();
                let signature = key.sign(&request.algorithm, &request.data).unwrap();
                party.kex.answer_signature(Some(signature))?
            }
            Action::SealWith(_) | Action::OpenWith(_) | Action::Done => continue,
        };
        sent.extend(carry_out(party, more, keys)?);
    }
    Ok(sent)
}

/// Hands payloads over one by one; what comes back.
fn deliver(
    to: &mut Party,
    payloads: Vec<Vec<u8>>,
    keys: &[PrivateKey],
) -> Result<Vec<Vec<u8>>, Error> {
    let mut answers = Vec::new();
    for payload in payloads {
        let actions = to.receive(&payload)?;
        answers.extend(carry_out(to, actions, keys)?);
    }
    Ok(answers)
}

/// A whole exchange; the error is the one of the side that ended it.
fn exchange(client: &mut Party, server: &mut Party, keys: &[PrivateKey]) -> Result<(), Error> {
    let actions = client.call(|kex, cx| kex.start(cx));
    let mut to_server = carry_out(client, actions, keys)?;
    while !to_server.is_empty() {
        let to_client = deliver(server, to_server, keys)?;
        to_server = deliver(client, to_client, keys)?;
    }
    assert!(client.kex.is_idle() && server.kex.is_idle());
    Ok(())
}

fn two_host_keys() -> Vec<PrivateKey> {
    [KeyType::Ed25519, KeyType::EcdsaP256]
        .map(|kind| PrivateKey::generate(kind, &mut SystemRandom).unwrap())
        .into()
}

#[test]
fn the_client_refuses_another_host_key_when_keys_are_renewed() {
    let keys = two_host_keys();
    let mut client = Party::new(Role::Client, &[]);
    let mut server = Party::new(Role::Server, &keys);
    exchange(&mut client, &mut server, &keys).unwrap();
    exchange(&mut client, &mut server, &keys).unwrap();

    client.algorithms.host_key = vec![names::ECDSA_P256.to_owned()];
    let changed = exchange(&mut client, &mut server, &keys);

    assert_eq!(changed, Err(PeerError::HostKeyChanged.into()));
}

/// PUB-3: a host-bound login names the host key of the first exchange, whatever came later.
#[test]
fn the_server_remembers_the_host_key_of_the_first_exchange() {
    let keys = two_host_keys();
    let mut client = Party::new(Role::Client, &[]);
    let mut server = Party::new(Role::Server, &keys);
    exchange(&mut client, &mut server, &keys).unwrap();
    let first = keys[0].public().to_wire();
    assert_eq!(server.kex.host_key(), Some(&first[..]));
    let session_id = server.kex.session_id().unwrap().to_vec();

    // A client of another make, which does not mind.
    client.kex.host_key = None;
    client.algorithms.host_key = vec![names::ECDSA_P256.to_owned()];
    exchange(&mut client, &mut server, &keys).unwrap();

    assert_eq!(server.kex.host_key(), Some(&first[..]));
    assert_eq!(server.kex.session_id(), Some(&session_id[..]));
}

/// Both KEXINITs exchanged; the client's first message of the method comes back.
fn begun(kex_name: &str) -> (Party, Party, Vec<PrivateKey>, Vec<u8>) {
    let keys = vec![two_host_keys().swap_remove(0)];
    let mut client = Party::new(Role::Client, &[]).with_kex(kex_name);
    let mut server = Party::new(Role::Server, &keys);
    let [Action::Send(theirs)] = &client.call(|kex, cx| kex.start(cx))[..] else { panic!() };
    let [Action::Send(ours)] = &server.call(|kex, cx| kex.start(cx))[..] else { panic!() };
    assert!(server.receive(theirs).unwrap().is_empty());
    let [Action::Send(init)] = &client.receive(ours).unwrap()[..] else { panic!() };
    let init = init.clone();
    (client, server, keys, init)
}

/// What a hostile peer may send for a public value of `len` bytes: nothing, wrong lengths, points of
/// small order, points that are on no curve, numbers outside the group.
fn bad_values(name: &str, len: usize) -> Vec<Vec<u8>> {
    if name.starts_with("diffie-hellman") {
        return vec![vec![], vec![1], vec![0xff; len + 1], vec![0xff; 1024]];
    }
    let mut all = vec![vec![], vec![2; len + 1], vec![3; len - 1], vec![0; len]];
    if name.starts_with("ecdh") {
        all.push([&[4][..], &vec![0xff; len - 1]].concat());
        all.push([&[1][..], &vec![0; len - 1]].concat());
    } else {
        // u = p - 1, little endian: order 4 on Curve25519, alone or behind a hybrid's first part.
        let mut low = [0xff; 32];
        (low[0], low[31]) = (0xec, 0x7f);
        all.push([&vec![0; len - 32], &low[..]].concat());
    }
    all
}

fn value_message(number: u8, value: &[u8], as_mpint: bool) -> Vec<u8> {
    let mut out = vec![number];
    if as_mpint {
        put_mpint(&mut out, value)
    } else {
        put_string(&mut out, value)
    }
    out
}

#[test]
fn hostile_public_values_end_the_exchange_on_both_sides() {
    for name in names::KEX_DEFAULT {
        let kind = &kex(name).unwrap().kind;
        if *kind == KexKind::DhGroupExchange {
            continue;
        }
        let as_mpint = as_mpint(kind);
        let (_, _, _, init) = begun(name);
        for value in bad_values(name, init.len() - 5) {
            let (_, mut server, ..) = begun(name);
            let answer = server.receive(&value_message(EXCHANGE_INIT, &value, as_mpint));
            let too_long = value.len() > DH_VALUE_LEN_MAX;
            let refused = match answer {
                Err(Error::Peer(PeerError::BadKeyExchange)) => true,
                Err(Error::Malformed { .. }) => too_long,
                _ => false,
            };
            assert!(refused, "{name} {} bytes {:02x?}", value.len(), value.first());

            let (mut client, _, keys, _) = begun(name);
            let mut reply = vec![EXCHANGE_REPLY];
            put_string(&mut reply, &keys[0].public().to_wire());
            reply.extend_from_slice(&value_message(0, &value, as_mpint)[1..]);
            put_string(&mut reply, b"signature");
            let answer = client.receive(&reply);
            let refused = match answer {
                Err(Error::Peer(PeerError::BadKeyExchange)) => true,
                Err(Error::Malformed { .. }) => too_long,
                _ => false,
            };
            assert!(refused, "{name} {} bytes {:02x?}", value.len(), value.first());
        }
    }
}

#[test]
fn hostile_groups_and_group_requests_are_refused() {
    let name = names::KEX_DH_EXCHANGE_SHA256;
    for (min, n, max) in [(0, 0, 0), (1024, 1024, 1024), (8192, 2048, 1024), (9000, 9000, 9000)] {
        let (_, mut server, ..) = begun(name);
        let mut request = Vec::new();
        GexRequest { min, n, max }.encode(&mut request);
        let answer = server.receive(&request);
        assert!(matches!(answer, Err(Error::Peer(PeerError::BadKeyExchange))), "{min} {n} {max}");
    }
    let even = vec![0xfe; 384];
    for (p, g) in [
        (&[][..], &[2][..]),
        (&[7], &[2]),
        (&even[..], &[2]),
        (&[0xff; 384], &[]),
        (&[0xff; 384], &[1]),
        (&[0xff; 1025], &[2]),
    ] {
        let (mut client, ..) = begun(name);
        let mut group = vec![GEX_GROUP];
        put_mpint(&mut group, p);
        put_mpint(&mut group, g);
        assert!(client.receive(&group).is_err(), "{} bits, {g:?}", p.len() * 8);
    }
    // The public value before the group is chosen, and the other form of the first message.
    for number in [EXCHANGE_INIT, GEX_INIT] {
        let (_, mut server, ..) = begun(name);
        let answer = server.receive(&value_message(number, &[2; 300], true));
        assert!(matches!(answer, Err(Error::Peer(PeerError::OutOfPhase(n))) if n == number));
    }
}

/// A method's messages may come once and in their order; nothing else has their effect.
#[test]
fn methods_take_each_message_once() {
    for name in [names::KEX_CURVE25519, names::KEX_DH_EXCHANGE_SHA256] {
        for number in 30..=49u8 {
            let (mut client, mut server, _, init) = begun(name);
            if number != init[0] {
                let answer = server.receive(&[&[number][..], &init[1..]].concat());
                assert!(answer.is_err(), "{name}: server took {number}");
            }
            // Empty values: even the number that is awaited is refused for them.
            assert!(client.receive(&[number, 0, 0, 0, 0]).is_err(), "{name}: client took {number}");
        }
    }
    let (_, mut server, keys, init) = begun(names::KEX_CURVE25519);
    let actions = server.receive(&init).unwrap();
    carry_out(&mut server, actions, &keys).unwrap();
    assert!(server.receive(&init).is_err(), "INIT twice");

    assert_eq!(init[0], EXCHANGE_INIT);
    let (_, _, _, request) = begun(names::KEX_DH_EXCHANGE_SHA256);
    assert_eq!(request[0], GEX_REQUEST);
}

#[test]
fn new_keys_come_once_and_only_after_the_reply() {
    let keys = vec![two_host_keys().swap_remove(0)];
    let mut client = Party::new(Role::Client, &[]);
    let mut server = Party::new(Role::Server, &keys);
    assert!(server.receive(&[NEWKEYS]).is_err(), "before anything");
    server = Party::new(Role::Server, &keys);
    exchange(&mut client, &mut server, &keys).unwrap();
    assert!(server.receive(&[NEWKEYS]).is_err(), "twice");
    assert!(client.receive(&[NEWKEYS]).is_err(), "twice");

    let (mut client, mut server, ..) = begun(names::KEX_CURVE25519);
    assert!(server.receive(&[NEWKEYS]).is_err(), "before INIT");
    assert!(client.receive(&[NEWKEYS]).is_err(), "before the reply");
}

#[test]
fn a_wrong_signature_of_the_host_is_refused() {
    for spoil in [0usize, 20, 70] {
        let (mut client, mut server, keys, init) = begun(names::KEX_CURVE25519);
        let [Action::AskSignature(request)] = &server.receive(&init).unwrap()[..] else { panic!() };
        let mut signature = keys[0].sign(&request.algorithm, &request.data).unwrap();
        signature[spoil] ^= 1;
        let actions = server.kex.answer_signature(Some(signature)).unwrap();
        let Action::Send(reply) = &actions[0] else { panic!() };

        let answer = client.receive(reply);

        assert!(matches!(answer, Err(Error::Peer(PeerError::BadHostKeySignature))), "{spoil}");
    }
}
