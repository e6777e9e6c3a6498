//! What a transfer tells while it runs: a block of lines for people, events for programs, errors for
//! both.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sterna_client::{
    Error,
    limits::PROGRESS_STEP_LEN,
    transfer::{Event, FileReport, Progress, Summary, Verified},
};

use super::{
    Object, Output, Shown,
    block::{Block, Running},
    bytes_human, display_name,
    rate::Rate,
    screen::{self, Screen},
};
use crate::failure::Failure;

/// Shortest time between two `progress` events of `--json`: fine enough for a bar, coarse enough
/// not to cost the transfer anything.
const JSON_PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Time between two lines of progress where they cannot be drawn over each other.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Time between two pictures on a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(125);

/// Bytes of the first progress of a file that count as travelled just now: what is beyond was there
/// before the file was gone on with.
const FIRST_STEP_MAX: u64 = 2 * PROGRESS_STEP_LEN;

/// Texts that are said once, however often they come; further ones are said each time.
const SAID_MAX: usize = 100;

/// Shows a transfer as [`Output`] says: a block of lines on a terminal, JSON if asked for, else only
/// errors.
pub struct Meter {
    output: Output,
    /// One line per finished file, even in a pipe.
    verbose: bool,
    bar: Option<ProgressBar>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Files under way, in the order in which they began.
    running: Vec<Running>,
    /// How this transfer went so far, and how earlier ones of the same command ended.
    tally: Summary,
    earlier: Summary,
    /// Bytes of the files that ended.
    ended_bytes: u64,
    /// Files that began, and the sum of their sizes.
    begun: u64,
    begun_bytes: u64,
    /// The same of files that somebody found before they began.
    found: u64,
    found_bytes: u64,
    rate: Rate,
    json_progress_at: Option<Instant>,
    line_at: Option<Instant>,
    /// Texts that were said and need no second time.
    said: Vec<String>,
}

impl Meter {
    pub fn new(output: Output, verbose: bool) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let bar = (output.progress == Shown::Drawn).then(|| drawn(state.clone()));
        Self { output, verbose, bar, state }
    }

    /// Takes the block off the terminal, for something else to be said.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// More files are known that will be transferred, and their size in bytes.
    pub fn found(&self, files: u64, bytes: u64) {
        let mut state = self.state();
        state.found += files;
        state.found_bytes += bytes;
    }

    /// How everything went up to now, for a transfer that was broken off: what is under way counts as
    /// cancelled.
    pub fn broken_off(&self, seconds: f64) -> Summary {
        let under_way: Vec<_> = self.state().running.iter().map(|r| r.path.clone()).collect();
        for path in &under_way {
            self.failed(path, &Error::Cancelled);
        }
        if under_way.is_empty() {
            // Whatever it was doing, it was not finished.
            self.failed(b"", &Error::Cancelled);
        }
        let tally = std::mem::take(&mut self.state().tally);
        Summary { seconds, ..tally }
    }

    /// Says how everything went.
    pub fn finish(&self, summary: &Summary, interrupted: bool) {
        self.clear();
        if !self.output.quiet && !self.output.json {
            for (note, files) in &summary.notes {
                let noun = if *files == 1 { "file" } else { "files" };
                eprintln!("sterna: {files} {noun}: {}", note.text());
            }
        }
        if self.output.json {
            self.json(summary_object(summary));
        } else if !interrupted
            // What failed was said, and there is nothing else.
            && (summary.files > 0 || summary.failed == 0)
            && (self.output.progress != Shown::Not || (self.verbose && !self.output.quiet))
        {
            eprintln!("{}", summary_line(summary));
        }
        if interrupted {
            eprintln!(
                "sterna: interrupted with {} done: run the same command again to go on where it stopped",
                files_text(summary.files)
            );
        }
    }

    /// Sentences beside the summary, where one is said.
    pub fn note(&self, sentences: impl FnOnce() -> Vec<String>) {
        if !self.output.json && !self.output.quiet {
            sentences().iter().for_each(|sentence| self.say(sentence));
        }
    }

    /// A plan is a result and goes to stdout; what was done is told to those who want to know.
    fn change(&self, path: &[u8], action: &str, why: &str, planned: bool) {
        if self.output.json {
            let event = if planned { "plan" } else { "change" };
            let object = Object::event(event).with_name("path", path).with("action", action);
            self.json(object.with("why", why));
        } else if planned {
            let line = format!("{action:10} {} ({why})", display_name(path));
            // A reader that went away wants no more.
            let _ = self.output.line(line);
        } else if self.verbose && !self.output.quiet {
            self.say(&format!("{action:10} {}", display_name(path)));
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

    /// Prints above the block, if there is one.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Says what many files may have in common only the first time.
    fn say_once(&self, text: String) {
        {
            let mut state = self.state();
            if state.said.contains(&text) {
                return;
            }
            if state.said.len() < SAID_MAX {
                state.said.push(text.clone());
            }
        }
        self.say(&text);
    }

    /// The lock is never held while something is drawn: drawing takes it.
    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    fn start(&self, path: &[u8], bytes: Option<u64>) {
        if self.output.json {
            self.json(Object::event("start").with_name("path", path).with_some("bytes", bytes));
        }
        let mut state = self.state();
        state.begun += 1;
        state.begun_bytes += bytes.unwrap_or(0);
        state.running.push(Running { path: path.to_vec(), done: 0, total: bytes, compared: None });
    }

    fn progress(&self, path: &[u8], done: u64, total: Option<u64>) {
        let now = Instant::now();
        let mut state = self.state();
        let json_is_due =
            self.output.json && due(&mut state.json_progress_at, JSON_PROGRESS_EVERY, now);
        if let Some(running) = state.running.iter_mut().find(|running| running.path == path) {
            let mut moved = done.saturating_sub(running.done);
            if running.done == 0 {
                moved = moved.min(FIRST_STEP_MAX);
            }
            running.done = done;
            running.compared = None;
            state.rate.add(moved, now);
        }
        let line = (self.output.progress == Shown::Lines
            && due(&mut state.line_at, LINE_EVERY, now))
        .then(|| state.block(now).line());
        drop(state);
        if json_is_due {
            let object = Object::event("progress").with_name("path", path);
            self.json(object.with("bytes", done).with_some("total", total));
        }
        if let Some(line) = line {
            eprintln!("sterna: {line}");
        }
    }

    /// Nothing has moved, but something happens.
    fn comparing(&self, path: &[u8], compared: u64, total: u64) {
        let now = Instant::now();
        let mut state = self.state();
        let json_is_due =
            self.output.json && due(&mut state.json_progress_at, JSON_PROGRESS_EVERY, now);
        let line_is_due =
            self.output.progress == Shown::Lines && due(&mut state.line_at, LINE_EVERY, now);
        let running = state.running.iter_mut().find(|running| running.path == path);
        let (mut bytes, mut size) = (0, None);
        if let Some(running) = running {
            // The last one is followed by what moves, or by the end.
            running.compared = (compared < total).then_some((compared, total));
            (bytes, size) = (running.done, running.total);
        }
        drop(state);
        if json_is_due {
            let object = Object::event("progress").with_name("path", path).with("bytes", bytes);
            self.json(object.with_some("total", size).with("compared", compared));
        }
        if line_is_due {
            let (compared, total) = (bytes_human(compared), bytes_human(total));
            eprintln!("sterna: {}: comparing {compared} of {total}", display_name(path));
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
        let mut state = self.state();
        if let Some(ended) = state.end(&report.path) {
            let resumed = ended.done.max(report.resumed_from);
            let late = report.bytes.saturating_sub(resumed).min(report.bytes_sent);
            state.rate.add(late, Instant::now());
            // It may have another size than it was said to have.
            state.begun_bytes =
                (state.begun_bytes + report.bytes).saturating_sub(ended.total.unwrap_or(0));
        }
        state.ended_bytes += report.bytes;
        state.tally.count(report);
    }

    fn failed(&self, path: &[u8], error: &Error) {
        if self.output.json {
            let object = Object::event("error").with_name("path", path);
            let exit = crate::exit::Exit::from(error) as u8;
            self.json(object.with("error", error.to_string()).with("exit", exit));
        }
        match error {
            // It was asked for, and `finish` says what is left to do.
            Error::Cancelled => {}
            // All files in flight end with the connection; and that the same command goes on is said once,
            // at the end.
            error if error.ends_channel() => self.say_once(format!("sterna: {error}")),
            error => {
                self.say(&format!("sterna: {error}"));
                if let Some(hint) = error.hint() {
                    self.say_once(format!("  hint: {hint}"));
                }
            }
        }
        let mut state = self.state();
        if let Some(ended) = state.end(path) {
            state.begun_bytes = state.begun_bytes.saturating_sub(ended.total.unwrap_or(0));
        }
        state.tally.count_failed(path, error.clone());
    }
}

impl Progress for Meter {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Start { path, bytes } => self.start(path, *bytes),
            Event::Progress { path, done, total } => self.progress(path, *done, *total),
            Event::Comparing { path, done, total } => self.comparing(path, *done, *total),
            Event::Retry { path, why } => {
                if self.output.json {
                    self.json(Object::event("retry").with_name("path", path).with("why", *why));
                } else if !self.output.quiet {
                    self.say(&format!("sterna: {}: {why}", display_name(path)));
                }
            }
            Event::Done(report) => self.done(report),
            Event::Error { path, error } => self.failed(path, error),
            Event::Skipped { path, why } => {
                self.state().tally.skipped += 1;
                if !self.output.quiet {
                    self.say(&format!("sterna: {}: left out: {why}", display_name(path)));
                }
            }
            Event::Change { path, action, why, planned } => {
                self.change(path, action.as_str(), why, *planned);
            }
            // `finish` says it, once for all transfers of a command.
            Event::Summary(_) => {
                let mut state = self.state();
                let tally = std::mem::take(&mut state.tally);
                state.earlier.merge(tally);
            }
        }
    }
}

impl State {
    fn block(&mut self, now: Instant) -> Block<'_> {
        let under_way: u64 = self.running.iter().map(|running| running.done).sum();
        let (tally, earlier) = (&self.tally, &self.earlier);
        Block {
            files: tally.files + earlier.files,
            files_known: self.begun.max(self.found),
            verified: tally.verified_by_digest + earlier.verified_by_digest,
            failed: tally.failed + earlier.failed,
            bytes: self.ended_bytes + under_way,
            bytes_known: self.begun_bytes.max(self.found_bytes),
            rate: self.rate.per_second(now),
            running: &self.running,
        }
    }

    /// A file is no longer under way.
    fn end(&mut self, path: &[u8]) -> Option<Running> {
        let at = self.running.iter().position(|running| running.path == path)?;
        Some(self.running.remove(at))
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The state is only numbers for show; a panic elsewhere does not make them dangerous.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is time again, and if so, notes that.
fn due(last: &mut Option<Instant>, every: Duration, now: Instant) -> bool {
    let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= every);
    if is_due {
        *last = Some(now);
    }
    is_due
}

/// The block on the terminal, drawn again and again by a thread of its own.
fn drawn(state: Arc<Mutex<State>>) -> ProgressBar {
    let block = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        let (width, height) = screen::size();
        let lines = locked(&state).block(Instant::now()).lines(width.into(), height.into());
        // Writing to a string cannot fail.
        let _ = out.write_str(&lines.join("\n"));
    };
    let style = ProgressStyle::with_template("{block}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("block", block);
    let screen = Box::new(Screen::default());
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like_with_hz(screen, 8));
    bar.set_style(style);
    bar.enable_steady_tick(DRAW_EVERY);
    bar
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
    let mut line = format!(
        "{}, {} in {:.1} s",
        files_text(summary.files),
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

fn files_text(files: u64) -> String {
    format!("{files} {}", if files == 1 { "file" } else { "files" })
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
