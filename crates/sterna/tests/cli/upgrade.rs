//! `upgrade`: a successor takes the place of a running server; and sockets that a service manager opened.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    live::{Live, QUIET, lists, user},
    support::{stderr, stdout, sterna},
};

/// Connects again and again until it is told to stop; says how often, and what went wrong if anything did.
struct Knocking {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<usize, String>>,
}

impl Knocking {
    fn at(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                let knock = || -> std::io::Result<()> {
                    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
                    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
                    let mut start = [0; 8];
                    socket.read_exact(&mut start)?;
                    assert_eq!(&start, b"SSH-2.0-");
                    socket.shutdown(Shutdown::Both)
                };
                knock().map_err(|error| format!("after {count}: {error}"))?;
                count += 1;
            }
            Ok(count)
        });
        Self { stop, thread }
    }

    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap()
    }
}

/// The process that took over, from what `upgrade` printed. Ends when dropped.
struct Successor(u32);

impl Successor {
    fn of(said: &str) -> Self {
        let pid = said.strip_prefix("process ").and_then(|rest| rest.split(':').next());
        Self(pid.and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{said}")))
    }

    fn signal(&self, name: &str) -> bool {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.0.to_string()]).stderr(Stdio::null());
        kill.status().unwrap().success()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

/// Ends a session in order and says whether it did.
fn leaves(mut session: Child) -> bool {
    drop(session.stdin.take());
    session.wait().unwrap().success()
}

/// Goal: an upgrade refuses nobody and cuts nobody, and the old process ends with its last session.
/// Method: one session stays over two upgrades while a thread connects in a loop.
#[test]
fn nobody_is_refused_or_cut_by_an_upgrade() {
    let mut live = Live::start(QUIET, &user("alice", ""));
    let mut session = live.session("alice");
    let knocking = Knocking::at(live.port);

    live.write(QUIET, &(user("alice", "") + &user("bob", "")));
    let first = live.ok("upgrade");
    let first = (Successor::of(&first), first);
    assert!(first.1.contains("1 sessions go on there"), "{}", first.1);
    assert_eq!(live.login("bob"), Some(0), "the settings of now");
    assert_eq!(lists(&mut session), Some(true));

    // Commands reach the one that serves.
    let reloaded = live.ok("reload");
    assert!(reloaded.contains("2 users"), "{reloaded}");
    let mut newer = live.session("bob");
    let listed = live.ok("sessions");
    assert!(listed.contains("alice") && listed.contains("bob"), "both processes: {listed}");
    let second = Successor::of(&live.ok("upgrade"));
    assert_ne!(second.0, first.0.0);
    assert_eq!(lists(&mut session), Some(true));
    assert_eq!(lists(&mut newer), Some(true));
    assert_eq!(live.login("alice"), Some(0));

    assert!(knocking.stop() > 0);
    assert!(leaves(session));
    assert_eq!(
        live.child.wait().unwrap().code(),
        Some(0),
        "the old one ends with its last session"
    );
    assert_eq!(lists(&mut newer), Some(true));
    assert!(leaves(newer));
    assert!(second.signal("TERM"));
    let mut log = String::new();
    // Their words all went to the same place, which is closed when the last one has ended.
    live.log.read_to_string(&mut log).unwrap();
    assert_eq!(log.matches("a successor serves").count(), 2, "{log}");
    assert!(!live.path("state/control").exists());
}

/// Goal: records of both processes are one chain, and figures are asked for at one address all the time.
#[test]
fn the_audit_log_and_the_figures_go_on_over_an_upgrade() {
    let tables =
        format!("{QUIET}\n[audit]\nfile = 'audit.jsonl'\n[metrics]\nlisten = '127.0.0.1:0'");
    let mut live = Live::start(&tables, &user("alice", ""));
    let said = live.greeting.lines().find_map(|line| line.strip_prefix("metrics on http://"));
    let metrics = said.and_then(|said| said.strip_suffix("/metrics")).unwrap().to_owned();
    let figures = || {
        let mut socket = TcpStream::connect(&metrics).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).unwrap();
        page
    };
    let mut session = live.session("alice");
    assert!(figures().contains("sterna_sessions 1\n"), "{}", figures());

    let successor = Successor::of(&live.ok("upgrade"));
    assert!(figures().contains("sterna_sessions 0\n"), "the successor answers: {}", figures());
    assert_eq!(live.login("alice"), Some(0));
    session.stdin.as_mut().unwrap().write_all(b"mkdir made-by-the-old-one\n").unwrap();
    assert_eq!(lists(&mut session), Some(true));
    assert!(leaves(session));
    assert_eq!(live.child.wait().unwrap().code(), Some(0));
    assert!(successor.signal("TERM"));
    live.log.read_to_string(&mut String::new()).unwrap();

    let log = fs::read_to_string(live.path("audit.jsonl")).unwrap();
    for event in ["\"event\":\"start\"", "\"event\":\"stop\""] {
        assert_eq!(log.matches(event).count(), 2, "{log}");
    }
    assert!(log.contains("made-by-the-old-one"), "{log}");
    live.ok("audit verify");
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let live = Live::start(QUIET, &user("alice", ""));

    live.write(QUIET, &user("alice", "hours = ['never']"));
    let output = live.run("upgrade");

    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("user.hours") && said.contains("the old one goes on"), "{said}");
    assert_eq!(live.login("alice"), Some(0));

    let elsewhere = tempfile::tempdir().unwrap();
    let settings = format!("state_dir = '{}'\n{}", elsewhere.path().display(), user("alice", ""));
    fs::write(live.path("sterna.toml"), settings).unwrap();
    let output = live.run("upgrade");
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("no such file"), "{}", stderr(&output));
    assert_eq!(live.login("alice"), Some(0));
}

/// Goal: sockets that a service manager opened are served, and it is told of readiness and the end.
/// Method: a shell gives the server descriptor 3 as systemd does.
#[test]
fn a_service_managers_socket_is_served_and_it_is_told_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    fs::write(dir.path().join("sterna.toml"), format!("state_dir = 'state'\n{}", user("a", "")))
        .unwrap();
    let told = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hears = || {
        let mut text = [0; 256];
        let len = told.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..len]).into_owned()
    };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let socket = rustix::io::dup(&socket).unwrap();

    let script = format!(
        "export LISTEN_PID=$$; exec \"$0\" serve --config sterna.toml 3<&{}",
        socket.as_raw_fd()
    );
    let mut command = Command::new("sh");
    command.current_dir(dir.path()).args(["-c", &script, env!("CARGO_BIN_EXE_sterna")]);
    command.env("LISTEN_FDS", "1").env("NOTIFY_SOCKET", dir.path().join("notify"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
    let mut child = command.spawn().unwrap();

    assert_eq!(hears(), "READY=1\n");
    let mut start = [0; 8];
    TcpStream::connect(("127.0.0.1", port)).unwrap().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"SSH-2.0-");
    let signal = |name: &str| {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    };
    signal("HUP");
    assert!(hears().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(hears(), "READY=1\n");
    signal("TERM");
    assert_eq!(hears(), "STOPPING=1\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut greeting = String::new();
    child.stdout.take().unwrap().read_to_string(&mut greeting).unwrap();
    // Nothing was said about where to listen: that socket alone is served.
    assert_eq!(greeting.matches("listening on").count(), 1, "{greeting}");
    assert!(greeting.contains(&format!("listening on 127.0.0.1:{port}")), "{greeting}");
}

/// Goal: whoever asks twice does not want to wait for sessions.
#[test]
fn a_second_signal_ends_a_server_that_waits_for_its_sessions() {
    let mut live = Live::start(QUIET, &user("alice", ""));
    let mut client = sterna();
    client.args(["cat", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o"]);
    client.args(["UserKnownHostsFile=/dev/null", "-P", &live.port.to_string()]);
    client.env("STERNA_PASSWORD", "Hello world!").env("HOME", "/nonexistent");
    // Nobody takes what it prints: it stays in the middle of its download.
    fs::File::create(live.path("root/big")).unwrap().set_len(1 << 30).unwrap();
    client.arg("alice@127.0.0.1:/big").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().unwrap();
    let mut first = [0; 1];
    client.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();

    let pid = live.child.id().to_string();
    let signal = || Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap();
    signal();
    // Until then it might take both for one.
    while TcpStream::connect(("127.0.0.1", live.port)).is_ok() {
        thread::yield_now();
    }
    assert!(live.child.try_wait().unwrap().is_none(), "a transfer is waited for");
    signal();

    assert_eq!(live.child.wait().unwrap().code(), Some(0));
    client.kill().unwrap();
    client.wait().unwrap();
}
