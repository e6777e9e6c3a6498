//! Our own SFTP server without SSH, behind a relay that sees every packet: it counts them, spoils their
//! bytes, loses them, and cuts the connection where a test says.

use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sterna_client::{Error, Sftp, SftpOptions};
use sterna_server::sftp::{Resources, SessionPolicy, SftpSession};
use sterna_storage::{Backend, Local};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// Bytes of one READ or WRITE: small, so that small files take many of them.
pub const IO_LEN: u32 = 32 << 10;
/// Packet types.
const READ: u8 = 5;
const WRITE: u8 = 6;
const DATA: u8 = 103;
const LONGEST_PACKET: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Requests,
    Replies,
}

/// What happens to the connection at one packet. Packets are counted from 0 in each direction; INIT and
/// VERSION are the first.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The packet does not arrive, and the connection ends.
    Cut(Direction, u64),
    /// Half of the packet arrives, and the connection ends.
    CutWithin(Direction, u64),
    /// Nothing is passed on in either direction from this packet on, and [`Server::stalled`] completes.
    Stall(Direction, u64),
    /// This WRITE, counted from 0, is lost; `later` further ones arrive, then the connection ends.
    LoseWrite { write: u64, later: u64 },
}

/// One bit of file content changes on its way.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    /// Byte of the file.
    pub at: u64,
    /// How often it happens.
    pub times: u64,
}

/// How a server is to be.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub fault: Option<Fault>,
    pub flip: Option<Flip>,
    /// Extensions that it lacks.
    pub lacks: &'static [&'static str],
}

/// Neither digests nor anything made of them.
pub const NO_DIGESTS: &[&str] = &["check-file", "check-file-blake3@sterna-sftp", "md5-hash"];
pub const NO_CHECK_FILE: &[&str] = &["check-file", "check-file-blake3@sterna-sftp"];

/// A server that runs until its client is gone.
pub struct Server {
    pub sftp: Sftp,
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
}

struct Shared {
    wish: Wish,
    packets: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
    writes: AtomicU64,
    flips: AtomicU64,
    /// Offset of each READ under way, by request id.
    reads: Mutex<std::collections::HashMap<u32, u64>>,
    ended: watch::Sender<bool>,
    stalled: watch::Sender<bool>,
}

impl Server {
    /// Serves the directory `root`.
    ///
    /// # Errors
    /// Those of a client that does not even get VERSION.
    pub async fn start(root: &Path, wish: Wish) -> Result<Self, Error> {
        Self::on(Arc::new(Local::open(root).unwrap()), wish).await
    }

    /// Serves any storage.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn on(backend: Arc<dyn Backend>, wish: Wish) -> Result<Self, Error> {
        let denied = wish.lacks.iter().map(|name| (*name).to_owned()).collect();
        let policy = SessionPolicy { denied, ..SessionPolicy::default() };
        let session = SftpSession::new(backend, policy, &Resources::new(2));
        let (inner, outer) = StdStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            let input = inner.try_clone().unwrap();
            // A client that went away is not this test's concern.
            let _ = sterna_server::stdio::serve(session, input, &inner);
            let _ = inner.shutdown(std::net::Shutdown::Both);
        });
        outer.set_nonblocking(true).unwrap();
        let (from_server, to_server) = UnixStream::from_std(outer).unwrap().into_split();
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (from_client, to_client) = tokio::io::split(theirs);
        let shared = Arc::new(Shared {
            wish,
            packets: Default::default(),
            bytes: Default::default(),
            writes: AtomicU64::new(0),
            flips: AtomicU64::new(0),
            reads: Mutex::default(),
            ended: watch::Sender::new(false),
            stalled: watch::Sender::new(false),
        });
        tokio::spawn(run(shared.clone(), Direction::Requests, from_client, to_server));
        tokio::spawn(run(shared.clone(), Direction::Replies, from_server, to_client));
        let options = SftpOptions { io_len_max: IO_LEN, ..SftpOptions::default() };
        let mut stalled = shared.stalled.subscribe();
        let sftp = tokio::select! {
            sftp = Sftp::over(ours, options) => sftp?,
            _ = stalled.wait_for(|stalled| *stalled) => return Err(Error::Cancelled),
        };
        Ok(Self { sftp, shared, thread })
    }

    /// Packets that passed so far.
    pub fn packets(&self, direction: Direction) -> u64 {
        self.shared.packets[direction as usize].load(Ordering::Relaxed)
    }

    /// Bytes that passed in both directions.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }

    /// Completes when a [`Fault::Stall`] has come.
    pub async fn stalled(&self) {
        let _ = self.shared.stalled.subscribe().wait_for(|stalled| *stalled).await;
    }

    /// Lets the client go; returns when the server has done all that it was asked.
    pub async fn end(self) {
        let Self { sftp, shared, thread } = self;
        drop(sftp);
        shared.ended.send_replace(true);
        tokio::task::spawn_blocking(move || thread.join()).await.unwrap().unwrap();
    }
}

async fn run(
    shared: Arc<Shared>,
    direction: Direction,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) {
    let mut ended = shared.ended.subscribe();
    tokio::select! {
        () = pass(&shared, direction, &mut from, &mut to) => {}
        _ = ended.wait_for(|ended| *ended) => {}
    }
    // Both directions end together, as those of a connection.
    let _ = to.shutdown().await;
    shared.ended.send_replace(true);
}

async fn pass(
    shared: &Shared,
    direction: Direction,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) {
    let mut stalled = shared.stalled.subscribe();
    loop {
        let Ok(len) = from.read_u32().await else { return };
        let mut packet = len.to_be_bytes().to_vec();
        packet.resize(4 + (len as usize).min(LONGEST_PACKET), 0);
        if from.read_exact(&mut packet[4..]).await.is_err() {
            return;
        }
        let number = shared.packets[direction as usize].fetch_add(1, Ordering::Relaxed);
        match shared.wish.fault {
            Some(Fault::Cut(at, n)) if (at, n) == (direction, number) => return,
            Some(Fault::CutWithin(at, n)) if (at, n) == (direction, number) => {
                let _ = to.write_all(&packet[..packet.len() / 2]).await;
                return;
            }
            Some(Fault::Stall(at, n)) if (at, n) == (direction, number) => {
                shared.stalled.send_replace(true);
            }
            Some(Fault::LoseWrite { write, later }) if packet[4] == WRITE => {
                let number = shared.writes.fetch_add(1, Ordering::Relaxed);
                if number == write {
                    continue;
                }
                if number > write + later {
                    return;
                }
            }
            _ => {}
        }
        if *stalled.borrow_and_update() {
            return std::future::pending().await;
        }
        shared.spoil(direction, &mut packet);
        shared.bytes[direction as usize].fetch_add(packet.len() as u64, Ordering::Relaxed);
        if to.write_all(&packet).await.is_err() {
            return;
        }
    }
}

impl Shared {
    /// Changes a bit of file content, if this packet holds it.
    fn spoil(&self, direction: Direction, packet: &mut [u8]) {
        let Some(flip) = self.wish.flip else { return };
        let id = u32_at(packet, 5);
        let (offset, data_at) = match (direction, packet[4]) {
            (Direction::Requests, READ) => {
                let offset_at = 13 + u32_at(packet, 9) as usize;
                self.reads.lock().unwrap().insert(id, u64_at(packet, offset_at));
                return;
            }
            (Direction::Requests, WRITE) => {
                let offset_at = 13 + u32_at(packet, 9) as usize;
                (u64_at(packet, offset_at), offset_at + 12)
            }
            (Direction::Replies, DATA) => {
                let Some(offset) = self.reads.lock().unwrap().remove(&id) else { return };
                (offset, 13)
            }
            _ => return,
        };
        let len = (packet.len() - data_at) as u64;
        if (offset..offset + len).contains(&flip.at)
            && self.flips.fetch_add(1, Ordering::Relaxed) < flip.times
        {
            packet[data_at + (flip.at - offset) as usize] ^= 0x10;
        }
    }
}

fn u32_at(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
}

fn u64_at(packet: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(packet[at..at + 8].try_into().unwrap())
}
