//! Runs a test for many seeds, and names the seed that fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Runs `run` for the seeds `0..count`. The environment changes that:
///
/// - `STERNA_SEED=NUMBER` runs that seed and no other;
/// - `STERNA_SEEDS=SECONDS` runs further ones, from `count` on, for so long; with `SECONDS:FIRST` from `FIRST` on.
///
/// # Panics
/// As `run`; the seed is named in the panic's output then.
pub fn each_seed(count: u64, run: impl Fn(u64)) {
    let given = |name| std::env::var(name).ok();
    if let Some(seed) = given("STERNA_SEED") {
        return attempt(seed.parse().expect("STERNA_SEED is a number"), &run);
    }
    let Some(longer) = given("STERNA_SEEDS") else {
        return (0..count).for_each(|seed| attempt(seed, &run));
    };
    let (seconds, first) = longer.split_once(':').unwrap_or((&longer, ""));
    let time = Duration::from_secs(seconds.parse().expect("STERNA_SEEDS begins with seconds"));
    let first = if first.is_empty() { count } else { first.parse().expect("a first seed") };
    let began = Instant::now();
    let mut seed = first;
    while began.elapsed() < time {
        attempt(seed, &run);
        seed += 1;
    }
    println!("seeds {first} to {}: {}", seed - 1, seed - first);
}

fn attempt(seed: u64, run: &impl Fn(u64)) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
        eprintln!("seed {seed} fails: STERNA_SEED={seed} repeats it alone");
        resume_unwind(panic);
    }
}
