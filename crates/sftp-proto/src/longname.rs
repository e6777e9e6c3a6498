//! The `ls -l`-like line inside NAME replies, which several clients take owner, group and file
//! type from (the draft leaves its form open; this is OpenSSH's).
//!
//! `-rw-r--r--    1 alice    users          12 Nov 14 22:13 notes.txt`
//!
//! Dates are in UTC and in English: the crate has no clock and no time zone, `now` comes in.

use crate::attrs::kind;

/// Seconds after which a file shows its year in place of the time of day: half of 365 days.
const RECENT_S: i64 = 365 * 86_400 / 2;

/// Who owns a file, as the line shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    Name(&'a [u8]),
    /// The number stands in for a name that is not known.
    Id(u32),
}

/// The columns of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longname<'a> {
    /// `st_mode` with the file type bits.
    pub permissions: u32,
    pub links: u64,
    pub owner: Who<'a>,
    pub group: Who<'a>,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 UTC, of the last modification.
    pub modified: i64,
    /// Any bytes; they end the line unchanged.
    pub name: &'a [u8],
}

impl Longname<'_> {
    /// Appends the line. `now` is in seconds since 1970 UTC: files younger than half a year show
    /// the time of day, older ones and those from the future the year.
    pub fn encode(&self, now: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&mode_text(self.permissions));
        out.extend_from_slice(b"  ");
        put_number(out, self.links, 3, b' ');
        out.push(b' ');
        put_who(out, self.owner);
        put_who(out, self.group);
        put_number(out, self.size, 8, b' ');
        out.push(b' ');
        put_date(out, self.modified, now);
        out.push(b' ');
        out.extend_from_slice(self.name);
    }
}

/// File type bits according to the first character of a line, for a client whose server left them
/// out of the attributes. `None` if the character says nothing.
pub fn kind_of(longname: &[u8]) -> Option<u32> {
    let first = longname.first()?;
    KINDS.iter().find(|(_, letter)| letter == first).map(|(kind, _)| *kind)
}

const KINDS: [(u32, u8); 7] = [
    (kind::REGULAR, b'-'),
    (kind::DIRECTORY, b'd'),
    (kind::SYMLINK, b'l'),
    (kind::CHAR_DEVICE, b'c'),
    (kind::BLOCK_DEVICE, b'b'),
    (kind::FIFO, b'p'),
    (kind::SOCKET, b's'),
];

/// `-rwxr-xr-x`, with `s` and `t` for the bits above the nine.
fn mode_text(permissions: u32) -> [u8; 10] {
    let mut text = *b"?rwxrwxrwx";
    if let Some((_, letter)) = KINDS.iter().find(|(kind, _)| *kind == permissions & kind::MASK) {
        text[0] = *letter;
    }
    for (place, letter) in text[1..].iter_mut().enumerate() {
        if permissions & (0o400 >> place) == 0 {
            *letter = b'-';
        }
    }
    for (bit, place, letter) in [(0o4000, 3, b's'), (0o2000, 6, b's'), (0o1000, 9, b't')] {
        if permissions & bit != 0 {
            let executable = text[place] == b'x';
            text[place] = if executable { letter } else { letter.to_ascii_uppercase() };
        }
    }
    text
}

/// Left-aligned in 8 columns and one blank. Blanks and control characters inside a name would
/// shift the columns of the line, so they become `_`.
fn put_who(out: &mut Vec<u8>, who: Who<'_>) {
    let start = out.len();
    match who {
        Who::Name(name) => out.extend(
            name.iter().map(|byte| if *byte <= b' ' || *byte == 0x7f { b'_' } else { *byte }),
        ),
        Who::Id(id) => put_number(out, id.into(), 1, b' '),
    }
    let padded = out.len().max(start + 8);
    out.resize(padded, b' ');
    out.push(b' ');
}

/// 12 columns: `Nov 14 22:13` or `Nov 14  2023`.
fn put_date(out: &mut Vec<u8>, seconds: i64, now: i64) {
    let seconds_shown = u64::from(crate::attrs::clamp_seconds(seconds));
    let (year, month, day) = civil(seconds_shown / 86_400);
    out.extend_from_slice(MONTHS[month].as_bytes());
    out.push(b' ');
    put_number(out, day, 2, b' ');
    out.push(b' ');
    if seconds <= now && now.saturating_sub(seconds) < RECENT_S {
        let minutes = seconds_shown % 86_400 / 60;
        put_number(out, minutes / 60, 2, b'0');
        out.push(b':');
        put_number(out, minutes % 60, 2, b'0');
    } else {
        put_number(out, year, 5, b' ');
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month (0 is January) and day of the month of a day counted from 1970-01-01, up to 2106.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // Never beyond the year, because a year has at most 366 days.
    let mut year = 1970 + days / 366;
    let before = |year: u64| {
        let past = year - 1;
        // Days from 1970-01-01 to January 1st: 477 leap days lie before 1970.
        (year - 1970) * 365 + (past / 4 - past / 100 + past / 400) - 477
    };
    while before(year + 1) <= days {
        year += 1;
    }
    days -= before(year);
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month, days + 1)
}

/// In decimal, right-aligned in `width` columns. Not with `write!`: a listing is made of these.
fn put_number(out: &mut Vec<u8>, mut number: u64, width: usize, filler: u8) {
    // No u64 has more digits.
    let mut text = [filler; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at.min(text.len() - width)..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVEMBER_14: i64 = 1_700_000_001;

    fn line(longname: Longname<'_>, now: i64) -> String {
        let mut out = Vec::new();
        longname.encode(now, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn plain() -> Longname<'static> {
        Longname {
            permissions: 0o100_644,
            links: 1,
            owner: Who::Name(b"alice"),
            group: Who::Name(b"users"),
            size: 12,
            modified: NOVEMBER_14,
            name: b"f",
        }
    }

    fn date(seconds: i64, now: i64) -> String {
        let mut out = Vec::new();
        put_date(&mut out, seconds, now);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_columns_of_openssh() {
        assert_eq!(
            line(plain(), NOVEMBER_14),
            "-rw-r--r--    1 alice    users          12 Nov 14 22:13 f"
        );
    }

    #[test]
    fn long_owners_numbers_and_odd_names_keep_the_columns_apart() {
        let longname = Longname {
            owner: Who::Name(b"an owner of 20 chars"),
            group: Who::Id(4242),
            name: b"a b\xff",
            ..plain()
        };

        assert_eq!(
            line(longname, NOVEMBER_14),
            "-rw-r--r--    1 an_owner_of_20_chars 4242           12 Nov 14 22:13 a b\u{fffd}"
        );
    }

    #[test]
    fn old_files_and_those_from_the_future_show_the_year() {
        assert_eq!(date(NOVEMBER_14, NOVEMBER_14 + RECENT_S - 1), "Nov 14 22:13");
        assert_eq!(date(NOVEMBER_14, NOVEMBER_14 + RECENT_S), "Nov 14  2023");
        assert_eq!(date(NOVEMBER_14, NOVEMBER_14 - 1), "Nov 14  2023");
    }

    #[test]
    fn dates_follow_the_calendar_to_its_ends() {
        let far = i64::MAX;
        assert_eq!(date(0, far), "Jan  1  1970");
        assert_eq!(date(-5, far), "Jan  1  1970");
        assert_eq!(date(951_782_400, far), "Feb 29  2000");
        assert_eq!(date(951_868_800, far), "Mar  1  2000");
        assert_eq!(date(1_735_603_200, far), "Dec 31  2024");
        assert_eq!(date(1_735_689_600, far), "Jan  1  2025");
        assert_eq!(date(i64::from(u32::MAX), far), "Feb  7  2106");
        assert_eq!(date(i64::MAX, 0), "Feb  7  2106");
    }

    #[test]
    fn every_day_up_to_2106_follows_the_day_before() {
        let (mut year, mut month, mut day) = civil(0);
        for days in 1..=u64::from(u32::MAX) / 86_400 {
            let next = civil(days);
            let expected = [(year, month, day + 1), (year, month + 1, 1), (year + 1, 0, 1)];
            assert!(expected.contains(&next), "day {days}: {next:?}");
            (year, month, day) = next;
        }
    }

    #[test]
    fn mode_text_shows_kind_and_the_three_upper_bits() {
        let text = |mode| String::from_utf8(mode_text(mode).to_vec()).unwrap();
        assert_eq!(text(0o040_755), "drwxr-xr-x");
        assert_eq!(text(0o120_777), "lrwxrwxrwx");
        assert_eq!(text(0o104_755), "-rwsr-xr-x");
        assert_eq!(text(0o106_644), "-rwSr-Sr--");
        assert_eq!(text(0o041_777), "drwxrwxrwt");
        assert_eq!(text(0o001_000), "?--------T");
    }

    #[test]
    fn the_first_character_gives_the_kind_back() {
        assert_eq!(kind_of(b"drwxr-xr-x"), Some(kind::DIRECTORY));
        assert_eq!(kind_of(b"?---"), None);
        assert_eq!(kind_of(b""), None);
    }
}
