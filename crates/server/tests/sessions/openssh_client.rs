//! The whole server under OpenSSH's own programs: login, transfer, commands, refusals, the end.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sterna_identity::{Attempt, Decision, Directory, Progress, User};
use sterna_server::{Authenticator, HostKeys, Server, Sessions, Users};
use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::stage::alice;

struct Stage {
    dir: tempfile::TempDir,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Stage {
    /// A server with one user, who has a key and `root` inside the stage's directory.
    async fn start(change: impl FnOnce(&mut User)) -> Self {
        Self::start_with(change, KeyType::Ed25519, Duration::from_secs(20)).await
    }

    async fn start_with(
        change: impl FnOnce(&mut User),
        host_key: KeyType,
        patience: Duration,
    ) -> Self {
        Self::judged_by(Users::new, change, host_key, patience).await
    }

    async fn judged_by<A: Authenticator>(
        authenticator: impl FnOnce(Directory) -> A,
        change: impl FnOnce(&mut User),
        host_key: KeyType,
        patience: Duration,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let mut user = alice(dir.path(), &root);
        change(&mut user);

        let host_key = PrivateKey::generate(host_key, &mut SystemRandom).unwrap();
        let server = Server::builder()
            .listen("127.0.0.1:0".parse().unwrap())
            .host_keys(HostKeys::new([host_key]))
            .authenticator(authenticator(Directory::new([user]).unwrap()))
            .bind()
            .unwrap();
        let port = server.local_addrs()[0].port();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server.run(
            async {
                let _ = stopped.await;
            },
            patience,
        ));
        Self { dir, port, stop: Some(stop), server }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn command(&self, program: &str, port_flag: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "LogLevel=ERROR", "-i"])
            .arg(self.dir.path().join("id"))
            .args([port_flag, &self.port.to_string()])
            .current_dir(self.dir.path())
            .kill_on_drop(true);
        command
    }

    async fn sftp(&self, batch: &str) -> Output {
        let mut command = self.command("sftp", "-P");
        run(command.args(["-b", "-", "alice@127.0.0.1"]), batch.as_bytes()).await
    }

    async fn exec(&self, line: &str, input: &[u8]) -> Output {
        let mut command = self.command("ssh", "-p");
        run(command.args(["alice@127.0.0.1", line]), input).await
    }
}

async fn run(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("OpenSSH's client is installed");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16).wrapping_mul(7)) as u8).collect()
}

#[track_caller]
fn assert_ok(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}", output.status);
}

fn same(a: &Path, b: &Path) -> bool {
    std::fs::read(a).unwrap() == std::fs::read(b).unwrap()
}

#[tokio::test]
async fn files_and_directories_go_both_ways() {
    let stage = Stage::start(|_| {}).await;
    let dir = stage.dir.path();
    std::fs::write(dir.join("big"), pattern(30_000_000)).unwrap();
    std::fs::create_dir_all(dir.join("tree/sub")).unwrap();
    for n in 0..50 {
        std::fs::write(dir.join(format!("tree/sub/{n}")), pattern(n * 1000)).unwrap();
    }

    let done = stage
        .sftp(
            "pwd\nput big\nput -p big second\nget second back\nput -r tree\nrename big big2\n\
             get -r tree tree2\nls -l\nln -s big2 link\nln second hard\nchmod 600 second\n\
             df\nmkdir d\nrmdir d\nrm hard\ncp second third\n",
        )
        .await;

    assert_ok(&done);
    assert!(String::from_utf8_lossy(&done.stdout).contains("Remote working directory: /\n"));
    assert!(same(&dir.join("big"), &stage.root().join("big2")));
    assert!(same(&dir.join("big"), &dir.join("back")));
    assert!(same(&dir.join("big"), &stage.root().join("third")));
    assert_eq!(std::fs::read_link(stage.root().join("link")).unwrap(), Path::new("big2"));
    for n in 0..50 {
        assert!(same(&dir.join(format!("tree/sub/{n}")), &dir.join(format!("tree2/sub/{n}"))));
    }
}

#[tokio::test]
async fn an_interrupted_upload_is_resumed_by_appending() {
    let stage = Stage::start(|_| {}).await;
    let whole = pattern(20_000_000);
    std::fs::write(stage.dir.path().join("f"), &whole).unwrap();
    std::fs::write(stage.root().join("f"), &whole[..7_654_321]).unwrap();

    let done = stage.sftp("reput f\n").await;

    assert_ok(&done);
    assert!(std::fs::read(stage.root().join("f")).unwrap() == whole);
}

#[tokio::test]
async fn a_read_only_user_reads_and_changes_nothing() {
    let stage = Stage::start(|user| user.read_only = true).await;
    std::fs::write(stage.root().join("f"), b"content").unwrap();

    assert_ok(&stage.sftp("get f\n").await);
    for batch in ["put id\n", "rm f\n", "mkdir d\n", "rename f g\n", "chmod 600 f\n", "ln -s f l\n"]
    {
        assert!(!stage.sftp(batch).await.status.success(), "{batch}");
    }
    assert_eq!(std::fs::read_dir(stage.root()).unwrap().count(), 1);
}

#[tokio::test]
async fn checksums_are_computed_here_and_other_commands_refused() {
    let stage = Stage::start(|_| {}).await;
    std::fs::write(stage.root().join("a b"), b"abc\n").unwrap();

    let sum = stage.exec("md5sum 'a b' none", b"").await;
    assert_eq!(sum.stdout, b"0bee89b07a248e27c83fc3d5951213c1  a b\n");
    assert_eq!(sum.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&sum.stderr).contains("none"));

    let stdin = stage.exec("sha1sum", b"").await;
    assert_eq!(stdin.stdout, b"da39a3ee5e6b4b0d3255bfef95601890afd80709  -\n");
    assert_ok(&stdin);
    let piped = stage.exec("echo 'abc' | md5sum", b"").await;
    assert_eq!(piped.stdout, b"0bee89b07a248e27c83fc3d5951213c1  -\n");
    assert_eq!(stage.exec("echo ${ShellId}%ComSpec%", b"").await.stdout, b"%ComSpec%\n");
    for line in ["id", "md5sum 'a b'; id", "scp -t /", "cat /etc/passwd"] {
        let refused = stage.exec(line, b"").await;
        assert_eq!(refused.status.code(), Some(127), "{line}");
        assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
    }
    let mut shell = stage.command("ssh", "-p");
    let shell = run(shell.args(["-T", "alice@127.0.0.1"]), b"id\n").await;
    assert_eq!(shell.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shell.stdout).contains("no shell"));
}

#[tokio::test]
async fn scp_in_its_sftp_mode_ends_with_zero() {
    let stage = Stage::start(|_| {}).await;
    std::fs::write(stage.dir.path().join("f"), pattern(1_000_000)).unwrap();

    let mut scp = stage.command("scp", "-P");
    let done = run(scp.args(["-s", "f", "alice@127.0.0.1:/g"]), b"").await;

    assert_ok(&done);
    assert!(same(&stage.dir.path().join("f"), &stage.root().join("g")));
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_user_are_refused_alike() {
    let stage = Stage::start(|_| {}).await;
    let other = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
    let key = stage.dir.path().join("other");
    std::fs::write(&key, other.to_openssh_text("").as_bytes()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let mut texts = Vec::new();
    for user in ["alice@127.0.0.1", "nobody@127.0.0.1"] {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "LogLevel=ERROR", "-p", &stage.port.to_string(), "-i"])
            .arg(&key)
            .args([user, "pwd"]);
        let refused = run(&mut ssh, b"").await;
        assert_eq!(refused.status.code(), Some(255));
        texts.push(String::from_utf8_lossy(&refused.stderr).replace(user, "USER"));
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[0].contains("Permission denied"), "{}", texts[0]);
}

/// Takes everybody's account away between the judgement that lets them in and their session.
struct ReloadAtTheWrongMoment(Users);

impl Authenticator for ReloadAtTheWrongMoment {
    fn authenticate(&self, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision {
        let decision = self.0.authenticate(progress, attempt);
        if matches!(decision, Decision::Accept(_)) {
            assert_eq!(self.0.replace(Directory::new([]).unwrap()), 0, "no session is there yet");
        }
        decision
    }

    fn may_stay(&self, user: &User) -> bool {
        self.0.may_stay(user)
    }

    fn sessions(&self) -> Arc<Sessions> {
        self.0.sessions()
    }
}

#[tokio::test]
async fn who_is_taken_away_while_the_login_is_judged_does_not_get_in() {
    let authenticator = |directory| ReloadAtTheWrongMoment(Users::new(directory));
    let stage =
        Stage::judged_by(authenticator, |_| {}, KeyType::Ed25519, Duration::from_secs(20)).await;

    let done = stage.sftp("pwd\n").await;

    assert!(!done.status.success());
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(text.contains("Permission denied"), "{text}");
}

#[tokio::test]
async fn stopping_lets_a_transfer_finish_and_then_ends() {
    let mut stage = Stage::start(|_| {}).await;
    std::fs::write(stage.dir.path().join("f"), pattern(40_000_000)).unwrap();
    let mut sftp = stage.command("sftp", "-P");
    let transfer = run(sftp.args(["-b", "-", "alice@127.0.0.1"]), b"put f\n");
    let mut transfer = std::pin::pin!(transfer);
    let target = stage.root().join("f");
    // The transfer has begun once its target is there.
    while !target.exists() {
        let turn = tokio::task::yield_now();
        tokio::select! {
            biased;
            _ = &mut transfer => break,
            () = turn => {}
        }
    }

    stage.stop.take().unwrap().send(()).unwrap();
    let done = transfer.await;

    assert!(same(&stage.dir.path().join("f"), &target), "{done:?}");
    stage.server.await.unwrap();
}

#[tokio::test]
async fn an_rsa_host_key_signs_the_first_exchange_and_later_ones() {
    let rsa = KeyType::Rsa { bits: 2048 };
    let stage = Stage::start_with(|_| {}, rsa, Duration::ZERO).await;
    std::fs::write(stage.dir.path().join("big"), pattern(8_000_000)).unwrap();

    let mut command = stage.command("sftp", "-P");
    command.args(["-o", "RekeyLimit=1M", "-b", "-", "alice@127.0.0.1"]);
    let output = run(&mut command, b"put big\nget big back\n").await;

    assert_ok(&output);
    assert!(same(&stage.dir.path().join("big"), &stage.dir.path().join("back")));
}

#[tokio::test]
async fn a_session_with_an_open_handle_is_told_that_the_server_stops_when_the_time_is_up() {
    let mut stage = Stage::start_with(|_| {}, KeyType::Ed25519, Duration::from_millis(300)).await;
    let mut command = stage.command("ssh", "-p");
    command.args(["-s", "alice@127.0.0.1", "sftp"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("OpenSSH's client is installed");
    let mut stdin = child.stdin.take().unwrap();
    // INIT, then OPEN of "f" to write and create it; the answer is a handle.
    stdin.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).await.unwrap();
    let open = [0, 0, 0, 18, 3, 0, 0, 0, 1, 0, 0, 0, 1, b'f', 0, 0, 0, 10, 0, 0, 0, 0];
    stdin.write_all(&open).await.unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    while !seen.windows(5).any(|bytes| bytes == [102, 0, 0, 0, 1]) {
        assert_ne!(stdout.read_buf(&mut seen).await.unwrap(), 0, "no handle");
    }

    stage.stop.take().unwrap().send(()).unwrap();

    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("server is stopping"), "{text}");
    stage.server.await.unwrap();
}
