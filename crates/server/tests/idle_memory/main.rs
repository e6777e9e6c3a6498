//! What a session that is logged in and does nothing costs the server. A binary of its own, because it
//! counts what the whole process has allocated.

// Its other half is for the other test.
#[allow(dead_code)]
#[path = "../allocations/counting.rs"]
mod counting;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use counting::Counting;
use sterna_identity::{Directory, User, parse_authorized_keys};
use sterna_server::{HostKeys, Server};
use sterna_sftp_proto::Request;
use sterna_sftp_proto::messages::Stat;
use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use sterna_ssh_proto::{ChannelId, ClientAuth};
use sterna_testkit::{Pair, PairConfig, Side};
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Bytes that one idle session may hold on the heap. It has to fit into 20 KiB of memory together
/// with what the allocator adds. Some 600 of them are for lists of sessions and the audit log: who it is, by
/// which keys, from where, with which client.
const SESSION_LEN_MAX: usize = 11 * 1024 + 512;

/// Sessions that are measured together: what one of them still holds for a moment counts little. So few
/// that they are measured before they give back what goes after a second of idleness; if they are not,
/// they hold less.
const SESSIONS: usize = 32;

fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap()
}

/// A client that does what it is told, step by step.
struct Client {
    side: Side,
    socket: TcpStream,
}

impl Client {
    fn connect(port: u16) -> Self {
        let mut side = Pair::new(PairConfig::new(1)).client;
        side.stop_before_login();
        Self { side, socket: TcpStream::connect(("127.0.0.1", port)).unwrap() }
    }

    /// Sends and receives until `done`.
    fn run_until(&mut self, done: impl Fn(&Side) -> bool) {
        let mut received = [0; 16 * 1024];
        loop {
            self.side.run(Instant::now());
            let output = &mut self.side.output;
            self.socket.write_all(output.pending()).unwrap();
            output.consume(output.len());
            if done(&self.side) {
                return;
            }
            let len = self.socket.read(&mut received).unwrap();
            assert!(len > 0, "the server has closed: {:?} {:?}", self.side.log, self.side.error);
            self.side.feed(&received[..len]);
        }
    }

    fn log_in(&mut self, key: &PrivateKey) {
        self.run_until(|side| side.has("auth-turn"));
        let (algorithm, key_blob) = ("ssh-ed25519".to_owned(), key.public().to_wire());
        let connection = &mut self.side.connection;
        let signed = connection.public_key_signed_bytes(&algorithm, &key_blob);
        let signature = key.sign(&algorithm, &signed).unwrap();
        let attempt = ClientAuth::PublicKey { algorithm, key_blob, signature };
        connection.try_auth(attempt, &mut self.side.output);
        self.run_until(|side| side.has("authenticated"));
    }

    fn start_sftp(&mut self) -> ChannelId {
        let channel = self.side.connection.open_session(&mut self.side.output).unwrap();
        self.run_until(|side| side.has("opened"));
        self.side.connection.request_subsystem(channel, "sftp", &mut self.side.output);
        self.run_until(|side| side.has("request-done true"));
        self.side.write(channel, &[0, 0, 0, 5, 1, 0, 0, 0, 3]);
        self.run_until(|side| type_of_reply(side, channel) == Some(2));
        self.side.received.clear();
        channel
    }

    fn stat(&mut self, channel: ChannelId) {
        let mut request = Vec::new();
        Request::from(Stat { path: b"/" }).encode(7, &mut request);
        self.side.write(channel, &request);
        self.run_until(|side| type_of_reply(side, channel) == Some(105));
    }
}

/// The type of the reply that has come, once all of it is there.
fn type_of_reply(side: &Side, channel: ChannelId) -> Option<u8> {
    let received = side.received.get(&channel)?;
    let len = u32::from_be_bytes(*received.first_chunk()?) as usize;
    (received.len() == 4 + len).then(|| received[4])
}

/// A session that has done a little. All that is left of the client is its socket.
fn idle_session(port: u16, key: &PrivateKey) -> TcpStream {
    let mut client = Client::connect(port);
    client.log_in(key);
    let channel = client.start_sftp();
    client.stat(channel);
    client.socket
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn an_idle_session_holds_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let mut user = User::new("alice", dir.path());
    let keys = parse_authorized_keys(key.public().to_openssh("alice").as_bytes()).0;
    user.authorized_keys = keys.into_iter().map(Into::into).collect();
    let (told, port) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::builder()
                .listen("127.0.0.1:0".parse().unwrap())
                .host_keys(HostKeys::new([self::key()]))
                .users(Directory::new([user]).unwrap())
                .bind()
                .unwrap();
            told.send(server.local_addrs()[0].port()).unwrap();
            let stopped = async {
                let _ = stopped.await;
            };
            server.run(stopped, Duration::ZERO).await;
        });
    });
    let port = port.recv().unwrap();

    // What all sessions share is made for the first ones: threads, tables, buffers.
    let mut open: Vec<_> = (0..SESSIONS).map(|_| idle_session(port, &key)).collect();
    let before = ALLOCATOR.held();
    open.extend((0..SESSIONS).map(|_| idle_session(port, &key)));
    let each = (ALLOCATOR.held() - before) / SESSIONS;

    assert!(each <= SESSION_LEN_MAX, "{each} bytes");
    drop(open);
    drop(stop);
    server.join().unwrap();
}
