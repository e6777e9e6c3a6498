//! Hours of the week in which a user may log in: `mon-fri 08:00-18:00`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::limits::HOURS_MAX;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;

/// Spans of the week, in the time zone of the machine or another one.
#[derive(Clone, Debug)]
pub struct Hours {
    spans: Vec<Span>,
    zone: TimeZone,
}

/// On which days, from which minute to before which. Past midnight it belongs to the day it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    days: u8,
    from: u16,
    to: u16,
}

/// A text that names no hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoursError(pub String);

impl fmt::Display for HoursError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not like \"mon-fri 08:00-18:00\"", self.0)
    }
}

impl std::error::Error for HoursError {}

impl Hours {
    /// Reads spans such as `mon-fri 08:00-18:00`, `sat,sun 10:00-14:00`, `22:00-06:00` (every day, past
    /// midnight) or `fri`. `zone` is where the clock stands; `None`: the machine's.
    ///
    /// # Errors
    /// The first text that does not read; also if there is none, or more than [`HOURS_MAX`].
    pub fn new<'t>(
        texts: impl IntoIterator<Item = &'t str>,
        zone: Option<TimeZone>,
    ) -> Result<Self, HoursError> {
        let spans = texts.into_iter().map(str::parse).collect::<Result<Vec<Span>, _>>()?;
        if spans.is_empty() || spans.len() > HOURS_MAX {
            return Err(HoursError(format!("{} spans", spans.len())));
        }
        Ok(Self { spans, zone: zone.unwrap_or_else(TimeZone::system) })
    }

    /// Whether `now`, in seconds since 1970, is within one of the spans.
    pub fn contain(&self, now: u64) -> bool {
        let Some(now) = i64::try_from(now).ok().and_then(|s| Timestamp::from_second(s).ok()) else {
            return false;
        };
        let local = self.zone.to_datetime(now);
        let day = local.weekday().to_monday_zero_offset() as u8;
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        self.spans.iter().any(|span| span.contains(day, minute))
    }
}

impl Span {
    fn contains(self, day: u8, minute: u16) -> bool {
        let on = |day: u8| self.days & (1 << (day % 7)) != 0;
        if self.from < self.to {
            return on(day) && (self.from..self.to).contains(&minute);
        }
        (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to)
    }
}

impl FromStr for Span {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let bad = || HoursError(text.to_owned());
        let (mut days, mut times) = (None, None);
        for word in text.split_whitespace() {
            let is_time = word.starts_with(|c: char| c.is_ascii_digit());
            let place = if is_time { &mut times } else { &mut days };
            if place.replace(word).is_some() {
                return Err(bad());
            }
        }
        if days.is_none() && times.is_none() {
            return Err(bad());
        }
        let (from, to) = match times {
            None => (0, DAY_MINUTES),
            Some(times) => {
                let (from, to) = times.split_once('-').ok_or_else(bad)?;
                (minute(from).ok_or_else(bad)?, minute(to).ok_or_else(bad)?)
            }
        };
        if from == to || from == DAY_MINUTES {
            return Err(bad());
        }
        let days = match days {
            None => 0x7f,
            Some(list) => list
                .split(',')
                .try_fold(0, |mask, item| Some(mask | days_of(item)?))
                .ok_or_else(bad)?,
        };
        Ok(Self { days, from, to })
    }
}

/// `mon` or `fri-mon` as a mask.
fn days_of(item: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|d| name.eq_ignore_ascii_case(d));
    let (first, last) = match item.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(item)?, day(item)?),
    };
    let len = (last + 7 - first) % 7;
    Some((0..=len).fold(0, |mask, offset| mask | 1 << ((first + offset) % 7)))
}

/// `08:00` to `24:00` as minutes of the day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60).then_some(hours * 60 + minutes).filter(|all| *all <= DAY_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-01 was a Monday.
    fn at(day: u64, hour: u64, minute: u64) -> u64 {
        1_704_067_200 + ((day * 24 + hour) * 60 + minute) * 60
    }

    fn hours(texts: &[&str]) -> Hours {
        Hours::new(texts.iter().copied(), Some(TimeZone::UTC)).unwrap()
    }

    #[test]
    fn spans_begin_with_their_first_minute_and_end_before_their_last() {
        let office = hours(&["mon-fri 08:00-18:00", "sat 10:00-24:00"]);
        for (time, expected) in [
            (at(0, 7, 59), false),
            (at(0, 8, 0), true),
            (at(4, 17, 59), true),
            (at(4, 18, 0), false),
            (at(5, 9, 0), false),
            (at(5, 23, 59), true),
            (at(6, 0, 0), false),
            (at(6, 12, 0), false),
            (at(7, 8, 0), true),
        ] {
            assert_eq!(office.contain(time), expected, "{time}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began() {
        let night = hours(&["fri 22:00-06:00"]);
        for (time, expected) in [
            (at(4, 5, 0), false),
            (at(4, 22, 0), true),
            (at(5, 5, 59), true),
            (at(5, 6, 0), false),
            (at(5, 22, 0), false),
        ] {
            assert_eq!(night.contain(time), expected, "{time}");
        }
        assert!(hours(&["22:00-06:00"]).contain(at(3, 1, 0)));
        assert!(hours(&["sun-mon"]).contain(at(0, 23, 0)) && hours(&["sun"]).contain(at(6, 0, 0)));
    }

    #[test]
    fn the_zone_counts() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let office = Hours::new(["mon 08:00-09:00"], Some(zone)).unwrap();

        assert!(office.contain(at(0, 6, 30)) && !office.contain(at(0, 8, 30)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "monday",
            "mon 8-18",
            "mon 08:00",
            "mon 25:00-26:00",
            "mon 08:60-09:00",
            "mon 08:00-08:00",
            "24:00-01:00",
            "mon tue",
            "mon,",
            "mon-",
            "08:00-09:00 10:00-11:00",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert!(Hours::new([], None).is_err());
    }
}
