//! `sterna penalties`: which sources a server refuses for a while, and how they are let in again.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use sterna_state::{FILE_NAME, State, StoredPenalty};

use super::{
    serve::unban,
    server_place::{ServerArgs, unexpected},
};
use crate::{
    args::GlobalArgs,
    control::{PenaltyRow, Reply, Request},
    exit::Exit,
    failure::{Failure, Result},
    output::{Object, Output, display_name},
};

const EXAMPLES: &str = "\
Examples:
  sterna penalties                            who is refused, for how long, and why
  sterna penalties --json | jq -r 'select(.refused_for_s > 0).source'
  sterna penalties rm 203.0.113.7             every source that holds this address
  sterna penalties rm 2001:db8::/32
  sterna penalties rm --all

A running server is asked; otherwise what it left in its state directory is shown and changed.

Exit status: 0 done, 1 not done or there was nothing to lift, 2 wrong usage.";

/// List the sources that a server refuses, and let them in again
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct PenaltiesArgs {
    #[command(subcommand)]
    pub command: Option<PenaltiesCommand>,
    #[command(flatten)]
    pub list: ListArgs,
}

/// What is done with them.
#[derive(Debug, Subcommand)]
pub enum PenaltiesCommand {
    List(ListArgs),
    Rm(RmArgs),
}

/// List the sources that are refused or remembered, the worst first
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Lift penalties, and forget what led to them
#[derive(Debug, Args)]
pub struct RmArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// Network or address: every source that holds it or lies in it
    #[arg(value_name = "NET|ADDRESS", required_unless_present = "all")]
    pub source: Option<String>,
    /// Lift all of them
    #[arg(long, conflicts_with = "source")]
    pub all: bool,
}

impl PenaltiesArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        match self.command {
            None => self.list.run(global),
            Some(PenaltiesCommand::List(args)) => args.run(global),
            Some(PenaltiesCommand::Rm(args)) => args.run(global),
        }
    }
}

impl ListArgs {
    fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let rows = match self.server.ask(&Request::Penalties)? {
            Some(Reply::Penalties { sources }) => sources,
            Some(_) => return Err(unexpected()),
            None => match state(&self.server)? {
                None => Vec::new(),
                Some(state) => {
                    let now = now();
                    let kept = state.penalties().map_err(state_failed)?;
                    let mut rows: Vec<_> = kept.iter().filter_map(|p| row(p, now)).collect();
                    rows.sort_by_key(|row| {
                        std::cmp::Reverse((row.refused_for_s, row.forgotten_in_s))
                    });
                    rows
                }
            },
        };
        let output = Output::new(global, self.json);
        if self.json {
            rows.into_iter().try_for_each(|row| output.object(object(row)))?;
            return Ok(Exit::Done);
        }
        if rows.is_empty() {
            if !global.quiet {
                eprintln!("no source has a penalty");
            }
            return Ok(Exit::Done);
        }
        let width = rows.iter().map(|row| row.source.len()).max().unwrap_or(0).max(6);
        output.line(format!("{:width$}  REFUSED FOR  FORGOTTEN IN  TIMES  LAST", "SOURCE"))?;
        rows.iter().try_for_each(|row| {
            let refused = match row.refused_for_s {
                0 => "-".to_owned(),
                seconds => span(seconds),
            };
            let (forgotten, reason) =
                (span(row.forgotten_in_s), display_name(row.reason.as_bytes()));
            output.line(format!(
                "{:width$}  {refused:<11}  {forgotten:<12}  {:<5}  {reason}",
                row.source, row.repeats
            ))
        })?;
        Ok(Exit::Done)
    }
}

impl RmArgs {
    fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let text = self.source.unwrap_or_else(|| "all".to_owned());
        let wrong = || Failure::usage(display_name(text.as_bytes()), "not a network or address");
        let sources = if self.all { "all" } else { text.as_str() };
        let lift = unban(sources).filter(|_| self.all || text != "all").ok_or_else(wrong)?;
        let lifted = match self.server.ask(&Request::Lift { sources: sources.to_owned() })? {
            Some(Reply::Lifted { sources }) => sources,
            Some(_) => return Err(unexpected()),
            None => match state(&self.server)? {
                None => 0,
                Some(state) => {
                    // A server without a control socket finds the request in a moment.
                    state.request_unban(lift).map_err(state_failed)?;
                    state.remove_penalties(lift).map_err(state_failed)?
                }
            },
        };
        if !global.quiet {
            eprintln!("penalties lifted: {lifted}");
        }
        // Who wants to help somebody in should know that this was not it.
        Ok(if lifted > 0 || self.all { Exit::Done } else { Exit::Incomplete })
    }
}

/// What a server left behind; nothing is made where nothing is.
fn state(server: &ServerArgs) -> Result<Option<State>> {
    let dir = server.state_dir()?;
    match dir.join(FILE_NAME).exists() {
        true => State::open(&dir).map(Some).map_err(state_failed),
        false => Ok(None),
    }
}

fn state_failed(error: sterna_state::Error) -> Failure {
    Failure::incomplete("state directory", display_name(error.to_string().as_bytes()))
}

/// `None` if nothing of it matters any more.
fn row(kept: &StoredPenalty, now: u64) -> Option<PenaltyRow> {
    (kept.forget_at > now).then(|| PenaltyRow {
        source: kept.source.to_string(),
        refused_for_s: kept.until.saturating_sub(now),
        forgotten_in_s: kept.forget_at - now,
        repeats: kept.offences,
        reason: kept.reason.clone(),
    })
}

fn object(row: PenaltyRow) -> Object {
    Object::new()
        .with("source", row.source)
        .with("refused_for_s", row.refused_for_s)
        .with("forgotten_in_s", row.forgotten_in_s)
        .with("repeats", row.repeats)
        .with("reason", row.reason)
}

/// A length of time, to two of its units.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_two_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (61, "1m01s"), (3660, "1h01m"), (90_000, "1d01h")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn what_is_forgotten_is_not_listed() {
        let kept = StoredPenalty {
            source: "192.0.2.7/32".parse().unwrap(),
            until: 100,
            offences: 2,
            forget_at: 200,
            reason: "invalid user".to_owned(),
        };
        let times = |now| row(&kept, now).map(|row| (row.refused_for_s, row.forgotten_in_s));

        assert_eq!(times(90), Some((10, 110)));
        assert_eq!(times(150), Some((0, 50)));
        assert_eq!(times(200), None);
    }
}
