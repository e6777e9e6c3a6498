//! What survives a restart, what two processes or threads may not both have, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use sterna_state::limits::{NAME_LEN_MAX, REASON_LEN_MAX, RECOVERY_CODES_PER_USER_MAX};
use sterna_state::{CounterVerdict, Error, FILE_NAME, State, StoredPenalty, Unban};

fn penalty(source: &str, forget_at: u64) -> StoredPenalty {
    StoredPenalty {
        source: source.parse().unwrap(),
        until: forget_at - 10,
        offences: 3,
        forget_at,
        reason: "failed authentication".to_owned(),
    }
}

/// Every kind of thing that is kept.
fn fill(state: &State) {
    assert!(state.claim_totp_step("alice", 100).unwrap());
    assert!(state.claim_recovery_code("alice", &[1; 32]).unwrap());
    assert_eq!(state.advance_counter("SHA256:k", 7).unwrap(), CounterVerdict::First);
    state.save_penalties(&[penalty("192.0.2.1/32", 500)]).unwrap();
    state.request_unban(Unban::All).unwrap();
}

fn assert_filled(state: &State) {
    assert!(!state.claim_totp_step("alice", 100).unwrap());
    assert!(!state.claim_recovery_code("alice", &[1; 32]).unwrap());
    assert_eq!(
        state.advance_counter("SHA256:k", 7).unwrap(),
        CounterVerdict::NotAdvanced { kept: 7 }
    );
    assert_eq!(state.penalties().unwrap(), [penalty("192.0.2.1/32", 500)]);
    assert_eq!(state.take_unban_requests().unwrap(), [Unban::All]);
}

#[test]
fn what_was_kept_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    fill(&State::open(dir.path()).unwrap());

    assert_filled(&State::open(dir.path()).unwrap());
}

/// Goal: nothing depends on an orderly end.
/// Method: copy the files of a state that is still open, as a crash would leave them.
#[test]
fn what_was_kept_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    fill(&state);

    for file in fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(file.path(), crashed.path().join(file.file_name())).unwrap();
        }
    }

    assert_filled(&State::open(crashed.path()).unwrap());
}

#[test]
fn a_step_is_used_once_and_older_ones_never_again() {
    let state = State::in_memory().unwrap();
    // User, step, whether it passes.
    let attempts = [
        ("alice", 100, true),
        ("alice", 100, false),
        ("alice", 99, false),
        ("bob", 99, true),
        ("alice", 101, true),
        ("alice", 100, false),
        ("alice", 0, false),
        ("alice", u64::MAX, false),
        ("alice", i64::MAX as u64, true),
        ("alice", 102, false),
        ("carol", 0, true),
        ("carol", 0, false),
    ];

    for (user, step, passes) in attempts {
        assert_eq!(state.claim_totp_step(user, step).unwrap(), passes, "{user} {step}");
    }
}

#[test]
fn a_recovery_code_opens_once_for_each_user() {
    let state = State::in_memory().unwrap();

    assert!(state.claim_recovery_code("alice", &[1; 32]).unwrap());
    assert!(!state.claim_recovery_code("alice", &[1; 32]).unwrap());
    assert!(state.claim_recovery_code("alice", &[2; 32]).unwrap());
    assert!(state.claim_recovery_code("bob", &[1; 32]).unwrap());
}

/// A used code that was forgotten could be used again, so the bound refuses instead.
#[test]
fn too_many_recovery_codes_are_refused_and_none_is_forgotten() {
    let state = State::in_memory().unwrap();
    let id = |n: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        id
    };
    for n in 0..RECOVERY_CODES_PER_USER_MAX {
        assert!(state.claim_recovery_code("alice", &id(n)).unwrap());
    }

    let one_more = state.claim_recovery_code("alice", &id(u32::MAX));

    assert!(matches!(one_more, Err(Error::Full { .. })), "{one_more:?}");
    assert!(!state.claim_recovery_code("alice", &id(0)).unwrap());
    assert!(state.claim_recovery_code("bob", &id(0)).unwrap());
}

/// Goal: of many who bring the same code at the same moment, one comes in.
/// Method: two processes' worth of connections to one file, four threads each, many rounds.
#[test]
fn of_those_who_race_for_a_code_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let states = [State::open(dir.path()).unwrap(), State::open(dir.path()).unwrap()];
    const ROUNDS: u64 = 20;
    let barrier = Barrier::new(8);

    let race = |claim: &(dyn Fn(&State, u64) -> bool + Sync)| {
        let wins = thread::scope(|scope| {
            let (barrier, states) = (&barrier, &states);
            let racers: Vec<_> = (0..8)
                .map(|n| {
                    scope.spawn(move || {
                        let won = |round: &u64| {
                            barrier.wait();
                            claim(&states[n % 2], *round)
                        };
                        (1..=ROUNDS).filter(won).count()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum::<usize>()
        });
        assert_eq!(wins as u64, ROUNDS);
    };

    race(&|state, round| state.claim_totp_step("alice", round).unwrap());
    race(&|state, round| state.claim_recovery_code("alice", &[round as u8; 32]).unwrap());
    race(&|state, round| {
        state.advance_counter("k", round as u32).unwrap()
            != CounterVerdict::NotAdvanced { kept: round as u32 }
    });
}

#[test]
fn a_counter_that_does_not_advance_is_told_and_not_kept() {
    use CounterVerdict::{Advanced, First, NotAdvanced};
    let state = State::in_memory().unwrap();
    let signatures = [
        ("counts", 5, First),
        ("counts", 6, Advanced),
        ("counts", 6, NotAdvanced { kept: 6 }),
        ("counts", 5, NotAdvanced { kept: 6 }),
        ("counts", 0, NotAdvanced { kept: 6 }),
        ("counts", u32::MAX, Advanced),
        ("counts", 7, NotAdvanced { kept: u32::MAX }),
        // Many keys do not count at all.
        ("does not", 0, First),
        ("does not", 0, Advanced),
        ("does not", 0, Advanced),
        // It learned to count; from then on it must.
        ("does not", 1, Advanced),
        ("does not", 0, NotAdvanced { kept: 1 }),
    ];

    for (key, counter, verdict) in signatures {
        assert_eq!(state.advance_counter(key, counter).unwrap(), verdict, "{key} {counter}");
    }
}

#[test]
fn a_user_who_was_removed_leaves_nothing() {
    let state = State::in_memory().unwrap();
    for user in ["alice", "bob"] {
        assert!(state.claim_totp_step(user, 100).unwrap());
        assert!(state.claim_recovery_code(user, &[1; 32]).unwrap());
    }

    state.forget("alice").unwrap();

    assert!(state.claim_totp_step("alice", 1).unwrap());
    assert!(state.claim_recovery_code("alice", &[1; 32]).unwrap());
    assert!(!state.claim_totp_step("bob", 100).unwrap());
    assert!(!state.claim_recovery_code("bob", &[1; 32]).unwrap());
}

#[test]
fn penalties_are_replaced_removed_and_expire() {
    let state = State::in_memory().unwrap();
    let sources = |state: &State| {
        let all = state.penalties().unwrap();
        all.iter().map(|penalty| penalty.source.to_string()).collect::<Vec<_>>()
    };
    state
        .save_penalties(&[
            penalty("192.0.2.1/32", 100),
            penalty("2001:db8::/64", 300),
            penalty("192.0.2.2/32", 200),
        ])
        .unwrap();
    assert_eq!(sources(&state), ["2001:db8::/64", "192.0.2.2/32", "192.0.2.1/32"]);

    // Host bits do not make it another network.
    state.save_penalties(&[penalty("2001:db8::5/64", 400)]).unwrap();
    assert_eq!(state.penalties().unwrap()[0], penalty("2001:db8::/64", 400));

    state.remove_expired_penalties(100).unwrap();
    assert_eq!(sources(&state), ["2001:db8::/64", "192.0.2.2/32"]);

    let within = Unban::Source("2001:db8::7/128".parse().unwrap());
    assert_eq!(state.remove_penalties(within).unwrap(), 1);
    assert_eq!(sources(&state), ["192.0.2.2/32"]);

    state.save_penalties(&[penalty("192.0.2.3/32", 300), penalty("198.51.100.1/32", 100)]).unwrap();
    let around = Unban::Source("192.0.2.0/24".parse().unwrap());
    assert_eq!(state.remove_penalties(around).unwrap(), 2);
    assert_eq!(sources(&state), ["198.51.100.1/32"]);

    assert_eq!(state.remove_penalties(Unban::All).unwrap(), 1);
    assert_eq!(sources(&state), [""; 0]);
}

#[test]
fn a_batch_of_penalties_is_kept_whole_or_not_at_all() {
    let state = State::in_memory().unwrap();
    let mut long = penalty("192.0.2.2/32", 100);
    long.reason = "x".repeat(REASON_LEN_MAX + 1);

    let saved = state.save_penalties(&[penalty("192.0.2.1/32", 100), long]);

    assert!(matches!(saved, Err(Error::TooLong { .. })), "{saved:?}");
    assert_eq!(state.penalties().unwrap(), []);
}

#[test]
fn requests_to_unban_reach_the_other_process_once() {
    let dir = tempfile::tempdir().unwrap();
    let (server, command) = (State::open(dir.path()).unwrap(), State::open(dir.path()).unwrap());
    let one = Unban::Source("192.0.2.1/32".parse().unwrap());

    assert_eq!(server.take_unban_requests().unwrap(), []);
    command.request_unban(one).unwrap();
    command.request_unban(one).unwrap();
    command.request_unban(Unban::All).unwrap();

    let mut taken = server.take_unban_requests().unwrap();
    taken.sort_by_key(|unban| *unban != one);
    assert_eq!(taken, [one, Unban::All]);
    assert_eq!(server.take_unban_requests().unwrap(), []);
}

#[test]
fn names_beyond_their_bound_are_refused() {
    let state = State::in_memory().unwrap();
    let long = "a".repeat(NAME_LEN_MAX + 1);

    assert!(state.claim_totp_step(&long[1..], 1).unwrap());
    assert!(matches!(state.claim_totp_step(&long, 1), Err(Error::TooLong { .. })));
    assert!(matches!(state.claim_recovery_code(&long, &[0; 32]), Err(Error::TooLong { .. })));
    assert!(matches!(state.advance_counter(&long, 1), Err(Error::TooLong { .. })));
}

#[test]
fn only_the_owner_can_read_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("new/state");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    let state = State::open(&inside).unwrap();
    fill(&state);

    assert_eq!(mode(&inside), 0o700);
    let files: Vec<_> = fs::read_dir(&inside).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 2, "the log is there as well: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[test]
fn a_file_that_others_could_read_is_closed_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    drop(State::open(dir.path()).unwrap());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();

    let _state = State::open(dir.path()).unwrap();

    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Goal: a file that lost what it knew is an error that names it, and stays as it is.
#[test]
fn a_damaged_file_is_refused_by_name_and_left_alone() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("empty", |file| fs::write(file, b"").unwrap()),
        ("text", |file| fs::write(file, "not a database\n".repeat(1000)).unwrap()),
        ("cut short", |file| {
            let len = fs::metadata(file).unwrap().len();
            fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len / 2).unwrap();
        }),
        ("zeros inside", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[4096..].fill(0);
            fs::write(file, bytes).unwrap();
        }),
        ("a directory", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
        ("another program's", |file| {
            fs::remove_file(file).unwrap();
            let other = rusqlite::Connection::open(file).unwrap();
            other.execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
        }),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        fill(&State::open(dir.path()).unwrap());
        damage(&file);
        let before = fs::read(&file).ok();

        let error = State::open(dir.path()).err().unwrap_or_else(|| panic!("{name}: opened"));

        assert!(
            matches!(&error, Error::Damaged { path, .. } if *path == file),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(file.to_str().unwrap()), "{name}: {error}");
        assert_eq!(fs::read(&file).ok(), before, "{name}");
    }
}

/// A log without its file would be applied to a new one.
#[test]
fn a_log_whose_file_is_gone_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    fill(&state);
    fs::remove_file(dir.path().join(FILE_NAME)).unwrap();

    let error = State::open(dir.path()).err().unwrap();

    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    drop(state);
}

#[test]
fn a_file_of_a_newer_release_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    drop(State::open(dir.path()).unwrap());
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);

    let error = State::open(dir.path()).err().unwrap();

    assert!(matches!(error, Error::TooNew { found: 99, .. }), "{error:?}");
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();

    let error = State::open(file.join("state")).err().unwrap();

    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("file/state"), "{error}");
}
