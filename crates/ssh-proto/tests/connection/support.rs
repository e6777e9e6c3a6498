//! A peer that breaks rules: clear packets by hand, questions that stay open, payloads of any kind.

#![allow(dead_code, reason = "each test file uses its own part")]

use sterna_ssh_proto::{Error, Event};
use sterna_sshwire::put_string;
use sterna_testkit::{Link, Pair, PairConfig, Side};

/// A payload in the form it has before the first keys (RFC 4253 §6), with padding of zeros.
pub fn clear_packet(payload: &[u8]) -> Vec<u8> {
    let to_block = 8 - (5 + payload.len()) % 8;
    let padding_len = if to_block < 4 { to_block + 8 } else { to_block };
    let length = u32::try_from(1 + payload.len() + padding_len).unwrap();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding_len).unwrap());
    packet.extend_from_slice(payload);
    packet.resize(packet.len() + padding_len, 0);
    packet
}

/// Splits what one side sends first: the version line with CR LF, and the payload of its KEXINIT.
pub fn version_and_kexinit(side: &mut Side) -> (Vec<u8>, Vec<u8>) {
    let sent = take_output(side);
    let end = 1 + sent.iter().position(|b| *b == b'\n').unwrap();
    let packet = &sent[end..];
    let length = u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize;
    assert_eq!(packet.len(), 4 + length, "nothing but KEXINIT");
    let payload = &packet[5..4 + length - usize::from(packet[4])];
    assert_eq!(payload[0], 20);
    (sent[..end].to_vec(), payload.to_vec())
}

pub fn take_output(side: &mut Side) -> Vec<u8> {
    let bytes = side.output.pending().to_vec();
    side.output.consume(bytes.len());
    bytes
}

/// Feeds bytes and runs the side with the usual answers; its error, if it ended so.
pub fn feed(side: &mut Side, now: std::time::Instant, bytes: &[u8]) -> Option<Error> {
    side.feed(bytes);
    side.run(now);
    side.error.clone()
}

/// The next event, with nothing answered; `None` if there is none.
pub fn poll(side: &mut Side, now: std::time::Instant) -> Result<Option<String>, Error> {
    let event = side.connection.poll_event(now, &mut side.input, &mut side.output)?;
    Ok(event.map(|event: Event<'_>| format!("{event:?}")))
}

/// A pair whose client has the authentication service and tries nothing by itself.
pub fn before_login(config: PairConfig) -> Pair {
    let mut pair = Pair::new(config);
    pair.client.stop_before_login();
    pair.run_until_idle();
    assert!(!pair.server.connection.is_open() && pair.server.error.is_none());
    pair
}

/// The client says `payload`; the server reads it and answers as usual. The client hears nothing any
/// more: it must not end the connection over answers that it did not ask for.
pub fn client_says(pair: &mut Pair, payload: &[u8]) {
    pair.to_client.cut_after(0);
    pair.client.connection.inject(payload, &mut pair.client.output);
    pair.run_until_idle();
}

/// As [`client_says`], the other way.
pub fn server_says(pair: &mut Pair, payload: &[u8]) {
    pair.to_server.cut_after(0);
    pair.server.connection.inject(payload, &mut pair.server.output);
    pair.run_until_idle();
}

/// Moves what the client has sent to the server, which does not look at it yet.
pub fn carry_to_server(pair: &mut Pair) {
    let bytes = take_output(&mut pair.client);
    pair.server.feed(&bytes);
}

/// USERAUTH_REQUEST up to the method's own fields.
pub fn auth_request(user: &str, service: &str, method: &str) -> Vec<u8> {
    let mut out = vec![50];
    for field in [user, service, method] {
        put_string(&mut out, field.as_bytes());
    }
    out
}

pub fn slow_pair(seed: u64) -> PairConfig {
    let mut config = PairConfig::new(seed);
    (config.to_server, config.to_client) = (Link::slow(), Link::slow());
    config
}
