//! Fuzzing without a fuzzer: the inputs of a corpus, and seeded changes of them, given to a function that must not panic.
//!
//! It sees no coverage, and so finds less than libFuzzer (`fuzz/run`) in the same time; but it is built with the other
//! tests and runs with them, and a number repeats a finding.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Seed;

/// Bytes of the longest input.
const INPUT_LEN_MAX: usize = 8192;

/// Changes of one input at most.
const CHANGES_MAX: usize = 6;

/// Runs `run` on every file of `corpus` and on `count` changes of them; with `STERNA_FUZZ=SECONDS` for that long instead.
///
/// # Panics
/// As `run`; the input is in the panic's output then, as hex and with its number.
pub fn each(corpus: &Path, count: u64, run: impl Fn(&[u8])) {
    let mut seeds: Vec<_> = fs::read_dir(corpus)
        .unwrap_or_else(|error| panic!("{}: {error}", corpus.display()))
        .map(|entry| entry.expect("a corpus can be listed").path())
        .collect();
    seeds.sort();
    let seeds: Vec<_> =
        seeds.iter().map(|path| fs::read(path).expect("a corpus can be read")).collect();
    assert!(!seeds.is_empty(), "{} is empty", corpus.display());
    each_of(&seeds, count, run);
}

/// As [`each`], with the corpus at hand.
///
/// # Panics
/// As [`each`].
pub fn each_of(seeds: &[Vec<u8>], count: u64, run: impl Fn(&[u8])) {
    let seconds = std::env::var("STERNA_FUZZ").ok().and_then(|text| text.parse().ok());
    give(seeds, count, seconds, run);
}

fn give(seeds: &[Vec<u8>], count: u64, seconds: Option<u64>, run: impl Fn(&[u8])) {
    let (until, first) = match seconds {
        // A longer run does not begin with what a short one has seen.
        Some(seconds) => (Some(Instant::now() + Duration::from_secs(seconds)), count),
        None => (None, 0),
    };
    for (number, seed) in seeds.iter().enumerate() {
        attempt(&format!("file {number} of the corpus"), seed, &run);
    }
    let mut number = first;
    while until.map_or(number < count, |until| Instant::now() < until) {
        let input = changed(seeds, number);
        attempt(&format!("number {number}"), &input, &run);
        number += 1;
    }
    println!("{} inputs", seeds.len() as u64 + number - first);
}

fn attempt(what: &str, input: &[u8], run: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{what}, {} bytes: {hex}", input.len());
        resume_unwind(panic);
    }
}

/// Change number `number` of the corpus.
fn changed(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Seed::new(number);
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(CHANGES_MAX) {
        change(&mut input, seeds, &mut random);
    }
    input.truncate(INPUT_LEN_MAX);
    input
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Seed) {
    if input.is_empty() {
        input.push(random.next_u64() as u8);
        return;
    }
    let at = random.below(input.len());
    let len_max = 1 + random.below(64);
    let len = 1 + random.below((input.len() - at).min(len_max));
    match random.below(9) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.next_u64() as u8,
        // Words that lengths and counts are wrong by.
        2 => {
            let words =
                [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, input.len() as u32, 255, 1 << 16];
            let word = words[random.below(words.len())].to_be_bytes();
            for (to, from) in input[at..].iter_mut().zip(word) {
                *to = from;
            }
        }
        3 => drop(input.drain(at..at + len)),
        4 => {
            let piece = input[at..at + len].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, piece);
        }
        5 => {
            let len = 1 + random.below(8);
            let piece = random.bytes(len);
            input.splice(at..at, piece);
        }
        // A piece of another input, in place of one of this.
        6 | 7 => {
            let other = &seeds[random.below(seeds.len())];
            if !other.is_empty() {
                let from = random.below(other.len());
                let end = (from + 1 + random.below(64)).min(other.len());
                input.splice(at..at + len, other[from..end].iter().copied());
            }
        }
        _ => input.truncate(at),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn inputs_differ_and_repeat() {
        let seeds = [b"hello".to_vec(), vec![0; 40]];
        let (first, second) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
        give(&seeds, 1000, None, |input| {
            first.borrow_mut().insert(input.to_vec());
        });
        give(&seeds, 1000, None, |input| {
            second.borrow_mut().insert(input.to_vec());
        });
        assert_eq!(first, second);
        assert!(first.borrow().len() > 800, "{}", first.borrow().len());
    }

    #[test]
    fn a_panic_of_one_input_is_one_of_all() {
        let calls = Cell::new(0);
        let found = catch_unwind(AssertUnwindSafe(|| {
            give(&[b"abcdef".to_vec()], 1000, None, |input| {
                calls.set(calls.get() + 1);
                assert!(input.starts_with(b"ab") || input.len() < 3);
            });
        }));
        assert!(found.is_err() && calls.get() > 1);
    }
}
