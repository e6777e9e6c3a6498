//! What anybody on the network can say to a fresh connection of either role, before any key.

use sterna_ssh_proto::limits::OUTPUT_LEN_HARD_MAX;
use sterna_testkit::{Pair, PairConfig, Side};

/// Input: one byte of choices, then bytes. Bit 0: which role is attacked. Bit 1: the bytes are raw;
/// else they are payloads (a length byte pair before each), put into well-formed clear packets
/// behind a good version line.
pub fn run(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let mut config = PairConfig::new(1);
    config.client.common.algorithms.kex.retain(|k| !k.starts_with("mlkem"));
    let mut pair = Pair::new(config);
    let now = pair.clock.now();
    let side = if choice & 1 == 0 { &mut pair.server } else { &mut pair.client };
    if choice & 2 != 0 {
        for chunk in rest.chunks(1 + usize::from(choice >> 2)) {
            feed(side, chunk, now);
        }
        return;
    }
    feed(side, b"SSH-2.0-fuzz\r\n", now);
    while let Some((head, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head)).min(tail.len());
        let (payload, tail) = tail.split_at(len);
        feed(side, &clear_packet(payload), now);
        rest = tail;
    }
}

fn feed(side: &mut Side, bytes: &[u8], now: std::time::Instant) {
    side.feed(bytes);
    side.run(now);
    assert!(side.output.len() < 2 * OUTPUT_LEN_HARD_MAX);
    assert!(!side.connection.is_open());
}

fn clear_packet(payload: &[u8]) -> Vec<u8> {
    let padding_len = 4 + (8 - (4 + 1 + payload.len() + 4) % 8) % 8;
    let mut packet = (1 + payload.len() as u32 + padding_len as u32).to_be_bytes().to_vec();
    packet.push(padding_len as u8);
    packet.extend_from_slice(payload);
    packet.resize(packet.len() + padding_len, 0);
    packet
}
