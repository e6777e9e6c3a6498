//! A listening server and its defence: who is refused at accept, what is noted at the end of a
//! connection, and what is kept when the server stops.
//!
//! One thread runs both sides, so what the server did is done when its client sees the end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sterna_server::defence::{Defence, DefenceSettings, Offence, PenaltySettings};
use sterna_state::{State, Unban};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{HERE, Setup, Stage};

impl Stage {
    /// Connects; the socket if the server speaks, `None` if it just closes.
    async fn is_served(&self) -> Option<TcpStream> {
        let mut socket = self.connect().await;
        let mut hello = [0; 8];
        match socket.read_exact(&mut hello).await {
            Ok(_) => {
                assert_eq!(&hello, b"SSH-2.0-");
                Some(socket)
            }
            Err(_) => None,
        }
    }

    fn offences(&self) -> Vec<Offence> {
        self.defence.list(Instant::now()).iter().map(|penalty| penalty.offence).collect()
    }
}

fn start(settings: DefenceSettings) -> Stage {
    start_with(Defence::new(settings, Instant::now(), SystemTime::now()))
}

fn start_with(defence: Arc<Defence>) -> Stage {
    Setup { defence: Some(defence), ..Setup::default() }.start(|_| {})
}

/// Sends `bytes` and waits until the server has closed.
async fn ends_with(mut socket: TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).await.unwrap();
    socket.shutdown().await.unwrap();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut Vec::new()).await;
}

/// Every offence is enough to be refused, for longer than a test takes.
fn strict() -> DefenceSettings {
    let minute = Duration::from_secs(60);
    let penalties = PenaltySettings {
        protocol_error: minute,
        no_auth: minute,
        grace_exceeded: minute,
        ..PenaltySettings::default()
    };
    DefenceSettings { per_source_penalties: Some(penalties), ..DefenceSettings::default() }
}

#[tokio::test]
async fn a_penalised_source_is_refused_at_accept_and_served_after_an_unban() {
    let stage = start(DefenceSettings::default());
    assert!(stage.is_served().await.is_some());

    stage.defence.note(HERE, Offence::Crash, Instant::now());
    assert!(stage.is_served().await.is_none());

    let unban = Unban::Source("127.0.0.0/8".parse().unwrap());
    assert_eq!(stage.defence.unban(unban), 1);
    assert!(stage.is_served().await.is_some());
}

#[tokio::test]
async fn what_a_connection_did_before_login_is_noted_at_its_end() {
    // What comes after the server's version line, and what that is.
    let table: [(&[u8], Offence); 5] = [
        (b"", Offence::NoAuth),
        (b"SSH-2.0-x\r\n", Offence::NoAuth),
        (b"GET / HTTP/1.0\r\n\r\n", Offence::NoAuth),
        // A packet length beyond every bound.
        (b"SSH-2.0-x\r\n\xFF\xFF\xFF\xFF\x00\x00\x00\x00", Offence::ProtocolError),
        // A channel is opened before anything else: number 90.
        (
            b"SSH-2.0-x\r\n\x00\x00\x00\x0C\x0A\x5A\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            Offence::ProtocolError,
        ),
    ];
    for (bytes, offence) in table {
        let stage = start(strict());
        let socket = stage.is_served().await.unwrap();

        ends_with(socket, bytes).await;

        assert_eq!(stage.offences(), [offence], "{}", bytes.escape_ascii());
        assert!(stage.is_served().await.is_none(), "{}", bytes.escape_ascii());
    }
}

#[tokio::test]
async fn connections_that_are_there_go_on_when_their_source_is_penalised() {
    let stage = start(strict());
    let mut early = stage.is_served().await.unwrap();

    ends_with(stage.is_served().await.unwrap(), b"").await;
    assert!(stage.is_served().await.is_none());

    // The rest of the version line, and the first packet after ours.
    early.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    let mut line_and_packet = [0; 200];
    early.read_exact(&mut line_and_packet).await.unwrap();
}

#[tokio::test]
async fn new_settings_hold_for_the_next_connection() {
    let stage = start(strict());
    let _early = stage.is_served().await.unwrap();

    let no_grace = DefenceSettings { login_grace: Duration::ZERO, ..strict() };
    stage.defence.replace_settings(no_grace, Instant::now());
    let mut socket = stage.connect().await;
    let mut said = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut said)).await;

    assert!(end.is_ok(), "the grace time of before would be longer");
    assert_eq!(stage.offences(), [Offence::GraceExceeded]);
}

#[tokio::test]
async fn a_place_before_login_is_free_again_at_the_end_of_a_connection() {
    let stage = start(DefenceSettings {
        per_source_max_startups: Some(2),
        per_source_penalties: None,
        ..DefenceSettings::default()
    });
    let first = stage.is_served().await.unwrap();
    let _second = stage.is_served().await.unwrap();
    assert!(stage.is_served().await.is_none());

    ends_with(first, b"").await;

    assert!(stage.is_served().await.is_some());
}

/// Goal: who is logged in takes no place of those who want to.
/// Method: one place; OpenSSH's client logs in and stays, and says so by SFTP's first answer.
#[tokio::test]
async fn a_login_frees_the_place_and_is_no_offence() {
    let settings = DefenceSettings { per_source_max_startups: Some(1), ..strict() };
    let stage = start(settings);
    let (mut client, input) = stage.login().await.unwrap();

    let other = stage.is_served().await;

    assert!(other.is_some());
    drop(input);
    assert!(client.wait().await.unwrap().success());
    assert_eq!(stage.offences(), []);
}

#[tokio::test]
async fn penalties_are_kept_when_the_server_stops() {
    let state = Arc::new(State::in_memory().unwrap());
    let started = (Instant::now(), SystemTime::now());
    let defence = Defence::with_state(strict(), Arc::clone(&state), started.0, started.1).unwrap();
    let stage = start_with(defence);
    ends_with(stage.is_served().await.unwrap(), b"").await;

    stage.stop().await;

    let kept = state.penalties().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].source.to_string().as_str(), kept[0].offences), ("127.0.0.1/32", 1));
    // The next server refuses it from the start.
    let defence = Defence::with_state(strict(), Arc::clone(&state), started.0, started.1).unwrap();
    assert!(start_with(defence).is_served().await.is_none());
}
