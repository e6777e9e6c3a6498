//! Options that say what takes part in a sync, and how numbers with units are read.

use std::{path::PathBuf, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use sterna_client::sync::{Filter, FilterBuilder};

/// `--exclude`, `--include` and `--exclude-from` in the order in which they were typed: the last pattern
/// that matches decides.
#[derive(Clone, Debug, Default)]
pub struct PatternArgs {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Exclude(String),
    Include(String),
    ExcludeFrom(PathBuf),
}

const HEADING: &str = "What takes part";

impl Args for PatternArgs {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .action(ArgAction::Append)
                .help_heading(HEADING)
        };
        command
            .arg(option("exclude", "PATTERN", "Leave alone what matches, as in .gitignore"))
            .arg(option("include", "PATTERN", "Take back what an earlier --exclude leaves alone"))
            .arg(
                option("exclude_from", "FILE", "Patterns of a file, one a line, as in .gitignore")
                    .long("exclude-from")
                    .value_parser(clap::value_parser!(PathBuf)),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PatternArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        let texts = |name: &str| -> Vec<(usize, String)> {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<String>(name).into_iter().flatten();
            indices.zip(values.cloned()).collect()
        };
        found.extend(texts("exclude").into_iter().map(|(at, text)| (at, Rule::Exclude(text))));
        found.extend(texts("include").into_iter().map(|(at, text)| (at, Rule::Include(text))));
        let indices = matches.indices_of("exclude_from").into_iter().flatten();
        let files = matches.get_many::<PathBuf>("exclude_from").into_iter().flatten();
        found.extend(indices.zip(files).map(|(at, path)| (at, Rule::ExcludeFrom(path.clone()))));
        found.sort_by_key(|(at, _)| *at);
        Ok(Self { rules: found.into_iter().map(|(_, rule)| rule).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl PatternArgs {
    /// The filter that the patterns make.
    ///
    /// # Errors
    /// If a pattern or a file of them cannot be read.
    pub fn filter(&self) -> Result<Filter, sterna_client::Error> {
        let mut builder = FilterBuilder::new();
        for rule in &self.rules {
            match rule {
                Rule::Exclude(pattern) => builder.exclude(pattern)?,
                Rule::Include(pattern) => builder.include(pattern)?,
                Rule::ExcludeFrom(path) => builder.exclude_from(path)?,
            }
        }
        builder.build()
    }
}

/// A number of bytes: `512`, `100k`, `1.5M`, `2G`, `1T`, in steps of 1024.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let units = [("k", 10), ("m", 20), ("g", 30), ("t", 40)];
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let unit = units.iter().find_map(|(unit, bits)| Some((plain.strip_suffix(unit)?, *bits)));
    let (number, bits) = unit.unwrap_or((plain, 0));
    let number: f64 = number.trim().parse().map_err(|_| "write 512, 100k, 1.5M, 2G".to_owned())?;
    let bytes = number * f64::from(bits).exp2();
    if !(0.0..9e18).contains(&bytes) {
        return Err("out of range".to_owned());
    }
    Ok(bytes as u64)
}

/// A length of time: `90s`, `30m`, `12h`, `7d`, `2w`; seconds without a unit.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
    let unit = units.iter().find_map(|(unit, len)| Some((text.strip_suffix(*unit)?, *len)));
    let (number, len) = unit.unwrap_or((text, 1_u64));
    let number: u64 = number.parse().map_err(|_| "write 90s, 30m, 12h, 7d, 2w".to_owned())?;
    number.checked_mul(len).map(Duration::from_secs).ok_or_else(|| "out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_in_steps_of_1024() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("1k", 1024), ("1.5M", 3 << 19), ("2GiB", 2 << 30), ("3b", 3)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "k", "-1", "1x", "NaN", "9999999999T"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ages_have_units_of_people() {
        assert_eq!(parse_age("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_age("2d"), Ok(Duration::from_secs(172_800)));
        assert!(parse_age("d").is_err() && parse_age("1.5h").is_err());
    }

    /// Goal: the last pattern decides, whichever option brought it.
    #[test]
    fn patterns_keep_the_order_in_which_they_were_typed() {
        let command = PatternArgs::augment_args(Command::new("test"));
        let typed = ["test", "--include", "a", "--exclude", "b", "--include", "c"];

        let matches = command.try_get_matches_from(typed).unwrap();
        let rules = PatternArgs::from_arg_matches(&matches).unwrap().rules;

        let shown: Vec<_> = rules.iter().map(|rule| format!("{rule:?}")).collect();
        assert_eq!(shown, ["Include(\"a\")", "Exclude(\"b\")", "Include(\"c\")"]);
    }
}
