//! Scripts, a small HTTP server, attempts, and a log that can be read.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use serde_json::Value;
use sterna_hooks::{Hook, HookIdentity, MakeUser, Transport};
use sterna_identity::hook::{ExternalAnswer, ExternalIdentity};
use sterna_identity::{Attempt, Credential, User};
use sterna_ssh_crypto::OfferedKey;

/// Only a broken hook comes this far: long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// For hooks that never answer.
pub const IMPATIENCE: Duration = Duration::from_millis(100);

/// In every test that looks for it in logs.
pub const PASSWORD: &str = "correct horse \"battery\" größe";

pub const USER_KEY: &str = include_str!("../data/user.pub");
pub const USER_CERTIFICATE: &str = include_str!("../data/user-cert.pub");

/// A shell that runs `script`, with `args` as `$1`, `$2`, ….
pub fn sh(script: &str, args: &[&Path]) -> Vec<String> {
    let mut command: Vec<String> =
        ["/bin/sh", "-c", script, "hook"].iter().map(|&word| word.to_owned()).collect();
    command.extend(args.iter().map(|arg| arg.to_str().unwrap().to_owned()));
    command
}

/// A hook that runs `script`.
pub fn program(script: &str, args: &[&Path]) -> Hook {
    Hook {
        transport: Transport::Exec { command: sh(script, args) },
        timeout: PATIENCE,
        cache: Duration::ZERO,
    }
}

/// A hook that asks `url`.
pub fn service(url: &str) -> Hook {
    Hook {
        transport: Transport::Http {
            url: url.to_owned(),
            token_file: None,
            ca_file: None,
            allow_plain_http: false,
        },
        timeout: PATIENCE,
        cache: Duration::ZERO,
    }
}

/// Takes records with `root` and, if it is there, `name`.
pub fn make_user() -> MakeUser {
    Arc::new(|name, record| {
        let Value::Object(mut record) = record else { return Err("no table".into()) };
        let root = record.remove("root").ok_or("root is missing")?;
        let name = match record.remove("name") {
            Some(name) => name.as_str().ok_or("name is no text")?.to_owned(),
            None => name.to_owned(),
        };
        match record.keys().next() {
            Some(key) => Err(format!("unknown key {key}")),
            None => Ok(User::new(name, root.as_str().ok_or("root is no text")?)),
        }
    })
}

pub fn identity(hook: &Hook) -> HookIdentity {
    HookIdentity::new(hook, make_user()).unwrap()
}

pub fn attempt<'a>(user: &'a str, credential: Credential<'a>) -> Attempt<'a> {
    Attempt {
        user: user.as_bytes(),
        credential,
        source: "192.0.2.7".parse().unwrap(),
        client_version: b"SSH-2.0-Test_1",
        groups: None,
        now: 0,
    }
}

/// What the hook says to alice's password, in words.
pub fn ask_password(hook: &Hook) -> String {
    said(identity(hook).ask(&attempt("alice", Credential::Password(PASSWORD.as_bytes()))))
}

/// An answer in words: `allow alice /srv`, `deny`, `error: …`.
pub fn said(answer: Result<ExternalAnswer, String>) -> String {
    match answer {
        Ok(ExternalAnswer::Deny) => "deny".into(),
        Ok(ExternalAnswer::Allow(user)) => format!("allow {} {}", user.name, user.root.display()),
        Ok(ExternalAnswer::Judge(user)) => format!("judge {} {}", user.name, user.root.display()),
        Err(why) => format!("error: {why}"),
    }
}

pub fn offered(line: &str) -> OfferedKey {
    OfferedKey::from_openssh(line.trim()).unwrap().0
}

/// A pipe with a name that shows whether anybody still has it open.
pub struct Lifeline {
    pub path: PathBuf,
    reader: rustix::fd::OwnedFd,
}

impl Lifeline {
    /// To be held open by a script with `exec 9>"$1"`.
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("lifeline");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        Self { path, reader }
    }

    /// Waits until it was held by somebody and is no more.
    pub fn assert_cut(&self) {
        let mut fds = [PollFd::new(&self.reader, PollFlags::empty())];
        let longest = Timespec { tv_sec: PATIENCE.as_secs().try_into().unwrap(), tv_nsec: 0 };
        poll(&mut fds, Some(&longest)).unwrap();
        assert!(fds[0].revents().contains(PollFlags::HUP), "it still runs, or never began");
    }
}

/// A server that hands every request to a function.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Arc<Request>>>>,
}

/// One request, as it came.
#[derive(Debug)]
pub struct Request {
    pub head: String,
    pub body: Value,
}

impl Server {
    /// `answer` writes the whole response; the connection is closed behind it.
    pub fn start(answer: impl Fn(&Request, &mut dyn Write) + Send + 'static) -> Self {
        Self::start_behind(Ok, "http", answer)
    }

    /// The same with something around each connection, such as TLS.
    pub fn start_behind<S: Read + Write>(
        wrap: impl Fn(TcpStream) -> std::io::Result<S> + Send + 'static,
        scheme: &str,
        answer: impl Fn(&Request, &mut dyn Write) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("{scheme}://{}/login", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let taken = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Ok(mut stream) = wrap(stream) else { continue };
                let Some(request) = read_request(&mut stream) else { continue };
                let request = Arc::new(request);
                // Before the answer: who has that looks here next.
                taken.lock().unwrap().push(request.clone());
                answer(&request, &mut stream);
                let _ = stream.flush();
            }
        });
        Self { url, requests }
    }

    /// Always the same answer of status 200.
    pub fn saying(body: &'static str) -> Self {
        Self::start(move |_, stream| respond(stream, "200 OK", body))
    }

    /// The requests since this was last called.
    pub fn taken(&self) -> Vec<Arc<Request>> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

pub fn respond(stream: &mut dyn Write, status: &str, body: &str) {
    let mut text = String::new();
    let _ = write!(text, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(text.as_bytes());
}

fn read_request(stream: &mut impl Read) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let len: usize = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.parse().ok())?;
            if body.len() == len {
                let body = serde_json::from_str(body).ok()?;
                return Some(Request { head: head.to_owned(), body });
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(len) => bytes.extend_from_slice(&chunk[..len]),
        }
    }
}

pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Everything that this thread logs while `f` runs, one event a line.
pub fn logged<T>(f: impl FnOnce() -> T) -> (T, Vec<String>) {
    let log = Log::default();
    let result = tracing::subscriber::with_default(log.clone(), f);
    let lines = log.0.lock().unwrap().clone();
    (result, lines)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

/// The lines of a file that scripts append to; none if it is not there.
pub fn lines_of(path: &Path) -> Vec<String> {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        file.read_to_string(&mut text).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}
