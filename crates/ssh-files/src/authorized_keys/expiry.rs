//! Times as `expiry-time="…"` has them: `YYYYMMDD[HHMM[SS]]`, in UTC with `Z` or `UTC` behind, else in
//! the system's time zone.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Seconds since 1970; `None` if `text` is no time, or one before 1970.
pub(super) fn expiry_time(text: &str) -> Option<u64> {
    seconds(text, TimeZone::system)
}

fn seconds(text: &str, local: impl FnOnce() -> TimeZone) -> Option<u64> {
    let without = |suffix: &str| {
        let (digits, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
        end.eq_ignore_ascii_case(suffix).then_some(digits)
    };
    let utc = without("Z").or_else(|| without("UTC"));
    let digits = utc.unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let two = |at: usize| digits.get(at..at + 2).map_or(Some(0), |two| two.parse::<i8>().ok());
    let time = DateTime::new(
        digits.get(..4)?.parse().ok()?,
        two(4)?,
        two(6)?,
        two(8)?,
        two(10)?,
        two(12)?,
        0,
    );
    let time = time.ok()?;
    let as_utc = time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_secs();
    let seconds = match utc {
        Some(_) => as_utc,
        // The last day of the year 9999, people's word for "never", has no local form everywhere.
        None => local().to_timestamp(time).map_or(as_utc, |there| there.as_second()),
    };
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, hours_east: i8) -> Option<u64> {
        seconds(text, || TimeZone::fixed(jiff::tz::offset(hours_east)))
    }

    #[test]
    fn every_form_is_read_in_its_zone() {
        for (text, hours_east, expected) in [
            ("20231114221320Z", 5, 1_700_000_000),
            ("20231114221320z", -5, 1_700_000_000),
            ("20231114221320UTC", 5, 1_700_000_000),
            ("20231114221320", 0, 1_700_000_000),
            ("20231114221320", 2, 1_700_000_000 - 7200),
            ("202311142213", 0, 1_700_000_000 - 20),
            ("202311142213Z", 9, 1_700_000_000 - 20),
            ("20231114", 0, 1_699_920_000),
            ("20231114", -10, 1_699_920_000 + 36_000),
            ("20240229Z", 0, 1_709_164_800),
            ("99991231235959Z", 0, 253_402_300_799),
            ("99991231", -12, 253_402_214_400),
        ] {
            assert_eq!(at(text, hours_east), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "Z",
            "UTC",
            "2023",
            "2023111",
            "202311140",
            "2023111422132",
            "20231314",
            "20230229",
            "20231114240000Z",
            "2023-11-14",
            "20231114ZZ",
            "+0231114",
            "19700101Z",
            "19600101Z",
            "2023111é",
            "é",
            "20231114 ",
        ] {
            assert_eq!(at(text, 0), None, "{text:?}");
        }
    }
}
