//! The lines of the progress display, as text that fits the terminal. Nothing here draws.

use super::{bytes_human, display_name};

/// Names that are shown at once; further ones are counted.
const NAMES_MAX: usize = 4;
/// Cells of the bar, its brackets not counted.
const BAR_MAX: usize = 30;
const BAR_MIN: usize = 10;
/// Cells at the right edge that stay free: a typed `^C` must not begin a new line.
const MARGIN: usize = 3;

/// A file under way.
#[derive(Clone, Debug)]
pub struct Running {
    pub path: Vec<u8>,
    /// Bytes in place.
    pub done: u64,
    /// Bytes expected; `None` if nobody knows.
    pub total: Option<u64>,
    /// Bytes that are compared, of how many, before any travels.
    pub compared: Option<(u64, u64)>,
}

/// What is shown.
#[derive(Debug, Default)]
pub struct Block<'b> {
    /// Files that are complete, and how many are known to be asked for so far.
    pub files: u64,
    pub files_known: u64,
    pub verified: u64,
    pub failed: u64,
    /// Bytes in place, and of all files that are known so far.
    pub bytes: u64,
    pub bytes_known: u64,
    /// Bytes a second.
    pub rate: Option<f64>,
    pub running: &'b [Running],
}

impl Block<'_> {
    /// The lines for a terminal of `width` cells; each fits, and the terminal's `height` is kept free
    /// for other things.
    pub fn lines(&self, width: usize, height: usize) -> Vec<String> {
        let room = width.saturating_sub(MARGIN).max(1);
        let mut lines = vec![fit(&self.measures(room), room)];
        if self.files_known > 1 {
            lines.push(fit(&self.counts(), room));
        }
        let names = NAMES_MAX.min((height / 2).saturating_sub(lines.len()));
        lines.extend(self.running.iter().take(names).map(|running| running.line(room)));
        if names > 0 && self.running.len() > names {
            lines.push(fit(&format!("  and {} more", self.running.len() - names), room));
        }
        lines
    }

    /// Everything but the names in one line, for a log.
    pub fn line(&self) -> String {
        format!("{}: {}", self.counts(), self.words().join("  "))
    }

    /// `42% [====>    ] 1.2G of 2.9G  84M/s  0:21 left`
    fn measures(&self, room: usize) -> String {
        let words = self.words().join("  ");
        let Some(share) = self.share() else { return words };
        let percent = format!("{:>3}%", (share * 100.0) as u32);
        let cells = room.saturating_sub(percent.len() + words.len() + 4).min(BAR_MAX);
        if cells < BAR_MIN {
            return format!("{percent}  {words}");
        }
        let filled = ((cells as f64 * share) as usize).min(cells - 1);
        let (done, left) = ("=".repeat(filled), " ".repeat(cells - 1 - filled));
        format!("{percent} [{done}>{left}] {words}")
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec![match self.bytes_known {
            0 => bytes_human(self.bytes),
            known => format!("{} of {}", bytes_human(self.bytes), bytes_human(known)),
        }];
        let Some(rate) = self.rate else { return words };
        words.push(format!("{}/s", bytes_human(rate as u64)));
        let left = self.bytes_known.saturating_sub(self.bytes);
        if left > 0 {
            words.push(match rate {
                rate if rate >= 1.0 => format!("{} left", duration_text(left as f64 / rate)),
                _ => "stalled".to_owned(),
            });
        }
        words
    }

    fn share(&self) -> Option<f64> {
        let share = self.bytes as f64 / self.bytes_known as f64;
        share.is_finite().then(|| share.min(1.0))
    }

    /// `12 of 40 files, 11 verified, 1 failed`
    fn counts(&self) -> String {
        let noun = if self.files_known == 1 { "file" } else { "files" };
        let mut text = format!("{} of {} {noun}", self.files, self.files_known.max(self.files));
        for (count, what) in [(self.verified, "verified"), (self.failed, "failed")] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }
}

impl Running {
    /// `  photos/a.jpg  34%`, `  photos/a.jpg  comparing 1.2G of 2.9G`
    fn line(&self, room: usize) -> String {
        let share = self.total.filter(|total| *total > 0).map(|total| {
            format!("  {}%", (self.done.min(total) as f64 * 100.0 / total as f64) as u32)
        });
        let share = match self.compared {
            Some((done, total)) => {
                format!("  comparing {} of {}", bytes_human(done), bytes_human(total))
            }
            None => share.unwrap_or_default(),
        };
        let name = end_of(&display_name(&self.path), room.saturating_sub(2 + share.len()));
        fit(&format!("  {name}{share}"), room)
    }
}

/// The start of a text that takes at most `room` cells.
fn fit(text: &str, room: usize) -> String {
    let mut left = room;
    text.chars()
        .take_while(|c| {
            let fits = cells(*c) <= left;
            left = left.saturating_sub(cells(*c));
            fits
        })
        .collect()
}

/// A text that takes at most `room` cells; of a longer one the end, where a path says most.
fn end_of(text: &str, room: usize) -> String {
    const MARK: char = '…';
    if text.chars().map(cells).sum::<usize>() <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(cells(MARK));
    let mut kept: Vec<char> = Vec::new();
    for c in text.chars().rev() {
        if cells(c) > left {
            break;
        }
        left -= cells(c);
        kept.push(c);
    }
    kept.push(MARK);
    kept.into_iter().rev().collect()
}

/// Cells that a character takes at most. Scripts with wide characters begin at U+1100; that some
/// narrow ones count twice costs room and breaks no line.
fn cells(c: char) -> usize {
    if c < '\u{1100}' { 1 } else { 2 }
}

/// `0:21`, `1:02:03`, `3 days`.
fn duration_text(seconds: f64) -> String {
    let seconds = seconds.min(1e9) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60 % 60);
    match () {
        () if days >= 2 => format!("{days} days"),
        () if hours > 0 => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
        () => format!("{minutes}:{:02}", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(path: &[u8], done: u64, total: u64) -> Running {
        Running { path: path.to_vec(), done, total: Some(total), compared: None }
    }

    fn block(running: &[Running]) -> Block<'_> {
        Block {
            files: 12,
            files_known: 40,
            verified: 11,
            failed: 1,
            bytes: 1288490189,
            bytes_known: 3113851289,
            rate: Some(84.0 * 1024.0 * 1024.0),
            running,
        }
    }

    #[test]
    fn everything_is_there_on_a_usual_terminal() {
        let files = [running(b"photos/a.jpg", 34, 100), running(b"\x1b[2Jb\n", 1, 2)];

        assert_eq!(
            block(&files).lines(80, 24),
            [
                " 41% [============>                 ] 1.2G of 2.9G  84M/s  0:20 left",
                "12 of 40 files, 11 verified, 1 failed",
                "  photos/a.jpg  34%",
                "  \\u{1b}[2Jb\\n  50%",
            ]
        );
        assert_eq!(
            block(&files).line(),
            "12 of 40 files, 11 verified, 1 failed: 1.2G of 2.9G  84M/s  0:20 left"
        );
    }

    #[test]
    fn a_file_that_is_compared_says_how_far_that_is() {
        let files = [Running { compared: Some((5 << 20, 1 << 30)), ..running(b"a.iso", 0, 2) }];

        assert_eq!(block(&files).lines(80, 24)[2], "  a.iso  comparing 5.0M of 1.0G");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_whatever_the_names_and_the_end_of_a_name_stays() {
        let long = "目录/".repeat(60) + "file.jpg";
        let files = [running(long.as_bytes(), 1, 2), running(&[b'x'; 500], 1, 3)];
        for width in 1..200 {
            for line in block(&files).lines(width, 24) {
                let used: usize = line.chars().map(cells).sum();
                assert!(used <= width, "{width}: {line}");
            }
        }
        assert!(block(&files).lines(40, 24)[2].ends_with("file.jpg  50%"));
    }

    #[test]
    fn many_files_are_counted_and_a_low_terminal_shows_fewer() {
        let files: Vec<_> = (0..16u8).map(|n| running(&[b'a' + n], 0, 1)).collect();

        let lines = block(&files).lines(80, 24);
        assert_eq!(lines.len(), 2 + NAMES_MAX + 1);
        assert_eq!(lines[6], "  and 12 more");
        assert_eq!(block(&files).lines(80, 6).len(), 2 + 1 + 1);
        assert_eq!(block(&files).lines(80, 3).len(), 2);
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let unknown = Block { bytes: 5000, files_known: 1, ..Block::default() };
        assert_eq!(unknown.lines(80, 24), ["4.9K"]);
        let stalled = Block { rate: Some(0.0), bytes: 1, bytes_known: 4, ..Block::default() };
        assert!(stalled.lines(80, 24)[0].ends_with("1B of 4B  0B/s  stalled"));
    }

    #[test]
    fn times_read_as_people_say_them() {
        for (seconds, text) in [
            (0.4, "0:00"),
            (61.0, "1:01"),
            (3723.0, "1:02:03"),
            (3e5, "3 days"),
            (1e300, "11574 days"),
        ] {
            assert_eq!(duration_text(seconds), text);
        }
    }
}
