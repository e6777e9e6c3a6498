//! Two thousand wrong logins from several sources, beside a transfer and a good user's logins: neither is
//! harmed, and the sources are refused before they cost anything.
//!
//! How long things took is printed, and judged so widely that no machine's noise fails it: whoever waits for
//! the hashes of two thousand guesses is caught.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use sterna_client::{Destination, Error, Session, Zeroizing};
use sterna_interop::binary;
use sterna_interop::content::{compare_files, write_file};
use sterna_interop::place::Place;
use sterna_interop::server::listening_port;
use sterna_testkit::openssh::{KeyFile, KeyKind};
use sterna_testkit::processes::{Process, Stream, run};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Wrong logins, all sources together.
const LOGINS: usize = 2_000;

/// Addresses of the loopback network that they come from: 127.0.0.2 to 127.0.0.9.
const FIRST_SOURCE: u8 = 2;
const SOURCES: u8 = 8;

/// Wrong logins at the same time from one source.
const AT_ONCE: usize = 2;

/// Size of the file that is fetched meanwhile, bytes.
const FILE_LEN: u64 = 256 << 20;

const PASSWORD: &str = "correct horse battery";

/// Longest run of one transfer, one login or the whole storm, on a loaded machine.
const STEP_MAX: Duration = Duration::from_secs(400);

/// How much longer a transfer or a login may take in the storm than in peace. The guesses come from this
/// machine and need its processors, so some is fair.
const SLOWER_MAX: u32 = 10;
const SLOWER_GRACE: Duration = Duration::from_secs(20);

/// What became of the wrong logins of one source.
#[derive(Debug, Default)]
struct Tally {
    /// The password was judged.
    judged: AtomicUsize,
    /// The connection was closed before a word.
    dropped: AtomicUsize,
}

struct Scene {
    place: Place,
    server: Process,
    port: u16,
    known_hosts: PathBuf,
}

impl Scene {
    fn new(defence: &str) -> Self {
        let place = Place::new();
        let dir = place.path();
        write_file(&place.dir("shared").join("big"), FILE_LEN, 1);
        let password = dir.join("password");
        fs::write(&password, PASSWORD).expect("write the password");
        let mut hash = Command::new(binary::sterna());
        let done =
            run(hash.arg("hash-password").arg("--password-file").arg(&password), b"", STEP_MAX);
        assert!(done.success(), "{}", done.describe());
        let host_key = KeyFile::generate(&dir.join("host"), KeyKind::Ed25519);
        let settings = format!(
            "listen = ['127.0.0.1:0']\nstate_dir = 'state'\nhost_keys = ['host']\n{defence}\n\
             [[user]]\nname = 'alice'\nroot = 'shared'\npassword = '{}'\n",
            String::from_utf8_lossy(&done.stdout).trim()
        );
        fs::write(dir.join("sterna.toml"), settings).expect("write the settings");
        let mut serve = Command::new(binary::sterna());
        serve.args(["serve", "--config"]).arg(dir.join("sterna.toml"));
        let server = Process::start("sterna serve", &mut serve).unwrap_or_else(|e| panic!("{e}"));
        let port = listening_port(&server);
        let known_hosts = dir.join("known_hosts");
        fs::write(&known_hosts, format!("[127.0.0.1]:{port} {}\n", host_key.public_line))
            .expect("write known_hosts");
        Self { place, server, port, known_hosts }
    }

    fn options(&self) -> [String; 4] {
        [
            format!("UserKnownHostsFile={}", self.known_hosts.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "PreferredAuthentications=password".to_owned(),
            "IdentityAgent=none".to_owned(),
        ]
    }

    /// Runs one of our commands as the good user, from 127.0.0.1.
    fn as_alice(&self, command: &str, arguments: &[&Path]) -> Duration {
        let mut sterna = Command::new(binary::sterna());
        sterna.args([command, "-q", "-F", "none", "-P", &self.port.to_string()]);
        for option in self.options() {
            sterna.args(["-o", &option]);
        }
        sterna.arg("--password-file").arg(self.place.path().join("password")).args(arguments);
        let began = Instant::now();
        let done = run(&mut sterna, b"", STEP_MAX);
        assert!(done.success(), "{}\n{}", done.describe(), self.server.log());
        began.elapsed()
    }

    fn log_in(&self) -> Duration {
        self.as_alice("ls", &[Path::new("alice@127.0.0.1:")])
    }

    fn fetch(&self) -> Duration {
        let copy = self.place.path().join("copy");
        let took = self.as_alice("get", &[Path::new("alice@127.0.0.1:big"), &copy]);
        compare_files(&self.place.path().join("shared/big"), &copy)
            .unwrap_or_else(|e| panic!("{e}"));
        fs::remove_file(copy).expect("remove the copy");
        took
    }

    /// Tries wrong passwords from every source, in threads of its own.
    fn storm(&self) -> Storm {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let mut storm = Storm {
            runtime: runtime.expect("a runtime"),
            tallies: Vec::new(),
            guessing: Vec::new(),
        };
        for last in FIRST_SOURCE..FIRST_SOURCE + SOURCES {
            let tally = Arc::new(Tally::default());
            let source = format!("127.0.0.{last}");
            storm.tallies.push((source.clone(), Arc::clone(&tally)));
            for _ in 0..AT_ONCE {
                let (source, tally) = (source.clone(), Arc::clone(&tally));
                let (port, options) = (self.port, self.options());
                storm.guessing.push(storm.runtime.spawn(async move {
                    for _ in 0..LOGINS / usize::from(SOURCES) / AT_ONCE {
                        guess(&source, port, &options, &tally).await;
                    }
                }));
            }
        }
        storm
    }

    /// The sources that the running server says are under a penalty, or were.
    fn penalties(&self) -> Vec<String> {
        let mut list = Command::new(binary::sterna());
        list.args(["penalties", "--json", "--config"]).arg(self.place.path().join("sterna.toml"));
        let done = run(&mut list, b"", STEP_MAX);
        assert!(done.success(), "{}", done.describe());
        let text = String::from_utf8_lossy(&done.stdout);
        let source = |line| {
            let object: Value = serde_json::from_str(line).expect("one object a line");
            let network = object["source"].as_str().expect("a source").to_owned();
            network.trim_end_matches("/32").to_owned()
        };
        text.lines().map(source).collect()
    }

    /// Ends the server; returns its log.
    fn end(mut self) -> String {
        self.server.signal(Signal::TERM);
        assert!(self.server.wait_exit(STEP_MAX).is_some(), "the server does not end");
        String::from_utf8_lossy(&self.server.printed(Stream::Stderr)).into_owned()
    }
}

/// One wrong login.
async fn guess(source: &str, port: u16, options: &[String], tally: &Tally) {
    let place = Destination::parse("alice@127.0.0.1:").expect("a destination");
    let mut builder = Session::builder(&place).config_file("none").port(port).batch_mode(true);
    for option in options {
        builder = builder.option(option);
    }
    let builder = builder.option(format!("BindAddress={source}"));
    match builder.password(Zeroizing::new("guessed".to_owned())).connect().await {
        Ok(_) => panic!("a wrong password was taken"),
        Err(Error::Auth { .. }) => tally.judged.fetch_add(1, Ordering::SeqCst),
        Err(Error::Connect { .. }) => tally.dropped.fetch_add(1, Ordering::SeqCst),
        Err(other) => panic!("{other}"),
    };
}

/// Wrong logins on their way.
struct Storm {
    runtime: Runtime,
    /// By source.
    tallies: Vec<(String, Arc<Tally>)>,
    guessing: Vec<JoinHandle<()>>,
}

impl Storm {
    fn is_over(&self) -> bool {
        self.guessing.iter().all(JoinHandle::is_finished)
    }

    /// How many guesses were judged and how many connections dropped, by source.
    fn finish(self) -> Vec<(String, usize, usize)> {
        for task in self.guessing {
            self.runtime.block_on(task).expect("every guess comes to an end");
        }
        let counts = self.tallies.into_iter().map(|(source, tally)| {
            (source, tally.judged.load(Ordering::SeqCst), tally.dropped.load(Ordering::SeqCst))
        });
        counts.collect()
    }
}

/// Transfers and logs in, first in peace and then for as long as the storm goes on.
fn live_through_storm(scene: &Scene) -> Vec<(String, usize, usize)> {
    let peace = (scene.fetch(), scene.log_in());
    println!("in peace: transfer {:?}, login {:?}", peace.0, peace.1);
    let fair = |took: Duration, peace: Duration| took <= peace * SLOWER_MAX + SLOWER_GRACE;
    let began = Instant::now();
    let storm = scene.storm();
    loop {
        let (transfer, login) = (scene.fetch(), scene.log_in());
        println!("in the storm: transfer {transfer:?}, login {login:?}");
        assert!(fair(transfer, peace.0), "the transfer took {transfer:?}, {:?} in peace", peace.0);
        assert!(fair(login, peace.1), "the login took {login:?}, {:?} in peace", peace.1);
        if storm.is_over() {
            break;
        }
    }
    let counts = storm.finish();
    println!("the storm took at most {:?}; judged and dropped: {counts:?}", began.elapsed());
    println!("afterwards: login {:?}", scene.log_in());
    let guesses: usize = counts.iter().map(|(_, judged, dropped)| judged + dropped).sum();
    assert_eq!(guesses, LOGINS);
    counts
}

#[test]
fn sources_of_wrong_logins_are_refused_and_nobody_else_is_harmed() {
    if binary::is_baseline() {
        return;
    }
    let scene = Scene::new("");

    let counts = live_through_storm(&scene);

    let penalised = scene.penalties();
    let log = scene.end();
    for (source, judged, dropped) in &counts {
        assert!(*judged > 0 && *dropped > *judged, "{source}: {judged} judged, {dropped} dropped");
        assert!(penalised.contains(source), "{source} is not among {penalised:?}");
    }
    assert_eq!(penalised.len(), counts.len(), "somebody else is punished: {penalised:?}");
    assert!(log.contains("source is under a penalty"), "{log}");
    // Room for those who have not logged in was never short.
    assert!(!log.contains("too many connections"), "{log}");
}

/// The worst case: nobody is refused beforehand, and every guess costs a hash.
#[test]
fn a_good_user_gets_in_where_every_guess_is_judged() {
    if binary::is_baseline() || !binary::is_full() {
        return;
    }
    let scene = Scene::new("[defence]\npenalties = false");

    let counts = live_through_storm(&scene);

    let penalised = scene.penalties();
    let log = scene.end();
    assert!(counts.iter().all(|(_, judged, dropped)| *judged > 0 && *dropped == 0), "{counts:?}");
    assert!(penalised.is_empty(), "{penalised:?}");
    assert!(!log.contains("connections dropped"), "{log}");
}
