//! Many sessions of one server at once, on a disk that fails, over connections that break, in time that jumps.
//!
//! One seed is one run: the server's real code from the accepted connection to the storage trait, 20 to 60 clients on
//! in-memory sockets, one thread, tokio's stopped clock, pools without threads; after a power cut perhaps a second server
//! on what the first one left. A seed repeats exactly: which client sends and reads how much when, which job runs next,
//! which call of the disk fails how, when the power goes, what is kept. Not repeated are the bytes of keys, cookies and
//! padding (their lengths are), and the order in which the connections learn that the server stops: tokio draws lots for
//! that, so that what happens behind it may differ.
//!
//! Jobs run one after the other, in any order, and not at the same time: what two threads do to each other in the middle of
//! a job is for other tests. Calls of the storage trait are made to fail, system calls are not. The times of files go
//! back now and then; the wall clock is read by the login, by the list of sessions, and where a digest is remembered, and is
//! not moved.
//!
//! `STERNA_SEED` and `STERNA_SEEDS`: see [`each_seed`]. `STERNA_TRACE=1` prints what happens.
//!
//! `world.rs` is the server with what is around it, `conn.rs` one connection, `script.rs` what a client does, `seen.rs` what
//! it has read, `model.rs` what the disk must hold, `content.rs` what is in files.

mod conn;
mod content;
mod model;
mod script;
mod seen;
mod world;

use std::cell::Cell;
use std::panic;
use std::time::Duration;

use sterna_testkit::storage::{Disk, Kept};
use sterna_testkit::{Seed, each_seed};
use tokio::task::{JoinSet, LocalSet};

use self::script::Client;
use self::world::{Counts, Stage, furnish};

/// Seeds of a run that nobody has asked for.
const SEEDS: u64 = 4;

/// Names that a client makes before the machine starts again, at most.
const MADE_BEFORE_MAX: usize = 1000;

/// What is left of one run.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    counts: Counts,
    /// Everything that happened until the first server was told to end.
    trace: u64,
}

thread_local! {
    /// Panics of this thread: tokio catches those of tasks.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
    PANICS.set(0);
}

fn run(seed: u64) -> Outcome {
    count_panics();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let outcome = LocalSet::new().block_on(&runtime, simulate(seed));
    assert_eq!(PANICS.get(), 0, "a task of the server panicked");
    outcome
}

async fn simulate(seed: u64) -> Outcome {
    let mut random = Seed::new(seed);
    let has_journal = random.below(2) == 0;
    let disk = if has_journal { Disk::with_journal() } else { Disk::new() };
    let model = furnish(&disk, &mut random);
    let stage = Stage::start(&mut random, disk, has_journal, model, true);
    let (is_cut, world) = (stage.is_cut(), stage.world.clone());
    let trace = live(stage, 0, &mut random).await;
    let mut counts = *world.counts.borrow();
    if !is_cut || random.below(2) == 0 {
        return Outcome { counts, trace };
    }

    // The machine starts again, and everybody comes back.
    let mut model = world.model.take();
    model.take_cut();
    let disk = world.disk.after_cut(Kept::Some(random.next_u64()));
    let stage = Stage::start(&mut random, disk, has_journal, model, false);
    let world = stage.world.clone();
    live(stage, MADE_BEFORE_MAX, &mut random).await;
    counts.add(&world.counts.borrow());
    Outcome { counts, trace }
}

/// One server from its start to its end, and what is left of it held against the model. Returns the trace until it is told
/// to end.
async fn live(stage: Stage, made: usize, random: &mut Seed) -> u64 {
    let (is_cut, world) = (stage.is_cut(), stage.world.clone());
    let mut clients = JoinSet::new();
    for number in 0..20 + random.below(41) {
        let client = Client::new(&world, number, made, Seed::new(random.next_u64()));
        clients.spawn_local(client.run());
    }
    let director = stage.direct(Seed::new(random.next_u64()));
    // Some servers end while they are busy.
    if random.below(4) > 0 {
        all_of(&mut clients).await;
    } else {
        let time = Duration::from_millis(random.below(60_000) as u64);
        let _ = tokio::time::timeout(time, all_of(&mut clients)).await;
    }
    director.abort();
    let trace = world.trace();
    let in_peace = random.below(3) > 0;
    tokio::join!(stage.end(in_peace), all_of(&mut clients));

    let model = world.model.borrow();
    if !is_cut {
        model.check_running(&world.disk);
    }
    let some = [(); 2].map(|()| Kept::Some(random.next_u64()));
    for kept in [Kept::Nothing, Kept::All, Kept::Names].into_iter().chain(some) {
        model.check_cut(&world.disk.after_cut(kept), &format!("after a power cut, {kept:?}"));
    }
    world.count(|counts| counts.power_cuts += u64::from(is_cut));
    trace
}

async fn all_of(clients: &mut JoinSet<()>) {
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            panic::resume_unwind(error.into_panic());
        }
    }
}

/// Goal: whatever happens to many sessions at once, what was acknowledged is there, nothing is half, every request is
/// answered once, and nothing is left over.
/// Method: seeds, each a run with all of it; a failing one is named, see [`each_seed`].
#[test]
fn many_sessions_on_a_failing_disk_lose_nothing_and_leave_nothing_behind() {
    let all = Cell::new(Counts::default());
    each_seed(SEEDS, |seed| {
        let mut sum = all.get();
        sum.add(&run(seed).counts);
        all.set(sum);
    });
    println!("{:?}", all.get());
}

/// Goal: a seed is a run: else it would be no use to know it. And a run has something in it.
#[test]
fn a_seed_repeats_and_its_run_has_something_of_everything() {
    let runs = [0, 1, 2].map(run);

    assert_eq!(runs[1].trace, run(1).trace);
    assert_ne!(runs[1].trace, runs[2].trace);
    let mut all = Counts::default();
    runs.iter().for_each(|run| all.add(&run.counts));
    for (what, count) in all.each() {
        assert!(count > 0, "no {what}: {all:?}");
    }
}
