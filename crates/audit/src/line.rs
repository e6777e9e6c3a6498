//! Lines of a log, read with a bound, and the members of a line that the chain is made of.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde::Deserialize;

use crate::chain::{Hash, Place};
use crate::limits::{LINE_LEN_MAX, SEQ_MAX};

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Line,
    /// The file ends within it.
    Half,
    /// Longer than any line of a log; the rest of it was passed over.
    TooLong,
    End,
}

/// Reads the next line into `line`, without its end.
pub(crate) fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Read> {
    line.clear();
    let mut is_too_long = false;
    loop {
        let chunk = match from.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(match (is_too_long, line.is_empty()) {
                (true, _) => Read::TooLong,
                (false, true) => Read::End,
                (false, false) => Read::Half,
            });
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        is_too_long |= line.len() + part.len() >= LINE_LEN_MAX;
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(if is_too_long { Read::TooLong } else { Read::Line });
        }
    }
}

/// The members that hold a log together.
#[derive(Deserialize)]
pub(crate) struct Members<'l> {
    pub(crate) seq: u64,
    #[serde(borrow)]
    pub(crate) time: Cow<'l, str>,
    #[serde(borrow)]
    pub(crate) event: Cow<'l, str>,
    prev: &'l str,
}

/// The event of a checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";

impl<'l> Members<'l> {
    /// `None`: not a line of a log.
    pub(crate) fn of(line: &'l [u8]) -> Option<(Self, Hash)> {
        if line.first() != Some(&b'{') {
            return None;
        }
        let members: Self = serde_json::from_slice(line).ok()?;
        let before = Hash::from_hex(members.prev)?;
        (1..=SEQ_MAX).contains(&members.seq).then_some((members, before))
    }
}

/// Where a line stands in the chain.
pub(crate) fn place_of(line: &[u8]) -> Option<Place> {
    Members::of(line).map(|(members, _)| Place { seq: members.seq, hash: Hash::of(line) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bounded() {
        let is_line = |seq: &str| {
            let hash = Hash::NONE;
            let line =
                format!("{{\"seq\":{seq},\"time\":\"\",\"event\":\"\",\"prev\":\"{hash}\"}}");
            Members::of(line.as_bytes()).is_some()
        };

        assert!(is_line("1") && is_line("9223372036854775807"));
        assert!(!is_line("0") && !is_line("9223372036854775808") && !is_line("-1"));
    }

    #[test]
    fn lines_are_bounded() {
        let long = vec![b'x'; LINE_LEN_MAX];
        let text = [b"a\n\n", &long[..LINE_LEN_MAX - 1], b"\n", &long, b"\nb"].concat();
        let mut from = io::BufReader::with_capacity(1000, &text[..]);
        let mut line = Vec::new();
        let mut next = || {
            let read = read_line(&mut from, &mut line).unwrap();
            (read, line.len())
        };

        assert_eq!(next(), (Read::Line, 1));
        assert_eq!(next(), (Read::Line, 0));
        assert_eq!(next(), (Read::Line, LINE_LEN_MAX - 1));
        assert_eq!(next().0, Read::TooLong);
        assert_eq!(next(), (Read::Half, 1));
        assert_eq!(next(), (Read::End, 0));
    }
}
