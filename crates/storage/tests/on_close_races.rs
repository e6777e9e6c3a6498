//! Uploads that are published on close, with somebody else between any two steps: nobody gets what is not
//! his, and nobody loses what he was told he has.

use std::io::IoSliceMut;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sterna_storage::{
    Attrs, Backend, Dir, DirEntry, File, Folder, Memory, OnClose, OpenHow, Result, Time, Uploads,
};

const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    append: false,
    create: false,
    truncate: false,
    exclusive: false,
    mode: None,
};
/// As most clients upload.
const UPLOAD: OpenHow = OpenHow { read: false, write: true, create: true, truncate: true, ..READ };

/// What happens in the middle.
type Meddling = Box<dyn FnOnce() + Send>;

/// Where the open file of the session that meddles comes.
type Begun = Arc<Mutex<Option<Box<dyn File>>>>;

/// A tree on which something happens after one kind of call.
#[derive(Clone)]
struct Meddled {
    below: Memory,
    due: Arc<Mutex<Option<(Call, Meddling)>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// The attributes of the last place where a part may be were looked at.
    StatOfLastPlace,
    /// A directory was listed.
    List,
}

struct MeddledDir {
    below: Box<dyn Dir>,
    of: Meddled,
}

impl Meddled {
    fn after(&self, call: Call) {
        let due = self.due.lock().unwrap().take_if(|(at, _)| *at == call);
        if let Some((_, meddle)) = due {
            meddle();
        }
    }
}

impl Backend for Meddled {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        self.below.open(path, how)
    }
    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        let found = self.below.stat(path, follow);
        if path.ends_with(b".3") {
            self.after(Call::StatOfLastPlace);
        }
        found
    }
    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        Ok(Box::new(MeddledDir { below: self.below.open_dir(path)?, of: self.clone() }))
    }
    fn remove(&self, path: &[u8]) -> Result<()> {
        self.below.remove(path)
    }
    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.below.realpath(path)
    }
}

impl Dir for MeddledDir {
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        let more = self.below.next_entries(max, entries)?;
        self.of.after(Call::List);
        Ok(more)
    }
    fn stat(&self) -> Result<Attrs> {
        self.below.stat()
    }
}

fn session(below: impl Backend, user: &str, uploads: &Arc<Uploads>) -> OnClose {
    let everywhere = [Folder { path: b"/".to_vec(), on_close: true }];
    OnClose::new(Arc::new(below), user.as_bytes(), &everywhere, Arc::clone(uploads))
}

fn upload(session: &OnClose) -> Box<dyn File> {
    session.open(b"/f", &UPLOAD).unwrap()
}

/// What everybody sees.
fn published(tree: &Memory) -> Option<Vec<u8>> {
    let file = tree.open(b"/f", &READ).ok()?;
    let mut buffer = vec![0; 100];
    let len = file.read_at(&mut [IoSliceMut::new(&mut buffer)], 0).unwrap();
    buffer.truncate(len);
    Some(buffer)
}

/// A tree with a part that nobody has, and one session whose calls are meddled with by another one, which
/// begins the same upload anew.
fn meddled_at(call: Call, user: &str) -> (Memory, OnClose, Begun) {
    let (tree, uploads) = (Memory::new(), Uploads::new());
    drop(upload(&session(tree.clone(), "alice", &uploads)));
    let begun = Begun::default();
    let (other, begins) = (session(tree.clone(), "alice", &uploads), Arc::clone(&begun));
    let meddle = move || *begins.lock().unwrap() = Some(upload(&other));
    let due = Arc::new(Mutex::new(Some((call, Box::new(meddle) as Meddling))));
    let meddled = Meddled { below: tree.clone(), due };
    (tree, session(meddled, user, &uploads), begun)
}

#[test]
fn an_upload_publishes_its_own_part_and_none_that_took_its_place() {
    // Two processes: neither knows what the other one has open.
    let tree = Memory::new();
    let (one, other) = (Uploads::new(), Uploads::new());
    let first = upload(&session(tree.clone(), "alice", &one));
    first.write_at(b"first", 0).unwrap();
    let second = upload(&session(tree.clone(), "alice", &other));
    second.write_at(b"half of ", 0).unwrap();

    assert!(first.close().unwrap_err().to_string().contains("took the place"));
    assert_eq!(published(&tree), None);
    second.write_at(b"the second", 8).unwrap();
    second.close().unwrap();

    assert_eq!(published(&tree).unwrap(), b"half of the second");
}

#[test]
fn a_sweep_leaves_what_began_anew_since_it_listed() {
    let (tree, sweeper, begun) = meddled_at(Call::List, "");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let later = (now + Duration::from_secs(3600)).as_secs() as i64;

    assert_eq!(sweeper.sweep(Time { seconds: later, nanos: 0 }).unwrap(), 0);

    let file = begun.lock().unwrap().take().expect("it began");
    file.write_at(b"whole", 0).unwrap();
    file.close().unwrap();
    assert_eq!(published(&tree).unwrap(), b"whole");
}

#[test]
fn removing_tells_who_began_anew_since_the_name_was_looked_up() {
    let (tree, alice, begun) = meddled_at(Call::StatOfLastPlace, "alice");

    alice.remove(b"/f").unwrap();

    let file = begun.lock().unwrap().take().expect("it began");
    assert!(file.write_at(b"x", 0).unwrap_err().to_string().contains("removed"));
    assert!(file.close().is_err());
    assert_eq!(published(&tree), None);
}
