//! Who gets in: limits of connections and sessions, listeners with rules, and clients behind a balancer.

use std::process::Stdio;
use std::time::{Duration, Instant};

use sterna_identity::User;
use sterna_server::defence::Offence;
use sterna_server::{ListenerRules, ServerLimits};
use sterna_ssh_files::AddressList;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, Command};

use crate::stage::{HERE, Setup, Stage};

impl Stage {
    fn start(limits: ServerLimits, rules: ListenerRules, change: impl FnOnce(&mut User)) -> Self {
        Setup { limits, rules, ..Setup::default() }.start(change)
    }

    /// Sends `first` and returns what the server says to that, until it waits or ends.
    async fn says_to(&self, first: &[u8]) -> (TcpStream, Vec<u8>) {
        let mut socket = self.connect().await;
        socket.write_all(first).await.unwrap();
        let mut said = Vec::new();
        // A version line and the head of a packet, or less and the end.
        while said.len() < 64 && socket.read_buf(&mut said).await.is_ok_and(|len| len > 0) {}
        (socket, said)
    }

    /// The sources that did something wrong, once there are any: an end is noted when the server sees it.
    async fn penalised(&self) -> Vec<String> {
        loop {
            let list = self.defence.list(Instant::now());
            if !list.is_empty() {
                return list.iter().map(|penalty| penalty.source.to_string()).collect();
            }
            tokio::task::yield_now().await;
        }
    }

    /// [`Stage::login`] with the client's connection made by a balancer, which says that the client is `source`.
    async fn login_from(&self, source: &str) -> Result<(Child, ChildStdin), String> {
        let balancer = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = balancer.local_addr().unwrap().port();
        let header = format!("PROXY TCP4 {source} 198.51.100.1 4711 22\r\n");
        let mut server = self.connect().await;
        tokio::spawn(async move {
            let (mut client, _) = balancer.accept().await.unwrap();
            server.write_all(header.as_bytes()).await.unwrap();
            // How it ends is the client's affair.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
        self.login_at(port).await
    }
}

fn with(change: impl FnOnce(&mut ServerLimits)) -> ServerLimits {
    let mut limits = ServerLimits::default();
    change(&mut limits);
    limits
}

fn anybody(_: &mut User) {}

#[tokio::test]
async fn a_full_server_says_so_and_goes_on_with_those_it_has() {
    let limits = with(|limits| limits.connections = 2);
    let stage = Stage::start(limits, ListenerRules::default(), anybody);
    let first = stage.says_to(b"").await;
    let (mut second, _) = stage.says_to(b"").await;

    let refused = stage.login().await.unwrap_err();
    assert!(refused.contains("too many connections; try again later"), "{refused}");

    // Who is there is served.
    second.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    drop(first);
    // A place is free when the server has seen the end.
    let mut tries = 0;
    while let Err(refused) = stage.login().await {
        assert!(tries < 100 && refused.contains("too many connections"), "{refused}");
        tries += 1;
    }
    // No offence: the server was at fault.
    assert!(stage.defence.list(Instant::now()).iter().all(|p| p.offence == Offence::NoAuth));
}

#[tokio::test]
async fn one_source_cannot_take_every_place() {
    let limits = with(|limits| limits.connections_per_source = 1);
    let stage = Stage::start(limits, ListenerRules::default(), anybody);
    let (_first, said) = stage.says_to(b"").await;
    assert!(said.starts_with(b"SSH-2.0-"));

    let refused = stage.login().await.unwrap_err();

    assert!(refused.contains("too many connections from this source"), "{refused}");
    stage.limits.replace(ServerLimits::default());
    assert!(stage.login().await.is_ok(), "new limits hold at once");
}

#[tokio::test]
async fn short_of_memory_nobody_new_is_taken() {
    let limits = with(|limits| limits.memory = Some(1));
    let stage = Stage::start(limits, ListenerRules::default(), anybody);

    let refused = stage.login().await.unwrap_err();

    assert!(refused.contains("the server is short of memory"), "{refused}");
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_its_own_number_goes_first() {
    let limits = with(|limits| limits.sessions_per_user = 1);
    let stage = Stage::start(limits, ListenerRules::default(), anybody);
    let _first = stage.login().await.unwrap();

    let refused = stage.login().await.unwrap_err();
    assert!(refused.contains("too many sessions of this user"), "{refused}");
    assert_eq!(stage.defence.list(Instant::now()).len(), 0, "a right login is no offence");

    let two = |user: &mut User| user.sessions_max = Some(2);
    let stage = Stage::start(limits, ListenerRules::default(), two);
    let _first = stage.login().await.unwrap();
    let _second = stage.login().await.unwrap();
    assert!(stage.login().await.is_err());
}

#[tokio::test]
async fn a_session_on_which_nothing_moves_ends() {
    let limits = with(|limits| limits.idle = Some(Duration::from_millis(100)));
    let stage = Stage::start(limits, ListenerRules::default(), anybody);

    let (client, _input) = stage.login().await.unwrap();
    let output = client.wait_with_output().await.unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nothing was asked for too long"), "{said}");
}

#[tokio::test]
async fn a_listener_takes_its_groups_only_and_may_be_read_only() {
    let rules = ListenerRules {
        groups: Some(vec!["partners".to_owned()]),
        read_only: true,
        banner: Some("for partners\n".to_owned()),
        ..ListenerRules::default()
    };
    let stage = Stage::start(ServerLimits::default(), rules.clone(), anybody);
    let refused = stage.login().await.unwrap_err();
    assert!(refused.contains("Permission denied"), "{refused}");
    assert!(refused.contains("for partners"), "{refused}");

    let partner = |user: &mut User| user.groups = vec!["staff".into(), "partners".into()];
    let stage = Stage::start(ServerLimits::default(), rules, partner);
    let output = Command::new("sftp")
        .args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-b", "-"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i"])
        .arg(stage.dir.path().join("id"))
        .args(["-P", &stage.port.to_string(), "alice@127.0.0.1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(|mut sftp| {
            let mut input = sftp.stdin.take().unwrap();
            async move {
                input.write_all(b"ls\nmkdir new\n").await.unwrap();
                drop(input);
                sftp.wait_with_output().await.unwrap()
            }
        })
        .unwrap()
        .await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Permission denied"), "{said}");
    assert!(!stage.dir.path().join("new").exists());
}

/// Goal: behind a balancer, rules look at the client's address, and nobody else may pretend.
/// Method: alice may come from 192.0.2.0/24 alone; a small balancer says that OpenSSH's client does.
#[tokio::test]
async fn a_balancers_header_says_where_the_client_is() {
    let balancer = ListenerRules {
        proxy_from: vec!["127.0.0.0/8".parse().unwrap()],
        ..ListenerRules::default()
    };
    let from_there = |user: &mut User| {
        user.allow_from = Some("192.0.2.0/24".parse::<AddressList>().unwrap());
    };
    let stage = Stage::start(ServerLimits::default(), balancer.clone(), from_there);
    assert!(stage.login_from("192.0.2.7").await.is_ok());
    let refused = stage.login_from("203.0.113.7").await.unwrap_err();
    assert!(refused.contains("Permission denied"), "{refused}");
    // Penalties are the client's, not the balancer's.
    assert_eq!(stage.penalised().await, ["203.0.113.7/32"]);

    // Without a header there is no client, and the server says nothing.
    let (_, said) = stage.says_to(b"SSH-2.0-OpenSSH_9.2\r\nxxxx").await;
    assert_eq!(said, b"");
    let (_, said) = stage.says_to(b"PROXY TCP4 203.0.113.900 198.51.100.1 1 2\r\n").await;
    assert_eq!(said, b"");
    // A health check speaks for itself, and is served like anybody from there.
    let (_, said) = stage.says_to(b"PROXY UNKNOWN\r\nSSH-2.0-check\r\n").await;
    assert!(said.starts_with(b"SSH-2.0-"));

    // Where nobody is a balancer, a header is a broken version line.
    let plain = Stage::start(ServerLimits::default(), ListenerRules::default(), anybody);
    let (mut socket, _) = plain.says_to(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n").await;
    let _ = socket.read_to_end(&mut Vec::new()).await;
    assert_eq!(plain.penalised().await, ["127.0.0.1/32"]);
}

/// Goal: a balancer that says nothing takes a place for some seconds, and not for ever.
#[tokio::test(start_paused = true)]
async fn a_balancer_that_says_nothing_is_not_waited_for() {
    let balancer = ListenerRules {
        proxy_from: vec!["127.0.0.0/8".parse().unwrap()],
        ..ListenerRules::default()
    };
    let stage = Stage::start(with(|limits| limits.connections = 1), balancer, anybody);
    let mut silent = stage.connect().await;
    silent.write_all(b"PROXY ").await.unwrap();

    // Virtual time runs on when nothing else can.
    assert_eq!(silent.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);

    let (_, said) = stage.says_to(b"PROXY UNKNOWN\r\n").await;
    assert!(said.starts_with(b"SSH-2.0-"));
}
