//! One question before every handler: may this session do that?

use sterna_sftp_proto::Request;
use sterna_sftp_proto::extension::{EXTENSIONS, ExtensionSet};

use super::policy::SessionPolicy;
use super::reply::Answer;
use super::table::{Row, Writes, row};

/// Refuses what the session may not do; `None` lets it pass.
pub(super) fn refusal(request: &Request<'_>, policy: &SessionPolicy) -> Option<Answer> {
    let row = row(request);
    if policy.denied.contains(row.name) {
        return Some(Answer::denied("not permitted for this user"));
    }
    if policy.read_only && writes(row, request) {
        return Some(Answer::denied("read-only"));
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
