//! Sessions of a running server for those who administer it: listed, and ended.

use std::net::IpAddr;

use ipnet::IpNet;
use sterna_audit::Record;
use sterna_server::{SessionInfo, Sessions};

use crate::control::{Reply, Which};

/// Bytes of what clients are told.
const WHY_LEN_MAX: usize = 1000;

pub fn list(sessions: &Sessions) -> Reply {
    Reply::Sessions { sessions: sessions.list().into_iter().map(Into::into).collect() }
}

/// Ends sessions, and records each.
pub fn kick(sessions: &Sessions, which: &Which, why: &str, record: &dyn Fn(Record)) -> Reply {
    let why: String = why.chars().filter(|c| !c.is_control()).take(WHY_LEN_MAX).collect();
    let is_meant: Box<dyn Fn(&SessionInfo) -> bool> = match which {
        Which::Id(id) => Box::new(move |info| info.id == *id),
        Which::User(user) => Box::new(move |info| info.user == *user),
        Which::All => Box::new(|_| true),
        Which::Source(text) => match network(text) {
            Some(network) => {
                Box::new(move |info| network.contains(&info.source.ip().to_canonical()))
            }
            None => {
                return Reply::Refused { why: format!("{text}: not a network or address") };
            }
        },
    };
    let ended = sessions.end_where(is_meant, &why);
    for info in &ended {
        record(
            Record::new("kick")
                .session(info.id.as_str().into())
                .user(info.user.as_bytes())
                .source(info.source)
                .with("why", &*why),
        );
    }
    Reply::Kicked { sessions: ended.into_iter().map(Into::into).collect() }
}

fn network(text: &str) -> Option<IpNet> {
    let address = || Some(IpNet::from(text.parse::<IpAddr>().ok()?.to_canonical()));
    text.parse().ok().or_else(address)
}
