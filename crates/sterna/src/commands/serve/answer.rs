//! What a running server says to commands on its control socket.

use std::{fs, path::Path, sync::Arc, time::Instant};

use ipnet::IpNet;
use sterna_audit::{Audit, Record};
use sterna_server::{Sessions, defence::Defence};
use sterna_state::Unban;

use super::{reload::Reloader, sessions};
use crate::{
    control::{Mistake, Reply, Request},
    settings::SettingsError,
};

/// What requests are about.
pub struct Answers {
    pub reloader: Arc<Reloader>,
    pub defence: Arc<Defence>,
    pub sessions: Arc<Sessions>,
    pub audit: Option<Audit>,
}

impl Answers {
    /// Does what is asked for. Blocks.
    pub fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Reload { file } => match file {
                Some(file) if !is_same(Path::new(&file), self.reloader.file()) => {
                    let own = self.reloader.file().to_string_lossy();
                    Reply::Refused { why: format!("this server runs with {own}, not with {file}") }
                }
                _ => match self.reloader.reload() {
                    Ok(report) => {
                        Reply::Reloaded { summary: report.to_string(), warnings: report.warnings }
                    }
                    Err(errors) => mistakes(&errors),
                },
            },
            Request::Diff { file } => match self.reloader.differences(Path::new(&file)) {
                Ok(changes) => Reply::Differences { changes },
                Err(errors) => mistakes(&errors),
            },
            Request::Penalties => {
                let all = self.defence.list(Instant::now());
                Reply::Penalties { sources: all.iter().map(Into::into).collect() }
            }
            // They belong to each other, and not here.
            Request::HandOver | Request::Serving { .. } => {
                Reply::Refused { why: "not by itself".to_owned() }
            }
            Request::Lift { sources } => match unban(&sources) {
                Some(unban) => {
                    let lifted = self.defence.unban(unban);
                    let record = Record::new("penalties-lifted").with("asked", sources);
                    self.record(record.with("sources", lifted as u64));
                    Reply::Lifted { sources: lifted }
                }
                None => Reply::Refused { why: format!("{sources}: not a network or address") },
            },
            Request::Sessions => sessions::list(&self.sessions),
            Request::Kick { which, why } => {
                sessions::kick(&self.sessions, &which, &why, &|record| self.record(record))
            }
        }
    }

    fn record(&self, record: Record) {
        if let Some(audit) = &self.audit {
            audit.record(record);
        }
    }
}

/// `all`, a network, or an address.
pub fn unban(text: &str) -> Option<Unban> {
    if text == "all" {
        return Some(Unban::All);
    }
    let address = || Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?.to_canonical()));
    text.parse::<IpNet>().ok().or_else(address).map(Unban::Source)
}

fn mistakes(errors: &[SettingsError]) -> Reply {
    Reply::Mistakes { mistakes: errors.iter().map(Mistake::from).collect() }
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_networks_addresses_or_all() {
        let source = |text: &str| Some(Unban::Source(text.parse().unwrap()));
        for (text, expected) in [
            ("all", Some(Unban::All)),
            ("192.0.2.0/24", source("192.0.2.0/24")),
            ("192.0.2.7", source("192.0.2.7/32")),
            ("::ffff:192.0.2.7", source("192.0.2.7/32")),
            ("2001:db8::/64", source("2001:db8::/64")),
            ("", None),
            ("office", None),
        ] {
            assert_eq!(unban(text), expected, "{text}");
        }
    }
}
