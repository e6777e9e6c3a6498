//! What an earlier attempt left, and how far it is proven to be right.
//!
//! A part is trusted only as far as something vouches for it. Where the server has digests, its blocks
//! are compared with ours, and just those that differ travel again. Else our journal says how far the
//! part was complete, with a hash of most of what we had until then; the bytes behind that hash, and at
//! least the last ones, are compared too. What nobody vouches for is transferred again: the size of a part proves nothing, for writes
//! arrive in any order.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::blocks::{Tell, differing, differing_by_reading};
use super::hash::HashAlgorithm;
use super::local::{self, LocalDir};
use super::passing::{Mark, Passing};
use super::ranges::Ranges;
use super::verify::check_algorithms;
use crate::Error;
use crate::limits::{JOURNAL_LEN_MAX, RESUME_COMPARE_LEN, STRETCH_LEN_MAX};
use crate::sftp::{Attrs, File};

/// Why a part is not used.
pub(super) const NOT_PROVEN: &str =
    "what an earlier attempt left could not be proven to be right; starting again";

const FIRST_LINE: &str = "sterna-journal 3";

/// What a source looked like when its transfer began; another look means another content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceState {
    pub(super) size: u64,
    /// Seconds since 1970; 0 if the server does not tell.
    pub(super) modified: i64,
    /// Beyond those; 0 if it is not told.
    pub(super) nanos: u32,
}

impl SourceState {
    /// Of a remote file with these attributes.
    pub(super) fn of(attrs: &Attrs) -> Self {
        Self {
            size: attrs.size.unwrap_or(0),
            modified: attrs.times.map_or(0, |times| i64::from(times.modified)),
            nanos: attrs.modified_nanos().unwrap_or(0),
        }
    }
}

/// The small file that remembers how far a part is complete. Best effort: without it a part is
/// proven otherwise or begun again.
pub(super) struct Journal {
    dir: Arc<LocalDir>,
    name: Vec<u8>,
    source: SourceState,
    file: Option<OwnedFd>,
    /// The last one noted.
    mark: Option<Mark>,
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// Bytes from the start that were complete.
    pub(super) offset: u64,
    /// What they were, or most of them.
    pub(super) mark: Option<Mark>,
}

impl Journal {
    pub(super) fn new(dir: Arc<LocalDir>, name: Vec<u8>, source: SourceState) -> Self {
        Self { dir, name, source, file: None, mark: None }
    }

    /// The hash of its marks where nobody else needs one.
    pub(super) const ALGORITHM: HashAlgorithm = HashAlgorithm::Xxh3;

    /// What it says, if the source still looks as it did. Blocks.
    pub(super) fn read(&mut self) -> Option<Noted> {
        let file = self.dir.open_file(&self.name, OFlags::RDONLY, 0).ok()?;
        let mut text = Vec::new();
        local::read_at(&file, &mut text, 0, JOURNAL_LEN_MAX as usize).ok()?;
        let noted = parse(std::str::from_utf8(&text).ok()?, self.source)?;
        self.mark.clone_from(&noted.mark);
        Some(noted)
    }

    /// A transfer begins with a part of which the first `offset` bytes are right. What an earlier one
    /// noted beyond that must not vouch for what this one writes there. Blocks.
    pub(super) fn begin(&mut self, offset: u64) {
        match offset {
            0 => self.remove(),
            offset => self.write(offset, None),
        }
    }

    /// Notes that the first `offset` bytes are complete; `mark`: a newer hash of them or of most of
    /// them. Blocks.
    pub(super) fn write(&mut self, offset: u64, mark: Option<Mark>) {
        if self.file.is_none() {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
            self.file = self.dir.open_file(&self.name, flags, 0o600).ok();
        }
        self.mark = mark.or(self.mark.take()).filter(|mark| mark.len <= offset);
        let Some(file) = &self.file else { return };
        let text = print(self.source, offset, self.mark.as_ref());
        let _ = local::write_all_at(file, text.as_bytes(), 0);
    }

    /// The transfer is complete. Blocks.
    pub(super) fn remove(&mut self) {
        self.file = None;
        let _ = self.dir.remove(&self.name);
    }
}

/// Numbers and hashes have fixed widths: one write replaces the whole text, never a part of it.
fn print(source: SourceState, offset: u64, mark: Option<&Mark>) -> String {
    let SourceState { size, modified, nanos } = source;
    let hash = mark.map_or_else(
        || format!("{:>20} {:>6} {:>128}", 0, "none", "-"),
        |mark| {
            let hex = hex::encode(&mark.hash);
            format!("{:>20} {:>6} {hex:>128}", mark.len, mark.algorithm.name())
        },
    );
    format!(
        "{FIRST_LINE}\nsize {size:>20}\nmodified {modified:>20}\nnanos {nanos:>20}\noffset {offset:>20}\n\
         hash {hash}\n"
    )
}

fn parse(text: &str, source: SourceState) -> Option<Noted> {
    let mut lines = text.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let mut field = |key: &str| lines.next()?.strip_prefix(key).map(str::trim);
    let then = SourceState {
        size: field("size ")?.parse().ok()?,
        modified: field("modified ")?.parse().ok()?,
        nanos: field("nanos ")?.parse().ok()?,
    };
    let offset = field("offset ")?.parse().ok()?;
    let mut words = field("hash ")?.split_ascii_whitespace();
    let (len, name, hex) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let mark = match HashAlgorithm::from_name(name) {
        Some(algorithm) => Some(Mark { len, algorithm, hash: bytes(hex, algorithm)? }),
        None if name == "none" => None,
        None => return None,
    };
    let fits = mark.as_ref().is_none_or(|mark| mark.len <= offset);
    (then == source && fits).then_some(Noted { offset, mark })
}

fn bytes(hex: &str, algorithm: HashAlgorithm) -> Option<Vec<u8>> {
    hex::decode(hex).ok().filter(|bytes| bytes.len() == algorithm.output_len())
}

/// How much of a part is right.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proven {
    /// All but these blocks.
    Except(Ranges),
    /// So many bytes at the start; nobody vouches for the others.
    Prefix(u64),
}

impl Proven {
    /// Nothing.
    pub(super) const NONE: Self = Self::Prefix(0);

    /// Whether not one of the `len` bytes that were looked at is right.
    pub(super) fn is_nothing_of(&self, len: u64) -> bool {
        match self {
            Self::Except(ranges) => ranges.len() >= len,
            Self::Prefix(prefix) => *prefix == 0,
        }
    }

    /// What of the first `size` bytes must travel, where `part_len` of them were looked at.
    pub(super) fn missing(self, part_len: u64, size: u64) -> Ranges {
        match self {
            Self::Except(mut ranges) => {
                ranges.cut(size);
                ranges.push(part_len..size);
                ranges
            }
            Self::Prefix(len) => Ranges::of(len..size),
        }
    }
}

/// How much of the first `part_len` bytes is proven to be equal at both sides.
///
/// `remote` must be open for reading. `noted` is what the journal says, if it says something.
pub(super) async fn proven(
    local: &Arc<OwnedFd>,
    remote: &File,
    part_len: u64,
    noted: Option<Noted>,
    tell: Tell<'_>,
) -> Result<Proven, Error> {
    if let Some(algorithm) = check_algorithms(remote.sftp()).first() {
        match differing(local, remote, *algorithm, part_len, tell).await {
            Err(Error::Refused { .. } | Error::Unsupported { .. }) => {}
            found => return found.map(Proven::Except),
        }
    }
    let Some(noted) = noted else { return Ok(Proven::NONE) };
    let len = part_len.min(noted.offset);
    // Behind the hash nobody says what our side was: it may have been changed since.
    let vouched = noted.mark.as_ref().map_or(0, |mark| mark.len);
    let from = vouched.min(len.saturating_sub(RESUME_COMPARE_LEN));
    if !ours_is(local, len, noted.mark, tell).await? {
        return Ok(Proven::NONE);
    }
    if differing_by_reading(local, remote, from..len, tell).await?.first().is_some() {
        return Ok(Proven::NONE);
    }
    Ok(Proven::Prefix(len))
}

/// Whether our side still is what it was when the journal was written.
async fn ours_is(
    local: &Arc<OwnedFd>,
    len: u64,
    mark: Option<Mark>,
    tell: Tell<'_>,
) -> Result<bool, Error> {
    match mark {
        Some(mark) if mark.len <= len => {
            let (mut at, mut now) = (0, Passing::new(mark.algorithm, local.clone()));
            while at < mark.len {
                at = mark.len.min(at + STRETCH_LEN_MAX);
                now.reach(at).await?;
                tell(at);
            }
            Ok(now.finish(mark.len).await? == mark.hash)
        }
        // What it vouches for is not all there.
        Some(_) => Ok(false),
        None => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::DigestAlgorithm;

    use super::*;

    const SOURCE: SourceState = SourceState { size: 9_000_000, modified: -5, nanos: 999_999_999 };

    fn mark(len: u64) -> Mark {
        Mark { len, algorithm: DigestAlgorithm::Sha512.into(), hash: vec![0xA5; 64] }
    }

    #[test]
    fn a_journal_says_what_was_noted_and_every_text_is_as_long() {
        for noted in [
            Noted { offset: 0, mark: None },
            Noted { offset: 8 << 20, mark: Some(mark(8 << 20)) },
            Noted { offset: u64::MAX, mark: Some(mark(4 << 20)) },
        ] {
            let text = print(SOURCE, noted.offset, noted.mark.as_ref());

            assert_eq!(parse(&text, SOURCE), Some(noted));
            assert_eq!(text.len(), print(SOURCE, 1, None).len());
        }
    }

    #[test]
    fn a_journal_of_another_source_or_a_broken_one_says_nothing() {
        let text = print(SOURCE, 8 << 20, Some(&mark(8 << 20)));

        for other in [
            SourceState { size: 1, ..SOURCE },
            SourceState { modified: 0, ..SOURCE },
            SourceState { nanos: 0, ..SOURCE },
        ] {
            assert_eq!(parse(&text, other), None);
        }
        for broken in [
            text.replace("journal 3", "journal 2"),
            text.replace("sha512", "sha256"),
            text.replace("offset", "offsat"),
            text.replace("a5a5", "xxxx"),
            print(SOURCE, 4, Some(&mark(5))),
        ] {
            assert_eq!(parse(&broken, SOURCE), None, "{broken}");
        }
        for len in 0..text.len() - 1 {
            assert_eq!(parse(&text[..len], SOURCE), None, "{len}");
        }
    }

    #[test]
    fn what_is_missing_is_what_nobody_vouches_for_and_what_was_never_there() {
        let mut blocks = Ranges::of(10..20);
        blocks.push(30..40);

        let missing = Proven::Except(blocks.clone()).missing(50, 100);
        assert_eq!(missing.iter().cloned().collect::<Vec<_>>(), [10..20, 30..40, 50..100]);
        assert_eq!(Proven::Except(blocks).missing(50, 35).iter().last(), Some(&(30..35)));
        assert_eq!(Proven::Prefix(60).missing(80, 100), Ranges::of(60..100));
    }
}
