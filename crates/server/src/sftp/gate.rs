//! One question before every handler: may this session do that?

use sterna_sftp_proto::Request;
use sterna_sftp_proto::extension::{EXTENSIONS, ExtensionSet};

use super::policy::SessionPolicy;
use super::reply::Answer;
use super::table::{Row, Writes, row};

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The operation is not for this user.
    Operation,
    /// Nothing may change.
    ReadOnly,
}

impl Denied {
    pub(super) fn answer(self) -> Answer {
        Answer::denied(match self {
            Self::Operation => "not permitted for this user",
            Self::ReadOnly => "read-only",
        })
    }

    /// The rule's name in the audit log.
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Operation => "user.denied",
            Self::ReadOnly => "user.read_only",
        }
    }
}

/// Refuses what the session may not do; `None` lets it pass.
pub(super) fn refusal(request: &Request<'_>, policy: &SessionPolicy) -> Option<Denied> {
    let row = row(request);
    if policy.denied.contains(row.name) {
        return Some(Denied::Operation);
    }
    if policy.read_only && writes(row, request) {
        return Some(Denied::ReadOnly);
    }
    None
}

fn writes(row: &Row, request: &Request<'_>) -> bool {
    match row.writes {
        Writes::No => false,
        Writes::Yes => true,
        Writes::ByRequest => request.changes(),
    }
}

/// The extensions that work for this session, and so the only ones to announce (XTN-1).
pub(super) fn announced(policy: &SessionPolicy) -> ExtensionSet {
    let all = if policy.read_only { ExtensionSet::read_only() } else { ExtensionSet::all() };
    EXTENSIONS
        .iter()
        .filter(|row| policy.denied.contains(row.announced))
        .fold(all, |set, row| set.without(row.extension))
}
