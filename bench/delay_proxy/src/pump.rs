//! One connection: two threads a direction, one that reads into the path and one that delivers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{io, thread};

use socket2::SockRef;

use crate::cut::{Cut, Direction, How};
use crate::link::{Link, Path};
use crate::queue::{Arrival, Queue};

/// Bytes that the kernel may hold between an end and the path, each. The path has its own buffer; what
/// lies here as well is delay that no real path has.
pub const SOCKET_BUFFER_LEN: usize = 256 * 1024;

/// Bytes read at a time: half a millisecond at 1 Gbit/s.
const CHUNK_LEN_MAX: usize = 64 * 1024;

/// Threads that wait for a socket look this often whether the connection is gone.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// A read that takes less has not waited for its bytes.
const BLINK: Duration = Duration::from_millis(1);

/// Both directions of the path, shared by all connections.
pub struct Links {
    pub path: Path,
    pub up: Mutex<Link>,
    pub down: Mutex<Link>,
}

impl Links {
    pub fn new(path: Path) -> Self {
        let link = || Mutex::new(Link::new(path, Instant::now()));
        Self { path, up: link(), down: link() }
    }

    fn of(&self, direction: Direction) -> &Mutex<Link> {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

/// What the four threads of a connection share.
struct Connection {
    links: Arc<Links>,
    client: TcpStream,
    server: TcpStream,
    up: Queue,
    down: Queue,
    cut: Option<Cut>,
    gone: AtomicBool,
}

/// Joins `client`, accepted at `accepted`, and `server` by the path. Returns when both are closed.
///
/// # Errors
/// A socket takes no options or no thread starts.
pub fn join(
    links: &Arc<Links>,
    client: TcpStream,
    accepted: Instant,
    server: TcpStream,
    cut: Option<Cut>,
) -> io::Result<()> {
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_PERIOD))?;
        stream.set_write_timeout(Some(LOOK_PERIOD))?;
    }
    let queue_len = links.path.cable_len() + 2 * links.path.router_len;
    let connection = Connection {
        links: Arc::clone(links),
        client,
        server,
        up: Queue::new(queue_len),
        down: Queue::new(queue_len),
        cut,
        gone: AtomicBool::new(false),
    };
    // The client believes it is connected since it was accepted; with the path's delay it would be
    // after one round trip, and what it said until then enters the path at that moment.
    let connected = accepted + 2 * links.path.one_way;
    thread::scope(|s| {
        for direction in [Direction::Up, Direction::Down] {
            let connection = &connection;
            s.spawn(move || connection.read(direction, connected));
            s.spawn(move || connection.deliver(direction));
        }
    });
    Ok(())
}

impl Connection {
    fn queue(&self, direction: Direction) -> &Queue {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Reads one end into the path, no faster than the path takes it.
    fn read(&self, direction: Direction, connected: Instant) {
        let (mut from, queue) = match direction {
            Direction::Up => (&self.client, &self.up),
            Direction::Down => (&self.server, &self.down),
        };
        let link = self.links.of(direction);
        let lock = || link.lock().expect("no panic under the lock");
        let chunk_len =
            ((self.links.path.bytes_per_s / 1000.0) as usize).clamp(1500, CHUNK_LEN_MAX);
        let mut chunk = vec![0; chunk_len];
        // What the client said before the path was ready entered it when the client was connected.
        let mut early = (direction == Direction::Up).then_some(connected);
        while !self.gone.load(Ordering::Acquire) {
            let full_until = lock().full_until(Instant::now());
            if let Some(until) = full_until {
                thread::sleep(until.saturating_duration_since(Instant::now()).min(LOOK_PERIOD));
                continue;
            }
            let asked = Instant::now();
            match from.read(&mut chunk) {
                Ok(0) => {
                    queue.push(lock().enter(0, Instant::now()), Arrival::End);
                    return;
                }
                Ok(len) => {
                    let now = Instant::now();
                    let entered = early.take().filter(|_| now - asked < BLINK).unwrap_or(now);
                    let due = lock().enter(len, entered);
                    queue.push(due, Arrival::Data(chunk[..len].to_vec()));
                }
                Err(error) if is_timeout(&error) => {}
                Err(_) => {
                    queue.push(lock().enter(0, Instant::now()), Arrival::Gone);
                    return;
                }
            }
        }
    }

    /// Hands over at the other end what has arrived there.
    fn deliver(&self, direction: Direction) {
        let to = match direction {
            Direction::Up => &self.server,
            Direction::Down => &self.client,
        };
        loop {
            match self.queue(direction).take() {
                Arrival::Data(data) => {
                    let len =
                        self.cut.as_ref().map_or(data.len(), |c| c.pass(direction, data.len()));
                    if self.write(to, &data[..len]).is_err() {
                        return self.end(How::Reset);
                    }
                    if len < data.len() {
                        let how = self.cut.as_ref().map_or(How::Reset, |cut| cut.how);
                        if how != How::Silence {
                            return self.end(how);
                        }
                    }
                }
                Arrival::End => {
                    let silent = self.cut.as_ref().is_some_and(|cut| cut.pass(direction, 1) == 0);
                    if !silent {
                        let _ = to.shutdown(Shutdown::Write);
                    }
                    return;
                }
                Arrival::Gone => return self.end(How::Reset),
            }
        }
    }

    fn write(&self, mut to: &TcpStream, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match to.write(data) {
                Ok(len) => data = &data[len..],
                Err(error) if is_timeout(&error) => {
                    if self.gone.load(Ordering::Acquire) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends both sides at once; the last thread that leaves closes the sockets.
    fn end(&self, how: How) {
        for stream in [&self.client, &self.server] {
            if how == How::Reset {
                // Closing with a lingering time of zero is what sends a reset.
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            } else {
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
        self.gone.store(true, Ordering::Release);
        self.up.abandon();
        self.down.abandon();
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
