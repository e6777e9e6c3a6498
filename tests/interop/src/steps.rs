//! A test as a list of named steps: all of them run, and a failure shows every step and the logs.

use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

/// Why a client did not do what it was asked for.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The program has no way to express it. The step is skipped, and says so.
    Cannot(&'static str),
    /// It tried and failed, or did something else; with its output.
    Failed(String),
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::Failed(e.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cannot(why) => write!(f, "cannot: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Fails the step unless `holds`.
///
/// # Errors
/// `Failed` with the text.
pub fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::Failed(otherwise())) }
}

/// Fails the step unless both are equal, and shows both.
///
/// # Errors
/// `Failed` with both values.
pub fn check_equal<T: PartialEq + fmt::Debug>(what: &str, found: &T, expected: &T) -> Outcome {
    check(found == expected, || format!("{what}: found {found:?}, expected {expected:?}"))
}

/// The steps of one test and how they went.
#[derive(Debug)]
pub struct Steps {
    title: String,
    done: Vec<(String, Outcome, Duration)>,
}

impl Steps {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), done: Vec::new() }
    }

    /// Runs one step. A failed one does not stop the test: what else fails helps to find out why.
    pub fn run(&mut self, name: impl Into<String>, step: impl FnOnce() -> Outcome) {
        let started = Instant::now();
        let outcome = step();
        self.done.push((name.into(), outcome, started.elapsed()));
    }

    /// True when no step has failed yet.
    pub fn all_well(&self) -> bool {
        self.failed() == 0
    }

    /// Prints the steps; fails the test if one of them failed.
    ///
    /// # Panics
    /// With every step, the output of the failed ones and `log`.
    pub fn finish(self, log: impl FnOnce() -> String) {
        let mut text = format!("{}\n", self.title);
        for (name, outcome, took) in &self.done {
            let _ = match outcome {
                Ok(()) => writeln!(text, "  ok       {name} ({:.1} s)", took.as_secs_f32()),
                Err(Failure::Cannot(why)) => writeln!(text, "  skipped  {name}: {why}"),
                Err(Failure::Failed(_)) => writeln!(text, "  FAILED   {name}"),
            };
        }
        if self.all_well() {
            print!("{text}");
            return;
        }
        for (name, outcome, _) in &self.done {
            if let Err(Failure::Failed(why)) = outcome {
                let _ = writeln!(text, "\n=== {name} ===\n{why}");
            }
        }
        let failed = self.failed();
        panic!("{failed} of {} steps failed\n{text}\n{}", self.done.len(), log());
    }

    fn failed(&self) -> usize {
        self.done.iter().filter(|(_, o, _)| matches!(o, Err(Failure::Failed(_)))).count()
    }
}
