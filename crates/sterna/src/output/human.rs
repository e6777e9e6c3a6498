//! Text for people: sizes, times, modes, columns.

use jiff::{Timestamp, tz::TimeZone};

/// `1234567` as `1.2M`: three significant characters and a unit, powers of 1024.
pub fn bytes_human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 9.95 {
        format!("{value:.0}{}", UNITS[unit])
    } else {
        format!("{value:.1}{}", UNITS[unit])
    }
}

/// The ten characters with which `ls -l` begins, from the permission bits and the kind of file as
/// POSIX `st_mode` has them.
pub fn mode_text(st_mode: u32) -> String {
    let kind = match st_mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o100_000 => '-',
        _ => '?',
    };
    let mut text = String::with_capacity(10);
    text.push(kind);
    // Shift of the three bits, the special bit, its letter with and without the execute bit.
    for (shift, special, with_x, without_x) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = st_mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, st_mode & special != 0) {
            (true, true) => with_x,
            (false, true) => without_x,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A time as `ls -l` shows it: with the clock if it is within half a year of `now`, else with the
/// year. Both in seconds since 1970. Local time.
pub fn time_text(seconds: i64, now: i64) -> String {
    const HALF_A_YEAR_S: i64 = 365 * 24 * 60 * 60 / 2;
    let Ok(time) = Timestamp::from_second(seconds) else {
        return "?".to_owned();
    };
    let time = time.to_zoned(TimeZone::system());
    let recent = (now - seconds).abs() < HALF_A_YEAR_S;
    time.strftime(if recent { "%b %e %H:%M" } else { "%b %e  %Y" }).to_string()
}

/// What one line of `ls -l` is made of.
pub struct LongLine<'a> {
    pub st_mode: u32,
    pub links: Option<u64>,
    pub owner: &'a str,
    pub group: &'a str,
    pub size: &'a str,
    pub time: &'a str,
}

/// Everything of an `ls -l` line but the name, ending in a space.
pub fn long_line(line: &LongLine<'_>) -> String {
    let links = line.links.map_or_else(|| "?".to_owned(), |links| links.to_string());
    format!(
        "{} {links:>4} {:<8} {:<8} {:>12} {:>12} ",
        mode_text(line.st_mode),
        line.owner,
        line.group,
        line.size,
        line.time,
    )
}

/// Lays names out in columns read downwards, as `ls` does. `names` are text to print and its width
/// in terminal cells; the result has one item a row.
pub fn columns(names: &[(String, usize)], terminal_width: usize) -> Vec<String> {
    const GAP: usize = 2;
    let widest = names.iter().map(|(_, width)| width + GAP).max().unwrap_or(1);
    let per_row = (terminal_width / widest).max(1);
    let rows = names.len().div_ceil(per_row);
    (0..rows)
        .map(|row| {
            let mut line = String::new();
            let mut in_row = names.iter().skip(row).step_by(rows).peekable();
            while let Some((name, width)) = in_row.next() {
                line.push_str(name);
                if in_row.peek().is_some() {
                    line.extend(std::iter::repeat_n(' ', widest - width));
                }
            }
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_significant_characters_at_most() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0K"),
            (1536, "1.5K"),
            (10_000, "9.8K"),
            (10_240, "10K"),
            (1 << 20, "1.0M"),
            (5 << 30, "5.0G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(bytes_human(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn a_mode_reads_as_in_ls() {
        assert_eq!(mode_text(0o100_644), "-rw-r--r--");
        assert_eq!(mode_text(0o041_777), "drwxrwxrwt");
        assert_eq!(mode_text(0o104_654), "-rwSr-xr--");
        assert_eq!(mode_text(0o120_777), "lrwxrwxrwx");
    }

    #[test]
    fn columns_read_downwards_and_have_no_trailing_space() {
        let names: Vec<_> = ["a", "bb", "ccc", "d", "e"].map(|n| (n.to_owned(), n.len())).into();

        assert_eq!(columns(&names, 12), ["a    d", "bb   e", "ccc"]);
        assert_eq!(columns(&names, 1).len(), 5);
        assert!(columns(&[], 80).is_empty());
    }
}
