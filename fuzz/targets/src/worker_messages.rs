//! Messages between the network process, helpers and workers: what one side takes, it would have written itself.

use sterna_storage::XattrAnswer;
use sterna_worker::limits::{ENTRIES_MAX, XATTR_NAMES_MAX};
use sterna_worker::login_messages::{Checked, Question};
use sterna_worker::messages::{Reply, Request};

/// Input: a byte that says what is read, then the message.
pub fn run(data: &[u8]) {
    let Some((kind, message)) = data.split_first() else { return };
    match kind % 4 {
        0 => {
            if let Ok(request) = Request::decode(message) {
                assert_eq!(request.encode(), message);
            }
        }
        1 => {
            if let Ok(reply) = Reply::decode(message) {
                assert_eq!(reply.encode(), message);
                bounded(&reply, message.len());
            }
        }
        2 => {
            if let Ok(question) = Question::decode(message) {
                assert_eq!(**question.encode(), *message);
            }
        }
        _ => {
            if let Ok(checked) = Checked::decode(message) {
                assert_eq!(checked.encode(), message);
            }
        }
    }
}

/// No more is held than what came, but for what a list needs for each of its entries.
fn bounded(reply: &Reply, len: usize) {
    match reply {
        Reply::Entries { entries, .. } => assert!(entries.len() <= ENTRIES_MAX.min(len)),
        Reply::Xattr(XattrAnswer::Names(names)) => {
            assert!(names.len() <= XATTR_NAMES_MAX.min(len / 4));
        }
        _ => {}
    }
}
