//! The scene of an escape: a root with its user's files, another user's root beside it, a process that is nobody's
//! business, and sockets that listen.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DIR: &str = "STERNA_ESCAPE_DIR";
const VICTIM: &str = "STERNA_ESCAPE_VICTIM";
const PORT: &str = "STERNA_ESCAPE_PORT";

pub const SECRET: &str = "the other user's secret";

pub struct Stage {
    dir: PathBuf,
    victim: u32,
    pub port: u16,
    /// What only the test itself holds.
    held: Option<Held>,
}

struct Held {
    _dir: tempfile::TempDir,
    victim: Child,
    _tcp: TcpListener,
    _abstract: UnixListener,
}

impl Stage {
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_owned();
        for name in ["inside", "inside/sub", "outside", "outside/dir"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        fs::write(dir.join("inside/own"), b"own").unwrap();
        fs::write(dir.join("outside/secret"), SECRET).unwrap();
        let victim = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let name = abstract_name(victim.id());
        let unix = UnixListener::bind_addr(&name).unwrap();
        let id = victim.id();
        let held = Held { _dir: temporary, victim, _tcp: tcp, _abstract: unix };
        Self { dir, victim: id, port, held: Some(held) }
    }

    pub fn to_env(&self, command: &mut Command) {
        command.env(DIR, &self.dir);
        command.env(VICTIM, self.victim.to_string());
        command.env(PORT, self.port.to_string());
    }

    pub fn from_env() -> Self {
        let number = |name| std::env::var(name).unwrap().parse::<u32>().unwrap();
        let port = u16::try_from(number(PORT)).unwrap();
        Self {
            dir: std::env::var_os(DIR).unwrap().into(),
            victim: number(VICTIM),
            port,
            held: None,
        }
    }

    pub fn inside(&self) -> PathBuf {
        self.dir.join("inside")
    }

    pub fn outside(&self) -> PathBuf {
        self.dir.join("outside")
    }

    pub fn secret(&self) -> PathBuf {
        self.outside().join("secret")
    }

    pub fn victim(&self) -> i32 {
        i32::try_from(self.victim).unwrap()
    }

    pub fn abstract_name(&self) -> SocketAddr {
        abstract_name(self.victim)
    }

    /// Nothing outside was changed, made or removed, and the other process lives.
    pub fn assert_untouched(&self, attempt: &str) {
        let names = |dir: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.dir), ["inside", "outside"], "{attempt}");
        assert_eq!(names(&self.outside()), ["dir", "secret"], "{attempt}");
        assert_eq!(fs::read_to_string(self.secret()).unwrap(), SECRET, "{attempt}");
        let status = fs::read_to_string(format!("/proc/{}/stat", self.victim)).unwrap();
        assert!(!status.contains(") Z"), "{attempt}: the other process was ended");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(held) = &mut self.held {
            let _ = held.victim.kill();
            let _ = held.victim.wait();
        }
    }
}

fn abstract_name(of: u32) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("sterna-escape-{of}")).unwrap()
}
