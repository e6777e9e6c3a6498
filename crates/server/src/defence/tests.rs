//! The rules as tables, in virtual time.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sterna_ssh_crypto::Random;
use sterna_ssh_tokio::End;
use sterna_state::{State, StoredPenalty, Unban};

use super::*;

/// Drops nobody unless everybody is dropped.
struct Lucky;

impl Random for Lucky {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0xFF);
    }
}

/// A defence and its clock.
struct Stage {
    defence: Arc<Defence>,
    start: Instant,
}

/// The time of day when a stage starts.
const DAY: u64 = 1_700_000_000;

fn time_of_day(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Stage {
    fn new(settings: DefenceSettings) -> Self {
        let start = Instant::now();
        Self { defence: Defence::new(settings, start, time_of_day(DAY)), start }
    }

    fn with_penalties(change: impl FnOnce(&mut PenaltySettings)) -> Self {
        Self::new(settings_with(change))
    }

    /// A server that starts when it is `seconds` after [`DAY`], with what `state` knows.
    fn restarted(state: &Arc<State>, seconds: u64) -> Self {
        let start = Instant::now();
        let (settings, state) = (DefenceSettings::default(), Arc::clone(state));
        let now = time_of_day(DAY + seconds);
        Self { defence: Defence::with_state(settings, state, start, now).unwrap(), start }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn admit(&self, source: &str, seconds: u64) -> Admit {
        self.defence.admit(address(source), self.at(seconds), &mut Lucky)
    }

    fn is_refused(&self, source: &str, seconds: u64) -> bool {
        matches!(self.admit(source, seconds), Admit::Drop(DropReason::Penalised))
    }

    fn note(&self, source: &str, offence: Offence, seconds: u64) {
        self.defence.note(address(source), offence, self.at(seconds));
    }

    /// One penalty of 90 s for a source that had none.
    fn crash(&self, source: &str, seconds: u64) {
        self.note(source, Offence::Crash, seconds);
    }

    fn list(&self, seconds: u64) -> Vec<(String, u64, u32)> {
        let all = self.defence.list(self.at(seconds));
        all.iter().map(|p| (p.source.to_string(), p.refused_for.as_secs(), p.repeats)).collect()
    }
}

fn settings_with(change: impl FnOnce(&mut PenaltySettings)) -> DefenceSettings {
    let mut penalties = PenaltySettings::default();
    change(&mut penalties);
    DefenceSettings { per_source_penalties: Some(penalties), ..DefenceSettings::default() }
}

const HOST: &str = "192.0.2.1";

#[test]
fn offences_add_up_until_a_source_is_refused() {
    use Offence::*;
    // When and what; and from when on, until when the source is refused.
    type Row = (&'static [(u64, Offence)], u64, Option<u64>);
    let table: &[Row] = &[
        // More than 15 s at once, from the first second to the last.
        (&[(0, Crash)], 0, Some(90)),
        (&[(0, GraceExceeded)], 0, Some(20)),
        // Not more than 15 s.
        (&[(0, ProtocolError)], 0, None),
        (&[(0, AuthFailed); 3], 0, None),
        (&[(0, AuthFailed); 4], 0, Some(20)),
        (&[(0, InvalidUser); 4], 0, Some(20)),
        (&[(0, NoAuth); 15], 0, None),
        (&[(0, NoAuth); 16], 0, Some(16)),
        (&[(0, AuthFailed), (0, InvalidUser), (0, NoAuth), (0, AuthFailed)], 0, Some(16)),
        // What passes meanwhile does not count.
        (&[(0, AuthFailed), (4, AuthFailed), (8, AuthFailed), (12, AuthFailed)], 12, None),
        (&[(0, AuthFailed), (1, AuthFailed), (2, AuthFailed), (3, AuthFailed)], 3, Some(20)),
        (&[(0, AuthFailed), (6, AuthFailed), (12, AuthFailed), (18, AuthFailed)], 18, None),
        // Connections that were there before go on offending.
        (&[(0, GraceExceeded), (10, GraceExceeded)], 0, Some(40)),
        // Ten minutes are the most the first time.
        (&[(0, Crash); 6], 0, Some(540)),
        (&[(0, Crash); 7], 0, Some(600)),
        (&[(0, Crash); 100], 0, Some(600)),
        // Nothing for those who are dropped.
        (&[(0, Refused); 100], 0, None),
    ];
    for (offences, from, until) in table {
        let stage = Stage::new(DefenceSettings::default());
        for (second, offence) in *offences {
            stage.note(HOST, *offence, *second);
        }

        match until {
            None => assert!(!stage.is_refused(HOST, *from), "{offences:?}"),
            Some(until) => {
                assert!(stage.is_refused(HOST, *from), "{offences:?}");
                assert!(stage.is_refused(HOST, until - 1), "{offences:?}");
                assert!(!stage.is_refused(HOST, *until), "{offences:?}");
            }
        }
    }
}

/// Each time that a source comes back and offends again, it is refused for twice as long.
#[test]
fn penalties_of_repeat_offenders_double_up_to_a_day() {
    let stage = Stage::new(DefenceSettings::default());
    let mut now = 0;
    let mut lengths = Vec::new();

    for _ in 0..14 {
        stage.crash(HOST, now);
        let length = stage.list(now)[0].1;
        lengths.push(length);
        now += length;
        assert!(!stage.is_refused(HOST, now));
    }

    let day = 24 * 3600;
    let doubled = (0..14).map(|n| (90 << n).min(day));
    assert_eq!(lengths, doubled.collect::<Vec<u64>>());
}

#[test]
fn small_offences_of_a_repeat_offender_count_double_too_and_so_does_the_bound() {
    let stage = Stage::new(DefenceSettings::default());
    stage.crash(HOST, 0);

    // 10 s twice are more than 15 s; without the earlier penalty it would take four.
    stage.note(HOST, Offence::AuthFailed, 100);
    assert!(!stage.is_refused(HOST, 100));
    stage.note(HOST, Offence::AuthFailed, 100);
    assert!(stage.is_refused(HOST, 119));
    assert!(!stage.is_refused(HOST, 120));

    for _ in 0..100 {
        stage.note(HOST, Offence::Crash, 120);
    }
    // The third penalty: at most four times ten minutes.
    assert_eq!(stage.list(120), [("192.0.2.1/32".to_owned(), 2400, 3)]);
}

#[test]
fn earlier_penalties_are_forgotten_one_by_one() {
    const HOURS: u64 = 3600;
    let penalties = |stage: &Stage, at: u64| stage.list(at).first().map(|row| row.2);
    let stage = Stage::new(DefenceSettings::default());
    for now in [0, 1000, 2000] {
        stage.crash(HOST, now);
    }
    // 360 s from 2000 on.
    let end = 2360;

    for (at, remembered) in [
        (end, Some(3)),
        (end + 6 * HOURS - 1, Some(3)),
        (end + 6 * HOURS, Some(2)),
        (end + 12 * HOURS, Some(1)),
        (end + 18 * HOURS - 1, Some(1)),
        (end + 18 * HOURS, None),
    ] {
        assert_eq!(penalties(&stage, at), remembered, "{at}");
    }
    // With one remembered the next is twice as long, and begins the wait anew.
    stage.crash(HOST, end + 12 * HOURS);
    assert_eq!(stage.list(end + 12 * HOURS), [("192.0.2.1/32".to_owned(), 180, 2)]);
    assert_eq!(penalties(&stage, end + 18 * HOURS), Some(2));
    assert_eq!(penalties(&stage, end + 18 * HOURS + 180), Some(1));
    // Forgotten altogether, it is a first one again.
    stage.crash(HOST, end + 100 * HOURS);
    assert_eq!(stage.list(end + 100 * HOURS), [("192.0.2.1/32".to_owned(), 90, 1)]);
}

#[test]
fn neighbours_in_a_network_are_one_source_and_others_are_not() {
    let stage = Stage::new(DefenceSettings::default());
    stage.crash("2001:db8:0:1::5", 0);
    stage.crash("::ffff:192.0.2.1", 0);

    for (source, refused) in [
        ("2001:db8:0:1::6", true),
        ("2001:db8:0:2::5", false),
        ("192.0.2.1", true),
        ("::ffff:192.0.2.1", true),
        ("192.0.2.2", false),
    ] {
        assert_eq!(stage.is_refused(source, 1), refused, "{source}");
    }
}

#[test]
fn exempt_sources_are_never_counted_dropped_or_penalised() {
    let stage = Stage::new(DefenceSettings {
        exempt: vec!["192.0.2.0/24".parse().unwrap(), "::1/128".parse().unwrap()],
        max_startups: "1".parse().unwrap(),
        ..DefenceSettings::default()
    });
    for source in ["192.0.2.1", "::ffff:192.0.2.1", "::1", "192.0.3.1"] {
        stage.crash(source, 0);
    }

    let exempt = ["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "::1"];
    let admitted: Vec<_> = exempt.into_iter().map(|source| stage.admit(source, 0)).collect();

    assert!(admitted.iter().all(|admit| matches!(admit, Admit::Yes(_))), "{admitted:?}");
    // They took nobody's place, and the rule holds for others.
    assert!(matches!(stage.admit("198.51.100.1", 0), Admit::Yes(_)));
    assert!(stage.is_refused("192.0.3.1", 0));
    assert_eq!(stage.list(0).len(), 1);
}

#[test]
fn without_penalties_nobody_is_refused() {
    let off = DefenceSettings { per_source_penalties: None, ..DefenceSettings::default() };
    let stage = Stage::new(off.clone());
    for _ in 0..100 {
        stage.crash(HOST, 0);
    }
    assert!(!stage.is_refused(HOST, 0));
    assert_eq!(stage.list(0), []);

    // Switched off, a penalty rests; switched on again, it goes on.
    stage.defence.replace_settings(DefenceSettings::default(), stage.at(0));
    stage.crash(HOST, 0);
    stage.defence.replace_settings(off, stage.at(1));
    assert!(!stage.is_refused(HOST, 1));
    stage.defence.replace_settings(DefenceSettings::default(), stage.at(2));
    assert!(stage.is_refused(HOST, 2));
}

#[test]
fn an_admission_holds_its_place_until_it_is_dropped() {
    let stage = Stage::new(DefenceSettings {
        max_startups: "3".parse().unwrap(),
        per_source_max_startups: Some(2),
        ..DefenceSettings::default()
    });
    let dropped = |source, expected| match stage.admit(source, 0) {
        Admit::Drop(reason) => assert_eq!(reason, expected, "{source}"),
        Admit::Yes(_) => panic!("{source} was let in"),
    };
    let first = stage.admit(HOST, 0);
    let _second = stage.admit(HOST, 0);

    dropped(HOST, DropReason::TooManyFromSource);
    let _third = stage.admit("192.0.2.2", 0);
    dropped("192.0.2.3", DropReason::TooManyStartups);
    drop(first);
    assert!(matches!(stage.admit("192.0.2.3", 0), Admit::Yes(_)));
    assert!(matches!(stage.admit(HOST, 0), Admit::Yes(_)));
}

#[test]
fn who_comes_in_a_crowd_is_penalised_only_where_the_settings_say_so() {
    for (cost, refused) in [(0, false), (10, true)] {
        let mut settings = settings_with(|p| p.refused = Duration::from_secs(cost));
        settings.per_source_max_startups = Some(1);
        let stage = Stage::new(settings);
        let first = stage.admit(HOST, 0);
        assert!(matches!(first, Admit::Yes(_)));

        for _ in 0..2 {
            assert!(matches!(stage.admit(HOST, 0), Admit::Drop(DropReason::TooManyFromSource)));
        }

        drop(first);
        assert_eq!(stage.is_refused(HOST, 0), refused, "{cost} s");
    }
}

fn numbered(n: u32) -> IpAddr {
    IpAddr::from((0x0A00_0000 + n).to_be_bytes())
}

/// Goal: however many sources offend, memory is bounded and the worst are still known.
/// Method: ten repeat offenders, then 200,000 sources with one penalty each.
#[test]
fn of_200_000_sources_the_bound_is_kept_and_the_worst_stay() {
    let stage = Stage::new(DefenceSettings::default());
    let max = PenaltySettings::default().max_sources4;
    let (worst, many) = (10, 200_000);
    for now in [0, 100, 300] {
        for n in 0..worst {
            stage.defence.note(numbered(n), Offence::Crash, stage.at(now));
        }
    }

    for n in worst..worst + many {
        stage.defence.note(numbered(n), Offence::Crash, stage.at(400));
    }

    let all = stage.defence.list(stage.at(400));
    assert_eq!(all.len(), max);
    let known = |n: u32| all.iter().any(|p| p.source == IpNet::from(numbered(n)));
    assert!((0..worst).all(known), "those with three penalties stay");
    assert!(known(worst + many - 1), "the last one is known as well");
    // Once they are over, the table empties by itself.
    stage.defence.note(numbered(0), Offence::NoAuth, stage.at(10 * 24 * 3600));
    assert_eq!(stage.defence.lock().penalties.len(), 1);
}

/// Goal: a table full of offenders does not blind the server to new ones.
#[test]
fn a_newcomer_is_found_out_while_the_table_is_full_of_offenders() {
    let stage = Stage::with_penalties(|p| p.max_sources4 = 64);
    for n in 0..64 {
        stage.defence.note(numbered(n), Offence::Crash, stage.at(0));
    }

    for _ in 0..4 {
        stage.note(HOST, Offence::AuthFailed, 1);
    }

    assert!(stage.is_refused(HOST, 1));
    assert_eq!(stage.defence.lock().penalties.len(), 64);
}

/// Goal: those who were never refused cannot push out those who were.
#[test]
fn small_offenders_take_only_their_share_of_a_full_table() {
    let stage = Stage::with_penalties(|p| p.max_sources4 = 64);
    for n in 0..64 {
        stage.defence.note(numbered(n), Offence::Crash, stage.at(0));
    }

    for n in 1000..3000 {
        stage.defence.note(numbered(n), Offence::AuthFailed, stage.at(1));
    }

    let refused = stage.defence.list(stage.at(1)).iter().filter(|p| p.repeats > 0).count();
    assert_eq!(refused, 64 - 64 / crate::limits::NEWCOMERS_SHARE);
}

#[test]
fn a_full_table_denies_all_where_the_settings_say_so() {
    let mut settings = settings_with(|p| {
        p.max_sources4 = 2;
        p.overflow = Overflow::DenyAll;
    });
    settings.exempt = vec!["198.51.100.0/24".parse().unwrap()];
    let stage = Stage::new(settings);
    let full =
        |source, at| matches!(stage.admit(source, at), Admit::Drop(DropReason::PenaltyTableFull));

    stage.crash("192.0.2.1", 0);
    assert!(!full("192.0.2.3", 0));
    stage.crash("192.0.2.2", 10);

    assert!(full("192.0.2.3", 10));
    assert!(!full("198.51.100.1", 10), "exempt");
    assert!(!full("2001:db8::1", 10), "the other table has room");
    // The first penalty ends: it is remembered, and gives way to the next offender.
    assert!(!full("192.0.2.3", 90));
    stage.crash("192.0.2.3", 90);
    assert!(full("192.0.2.4", 90));
    assert_eq!(stage.list(90).len(), 2);
    // Nobody who is refused gives way.
    stage.crash("192.0.2.5", 90);
    assert!(!stage.is_refused("192.0.2.5", 90));
    assert!(stage.is_refused("192.0.2.2", 90) && stage.is_refused("192.0.2.3", 90));
}

#[test]
fn the_list_shows_the_worst_first() {
    let stage = Stage::new(DefenceSettings::default());
    stage.note("192.0.2.1", Offence::AuthFailed, 0);
    stage.note("192.0.2.2", Offence::GraceExceeded, 0);
    stage.note("2001:db8::1", Offence::Crash, 0);

    let list = stage.list(1);

    let row = |source: &str, seconds, repeats| (source.to_owned(), seconds, repeats);
    assert_eq!(
        list,
        [row("2001:db8::/64", 89, 1), row("192.0.2.2/32", 19, 1), row("192.0.2.1/32", 0, 0)]
    );
    let worst = stage.defence.list(stage.at(1))[0];
    assert_eq!(worst.offence, Offence::Crash);
    assert_eq!(worst.forgotten_in, Duration::from_secs(89 + 6 * 3600));
}

#[test]
fn a_penalty_that_is_lifted_is_forgotten() {
    for (unban, lifted) in [
        (Unban::Source("192.0.2.1/32".parse().unwrap()), &["192.0.2.1"][..]),
        (Unban::Source("192.0.2.0/24".parse().unwrap()), &["192.0.2.1", "192.0.2.2"]),
        (Unban::Source("2001:db8::77/128".parse().unwrap()), &["2001:db8::1"]),
        (Unban::Source("203.0.113.0/24".parse().unwrap()), &[]),
        (Unban::All, &["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
    ] {
        let stage = Stage::new(DefenceSettings::default());
        let sources = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
        for source in sources {
            stage.crash(source, 0);
        }

        assert_eq!(stage.defence.unban(unban), lifted.len(), "{unban:?}");

        for source in sources {
            assert_eq!(
                stage.is_refused(source, 1),
                !lifted.contains(&source),
                "{unban:?} {source}"
            );
        }
        // The next penalty is a first one.
        for source in lifted {
            stage.crash(source, 1);
            assert!(!stage.is_refused(source, 91), "{unban:?} {source}");
        }
    }
}

#[test]
fn penalties_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state = Arc::new(State::open(dir.path()).unwrap());
    let stage = Stage::restarted(&state, 0);
    stage.crash("192.0.2.1", 0);
    stage.crash("192.0.2.2", 0);
    stage.crash("2001:db8::1", 0);
    // Not refused, so not worth keeping.
    stage.note("192.0.2.9", Offence::AuthFailed, 0);
    stage.defence.unban(Unban::Source("192.0.2.2/32".parse().unwrap()));
    stage.defence.save(stage.at(10)).unwrap();
    drop((stage, state));

    let state = Arc::new(State::open(dir.path()).unwrap());
    let stage = Stage::restarted(&state, 60);

    let row = |source: &str| (source.to_owned(), 30, 1);
    assert_eq!(stage.list(0), [row("192.0.2.1/32"), row("2001:db8::/64")]);
    assert!(stage.is_refused("192.0.2.1", 29));
    assert!(!stage.is_refused("192.0.2.1", 30));
    // What was remembered doubles the next, also after another restart.
    stage.crash("192.0.2.1", 40);
    stage.defence.save(stage.at(40)).unwrap();
    let stage = Stage::restarted(&state, 100);
    assert_eq!(stage.list(0)[0], ("192.0.2.1/32".to_owned(), 180, 2));
    // And it is forgotten in the end.
    let stage = Stage::restarted(&state, 24 * 3600);
    assert_eq!(stage.list(0), []);
    stage.defence.save(stage.at(0)).unwrap();
    assert_eq!(state.penalties().unwrap(), []);
}

#[test]
fn a_clock_that_was_wrong_refuses_nobody_for_years() {
    let state = Arc::new(State::in_memory().unwrap());
    let source = "192.0.2.1/32".parse().unwrap();
    let (until, forget_at) = (DAY + 1_000_000_000, DAY + 1_000_000_001);
    let reason = "words of another release".to_owned();
    state
        .save_penalties(&[StoredPenalty { source, until, offences: u32::MAX, forget_at, reason }])
        .unwrap();

    let stage = Stage::restarted(&state, 0);

    assert!(stage.is_refused(HOST, 24 * 3600 - 1));
    assert!(!stage.is_refused(HOST, 24 * 3600));
}

#[test]
fn another_process_lifts_a_penalty_through_the_state() {
    let state = Arc::new(State::in_memory().unwrap());
    let stage = Stage::restarted(&state, 0);
    stage.crash("192.0.2.1", 0);
    stage.crash("192.0.2.2", 0);
    stage.defence.save(stage.at(0)).unwrap();

    state.request_unban(Unban::Source("192.0.2.1/32".parse().unwrap())).unwrap();
    stage.defence.save(stage.at(5)).unwrap();

    assert!(!stage.is_refused("192.0.2.1", 5));
    assert!(stage.is_refused("192.0.2.2", 5));
    assert_eq!(state.penalties().unwrap().len(), 1);
}

#[test]
fn only_what_changed_is_kept_again() {
    let state = Arc::new(State::in_memory().unwrap());
    let stage = Stage::restarted(&state, 0);
    stage.crash("192.0.2.1", 0);
    stage.crash("192.0.2.2", 0);
    let mut dirty = stage.defence.lock().penalties.take_dirty();
    assert_eq!(dirty.len(), 2);
    assert_eq!(stage.defence.lock().penalties.take_dirty(), []);

    // The disk was full: they are tried again, unless they were lifted meanwhile.
    stage.defence.lock().penalties.mark_dirty(&dirty);
    stage.defence.unban(Unban::Source("192.0.2.2/32".parse().unwrap()));

    dirty.retain(|penalty| penalty.source.to_string() == "192.0.2.1/32");
    assert_eq!(stage.defence.lock().penalties.take_dirty(), dirty);
}

#[test]
fn new_settings_hold_at_once_and_cut_nobody() {
    let stage = Stage::new(DefenceSettings::default());
    for n in 0..100 {
        stage.defence.note(numbered(n), Offence::Crash, stage.at(0));
    }
    stage.crash(HOST, 0);
    let _open = stage.admit("198.51.100.1", 0);

    let mut settings = settings_with(|p| p.max_sources4 = 10);
    settings.max_startups = "1".parse().unwrap();
    stage.defence.replace_settings(settings.clone(), stage.at(1));

    assert_eq!(stage.list(1).len(), 10);
    assert!(matches!(stage.admit("198.51.100.2", 1), Admit::Drop(DropReason::TooManyStartups)));

    settings.exempt = vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.0/24".parse().unwrap()];
    stage.defence.replace_settings(settings, stage.at(2));
    assert_eq!(stage.list(2), [], "who is exempt has no penalty");
    assert!(!stage.is_refused(HOST, 2));
}

#[test]
fn one_connection_is_one_offence_and_a_login_is_none() {
    let offence_of = |visitor: &dyn Fn(Visit, Admission, Instant)| {
        let stage = Stage::new(DefenceSettings::default());
        let Admit::Yes(admission) = stage.admit(HOST, 0) else { panic!("nobody was here before") };
        let visit = Visit::new(Arc::clone(&stage.defence), address(HOST), &admission);
        visitor(visit, admission, stage.at(0));
        assert!(stage.defence.lock().startups.is_empty(), "its place is free again");
        stage.defence.list(stage.at(0)).first().map(|penalty| penalty.offence)
    };
    let end: Result<End, sterna_ssh_tokio::DriveError> = Ok(End::PeerClosed);

    let left = offence_of(&|visit, _admission, now| visit.end(&end, now));
    assert_eq!(left, Some(Offence::NoAuth));

    let failed = offence_of(&|visit, admission, now| {
        admission.login_failed(false);
        admission.login_failed(true);
        admission.login_failed(false);
        visit.end(&end, now);
    });
    assert_eq!(failed, Some(Offence::InvalidUser));

    let logged_in = offence_of(&|visit, admission, now| {
        admission.login_failed(false);
        drop(admission);
        visit.end(&end, now);
    });
    assert_eq!(logged_in, None);

    let cut = offence_of(&|visit, _admission, _| drop(visit));
    assert_eq!(cut, None);

    let panicked = offence_of(&|visit, admission, _| {
        let served = catch_unwind(AssertUnwindSafe(move || {
            let (_admission, _visit) = (admission, visit);
            panic!("on purpose");
        }));
        assert!(served.is_err());
    });
    assert_eq!(panicked, Some(Offence::Crash));

    let panicked_later = offence_of(&|visit, admission, _| {
        drop(admission);
        let served = catch_unwind(AssertUnwindSafe(move || {
            let _visit = visit;
            panic!("on purpose");
        }));
        assert!(served.is_err());
    });
    assert_eq!(panicked_later, None, "a user who is logged in is not locked out for our bug");
}

/// A login takes nothing back from what the network did before.
#[test]
fn a_login_does_not_excuse_the_neighbours() {
    let stage = Stage::new(DefenceSettings::default());
    for _ in 0..3 {
        stage.note(HOST, Offence::AuthFailed, 0);
    }
    let Admit::Yes(admission) = stage.admit(HOST, 0) else { panic!("15 s are not too many") };
    let visit = Visit::new(Arc::clone(&stage.defence), address(HOST), &admission);

    drop(admission);
    visit.end(&Ok(End::PeerClosed), stage.at(0));
    stage.note(HOST, Offence::AuthFailed, 0);

    assert!(stage.is_refused(HOST, 0));
}
