//! What a transfer tells while it runs: a bar for people, events for programs, errors for both.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sterna_client::transfer::{Event, FileReport, Progress, Summary, Verified};

use super::{Object, Output, bytes_human, display_name};
use crate::failure::Failure;

/// Shortest time between two `progress` events of `--json`: fine enough for a bar, coarse enough
/// not to cost the transfer anything.
const JSON_PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Shows a transfer as [`Output`] says: a bar on a terminal, JSON if asked for, else only errors.
pub struct Meter {
    output: Output,
    /// One line per finished file, even in a pipe.
    verbose: bool,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Files under way: bytes in place and bytes expected, by source path.
    active: HashMap<Vec<u8>, (u64, u64)>,
    /// Bytes of the files that ended.
    ended_bytes: u64,
    /// Sum of the sizes of all files that began.
    known_bytes: u64,
    json_progress_at: Option<Instant>,
}

impl Meter {
    pub fn new(output: Output, verbose: bool) -> Self {
        let bar = output.progress.then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(bar_style());
            bar
        });
        Self { output, verbose, bar, state: Mutex::default() }
    }

    /// Takes the bar off the terminal, for something else to be said.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Says how everything went.
    pub fn finish(&self, summary: &Summary) {
        self.clear();
        if !self.output.quiet && !self.output.json {
            for (note, files) in &summary.notes {
                let noun = if *files == 1 { "file" } else { "files" };
                eprintln!("sterna: {files} {noun}: {}", note.text());
            }
        }
        if self.output.json {
            self.json(summary_object(summary));
        } else if self.output.progress || (self.verbose && !self.output.quiet) {
            eprintln!("{}", summary_line(summary));
        }
    }

    /// Something could not even be tried; people are told elsewhere.
    pub fn refused(&self, failure: &Failure) {
        self.clear();
        if self.output.json {
            let object = Object::event("error").with("error", failure.text());
            self.json(object.with("exit", failure.exit() as u8));
        }
    }

    fn json(&self, object: Object) {
        // A reader that went away must not stop a transfer that is doing well.
        let _ = self.output.object(object);
    }

    /// Prints above the bar, if there is one.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is only numbers for show; a panic elsewhere does not make them dangerous.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, path: &[u8], bytes: Option<u64>) {
        if self.output.json {
            self.json(Object::event("start").with_name("path", path).with_some("bytes", bytes));
        }
        if let Some(bar) = &self.bar {
            let mut state = self.state();
            state.active.insert(path.to_vec(), (0, bytes.unwrap_or(0)));
            state.known_bytes += bytes.unwrap_or(0);
            bar.set_length(state.known_bytes);
            bar.set_message(display_name(path));
        }
    }

    fn progress(&self, path: &[u8], done: u64, total: Option<u64>) {
        if self.output.json {
            let now = Instant::now();
            let mut state = self.state();
            if state.json_progress_at.is_some_and(|at| now - at < JSON_PROGRESS_EVERY) {
                return;
            }
            state.json_progress_at = Some(now);
            drop(state);
            let object = Object::event("progress").with_name("path", path);
            self.json(object.with("bytes", done).with_some("total", total));
        }
        if let Some(bar) = &self.bar {
            let mut state = self.state();
            if let Some((at, _)) = state.active.get_mut(path) {
                *at = done;
            }
            bar.set_position(state.in_place());
        }
    }

    fn done(&self, report: &FileReport) {
        if self.output.json {
            let object = Object::event("done")
                .with_name("path", &report.path)
                .with("bytes", report.bytes)
                .with("bytes_sent", report.bytes_sent)
                .with("resumed_from", report.resumed_from)
                .with("verified", report.verified.as_str());
            let notes: Vec<_> = report.notes.iter().map(|note| note.as_str()).collect();
            self.json(object.with_some("notes", (!notes.is_empty()).then(|| notes.join(","))));
        } else if self.verbose && !self.output.quiet {
            self.say(&file_line(report));
        }
        self.end(&report.path, report.bytes);
    }

    /// A file is no longer under way; `bytes` of it are in place.
    fn end(&self, path: &[u8], bytes: u64) {
        let Some(bar) = &self.bar else { return };
        let mut state = self.state();
        if let Some((_, expected)) = state.active.remove(path) {
            state.known_bytes = (state.known_bytes + bytes).saturating_sub(expected);
            state.ended_bytes += bytes;
        }
        bar.set_length(state.known_bytes);
        bar.set_position(state.in_place());
    }
}

impl Progress for Meter {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Start { path, bytes } => self.start(path, *bytes),
            Event::Progress { path, done, total } => self.progress(path, *done, *total),
            Event::Retry { path, why } => {
                if self.output.json {
                    self.json(Object::event("retry").with_name("path", path).with("why", *why));
                } else if !self.output.quiet {
                    self.say(&format!("sterna: {}: {why}", display_name(path)));
                }
            }
            Event::Done(report) => self.done(report),
            Event::Error { path, error } => {
                if self.output.json {
                    let object = Object::event("error").with_name("path", path);
                    let exit = crate::exit::Exit::from(*error) as u8;
                    self.json(object.with("error", error.to_string()).with("exit", exit));
                }
                self.say(&format!("sterna: {error}"));
                // That the same command goes on is said once, at the end.
                if let Some(hint) = error.hint().filter(|_| !error.ends_channel()) {
                    self.say(&format!("  hint: {hint}"));
                }
                self.end(path, 0);
            }
            Event::Skipped { path, why } => {
                if !self.output.quiet {
                    self.say(&format!("sterna: {}: left out: {why}", display_name(path)));
                }
            }
            // `finish` says it, once for all transfers of a command.
            Event::Summary(_) => {}
        }
    }
}

impl State {
    fn in_place(&self) -> u64 {
        self.ended_bytes + self.active.values().map(|(done, _)| done).sum::<u64>()
    }
}

fn bar_style() -> ProgressStyle {
    const TEMPLATE: &str =
        "{percent:>3}% {bar:20} {binary_bytes:>10} {binary_bytes_per_sec:>12} {eta:>5}  {wide_msg}";
    ProgressStyle::with_template(TEMPLATE)
        .map(|style| style.progress_chars("=> "))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `a.bin: 1.0G, resumed at 300M, verified (blake3)`.
fn file_line(report: &FileReport) -> String {
    let mut line = format!("{}: {}", display_name(&report.path), bytes_human(report.bytes));
    if report.resumed_from > 0 {
        line.push_str(&format!(", resumed at {}", bytes_human(report.resumed_from)));
    }
    line.push_str(&match report.verified {
        Verified::Digest(algorithm) => format!(", verified ({algorithm})"),
        Verified::ReadBack => ", verified (read back)".to_owned(),
        Verified::Size => ", size only".to_owned(),
        Verified::None => ", unverified".to_owned(),
    });
    line
}

fn summary_object(summary: &Summary) -> Object {
    Object::event("summary")
        .with("files", summary.files)
        .with("failed", summary.failed)
        .with("skipped", summary.skipped)
        .with("bytes", summary.bytes)
        .with("bytes_sent", summary.bytes_sent)
        .with("seconds", summary.seconds)
        .with("verified", summary.verified_by_digest)
        .with("size_only", summary.verified_by_size)
        .with("unverified", summary.unverified)
}

/// `3 files, 1.2G in 4.1 s (300M/s): 2 verified, 1 size only; 1 failed, 2 left out`.
fn summary_line(summary: &Summary) -> String {
    let noun = if summary.files == 1 { "file" } else { "files" };
    let mut line = format!(
        "{} {noun}, {} in {:.1} s",
        summary.files,
        bytes_human(summary.bytes),
        summary.seconds
    );
    if summary.seconds > 0.0 {
        let rate = summary.bytes_sent as f64 / summary.seconds;
        line.push_str(&format!(" ({}/s)", bytes_human(rate as u64)));
    }
    let counts = |counts: &[(u64, &str)]| -> String {
        let said = counts.iter().filter(|(count, _)| *count > 0);
        said.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    let verified = counts(&[
        (summary.verified_by_digest, "verified"),
        (summary.verified_by_size, "size only"),
        (summary.unverified, "unverified"),
    ]);
    let missing = counts(&[(summary.failed, "failed"), (summary.skipped, "left out")]);
    if !verified.is_empty() {
        line.push_str(": ");
        line.push_str(&verified);
    }
    if !missing.is_empty() {
        line.push_str("; ");
        line.push_str(&missing);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_is_missing_and_how_sure_the_rest_is() {
        let summary = Summary {
            files: 3,
            failed: 1,
            skipped: 2,
            bytes: 4096,
            bytes_sent: 2048,
            seconds: 2.0,
            verified_by_digest: 2,
            verified_by_size: 1,
            ..Summary::default()
        };

        assert_eq!(
            summary_line(&summary),
            "3 files, 4.0K in 2.0 s (1.0K/s): 2 verified, 1 size only; 1 failed, 2 left out"
        );
    }

    #[test]
    fn the_json_summary_has_the_keys_of_the_contract() {
        let line = summary_object(&Summary::default()).into_line();

        for key in ["event", "files", "failed", "skipped", "bytes", "bytes_sent", "seconds"] {
            assert!(line.contains(&format!("\"{key}\":")), "{key} in {line}");
        }
    }

    #[test]
    fn a_finished_file_says_how_it_was_verified() {
        let report = FileReport {
            path: b"a\x1b".to_vec(),
            bytes: 10,
            bytes_sent: 5,
            resumed_from: 5,
            verified: Verified::Digest("sha256"),
            notes: Vec::new(),
        };

        assert_eq!(file_line(&report), "a\\u{1b}: 10B, resumed at 5B, verified (sha256)");
    }
}
