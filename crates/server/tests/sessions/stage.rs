//! A server that listens, in this process, and OpenSSH's client, which logs in there.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sterna_identity::{Directory, User, parse_authorized_keys};
use sterna_server::defence::{Defence, DefenceSettings};
use sterna_server::{HostKeys, ListenAt, ListenerRules, LiveLimits, Server, ServerLimits};
use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A running server with one user, alice, whose key is the file `id` in the directory that she sees.
pub struct Stage {
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub limits: Arc<LiveLimits>,
    pub defence: Arc<Defence>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// What is not as usual.
#[derive(Default)]
pub struct Setup {
    pub limits: ServerLimits,
    pub rules: ListenerRules,
    pub defence: Option<Arc<Defence>>,
}

/// Alice, who sees `root`, and whose key is the file `id` in `dir`.
pub fn alice(dir: &Path, root: &Path) -> User {
    let key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
    let path = dir.join("id");
    std::fs::write(&path, key.to_openssh_text("test").as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let keys = parse_authorized_keys(key.public().to_openssh("alice").as_bytes()).0;
    User { authorized_keys: keys.into_iter().map(Into::into).collect(), ..User::new("alice", root) }
}

impl Setup {
    pub fn start(self, change: impl FnOnce(&mut User)) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let mut user = alice(dir.path(), dir.path());
        change(&mut user);
        let host_key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
        let limits = Arc::new(LiveLimits::new(self.limits));
        let defence = self.defence.unwrap_or_else(|| {
            Defence::new(DefenceSettings::default(), Instant::now(), SystemTime::now())
        });
        let address = (HERE, 0).into();
        let server = Server::builder()
            .listen_at(ListenAt { address, rules: Arc::new(self.rules) })
            .host_keys(HostKeys::new([host_key]))
            .users(Directory::new([user]).unwrap())
            .limits(Arc::clone(&limits))
            .defence(Arc::clone(&defence))
            .bind()
            .unwrap();
        let port = server.local_addrs()[0].port();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let server = tokio::spawn(server.run(stopped, Duration::ZERO));
        Stage { dir, port, limits, defence, stop, server }
    }
}

impl Stage {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect((HERE, self.port)).await.unwrap()
    }

    /// OpenSSH's client, logged in with an SFTP session, or what it said when it could not.
    pub async fn login(&self) -> Result<(Child, ChildStdin), String> {
        self.login_at(self.port).await
    }

    /// The same at another port, from which it gets here.
    pub async fn login_at(&self, port: u16) -> Result<(Child, ChildStdin), String> {
        let mut client = Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i"])
            .arg(self.dir.path().join("id"))
            .args(["-p", &port.to_string()])
            .args(["-s", "alice@127.0.0.1", "sftp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("OpenSSH's client is installed");
        let mut input = client.stdin.take().unwrap();
        // It may have gone.
        let _ = input.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).await;
        let mut version = [0; 9];
        match client.stdout.take().unwrap().read_exact(&mut version).await {
            Ok(_) => Ok((client, input)),
            Err(_) => {
                drop(input);
                let output = client.wait_with_output().await.unwrap();
                Err(String::from_utf8_lossy(&output.stderr).into_owned())
            }
        }
    }

    /// Stops the server, and waits until it has.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }
}
