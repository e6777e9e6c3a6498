//! A TCP relay on loopback that counts what passes, and does something at an exact byte: faults come
//! where the test wants them, not when.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bytes that are passed on at once.
const STEP: usize = 16 * 1024;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What happens when so many bytes have passed.
struct Trigger {
    direction: Direction,
    at: u64,
    act: Box<dyn FnOnce() + Send>,
}

/// A running relay; it ends when it is dropped.
pub struct Relay {
    /// Where clients connect.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: AtomicU16,
    ended: AtomicBool,
    /// By [`Direction`], over all connections.
    passed: [AtomicU64; 2],
    trigger: Mutex<Option<Trigger>>,
}

impl Relay {
    /// Relays to a loopback port.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target),
            ended: AtomicBool::new(false),
            passed: Default::default(),
            trigger: Mutex::new(None),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.ended.load(Ordering::Relaxed) {
                    return;
                }
                accepting.clone().relay(client);
            }
        });
        Self { port, shared }
    }

    /// New connections go to this loopback port.
    pub fn redirect(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }

    /// Counts from zero again, and does `act` once when `at` bytes have passed in `direction`.
    pub fn arm(&self, direction: Direction, at: u64, act: impl FnOnce() + Send + 'static) {
        for passed in &self.shared.passed {
            passed.store(0, Ordering::Relaxed);
        }
        *self.shared.trigger() = Some(Trigger { direction, at, act: Box::new(act) });
    }

    /// Bytes that have passed since [`Relay::arm`].
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.passed[direction as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn trigger(&self) -> std::sync::MutexGuard<'_, Option<Trigger>> {
        self.trigger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn relay(self: Arc<Self>, client: TcpStream) {
        let target = self.target.load(Ordering::Relaxed);
        // A server that is not there: the client's connection ends.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let pair = |stream: &TcpStream| stream.try_clone().expect("a second handle of a socket");
        let (from_client, to_client) = (pair(&client), client);
        let (from_server, to_server) = (pair(&server), server);
        let other = self.clone();
        thread::spawn(move || self.copy(Direction::Up, from_client, to_server));
        thread::spawn(move || other.copy(Direction::Down, from_server, to_client));
    }

    fn copy(&self, direction: Direction, mut from: TcpStream, mut to: TcpStream) {
        let mut chunk = vec![0; STEP];
        while let Ok(len @ 1..) = from.read(&mut chunk) {
            if !self.pass(direction, &mut to, &chunk[..len]) {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Passes bytes on; false when nobody takes them.
    fn pass(&self, direction: Direction, to: &mut TcpStream, chunk: &[u8]) -> bool {
        let passed = &self.passed[direction as usize];
        let before = passed.load(Ordering::Relaxed);
        let due = |t: &mut Trigger| t.direction == direction && t.at <= before + chunk.len() as u64;
        let due = self.trigger().take_if(due);
        let first = due.as_ref().map_or(chunk.len() as u64, |due| due.at.saturating_sub(before));
        let (first, rest) = chunk.split_at(first as usize);
        let mut taken = to.write_all(first).is_ok();
        if let Some(due) = due {
            passed.fetch_add(first.len() as u64, Ordering::Relaxed);
            (due.act)();
            passed.fetch_add(rest.len() as u64, Ordering::Relaxed);
        } else {
            passed.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        taken &= to.write_all(rest).is_ok();
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_due_happens_at_its_byte_and_everything_passes() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::start(server.local_addr().unwrap().port());
        let (told, tells) = mpsc::channel();
        let shared = relay.shared.clone();
        relay.arm(Direction::Up, 70_001, move || {
            told.send(shared.passed[0].load(Ordering::Relaxed)).unwrap();
        });

        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        let sending = thread::spawn(move || client.write_all(&[7; 200_000]).unwrap());
        let mut got = Vec::new();
        accepted.read_to_end(&mut got).unwrap();
        sending.join().unwrap();

        assert_eq!(got.len(), 200_000);
        assert_eq!(tells.recv().unwrap(), 70_001);
        assert_eq!(relay.passed(Direction::Up), 200_000);
    }
}
