//! Connections that break in the middle of a tree: one run ends with both sides equal.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use sterna_client::sync::{Report, Tree, TreeSync};
use sterna_client::transfer::{Options, Summary, Transfer};
use sterna_client::{Connection, Error, Reconnect, Sftp, SftpOptions};
use sterna_server::sftp::{Resources, SessionPolicy, SftpSession};
use sterna_server::stdio;
use sterna_storage::Local;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::relay::NO_DIGESTS;
use crate::stage::{Recorder, Way, content};

/// INIT and the questions for exact attributes and for limits stand before every transfer: requests 1 to 3.
const FIRST_POINT: usize = 8;

/// Where one connection breaks.
#[derive(Clone, Copy, Debug)]
enum Break {
    Never,
    /// When the server has this request, counted from 1 for INIT: it is carried out, and nobody says so.
    Behind(usize),
    /// In the middle of this request.
    Within(usize),
}

/// A stream to a server that breaks.
struct Breaking {
    io: UnixStream,
    at: Break,
    /// Requests that have left, the one under way included.
    requests: usize,
    /// Bytes that are left of the request under way; length words that are not complete.
    left: usize,
    head: Vec<u8>,
    is_broken: bool,
}

impl Breaking {
    /// How many of these bytes still leave; notes them.
    fn passing(&mut self, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            if self.left == 0 {
                self.head.push(*byte);
                let Ok(head) = <[u8; 4]>::try_from(&self.head[..]) else { continue };
                self.head.clear();
                self.left = u32::from_be_bytes(head) as usize;
                self.requests += 1;
                if matches!(self.at, Break::Within(at) if self.requests == at) {
                    self.is_broken = true;
                    return index + 1;
                }
            } else {
                self.left -= 1;
                if self.left == 0 && matches!(self.at, Break::Behind(at) if self.requests == at) {
                    self.is_broken = true;
                    return index + 1;
                }
            }
        }
        bytes.len()
    }
}

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_broken {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let before = (self.requests, self.left, self.head.clone());
        let passing = self.passing(bytes);
        let written = Pin::new(&mut self.io).poll_write(cx, &bytes[..passing]);
        if !matches!(&written, Poll::Ready(Ok(len)) if *len == passing) {
            // Only what has left counts.
            (self.requests, self.left, self.head) = before;
            self.is_broken = false;
            if let Poll::Ready(Ok(len)) = &written {
                self.passing(&bytes[..*len]);
            }
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A server whose connections break, each as the test says by its number.
struct Server {
    root: PathBuf,
    breaks: fn(usize, usize) -> Break,
    /// What the test varies.
    point: usize,
    /// Extensions that it does not have.
    lacks: &'static [&'static str],
    connections: AtomicUsize,
    last: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    fn new(root: PathBuf, breaks: fn(usize, usize) -> Break, point: usize) -> Self {
        let (connections, last) = (AtomicUsize::new(0), Mutex::default());
        Self { root, breaks, point, lacks: &[], connections, last }
    }

    async fn connect(&self) -> Result<Sftp, Error> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let last = self.last.lock().unwrap().take();
        // What the broken connection had asked for is done before anything new comes.
        if let Some(last) = last {
            tokio::task::spawn_blocking(move || last.join().unwrap()).await.unwrap();
        }
        let (ours, theirs) = Blocking::pair().unwrap();
        let backend = Arc::new(Local::open(&self.root).unwrap());
        let denied = self.lacks.iter().map(|name| (*name).to_owned()).collect();
        let policy = SessionPolicy { denied, ..SessionPolicy::default() };
        let session = SftpSession::new(backend, policy, &Resources::new(1));
        let thread = std::thread::spawn(move || {
            // The client may be gone: then there is nobody to write to.
            let _ = stdio::serve(session, theirs.try_clone().unwrap(), theirs);
        });
        *self.last.lock().unwrap() = Some(thread);
        ours.set_nonblocking(true).unwrap();
        let io = UnixStream::from_std(ours).unwrap();
        let at = (self.breaks)(self.point, number);
        let io = Breaking { io, at, requests: 0, left: 0, head: Vec::new(), is_broken: false };
        Sftp::over(io, SftpOptions::default()).await
    }
}

impl Reconnect for Server {
    fn reconnect(&self) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        Box::pin(async { Ok(Connection { sftp: self.connect().await?, session: None }) })
    }
}

/// Small files, one that takes several requests, an empty one, links, directories in directories.
fn make_tree(root: &Path) {
    for (dir, files) in [("a", 2), ("a/b", 1), ("c", 1), ("empty", 0)] {
        fs::create_dir_all(root.join(dir)).unwrap();
        for n in 0..files {
            fs::write(root.join(dir).join(format!("small{n}")), content(100 + n, n as u64))
                .unwrap();
        }
    }
    fs::write(root.join("a/large"), content(300_000, 9)).unwrap();
    fs::write(root.join("nothing"), b"").unwrap();
    symlink("a/large", root.join("link")).unwrap();
}

/// Names below `root` with what they hold.
fn listing(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let holds = if kind.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if kind.is_dir() {
                waiting.push(path.clone());
                b"directory".to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            found.push((path.strip_prefix(root).unwrap().to_owned(), holds));
        }
    }
    found.sort();
    found
}

/// Transfers the tree; returns the result, what is there then, and how many connections it took.
async fn transfer(
    way: Way,
    point: usize,
    breaks: fn(usize, usize) -> Break,
    retries: u32,
) -> (Summary, bool, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    for side in [&here, &there] {
        fs::create_dir(side).unwrap();
    }
    let (source, target) = match way {
        Way::Get => (there.join("tree"), here.join("tree")),
        Way::Put => (here.join("tree"), there.join("tree")),
    };
    make_tree(&source);
    let server = Arc::new(Server::new(there, breaks, point));
    let options = Options {
        recursive: true,
        preserve: true,
        fsync: false,
        retries,
        state_dir: Some(dir.path().join("state")),
        ..Options::default()
    };
    // The first connection may break before it can be used; then there is no transfer.
    let sftp = server.connect().await.unwrap();
    let transfer = Transfer::new(&sftp).options(options).reconnect(server.clone());
    let summary = match way {
        Way::Get => transfer.get(&[b"/tree"], &here.join("tree")).await,
        Way::Put => transfer.put(&[here.join("tree")], b"/tree").await,
    };
    let equal = target.exists() && listing(&source) == listing(&target);
    if !equal {
        let names =
            |root: &Path| listing(root).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        eprintln!("{:?} became {:?}", names(&source), names(&target));
    }
    (summary.unwrap(), equal, server.connections.load(Ordering::Relaxed))
}

/// Goal: whatever request a connection breaks at, the transfer ends by itself with everything there.
/// Method: break the first connection behind each request in turn, and within each, until the transfer
/// ends before the break.
async fn survives_a_break_at_every_request(way: Way) {
    let breaks = |point: usize, connection: usize| match (connection, point % 2) {
        (0, 0) => Break::Behind(point / 2),
        (0, _) => Break::Within(point / 2),
        _ => Break::Never,
    };
    let mut running = JoinSet::new();
    let mut next = FIRST_POINT;
    let mut broke = 0;
    let mut all_broke = true;
    while all_broke || !running.is_empty() {
        while all_broke && running.len() < 8 {
            let point = next;
            running.spawn(async move { (point, transfer(way, point, breaks, 3).await) });
            next += 1;
        }
        let (point, (summary, equal, connections)) = running.join_next().await.unwrap().unwrap();
        assert_eq!(summary.exit_code(), 0, "{way:?} {point}: {:?}", summary.errors);
        assert!(equal, "{way:?} {point}");
        assert_eq!((summary.files, summary.failed), (6, 0), "{way:?} {point}");
        all_broke &= connections == 2;
        broke += usize::from(connections == 2);
    }
    assert!(broke > 60, "{broke}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_by_itself_after_a_break_at_any_request() {
    survives_a_break_at_every_request(Way::Put).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_by_itself_after_a_break_at_any_request() {
    survives_a_break_at_every_request(Way::Get).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_all_break_soon_are_enough_if_each_brings_something() {
    for way in Way::BOTH {
        let breaks = |_, connection: usize| Break::Behind(30 + connection % 3);

        let (summary, equal, connections) = transfer(way, 0, breaks, 5).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        assert!(equal && connections > 1, "{way:?}: {connections}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retries_a_lost_connection_ends_with_7_and_the_next_run_completes() {
    for way in Way::BOTH {
        let breaks = |_, _| Break::Behind(15);

        let (summary, equal, connections) = transfer(way, 0, breaks, 0).await;

        assert_eq!(summary.exit_code(), 7, "{way:?}: {:?}", summary.errors);
        assert!(!equal && connections == 1, "{way:?}");
    }
}

/// Which of two servers loses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Source,
    Target,
}

/// A tree that passes from one server to another through here.
struct Between {
    dir: tempfile::TempDir,
    source: Arc<Server>,
    target: Arc<Server>,
}

impl Between {
    fn new(
        victim: Victim,
        point: usize,
        breaks: fn(usize, usize) -> Break,
        lacks: &'static [&'static str],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = |side: &str, of: Victim| {
            let root = dir.path().join(side);
            fs::create_dir(&root).unwrap();
            let breaks = if victim == of { breaks } else { |_, _| Break::Never };
            Arc::new(Server { lacks, ..Server::new(root, breaks, point) })
        };
        let (source, target) = (server("source", Victim::Source), server("target", Victim::Target));
        fs::create_dir(source.root.join("tree")).unwrap();
        Self { dir, source, target }
    }

    async fn sync(&self, recorder: &Arc<Recorder>) -> Report {
        let at = async |server: &Arc<Server>| Tree::Remote {
            sftp: server.connect().await.unwrap(),
            session: None,
            reconnect: Some(server.clone()),
            path: b"/tree".to_vec(),
        };
        let options = Options {
            fsync: false,
            retries: 3,
            state_dir: Some(self.dir.path().join("state")),
            ..Options::default()
        };
        let (source, target) = (at(&self.source).await, at(&self.target).await);
        let sync = TreeSync::new(source, target).transfer(options).progress(recorder.clone());
        sync.run().await.unwrap()
    }

    fn connections(&self, victim: Victim) -> usize {
        let server = if victim == Victim::Source { &self.source } else { &self.target };
        server.connections.load(Ordering::Relaxed)
    }

    fn is_equal(&self) -> bool {
        listing(&self.source.root) == listing(&self.target.root)
    }
}

/// Goal: whichever of two servers is lost, at whatever request, everything arrives there by itself.
/// Method: as [`survives_a_break_at_every_request`].
#[tokio::test(flavor = "multi_thread")]
async fn what_passes_between_servers_goes_on_by_itself_after_a_break_at_any_request() {
    let breaks = |point: usize, connection: usize| match (connection, point % 2) {
        (0, 0) => Break::Behind(point / 2),
        (0, _) => Break::Within(point / 2),
        _ => Break::Never,
    };
    for victim in [Victim::Source, Victim::Target] {
        let mut broke = 0;
        for point in FIRST_POINT.. {
            let between = Between::new(victim, point, breaks, &[]);
            make_tree(&between.source.root.join("tree"));

            let report = between.sync(&Recorder::new()).await;

            let summary = &report.summary;
            assert_eq!(summary.exit_code(), 0, "{victim:?} {point}: {:?}", summary.errors);
            assert!(between.is_equal(), "{victim:?} {point}");
            match between.connections(victim) {
                1 => break,
                _ => broke += 1,
            }
        }
        assert!(broke > 60, "{victim:?}: {broke}");
    }
}

/// Goal: what had arrived is not sent again if it can be proven: by digests, or else by what this run knows
/// and the end of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_between_servers_goes_on_where_it_was() {
    const LEN: usize = 16 << 20;
    let breaks = |_, connection: usize| match connection {
        0 => Break::Behind(50),
        _ => Break::Never,
    };
    for victim in [Victim::Source, Victim::Target] {
        for lacks in [&[][..], NO_DIGESTS] {
            let between = Between::new(victim, 0, breaks, lacks);
            fs::write(between.source.root.join("tree/f"), content(LEN, 5)).unwrap();
            let recorder = Recorder::new();

            let report = between.sync(&recorder).await;

            assert_eq!(report.summary.exit_code(), 0, "{victim:?}: {:?}", report.summary.errors);
            assert!(between.is_equal(), "{victim:?} {lacks:?}");
            assert_eq!(between.connections(victim), 2, "{victim:?} {lacks:?}");
            let (resumed_from, _) = recorder.only();
            assert!(resumed_from > 1 << 20, "{victim:?} {lacks:?}: {resumed_from}");
            let again = report.summary.bytes_sent - LEN as u64;
            assert!(again < 6 << 20, "{victim:?} {lacks:?}: {again} bytes twice");
        }
    }
}

/// Goal: without digests a part of another run, or of a source that changed since, is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn without_digests_a_part_of_an_earlier_run_is_not_believed() {
    let between = Between::new(Victim::Target, 0, |_, _| Break::Never, NO_DIGESTS);
    let whole = content(3 << 20, 5);
    fs::write(between.source.root.join("tree/f"), &whole).unwrap();
    fs::create_dir(between.target.root.join("tree")).unwrap();
    fs::write(between.target.root.join("tree/.f.sterna-part"), &whole[..2 << 20]).unwrap();
    let recorder = Recorder::new();

    let report = between.sync(&recorder).await;

    assert_eq!((report.summary.exit_code(), report.summary.bytes_sent), (0, 3 << 20));
    assert_eq!(recorder.only().0, 0);
    assert!(between.is_equal());
}
