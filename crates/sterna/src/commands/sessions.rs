//! `sterna sessions`: who is logged in at a running server, and what moves.

use std::cmp::Reverse;

use clap::Args;

use super::server_place::{ServerArgs, unexpected};
use crate::{
    args::GlobalArgs,
    control::{MovingRow, Reply, Request, SessionRow},
    exit::Exit,
    failure::{Failure, Result},
    output::{Object, Output, bytes_human, display_name},
};

const EXAMPLES: &str = "\
Examples:
  sterna sessions                             who is logged in, and what they do
  sterna sessions --config ./sterna.toml
  sterna sessions --json | jq -r 'select(.idle_s > 3600).id'

IN and OUT are bytes of files, from the client and to it. A file's rate is its mean since it was opened.

Exit status: 0 done, 1 no server answers, 2 wrong usage.";

/// List the sessions of a running server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SessionsArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

impl SessionsArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let replies = self.server.ask_all(&Request::Sessions)?;
        if replies.is_empty() {
            return Err(no_server(&self.server)?);
        }
        let mut sessions = Vec::new();
        for reply in replies {
            let Reply::Sessions { sessions: more } = reply else { return Err(unexpected()) };
            sessions.extend(more);
        }
        sessions.sort_by_key(|row| Reverse(row.lasts_s));
        let output = Output::new(global, self.json);
        if self.json {
            sessions.into_iter().try_for_each(|row| output.object(object(row)))?;
            return Ok(Exit::Done);
        }
        if sessions.is_empty() {
            if !global.quiet {
                eprintln!("nobody is logged in");
            }
            return Ok(Exit::Done);
        }
        table(&sessions).iter().try_for_each(|line| output.line(line))?;
        Ok(Exit::Done)
    }
}

/// A command needs a server, and none answers.
pub(super) fn no_server(server: &ServerArgs) -> Result<Failure> {
    let dir = server.state_dir()?;
    let dir = display_name(dir.as_os_str().as_encoded_bytes());
    Ok(Failure::incomplete(dir, "no server runs with this state directory")
        .hint("--state-dir names another"))
}

/// The sessions as text, with a line for each file that moves below its session.
pub(super) fn table(sessions: &[SessionRow]) -> Vec<String> {
    let mut cells = vec![
        ["ID", "USER", "SOURCE", "SINCE", "IDLE", "IN", "OUT", "FILES", "LOGIN", "CLIENT"]
            .map(str::to_owned),
    ];
    for row in sessions {
        let text = |text: &str| display_name(text.as_bytes());
        cells.push([
            text(&row.id),
            text(&row.user),
            text(&row.source),
            span(row.lasts_s),
            span(row.idle_s),
            bytes_human(row.bytes_in),
            bytes_human(row.bytes_out),
            row.open_files.to_string(),
            text(&row.login.join(", ")),
            text(&row.client),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..cells[0].len()).map(|c| width(c).unwrap_or(0)).collect();
    let line = |row: &[String; 10]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&cells[0])];
    for (row, cells) in sessions.iter().zip(&cells[1..]) {
        lines.push(line(cells));
        lines.extend(row.moving.iter().map(moving));
    }
    lines
}

fn moving(file: &MovingRow) -> String {
    format!(
        "    {} {}  {}, {}/s",
        file.direction,
        display_name(file.path.as_bytes()),
        bytes_human(file.bytes),
        bytes_human(file.bytes_per_s)
    )
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

pub(super) fn object(row: SessionRow) -> Object {
    let files = row.moving.into_iter().map(|file| {
        Object::new()
            .with("path", file.path)
            .with("direction", file.direction)
            .with("bytes", file.bytes)
            .with("bytes_per_s", file.bytes_per_s)
    });
    let files: Vec<serde_json::Value> = files.map(Into::into).collect();
    Object::new()
        .with("id", row.id)
        .with("pid", row.pid)
        .with("user", row.user)
        .with("source", row.source)
        .with("login", row.login)
        .with("client", row.client)
        .with("since", row.since)
        .with("lasts_s", row.lasts_s)
        .with("idle_s", row.idle_s)
        .with("bytes_in", row.bytes_in)
        .with("bytes_out", row.bytes_out)
        .with("open_files", row.open_files)
        .with("moving", files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_line_and_so_has_each_file_that_moves() {
        let row = SessionRow {
            id: "0123456789".to_owned(),
            pid: 7,
            user: "al\u{1b}ice".to_owned(),
            source: "192.0.2.7:1000".to_owned(),
            login: vec!["publickey SHA256:x".to_owned(), "keyboard-interactive totp".to_owned()],
            client: "OpenSSH_9.2".to_owned(),
            since: 1_700_000_000,
            lasts_s: 3700,
            idle_s: 2,
            bytes_in: 2048,
            bytes_out: 0,
            open_files: 1,
            moving: vec![MovingRow {
                path: "/in/a\nb".to_owned(),
                direction: "upload".to_owned(),
                bytes: 2048,
                bytes_per_s: 1024,
            }],
        };

        let lines = table(&[row]);

        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("ID          USER"), "{lines:?}");
        assert!(lines[1].contains("1h01m") && lines[1].ends_with("OpenSSH_9.2"), "{lines:?}");
        assert!(lines[2].starts_with("    upload /in/a"), "{lines:?}");
        assert!(!lines.concat().contains(['\n', '\u{1b}']), "{lines:?}");
    }
}
