//! Our client, as people run it, and SFTP servers behind `sshd` that lie, print and break off: the exit
//! status, the words, and what is on disk afterwards. All ways to misbehave are tested in the client's crate.

use std::fs;
use std::path::PathBuf;

use sterna_interop::binary::{has_peer, is_baseline};
use sterna_interop::client::Sterna;
use sterna_interop::place::Place;
use sterna_interop::server::Server;
use sterna_testkit::openssh::{Sshd, SshdSettings};
use sterna_testkit::processes::Finished;

/// A server that plays `play`, our client, and a directory with something beside it.
struct Scene {
    client: Sterna,
    server: Server,
    target: PathBuf,
}

impl Scene {
    /// `None` where OpenSSH is not installed.
    fn new(play: &str) -> Option<Self> {
        if is_baseline() || !has_peer("sshd") {
            return None;
        }
        let sftp = format!("{} {play}", env!("CARGO_BIN_EXE_odd_sftp_server"));
        let place = Place::new();
        let root = place.dir("shared");
        let settings = SshdSettings { sftp, ..SshdSettings::default() };
        let sshd = Sshd::start(place.path(), &root, &settings);
        let server = Server {
            name: "an odd server",
            login: sshd.login,
            host_keys: sshd.host_keys,
            remote_root: "/".into(),
            root,
            lacks: vec![],
            process: sshd.process,
            place,
        };
        let target = server.place.dir("outside/target");
        Some(Self { client: Sterna::new(&server), server, target })
    }

    /// Fetches `path` onto whatever is in the target directory.
    fn get(&self, path: &str) -> Finished {
        self.client.run(
            "get",
            &["-r", "--retry", "0"],
            &[self.client.place(path), self.target.clone().into()],
        )
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.target).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.contains(".sterna-"));
        names.sort();
        names
    }
}

#[test]
fn each_misbehaviour_has_its_exit_status_and_its_words_and_the_old_file_stays() {
    for (play, status, said) in [
        ("size", 1, "ends before the size"),
        ("end", 1, "ends before the size"),
        ("id", 1, "not outstanding"),
        ("denied", 1, "open \"/f\": permission denied"),
        ("cut", 7, "run the same command again"),
    ] {
        let Some(scene) = Scene::new(play) else { return };
        fs::write(scene.target.join("f"), "old").unwrap();

        let done = scene.get("/f");

        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.code(), Some(status), "{play}: {}", done.describe());
        assert!(text.contains(said), "{play}: {}", done.describe());
        assert_eq!(fs::read_to_string(scene.target.join("f")).unwrap(), "old", "{play}");
        assert_eq!(scene.names(), ["f"], "{play}");
    }
}

#[test]
fn short_reads_make_a_whole_file() {
    let Some(scene) = Scene::new("short") else { return };

    let done = scene.get("/f");

    assert!(done.success(), "{}", done.describe());
    let content = fs::read(scene.target.join("f")).unwrap();
    assert!(
        content.len() == 300_000 && content.iter().zip(0u32..).all(|(b, n)| *b == (n % 251) as u8)
    );
}

#[test]
fn names_that_lead_out_write_nothing_outside() {
    for play in ["escape", "absolute"] {
        let Some(scene) = Scene::new(play) else { return };

        let done = scene.get("/t");

        assert_eq!(done.code(), Some(1), "{play}: {}", done.describe());
        let text = String::from_utf8_lossy(&done.stderr);
        assert!(text.contains("escaped"), "the name is shown: {text}");
        let beside: Vec<_> =
            fs::read_dir(scene.server.place.path().join("outside")).unwrap().flatten().collect();
        assert_eq!(beside.len(), 1, "{play}: {beside:?}");
        assert!(!std::path::Path::new("/tmp/escaped").exists());
    }
}

#[test]
fn what_a_login_script_prints_is_shown_with_what_to_do() {
    let Some(scene) = Scene::new("noise") else { return };

    let done = scene.get("/f");

    let text = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.code(), Some(1), "{}", done.describe());
    assert!(text.contains("the server printed \"Welcome to nas01!\""), "{text}");
    assert!(text.contains("hint: a login script there"), "{text}");
}
