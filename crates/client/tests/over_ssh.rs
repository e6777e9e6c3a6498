//! The whole way against OpenSSH's sshd: connect, host key, login, transfer, verify by command.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sterna_client::transfer::{Options, Transfer, Verify};
use sterna_client::{Destination, Error, Session};

/// An sshd of our own on a free port, for the user who runs the test.
struct Sshd {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    /// `None` where sshd is not installed or may not run.
    fn start() -> Option<Self> {
        let program = "/usr/sbin/sshd";
        if !Path::new(program).exists() {
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        let _ = std::fs::create_dir_all("/run/sshd");
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (file, kind) in [
            ("host_ed25519", "ed25519"),
            ("host_ecdsa", "ecdsa"),
            ("user", "ed25519"),
            ("user_rsa", "rsa"),
        ] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-t", kind, "-f"])
                .arg(at(file))
                .status()
                .unwrap();
            assert!(made.success());
        }
        let keys =
            ["user.pub", "user_rsa.pub"].map(|f| std::fs::read_to_string(at(f)).unwrap()).concat();
        std::fs::write(at("authorized_keys"), keys).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/host_ed25519\nHostKey {0}/host_ecdsa\nPidFile none\n\
             AuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             Subsystem sftp internal-sftp\nLogLevel ERROR\n",
            dir.path().display()
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut sshd = Self { child, dir, port };
        // Ready when it accepts; if it ends instead, this machine does not let it run.
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if sshd.child.try_wait().unwrap().is_some() {
                eprintln!("skipped: sshd does not start here");
                return None;
            }
            std::thread::yield_now();
        }
        Some(sshd)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn connect(&self, key: &str, options: &[&str]) -> Result<Session, Error> {
        let user =
            String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let place =
            Destination::new(Some(user.trim().to_owned()), "127.0.0.1", Some(self.port), "")
                .unwrap();
        let mut builder = Session::builder(&place).config_file("none");
        for option in options {
            builder = builder.option(*option);
        }
        let builder = builder
            .option(format!("UserKnownHostsFile={}", self.at("known_hosts").display()))
            .option("GlobalKnownHostsFile=none")
            .option("IdentityAgent=none")
            .batch_mode(true)
            .identity(self.at(key));
        builder.connect().await
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_session_moves_a_file_and_a_command_at_the_server_proves_it() {
    let Some(sshd) = Sshd::start() else { return };
    let data: Vec<u8> =
        (0..9_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(sshd.at("up"), &data).unwrap();

    let session = sshd.connect("user", &["StrictHostKeyChecking=accept-new"]).await.unwrap();
    let sftp = session.sftp().await.unwrap();
    let options = Options {
        verify: Verify::Require,
        state_dir: Some(sshd.at("state")),
        ..Options::default()
    };
    let transfer = Transfer::new(&sftp).session(&session).options(options);
    let remote = sshd.at("it's there").into_os_string().into_encoded_bytes();
    let up = transfer.put(&[sshd.at("up")], &remote).await.unwrap();
    let down = transfer.get(&[&remote], &sshd.at("down")).await.unwrap();

    assert_eq!(
        (up.verified_by_digest, down.verified_by_digest),
        (1, 1),
        "{:?} {:?}",
        up.errors,
        down.errors
    );
    assert!(std::fs::read(sshd.at("down")).unwrap() == data);
    let said = session.exec(b"echo out; echo err >&2; exit 3").await.unwrap();
    assert_eq!(
        (said.status, &said.stdout[..], &said.stderr[..]),
        (Some(3), &b"out\n"[..], &b"err\n"[..])
    );
    session.close().await;
    assert!(matches!(sftp.stat("/").await, Err(Error::Interrupted { .. })));
}

#[tokio::test]
async fn rsa_keys_log_in_by_sha2_and_a_strange_key_does_not() {
    let Some(sshd) = Sshd::start() else { return };
    let stranger = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", "ed25519", "-f"])
        .arg(sshd.at("stranger"))
        .status();
    assert!(stranger.unwrap().success());

    let trust = ["StrictHostKeyChecking=accept-new"];
    assert!(sshd.connect("user_rsa", &trust).await.is_ok());
    let error = sshd.connect("stranger", &trust).await.err().unwrap();

    assert_eq!(error.exit_code(), 5, "{error}");
}

#[tokio::test]
async fn an_unknown_or_changed_host_key_ends_before_the_login() {
    let Some(sshd) = Sshd::start() else { return };

    let unknown = sshd.connect("user", &[]).await.err().unwrap();
    assert_eq!(unknown.exit_code(), 4, "{unknown}");
    assert!(!sshd.at("known_hosts").exists());

    let other = std::fs::read_to_string(sshd.at("user.pub")).unwrap();
    std::fs::write(sshd.at("known_hosts"), format!("[127.0.0.1]:{} {other}", sshd.port)).unwrap();
    let changed = sshd.connect("user", &["StrictHostKeyChecking=accept-new"]).await.err().unwrap();
    assert_eq!(changed.exit_code(), 4, "{changed}");
    assert!(changed.to_string().contains("known_hosts:1"), "{changed}");
}

#[tokio::test]
async fn keys_are_renewed_while_a_file_is_under_way() {
    let Some(sshd) = Sshd::start() else { return };
    let data = vec![0x5a; 20_000_000];
    std::fs::write(sshd.at("up"), &data).unwrap();
    let session =
        sshd.connect("user", &["StrictHostKeyChecking=no", "RekeyLimit=1M"]).await.unwrap();
    let sftp = session.sftp().await.unwrap();
    let transfer = Transfer::new(&sftp).options(Options { state_dir: None, ..Options::default() });

    let remote = sshd.at("r").into_os_string().into_encoded_bytes();
    let up = transfer.put(&[sshd.at("up")], &remote).await.unwrap();
    let down = transfer.get(&[&remote], &sshd.at("down")).await.unwrap();

    assert_eq!((up.exit_code(), down.exit_code()), (0, 0), "{:?} {:?}", up.errors, down.errors);
    assert!(std::fs::read(sshd.at("down")).unwrap() == data);
}

#[tokio::test]
async fn the_agent_signs_for_a_key_whose_file_is_gone() {
    let Some(sshd) = Sshd::start() else { return };
    let socket = sshd.at("agent");
    let mut agent = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(agent.try_wait().unwrap().is_none(), "ssh-agent does not start");
        std::thread::yield_now();
    }
    let added = Command::new("ssh-add")
        .arg("-q")
        .arg(sshd.at("user_rsa"))
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());

    let option = format!("IdentityAgent={}", socket.display());
    let result = sshd.connect("missing", &["StrictHostKeyChecking=accept-new", &option]).await;
    agent.kill().unwrap();
    agent.wait().unwrap();

    assert!(result.is_ok(), "{:?}", result.err());
}
