//! What a peer with valid keys can say: payloads arrive sealed, in any phase, at either role.

use sterna_ssh_proto::limits::OUTPUT_LEN_HARD_MAX;
use sterna_testkit::{Pair, PairConfig};

/// Input: one byte of choices, then payloads with a length byte pair before each. Bit 0: which role
/// is attacked. Bit 1: before login. Bit 2: the attacked side has just begun to renew its keys.
/// Bit 3: the attacker lets the other side read only at the end. Bit 4: compression.
pub fn run(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let mut config = PairConfig::new(1);
    config.client.common.algorithms.kex = vec!["curve25519-sha256".to_owned()];
    if choice & 16 != 0 {
        config.client.common.algorithms.compression = vec!["zlib@openssh.com".to_owned()];
    }
    let before_login = choice & 2 != 0;
    let mut pair = Pair::new(config);
    if before_login {
        pair.client.stop_before_login();
        pair.run_until_idle();
    } else {
        pair.run_until_idle();
        pair.open_subsystem();
    }
    let now = pair.clock.now();
    if choice & 4 != 0 {
        let target = if choice & 1 == 0 { &mut pair.server } else { &mut pair.client };
        target.connection.start_rekey(now, &mut target.output);
    }
    while let Some((head, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head)).min(tail.len());
        let (payload, tail) = tail.split_at(len);
        rest = tail;
        let attacker = if choice & 1 == 0 { &mut pair.client } else { &mut pair.server };
        attacker.connection.inject(payload, &mut attacker.output);
        if choice & 8 == 0 {
            pair.run_until_idle();
        }
    }
    pair.run_until_idle();
    for side in [&pair.client, &pair.server] {
        assert!(side.output.len() < 2 * OUTPUT_LEN_HARD_MAX);
        let accepted = side.has("authenticated");
        assert!(!before_login || choice & 1 == 1 || !accepted || side.has("auth-request"));
    }
}
