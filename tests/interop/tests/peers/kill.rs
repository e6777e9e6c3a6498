//! `kill -9` of our client and of our server at random points of uploads and downloads, of a large file
//! and of a tree; then the same command again.
//!
//! A point is a byte of the connection, by a seed; every fourth lies in the last bytes, where files are
//! verified and get their names. `STERNA_KILL_POINTS` says how many there are for each victim.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sterna_interop::binary::{is_baseline, kill_points};
use sterna_interop::client::{self, command_max};
use sterna_interop::content::{Numbers, compare_files, write_file};
use sterna_interop::relay::{Direction, Relay};
use sterna_interop::server::{self, Server};
use sterna_interop::trees::{Links, compare_trees, write_tree};
use sterna_testkit::openssh::{KeyKind, Login};
use sterna_testkit::processes::{Finished, Process};

const SEED: u64 = 0x6b69_6c6c;
/// Size of the large file, in bytes: three times what may be in flight.
const BIG_LEN: u64 = 48 << 20;
/// Files of the tree.
const TREE_FILES: usize = 150;
/// What may be in flight of one file and so travel twice, in bytes: the window of 16 MiB and what the
/// buffers of two sockets and the relay hold.
const TWICE_MAX: u64 = 24 << 20;
/// Bytes at the end of a connection in which the last points lie.
const LAST_BYTES: u64 = 4 * 1024;
/// How long the end of the client is waited for before the server is looked at again.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Put,
    Get,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    File,
    Tree,
}

/// What is done: each point takes the next.
const CASES: [(Way, What); 4] = [
    (Way::Put, What::File),
    (Way::Get, What::File),
    (Way::Put, What::Tree),
    (Way::Get, What::Tree),
];

struct Scene {
    server: Server,
    relay: Relay,
    client: client::Sterna,
    here: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let mut server = server::sterna_with(&[KeyKind::Ed25519], &[], |_| {});
        let relay = Relay::start(server.login.port);
        let (place, key) = (server.place.path(), &server.login.key);
        server.login = Login::new(place, relay.port, key, &server.host_keys);
        let here = server.place.dir("here");
        let client = client::Sterna::new(&server);
        for (way, side) in [(Way::Put, &here), (Way::Get, &server.root)] {
            write_file(&side.join(way.name(What::File)), BIG_LEN, SEED);
            write_tree(&side.join(way.name(What::Tree)), TREE_FILES, SEED);
        }
        Self { server, relay, client, here }
    }

    fn source(&self, way: Way, what: What) -> PathBuf {
        let side = if way == Way::Put { &self.here } else { &self.server.root };
        side.join(way.name(what))
    }

    fn target(&self, way: Way, what: What) -> PathBuf {
        let side = if way == Way::Put { &self.server.root } else { &self.here };
        side.join(way.name(what))
    }

    /// Removes what there is at the target; an older file stands there instead of the large one.
    fn clear(&self, way: Way, what: What) {
        let target = self.target(way, what);
        let _ = fs::remove_dir_all(&target);
        let _ = fs::remove_file(&target);
        for entry in fs::read_dir(target.parent().unwrap()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().contains(".sterna-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        if what == What::File {
            fs::write(&target, OLD).unwrap();
        }
    }

    /// `retry`: the client goes on by itself when the connection is lost.
    fn start(&self, way: Way, what: What, retry: bool) -> Process {
        let name = way.name(what);
        let (verb, words): (_, [OsString; 2]) = match way {
            Way::Put => ("put", [self.here.join(name).into(), self.client.place("/")]),
            Way::Get => ("get", [self.client.place(format!("/{name}")), self.here.clone().into()]),
        };
        let mut flags = vec!["-r", "--json"];
        if !retry {
            flags.extend(["--retry", "0"]);
        }
        let mut command = self.client.command(verb, &flags, &words);
        Process::start(&format!("sterna {verb}"), &mut command).unwrap()
    }

    /// Nothing but whole files under their names, at any moment.
    fn assert_nothing_half(&self, way: Way, what: What, when: &str) {
        let (source, target) = (self.source(way, what), self.target(way, what));
        match what {
            What::File if fs::read(&target).is_ok_and(|content| content == OLD) => {}
            What::File => compare_files(&source, &target).unwrap_or_else(|e| panic!("{when}: {e}")),
            What::Tree => assert_each_whole(&source, &target, when),
        }
    }

    fn assert_equal(&self, way: Way, what: What, when: &str) {
        let (source, target) = (self.source(way, what), self.target(way, what));
        let equal = match what {
            What::File => compare_files(&source, &target),
            What::Tree => compare_trees(&source, &target, Links::Kept),
        };
        equal.unwrap_or_else(|why| panic!("{when}: {why}"));
        let left = fs::read_dir(target.parent().unwrap()).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.contains(".sterna-")), "{when}: {left:?}");
    }
}

const OLD: &[u8] = b"what stood there before";

impl Way {
    fn name(self, what: What) -> &'static str {
        match (self, what) {
            (Self::Put, What::File) => "up.bin",
            (Self::Get, What::File) => "down.bin",
            (Self::Put, What::Tree) => "up",
            (Self::Get, What::Tree) => "down",
        }
    }

    /// The way of the content.
    fn direction(self) -> Direction {
        if self == Self::Put { Direction::Up } else { Direction::Down }
    }
}

/// Every file below `copy` that is no part is the same as below `source`.
fn assert_each_whole(source: &Path, copy: &Path, when: &str) {
    let Ok(entries) = fs::read_dir(copy) else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type().unwrap().is_dir() {
            assert_each_whole(&source.join(name), &path, when);
        } else if !name.to_string_lossy().contains(".sterna-") {
            // The server may still be at work: what is gone meanwhile was not looked at.
            if let Err(why) = compare_files(&source.join(name), &path)
                && path.exists()
            {
                panic!("{when}: {why}");
            }
        }
    }
}

/// The last `done` event of a client.
fn done(finished: &Finished) -> Option<Value> {
    let text = String::from_utf8_lossy(&finished.stdout);
    let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.rfind(|event| event["event"] == "done")
}

fn kill_at_every_point(victim: Victim) {
    if is_baseline() {
        return println!("skipped: only our programs continue");
    }
    let mut scene = Scene::new();
    let mut numbers = Numbers::new(SEED ^ victim as u64);
    let mut whole = Vec::new();
    for (way, what) in CASES {
        scene.clear(way, what);
        scene.relay.arm(way.direction(), u64::MAX, || {});
        let finished = scene.start(way, what, true).finish(command_max());
        assert!(finished.success(), "{}", finished.describe());
        scene.assert_equal(way, what, "undisturbed");
        whole.push(scene.relay.passed(way.direction()));
    }
    let (mut killed, mut resumed) = (0, 0);
    for point in 0..kill_points() {
        let (way, what) = CASES[point % CASES.len()];
        let len = whole[point % CASES.len()];
        let at = match point % 16 {
            12.. => len - 1 - numbers.below(LAST_BYTES),
            _ => numbers.below(len),
        };
        let when = format!("{victim:?} killed, {way:?} {what:?}, byte {at} of {len}");
        scene.clear(way, what);
        let retry = point / CASES.len() % 2 == 1;
        let kill = Kill { victim, way, what, at, retry };
        let (was_killed, resumed_from) = kill_once(&mut scene, kill, &when);
        killed += usize::from(was_killed);
        // At the very end everything may have been done already when the kill came.
        let was_cut = was_killed && at + LAST_BYTES < len;
        if let Some(resumed_from) = resumed_from.filter(|_| was_cut) {
            assert!(
                resumed_from + TWICE_MAX >= at.min(BIG_LEN),
                "{when}: {resumed_from} bytes were used again"
            );
            resumed += usize::from(resumed_from > 0);
        }
    }
    println!("{victim:?}: {killed} of {} points hit, {resumed} resumed", kill_points());
    // A point behind the last byte of a run hits nothing.
    assert!(killed * 4 >= kill_points() * 3, "{killed} points hit");
    assert!(resumed > 0);
}

/// One point.
struct Kill {
    victim: Victim,
    way: Way,
    what: What,
    at: u64,
    /// Whether the client goes on by itself.
    retry: bool,
}

/// Kills at one point, then runs again until all is there. True if the victim was hit; and the byte of
/// the large file at which it was gone on with.
fn kill_once(scene: &mut Scene, kill: Kill, when: &str) -> (bool, Option<u64>) {
    let Kill { victim, way, what, at, retry } = kill;
    let (told, tells) = mpsc::channel();
    let (pids, pid) = mpsc::channel::<u32>();
    scene.relay.arm(way.direction(), at, move || {
        let pid = pid.recv().ok().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let _ = kill_process(pid.expect("the id of a running program"), Signal::KILL);
        let _ = told.send(());
    });
    let mut process = scene.start(way, what, retry);
    let victim_id = if victim == Victim::Client { process.id() } else { scene.server.process.id() };
    pids.send(victim_id).unwrap();
    let mut was_killed = false;
    while process.wait_exit(LOOK).is_none() {
        if tells.try_recv().is_ok() {
            was_killed = true;
            scene.assert_nothing_half(way, what, when);
            if victim == Victim::Server {
                let port = server::restart(&mut scene.server);
                scene.relay.redirect(port);
            }
        }
    }
    let finished = process.finish(command_max());
    if !was_killed && tells.try_recv().is_ok() {
        was_killed = true;
        if victim == Victim::Server {
            let port = server::restart(&mut scene.server);
            scene.relay.redirect(port);
        }
    }
    scene.assert_nothing_half(way, what, when);
    let resumed_from = |finished: &Finished| {
        let from = done(finished).and_then(|done| done["resumed_from"].as_u64());
        from.filter(|_| what == What::File)
    };
    if finished.success() {
        scene.assert_equal(way, what, when);
        return (was_killed, resumed_from(&finished));
    }
    if victim == Victim::Server {
        // Interrupted, or no connection could be made yet; never something else.
        assert!(matches!(finished.code(), Some(7 | 3)), "{when}: {}", finished.describe());
    }
    scene.relay.arm(way.direction(), u64::MAX, || {});
    let again = scene.start(way, what, true).finish(command_max());
    assert!(again.success(), "{when}, then again: {}", again.describe());
    scene.assert_equal(way, what, when);
    (was_killed, resumed_from(&again))
}

#[test]
fn a_client_that_is_killed_at_any_byte_goes_on_and_all_arrives() {
    kill_at_every_point(Victim::Client);
}

#[test]
fn a_server_that_is_killed_at_any_byte_has_whole_files_only_and_all_arrives() {
    kill_at_every_point(Victim::Server);
}
