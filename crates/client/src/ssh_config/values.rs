//! Values of keywords: numbers, times, sizes, yes and no. What has no meaning is refused, never
//! replaced by a default.

use std::time::Duration;

use super::{AddKeys, AddKeysToAgent};
use crate::host_key::StrictHostKeyChecking;

const NOT_A_VALUE: &str = "not a value for this keyword";

/// Largest time in seconds: a year of waiting is the same as for ever, larger numbers overflow clocks.
const SECONDS_MAX: u64 = 31_536_000;

/// `yes` and `true`, `no` and `false`, in any case.
pub(super) fn yes_no(word: &str) -> Result<bool, &'static str> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(NOT_A_VALUE),
    }
}

/// A number from 0 to 2³¹−1, as OpenSSH's integers.
pub(super) fn number(word: &str) -> Result<u32, &'static str> {
    word.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok()).ok_or(NOT_A_VALUE)
}

/// A port; `ssh` is the only service name that is known.
pub(super) fn port(word: &str) -> Result<u16, &'static str> {
    let number = if word == "ssh" { Some(22) } else { word.parse().ok() };
    number.filter(|p| *p != 0).ok_or("not a port from 1 to 65535")
}

pub(super) fn strictness(word: &str) -> Result<StrictHostKeyChecking, &'static str> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(StrictHostKeyChecking::Yes),
        "no" | "false" | "off" => Ok(StrictHostKeyChecking::No),
        "ask" => Ok(StrictHostKeyChecking::Ask),
        "accept-new" => Ok(StrictHostKeyChecking::AcceptNew),
        _ => Err(NOT_A_VALUE),
    }
}

/// `no`, `yes`, `ask`, `confirm [TIME]` or a time alone.
pub(super) fn add_keys_to_agent(words: &[String]) -> Result<AddKeysToAgent, &'static str> {
    let mut value = AddKeysToAgent::default();
    let (first, second) = (words[0].to_ascii_lowercase(), words.get(1));
    match first.as_str() {
        "ask" => value.when = AddKeys::Ask,
        "confirm" => {
            value.when = AddKeys::Always;
            value.confirm = true;
            value.lifetime = second.map(|w| duration(w)).transpose()?.filter(|t| !t.is_zero());
            return Ok(value);
        }
        word => match yes_no(word) {
            Ok(true) => value.when = AddKeys::Always,
            Ok(false) => {}
            Err(_) => {
                value.when = AddKeys::Always;
                value.lifetime = Some(duration(word)?).filter(|t| !t.is_zero());
            }
        },
    }
    if second.is_some() { Err("one word too many") } else { Ok(value) }
}

/// Bytes and time of `RekeyLimit`; `None` is the default, or no time.
pub(super) fn rekey_limit(
    words: &[String],
) -> Result<(Option<u64>, Option<Duration>), &'static str> {
    let bytes = match words[0].to_ascii_lowercase().as_str() {
        "default" | "none" => None,
        word => match size(word)? {
            0 => None,
            1..16 => return Err("too small"),
            bytes => Some(bytes),
        },
    };
    let time = words.get(1).map_or(Ok(None), |word| time_or_none(word))?;
    Ok((bytes, time))
}

/// A time; `none` and zero are no time at all.
pub(super) fn time_or_none(word: &str) -> Result<Option<Duration>, &'static str> {
    if word.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    Ok(Some(duration(word)?).filter(|t| !t.is_zero()))
}

/// Seconds, or numbers with `s m h d w` behind them, as sshd_config(5) writes times.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    let mut total = Some(0u64);
    let mut number = String::new();
    let mut add = |number: &str, unit: u64| {
        let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        total = total.zip(seconds).and_then(|(total, seconds)| total.checked_add(seconds));
    };
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err("not a time"),
        };
        add(&number, unit);
        number.clear();
    }
    if !number.is_empty() || text.is_empty() {
        add(&number, 1);
    }
    total.map(|seconds| Duration::from_secs(seconds.min(SECONDS_MAX))).ok_or("not a time")
}

/// Bytes, with `K M G T` behind them.
fn size(text: &str) -> Result<u64, &'static str> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("not a size"),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes.ok_or("not a size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_and_wrong_ones_are_refused() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("2m", 120), ("1h30m", 5400), ("1W1d1H1m1", 694_861)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("999999999999"), Ok(Duration::from_secs(SECONDS_MAX)));
        for text in ["", "m", "1x", "-1", "99999999999999999999", "9999999999999999w"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rekey_limits_have_sizes_and_times() {
        let parse =
            |text: &str| rekey_limit(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse("1M 1h"), Ok((Some(1 << 20), Some(Duration::from_secs(3600)))));
        assert_eq!(parse("default none"), Ok((None, None)));
        assert_eq!(parse("16"), Ok((Some(16), None)));
        for text in ["8", "1X", "default x", "99999999999T"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_go_to_the_agent_for_ever_for_a_time_or_with_confirmation() {
        let parse =
            |text: &str| add_keys_to_agent(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let value = |when, confirm, seconds: Option<u64>| {
            Ok(AddKeysToAgent { when, confirm, lifetime: seconds.map(Duration::from_secs) })
        };
        assert_eq!(parse("no"), value(AddKeys::Never, false, None));
        assert_eq!(parse("yes"), value(AddKeys::Always, false, None));
        assert_eq!(parse("ask"), value(AddKeys::Ask, false, None));
        assert_eq!(parse("confirm 5m"), value(AddKeys::Always, true, Some(300)));
        assert_eq!(parse("confirm"), value(AddKeys::Always, true, None));
        assert_eq!(parse("1h"), value(AddKeys::Always, false, Some(3600)));
        for text in ["yes 5m", "maybe", "confirm x", "1h 1h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
