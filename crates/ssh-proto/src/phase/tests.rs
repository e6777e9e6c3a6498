//! The table of `phase.rs` against the table of the protocol notes (DIS-3), written out apart.

use std::ops::RangeInclusive;

use super::*;

fn accepted(role: Role, phase: Phase, exchange_only: bool, strict: bool) -> Vec<u8> {
    (0..=255)
        .filter(|n| judge(role, phase, exchange_only, strict, *n) == Verdict::Process)
        .collect()
}

#[test]
fn a_strict_first_exchange_takes_nothing_but_its_own_messages() {
    let mut only: Vec<u8> = vec![1, 21];
    only.extend(30..=49);
    for role in [Role::Client, Role::Server] {
        assert_eq!(accepted(role, Phase::InitialKex, true, true), only);
    }
}

#[test]
fn before_login_no_channel_or_global_message_is_processed() {
    for role in [Role::Client, Role::Server] {
        for phase in [Phase::InitialKex, Phase::Service, Phase::Auth] {
            for number in (80..=127).chain([192, 193]) {
                assert_eq!(judge(role, phase, false, false, number), Verdict::Refuse);
            }
        }
    }
}

#[test]
fn each_side_takes_only_the_other_sides_half_of_authentication() {
    assert_eq!(accepted(Role::Server, Phase::Auth, false, false), [1, 2, 3, 4, 5, 20, 50, 61]);
    let mut client = vec![1, 2, 3, 4, 7, 20, 51, 52, 53];
    client.extend(60..=79);
    assert_eq!(accepted(Role::Client, Phase::Auth, false, false), client);
    // CVE-2018-10933: success from a client.
    assert_eq!(judge(Role::Server, Phase::Auth, false, false, 52), Verdict::Refuse);
    assert_eq!(judge(Role::Server, Phase::Open, false, false, 52), Verdict::Refuse);
}

#[test]
fn nothing_in_clear_text_but_the_exchange() {
    for role in [Role::Client, Role::Server] {
        assert_eq!(accepted(role, Phase::InitialKex, false, false), [1, 2, 3, 4, 20]);
    }
}

#[test]
fn unknown_numbers_after_login_are_answered_and_harmless() {
    for number in [0, 42, 79, 101, 191, 194, 250] {
        assert_eq!(
            judge(Role::Server, Phase::Open, false, false, number),
            Verdict::Unimplemented,
            "{number}"
        );
    }
}

/// One row of DIS-3: where the connection is, and what each side may receive there.
struct Row {
    phase: Phase,
    exchange_only: bool,
    strict: bool,
    server: &'static [RangeInclusive<u8>],
    client: &'static [RangeInclusive<u8>],
}

/// Method numbers are all let through to the exchange, which knows which one is due.
const DIS_3: &[Row] = &[
    // Before KEXINIT nobody knows whether the exchange is strict; an early 2, 3 or 4 counts then.
    Row {
        phase: Phase::InitialKex,
        exchange_only: false,
        strict: false,
        server: &[1..=4, 20..=20],
        client: &[1..=4, 20..=20],
    },
    Row {
        phase: Phase::InitialKex,
        exchange_only: true,
        strict: true,
        server: &[1..=1, 21..=21, 30..=49],
        client: &[1..=1, 21..=21, 30..=49],
    },
    Row {
        phase: Phase::InitialKex,
        exchange_only: true,
        strict: false,
        server: &[1..=4, 21..=21, 30..=49],
        client: &[1..=4, 21..=21, 30..=49],
    },
    Row {
        phase: Phase::Service,
        exchange_only: false,
        strict: false,
        server: &[1..=5, 7..=7, 20..=20],
        client: &[1..=4, 6..=7, 20..=20],
    },
    Row {
        phase: Phase::Auth,
        exchange_only: false,
        strict: false,
        // Nothing of ours is answered by 62 to 66; 61 is refused where nothing was asked. Beyond DIS-3,
        // and as OpenSSH does, 5 is taken until success.
        server: &[1..=5, 20..=20, 50..=50, 61..=61],
        client: &[1..=4, 7..=7, 20..=20, 51..=53, 60..=79],
    },
    Row {
        phase: Phase::Open,
        exchange_only: false,
        strict: false,
        server: &[1..=4, 20..=20, 80..=82, 90..=100, 192..=193],
        client: &[1..=4, 20..=20, 80..=82, 90..=100, 192..=193],
    },
    Row {
        phase: Phase::Auth,
        exchange_only: true,
        strict: false,
        server: &[1..=4, 21..=21, 30..=49],
        client: &[1..=4, 21..=21, 30..=49],
    },
    Row {
        phase: Phase::Open,
        exchange_only: true,
        strict: false,
        server: &[1..=4, 21..=21, 30..=49],
        client: &[1..=4, 21..=21, 30..=49],
    },
];

#[test]
fn every_number_in_every_phase_and_role_is_judged_as_dis_3_says() {
    for row in DIS_3 {
        for (role, allowed) in [(Role::Server, row.server), (Role::Client, row.client)] {
            for number in 0..=255 {
                let verdict = judge(role, row.phase, row.exchange_only, row.strict, number);
                let processed = verdict == Verdict::Process;
                let expected = allowed.iter().any(|range| range.contains(&number));
                assert_eq!(processed, expected, "{role:?} {:?} {number}", row.phase);
            }
        }
    }
}

/// Outside the table: before login a number with a meaning ends the connection, afterwards most are
/// answered; a request to log in again is passed over in silence (AUT-4).
#[test]
fn numbers_outside_the_table_end_or_are_harmless() {
    for role in [Role::Server, Role::Client] {
        for number in (0..=255).filter(|n| !(1..=4).contains(n) && *n != 20) {
            for phase in [Phase::Version, Phase::InitialKex, Phase::Ended] {
                assert_eq!(judge(role, phase, false, false, number), Verdict::Refuse, "{number}");
            }
            if judge(role, Phase::Auth, false, false, number) == Verdict::Unimplemented {
                assert!(matches!(number, 0 | 8..=19 | 128..=191 | 194..), "{number}");
            }
        }
        for number in (0..=255).filter(|n| *n != 1) {
            let verdict = judge(role, Phase::InitialKex, true, true, number);
            let of_the_exchange = number == 21 || (30..=49).contains(&number);
            assert_eq!(verdict == Verdict::Refuse, !of_the_exchange, "{number}");
        }
    }
    assert_eq!(judge(Role::Server, Phase::Open, false, false, 50), Verdict::Ignore);
}
