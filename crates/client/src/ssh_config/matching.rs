//! `Host` and `Match` lines: for whom the lines below them hold.

use super::exec;
use super::reader::Reader;
use super::tokens::OF_FILES;
use super::words::words;
use crate::limits::CONFIG_EXEC_COUNT_MAX;
use sterna_ssh_files::pattern::{match_host_list, match_list};

/// Whether a `Host` line names `host`, exactly as it is written.
pub(super) fn host_line_matches(patterns: &[String], host: &str) -> bool {
    match_list(patterns.iter().map(String::as_str), host).is_match()
}

/// What a `Match` line says.
pub(super) struct Verdict {
    pub(super) matches: bool,
    /// It asks for a second reading of the files (`final`).
    pub(super) wants_final: bool,
    /// A criterion that is not evaluated here: it does not match.
    pub(super) not_evaluated: Option<&'static str>,
}

impl Reader<'_> {
    /// Judges the criteria of a `Match` line, from left to right. Where `may_run` is false nothing is
    /// executed: the lines below cannot hold anyway.
    pub(super) fn judge_match(&mut self, rest: &str, may_run: bool) -> Result<Verdict, String> {
        let mut words = criteria(rest)?.into_iter().peekable();
        let mut verdict = Verdict { matches: true, wants_final: false, not_evaluated: None };
        if words.peek().is_none() {
            return Err("Match needs a criterion".into());
        }
        let mut count = 0;
        while let Some(word) = words.next() {
            let (negated, name) = match word.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, word.as_str()),
            };
            let name = name.to_ascii_lowercase();
            if name == "all" {
                if count > 1 || words.peek().is_some() {
                    return Err("Match all stands alone or behind final or canonical".into());
                }
                verdict.matches &= !negated;
                break;
            }
            count += 1;
            let holds = if matches!(name.as_str(), "final" | "canonical") {
                verdict.wants_final |= name == "final";
                self.is_final_pass()
            } else {
                let value = words.next().ok_or_else(|| format!("Match {name} needs a value"))?;
                match name.as_str() {
                    "host" => is_in(&value, &self.host_so_far()?),
                    "originalhost" => is_in(&value, self.alias),
                    "user" => is_in_exactly(&value, &self.user_so_far()),
                    "localuser" => is_in_exactly(&value, self.local.user()),
                    "tagged" => is_in_exactly(&value, self.word("Tag").unwrap_or_default()),
                    "sessiontype" => is_in_exactly(&value, "subsystem"),
                    "command" => is_in_exactly(&value, "sftp"),
                    "exec" => verdict.matches && may_run && self.run(&value)?,
                    "localnetwork" | "version" => {
                        verdict.not_evaluated =
                            Some(if name == "version" { "version" } else { "localnetwork" });
                        verdict.matches = false;
                        continue;
                    }
                    _ => return Err(format!("Match has no criterion {name}")),
                }
            };
            verdict.matches &= holds != negated;
        }
        Ok(verdict)
    }

    fn run(&mut self, command: &str) -> Result<bool, String> {
        self.executed += 1;
        if self.executed > CONFIG_EXEC_COUNT_MAX {
            return Err("too many commands are to be run".into());
        }
        let command = self.with_tokens(|tokens| tokens.expand_for_shell(command, OF_FILES))?;
        exec::succeeds(&command).map_err(|why| format!("{command}: {why}"))
    }
}

/// Criteria and values, also where they are written as `name=value`.
fn criteria(rest: &str) -> Result<Vec<String>, String> {
    let mut out: Vec<String> = Vec::new();
    // A criterion may be cut at its "="; a value may hold one.
    let mut value_expected = false;
    for word in words(rest)? {
        let word = if value_expected {
            match word.strip_prefix('=') {
                Some("") => continue,
                Some(value) => value.to_owned(),
                None => word,
            }
        } else {
            word
        };
        if value_expected {
            out.push(word);
            value_expected = false;
            continue;
        }
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        out.push(name.to_owned());
        let plain = name.strip_prefix('!').unwrap_or(name).to_ascii_lowercase();
        value_expected = !matches!(plain.as_str(), "all" | "final" | "canonical");
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            out.push(value.to_owned());
            value_expected = false;
        }
    }
    Ok(out)
}

/// Host names: in any case.
fn is_in(list: &str, name: &str) -> bool {
    match_host_list(list.split(','), name).is_match()
}

/// Other names: as they are written.
fn is_in_exactly(list: &str, name: &str) -> bool {
    match_list(list.split(','), name).is_match()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_may_be_written_with_equals_signs() {
        let expected = ["host", "a=b", "!user", "c", "all"];
        for rest in ["host a=b !user c all", "host=a=b !user = c all", "host =a=b !user \"c\" all"]
        {
            assert_eq!(criteria(rest).unwrap(), expected, "{rest}");
        }
        assert_eq!(criteria("exec \"A=1 test x\"").unwrap(), ["exec", "A=1 test x"]);
        assert_eq!(criteria("final host x").unwrap(), ["final", "host", "x"]);
    }
}
