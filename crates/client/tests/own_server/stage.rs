//! A server with one user, and a place for each side's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sterna_client::transfer::{Cancel, Event, Options, Progress, Summary, Transfer};
use sterna_client::{Destination, Session, SessionBuilder, Zeroizing};
use sterna_identity::{Directory, PasswordHash, User};
use sterna_server::{HostKeys, Server};
use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};

pub const PASSWORD: &str = "correct horse";

/// `here/` is local, `there/` is what the server shows as `/`. The server ends with the test's runtime.
pub struct Stage {
    pub dir: tempfile::TempDir,
    pub port: u16,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(&[KeyType::Ed25519], |_| {})
    }

    /// With all files in memory, where reading and writing waits for nothing.
    pub fn in_memory() -> Self {
        Self::in_dir(tempfile::tempdir_in("/dev/shm").unwrap(), &[KeyType::Ed25519], |_| {})
    }

    /// With host keys of these types, best first, and a user who is changed before anybody logs in.
    pub fn with(host_keys: &[KeyType], change: impl FnOnce(&mut User)) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), host_keys, change)
    }

    fn in_dir(
        dir: tempfile::TempDir,
        host_keys: &[KeyType],
        change: impl FnOnce(&mut User),
    ) -> Self {
        for side in ["here", "there"] {
            fs::create_dir(dir.path().join(side)).unwrap();
        }
        let mut user = User::new("alice", dir.path().join("there"));
        user.password = Some(PasswordHash::make(PASSWORD.as_bytes(), &mut SystemRandom).unwrap());
        change(&mut user);
        let make = |kind: &KeyType| PrivateKey::generate(*kind, &mut SystemRandom).unwrap();
        let server = Server::builder()
            .listen("127.0.0.1:0".parse().unwrap())
            .host_keys(HostKeys::new(host_keys.iter().map(make)))
            .users(Directory::new([user]).unwrap())
            .bind()
            .unwrap();
        let port = server.local_addrs()[0].port();
        tokio::spawn(server.run(std::future::pending(), Duration::ZERO));
        Self { dir, port }
    }

    pub fn here(&self, name: &str) -> PathBuf {
        self.dir.path().join("here").join(name)
    }

    pub fn there(&self, name: &str) -> PathBuf {
        self.dir.path().join("there").join(name)
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// A connection that knows nothing of the files of whoever runs the test.
    pub fn builder(&self) -> SessionBuilder {
        self.strict_builder().option("StrictHostKeyChecking=accept-new")
    }

    /// As [`builder`](Self::builder); the host key must be recorded.
    pub fn strict_builder(&self) -> SessionBuilder {
        let place =
            Destination::new(Some("alice".to_owned()), "127.0.0.1", Some(self.port), "").unwrap();
        Session::builder(&place)
            .config_file("none")
            .option(format!("UserKnownHostsFile={}", self.known_hosts().display()))
            .option("GlobalKnownHostsFile=none")
            .option("IdentityAgent=none")
            .option("IdentityFile=none")
    }

    pub async fn session(&self) -> Session {
        let password = Zeroizing::new(PASSWORD.to_owned());
        self.builder().password(password).connect().await.unwrap()
    }

    pub fn options(&self) -> Options {
        Options {
            state_dir: Some(self.dir.path().join("state")),
            fsync: false,
            ..Options::default()
        }
    }
}

/// A direction of transfer of a file called `f` on both sides.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Get,
    Put,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::Get, Self::Put];

    pub fn source(self, stage: &Stage) -> PathBuf {
        match self {
            Self::Get => stage.there("f"),
            Self::Put => stage.here("f"),
        }
    }

    pub fn target(self, stage: &Stage) -> PathBuf {
        match self {
            Self::Get => stage.here("f"),
            Self::Put => stage.there("f"),
        }
    }

    pub fn part(self, stage: &Stage) -> PathBuf {
        self.target(stage).with_file_name(".f.sterna-part")
    }

    /// Transfers `f` on a connection of its own.
    pub async fn run(self, stage: &Stage, options: Options, recorder: &Arc<Recorder>) -> Summary {
        let sftp = stage.session().await.sftp().await.unwrap();
        let transfer = Transfer::new(&sftp)
            .options(options)
            .progress(recorder.clone())
            .cancel(recorder.cancel.clone());
        match self {
            Self::Get => transfer.get(&[b"/f"], &stage.here("f")).await.unwrap(),
            Self::Put => transfer.put(&[stage.here("f")], b"/f").await.unwrap(),
        }
    }
}

type Act = Box<dyn FnOnce() + Send>;

/// Keeps what was said of complete files; may do something once, after so many bytes.
#[derive(Default)]
pub struct Recorder {
    /// `resumed_from` and the word for the verification.
    pub done: Mutex<Vec<(u64, &'static str)>>,
    /// Why something travelled once more.
    retries: Mutex<Vec<String>>,
    pub cancel: Cancel,
    act: Mutex<Option<(u64, Act)>>,
}

impl Recorder {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Acts when `at` bytes from the start are complete.
    pub fn acting(at: u64, act: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let recorder = Self::default();
        *recorder.act.lock().unwrap() = Some((at, Box::new(act)));
        Arc::new(recorder)
    }

    /// Stops the transfer when `at` bytes from the start are complete.
    pub fn stopping(at: u64) -> Arc<Self> {
        let recorder = Self::default();
        let cancel = recorder.cancel.clone();
        *recorder.act.lock().unwrap() = Some((at, Box::new(move || cancel.cancel())));
        Arc::new(recorder)
    }

    pub fn retries(&self) -> Vec<String> {
        self.retries.lock().unwrap().clone()
    }

    /// What was said of the only file.
    pub fn only(&self) -> (u64, &'static str) {
        let done = self.done.lock().unwrap();
        assert_eq!(done.len(), 1);
        done[0]
    }
}

impl Progress for Recorder {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Progress { done, .. } => {
                let mut act = self.act.lock().unwrap();
                if let Some((_, act)) = act.take_if(|(at, _)| done >= at) {
                    act();
                }
            }
            Event::Done(report) => {
                self.done.lock().unwrap().push((report.resumed_from, report.verified.as_str()));
            }
            Event::Retry { why, .. } => self.retries.lock().unwrap().push((*why).to_owned()),
            _ => {}
        }
    }
}

/// Bytes that no repetition explains.
pub fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Changes one byte of a file in place.
pub fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}
