//! OPENDIR, READDIR, MKDIR, RMDIR.

use std::sync::Arc;
use std::time::SystemTime;

use sterna_sftp_proto::limits::NAME_PACKET_LEN_TARGET;
use sterna_sftp_proto::longname::{Longname, Who};
use sterna_sftp_proto::messages::{Mkdir, NameWriter, Opendir, Readdir, Rmdir};
use sterna_storage as storage;

use super::handles::{HandleId, Open};
use super::listing::OpenDir;
use super::names::Names;
use super::reply::{Answer, wire_attrs};
use super::table::{Outcome, Serving, Start};
use crate::io_pool::IoPool;

/// Room kept at the end of a NAME packet for one more entry: twice a name of 255 bytes, the rest
/// of its line and its attributes.
const ENTRY_LEN: usize = 2 * 255 + 260;

pub(super) fn opendir(request: &Opendir<'_>, at: &mut Serving<'_>) -> Start {
    if !at.handles.reserve(true) {
        return Start::Now(Answer::failure("too many open handles"));
    }
    let path = at.absolute(request.path);
    let backend = Arc::clone(at.backend);
    Start::job(move |_| {
        let opened = backend.open_dir(&path);
        Outcome::OpenedDir(opened.map(|dir| OpenDir::new(dir, path)))
    })
}

/// One packet of names.
pub(super) fn readdir(request: &Readdir<'_>, at: &mut Serving<'_>) -> Start {
    let open = HandleId::from_wire(request.handle).and_then(|id| at.handles.get(id));
    let Some(Open::Dir(dir)) = open else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    let (dir, names) = (Arc::clone(dir), Arc::clone(&at.policy.names));
    let (request_id, exact, pool) = (at.id, *at.exact_attrs, at.pool.clone());
    Start::answer(move || {
        next_packet(&dir, &pool, request_id, &*names, now(), exact).unwrap_or_else(Answer::from)
    })
}

/// As many names as one packet takes, or the end. Memory: two batches of entries and one packet,
/// however large the directory is.
fn next_packet(
    dir: &Arc<OpenDir>,
    pool: &IoPool,
    id: u32,
    names: &dyn Names,
    now: i64,
    exact: bool,
) -> storage::Result<Answer> {
    let mut packet = Vec::with_capacity(NAME_PACKET_LEN_TARGET);
    let mut writer = NameWriter::new(id, &mut packet);
    let mut owners = Owners::new(names);
    let mut unsent = dir.unsent();
    while writer.packet_len() + ENTRY_LEN <= NAME_PACKET_LEN_TARGET {
        let Some(entry) = unsent.next() else {
            match dir.next_batch(pool) {
                Ok(Some(batch)) => *unsent = batch.into_iter(),
                Ok(None) => break,
                // What is there already is sent; the next READDIR meets the error again.
                Err(_) if writer.count() > 0 => break,
                Err(error) => return Err(error),
            }
            continue;
        };
        let attrs = wire_attrs(&entry.attrs, exact);
        writer.push(&entry.name, &attrs, |line| {
            let (owner, group) = owners.of(&entry.attrs);
            let longname = Longname {
                permissions: attrs.permissions.unwrap_or_default(),
                links: entry.attrs.links,
                owner,
                group,
                size: entry.attrs.size,
                modified: entry.attrs.modified.seconds,
                name: &entry.name,
            };
            longname.encode(now, line);
        });
    }
    Ok(if writer.finish() { Answer::Packet(packet) } else { Answer::EOF })
}

/// What the owners of the last entry are called: those of the next one are mostly the same.
struct Owners<'n> {
    names: &'n dyn Names,
    user: (u32, Option<String>),
    group: (u32, Option<String>),
}

impl<'n> Owners<'n> {
    fn new(names: &'n dyn Names) -> Self {
        Self { names, user: (0, names.user(0)), group: (0, names.group(0)) }
    }

    fn of(&mut self, attrs: &storage::Attrs) -> (Who<'_>, Who<'_>) {
        if self.user.0 != attrs.uid {
            self.user = (attrs.uid, self.names.user(attrs.uid));
        }
        if self.group.0 != attrs.gid {
            self.group = (attrs.gid, self.names.group(attrs.gid));
        }
        (who(&self.user), who(&self.group))
    }
}

fn who((id, name): &(u32, Option<String>)) -> Who<'_> {
    name.as_deref().map_or(Who::Id(*id), |name| Who::Name(name.as_bytes()))
}

/// Seconds since 1970: decides whether a line shows the time of day or the year.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX))
}

pub(super) fn mkdir(request: &Mkdir<'_>, at: &mut Serving<'_>) -> Start {
    let path = at.absolute(request.path);
    let mode = at.policy.mode_of_new(request.attrs.permissions, 0o777);
    let backend = Arc::clone(at.backend);
    Start::answer(move || Answer::of(backend.mkdir(&path, mode)))
}

pub(super) fn rmdir(request: &Rmdir<'_>, at: &mut Serving<'_>) -> Start {
    let path = at.absolute(request.path);
    let backend = Arc::clone(at.backend);
    Start::answer(move || Answer::of(backend.rmdir(&path)))
}

#[cfg(test)]
mod tests {
    use sterna_storage::Backend;

    use super::*;

    /// Everybody but number 7 is called by a letter and the number.
    struct Letters;

    impl Names for Letters {
        fn user(&self, uid: u32) -> Option<String> {
            (uid != 7).then(|| format!("u{uid}"))
        }

        fn group(&self, gid: u32) -> Option<String> {
            (gid != 7).then(|| format!("g{gid}"))
        }

        fn home(&self, _user: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }

    #[test]
    fn each_entry_has_the_names_of_its_own_owners() {
        let file = storage::Memory::new().stat(b"/", true).unwrap();
        let mut owners = Owners::new(&Letters);
        for (uid, gid) in [(0, 0), (0, 5), (7, 5), (7, 7), (3, 7), (0, 0)] {
            let name = |letter, id| (id != 7).then(|| format!("{letter}{id}"));
            let (user, group) = (name('u', uid), name('g', gid));
            let expected = (
                user.as_ref().map_or(Who::Id(uid), |name| Who::Name(name.as_bytes())),
                group.as_ref().map_or(Who::Id(gid), |name| Who::Name(name.as_bytes())),
            );

            let attrs = storage::Attrs { uid, gid, ..file };

            assert_eq!(owners.of(&attrs), expected, "{uid} {gid}");
        }
    }
}
