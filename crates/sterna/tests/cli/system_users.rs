//! `[system_users]`: users of the machine log in, and each one's files are served by a process with its rights.
//!
//! The machine's own tables of users stay as they are: `nss_wrapper` answers from files of the test.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use sterna_testkit::{
    openssh::{KeyFile, KeyKind, PASSWORD_CRYPT, USER},
    pam::Pam,
};
use tempfile::TempDir;

use crate::support::{PASSWORD, port_of, spawn_until_listening, stderr, sterna};

const ANNA: u32 = 42_001;
const BERTA: u32 = 42_002;
const PAM_USER: u32 = 42_005;
const SERVER: u32 = 42_000;

/// How long a process may take to end that has nothing left to do.
const END_MAX: Duration = Duration::from_secs(20);

struct Machine {
    _pam: Option<Pam>,
    server: Child,
    port: u16,
    dir: TempDir,
}

impl Machine {
    /// `None`, with a word about it, where this cannot be tried.
    fn start(system_users: &str) -> Option<Self> {
        Self::start_with(system_users, false)
    }

    /// `pam`: with a service `sterna` in which [`USER`] has [`PASSWORD`].
    fn start_with(system_users: &str, pam: bool) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can become others");
            return None;
        }
        if !has_nss_wrapper() {
            eprintln!("skipped: nss_wrapper is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = |name: &str| at("home").join(name);
        fs::create_dir(at("home")).unwrap();
        for (name, uid) in [("anna", ANNA), ("berta", BERTA), (USER, PAM_USER)] {
            fs::create_dir(home(name)).unwrap();
            fs::set_permissions(home(name), fs::Permissions::from_mode(0o755)).unwrap();
            chown(home(name), Some(uid), Some(uid)).unwrap();
        }
        fs::create_dir(home("lowly")).unwrap();
        let line = |name: &str, uid: u32, shell: &str| {
            format!("{name}:x:{uid}:{uid}::{}:{shell}\n", home(name).display())
        };
        let passwd = [
            "root:x:0:0::/root:/bin/sh\n".to_owned(),
            line("sternad", SERVER, "/usr/sbin/nologin"),
            line("anna", ANNA, "/bin/sh"),
            line("berta", BERTA, "/bin/sh"),
            line("lowly", 500, "/bin/sh"),
            line("shellless", 42_003, "/usr/sbin/nologin"),
            line("expired", 42_004, "/bin/sh"),
            line(USER, PAM_USER, "/bin/sh"),
        ];
        fs::write(at("passwd"), passwd.concat()).unwrap();
        let group =
            format!("root:x:0:\nsternad:x:{SERVER}:\nanna:x:{ANNA}:\nshared:x:42100:anna\n");
        fs::write(at("group"), group).unwrap();
        let names = ["root", "anna", "berta", "lowly", "shellless"];
        let shadow = names.map(|name| format!("{name}:{PASSWORD_CRYPT}:19000:0:99999:7:::\n"));
        let expired = format!("expired:{PASSWORD_CRYPT}:19000:0:99999:7::1:\n");
        fs::write(at("shadow"), shadow.concat() + &expired).unwrap();
        fs::write(at("password"), format!("{PASSWORD}\n")).unwrap();
        let settings = format!(
            "listen = ['127.0.0.1:0']\nstate_dir = 'state'\nrun_as_user = 'sternad'\n\
             [defence]\nexempt = ['127.0.0.0/8']\n[system_users]\n{system_users}\n"
        );
        fs::create_dir(at("settings")).unwrap();
        fs::write(at("settings/sterna.toml"), settings.replace("'state'", "'../state'")).unwrap();
        fs::create_dir(at("state")).unwrap();
        fs::create_dir(at("client")).unwrap();
        let mut command = sterna();
        command.arg("serve").arg("--config").arg(at("settings/sterna.toml"));
        command
            .env("LD_PRELOAD", "libnss_wrapper.so")
            .env("NSS_WRAPPER_PASSWD", at("passwd"))
            .env("NSS_WRAPPER_GROUP", at("group"))
            .env("NSS_WRAPPER_SHADOW", at("shadow"));
        let pam = match pam.then(|| Pam::new(dir.path(), "sterna")) {
            Some(None) => {
                eprintln!("skipped: pam_wrapper is not installed");
                return None;
            }
            Some(Some(pam)) => {
                pam.apply(&mut command);
                Some(pam)
            }
            None => None,
        };
        let (server, greeting) = spawn_until_listening(&mut command);
        let port = port_of(&greeting);
        Some(Self { _pam: pam, server, port, dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command of the client that knows no password yet.
    fn client(&self, command: &str) -> Command {
        let mut client = sterna();
        let home = self.path("client");
        client.current_dir(&home).env("HOME", &home).arg(command);
        client.args(["-P", &self.port.to_string(), "-F", "none"]);
        client.args(["-o", "StrictHostKeyChecking=accept-new", "-o"]);
        client.arg(format!("UserKnownHostsFile={}", home.join("known_hosts").display()));
        client
    }

    fn with_password(&self, command: &str) -> Command {
        let mut client = self.client(command);
        client.arg("--password-file").arg(self.path("password"));
        client
    }

    fn ls(&self, user: &str) -> Output {
        self.with_password("ls").arg(format!("{user}@127.0.0.1:")).output().unwrap()
    }

    /// An open session of this user, past its login.
    fn session(&self, user: &str) -> (Child, BufReader<std::process::ChildStdout>) {
        let mut command = self.with_password("sftp");
        command.args(["-b", "-"]).arg(format!("{user}@127.0.0.1"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"pwd\n").unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("directory") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the session ended");
        }
        (child, output)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn has_nss_wrapper() -> bool {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    libraries.map(|entry| entry.path().join("libnss_wrapper.so")).any(|file| file.exists())
}

fn succeeded(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

/// Processes below this server that belong to this user.
fn processes_of(machine: &Machine, uid: u32) -> Vec<i32> {
    let server = i32::try_from(machine.server.id()).unwrap();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let below = |pid: &i32| {
        let parent = |pid: i32| status_of(pid, "PPid").parse::<i32>().unwrap_or(0);
        std::iter::successors(Some(*pid), |pid| Some(parent(*pid)))
            .take_while(|pid| *pid > 1)
            .any(|pid| pid == server)
    };
    let is_of = |pid: &i32| status_of(*pid, "Uid").starts_with(&format!("{uid}\t{uid}\t{uid}"));
    pids.filter(is_of).filter(below).collect()
}

fn status_of(pid: i32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap_or_default().trim().to_owned()
}

fn wait_for_end(pidfd: &std::os::fd::OwnedFd) {
    let limit = Timespec { tv_sec: END_MAX.as_secs() as i64, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ended, 1, "a process outlives its session");
}

fn descriptors_of(process: &Child) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

#[test]
fn users_of_the_machine_work_with_their_own_rights() {
    let Some(machine) = Machine::start("password = 'shadow'\numask = '027'\nroot = '/'") else {
        return;
    };
    let home = |name: &str| machine.path("home").join(name);
    fs::write(machine.path("client/up"), "content").unwrap();

    let place = |user: &str, path: &Path| format!("{user}@127.0.0.1:{}", path.display());
    let put = machine.with_password("put").arg("up").arg(place("anna", Path::new("up"))).output();
    succeeded(&put.unwrap());

    let made = fs::metadata(home("anna").join("up")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (ANNA, ANNA, 0o640));

    // What belongs to others is theirs.
    let secret = home("berta").join("secret");
    fs::write(&secret, "berta's").unwrap();
    chown(&secret, Some(BERTA), Some(BERTA)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let read = |user: &str, path: &Path| {
        machine.with_password("cat").arg(place(user, path)).output().unwrap()
    };
    assert_eq!(read("berta", &secret).stdout, b"berta's");
    let refused = read("anna", &secret);
    assert!(stderr(&refused).contains("permission denied"), "{}", stderr(&refused));
    let refused = read("anna", Path::new("/etc/shadow"));
    assert!(stderr(&refused).contains("permission denied"), "{}", stderr(&refused));
    // Of a group of the machine's, beside the own one.
    let shared = machine.path("shared");
    fs::write(&shared, "shared").unwrap();
    chown(&shared, Some(0), Some(42_100)).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(read("anna", &shared).stdout, b"shared");
    assert!(stderr(&read("berta", &shared)).contains("permission denied"));
    // What only an owner may do, and a directory of more entries than one message holds.
    let batch = "chmod 0600 up\nmkdir many\n";
    for n in 0..250 {
        fs::write(home("anna").join(format!("f{n}")), "").unwrap();
    }
    let mut shell = machine.with_password("sftp");
    shell.args(["-b", "-"]).arg("anna@127.0.0.1");
    succeeded(&crate::support::feed(&mut shell, batch.as_bytes()));
    assert_eq!(fs::metadata(home("anna").join("up")).unwrap().mode() & 0o777, 0o600);
    let listed = machine.ls("anna");
    assert_eq!(String::from_utf8_lossy(&listed.stdout).matches("f1").count(), 111);
}

#[test]
fn each_session_is_a_process_of_its_user_behind_walls_and_ends_with_it() {
    let Some(machine) = Machine::start("password = 'shadow'\nroot = '%h'") else { return };
    succeeded(&machine.ls("berta"));
    let server = i32::try_from(machine.server.id()).unwrap();
    assert!(status_of(server, "Uid").starts_with(&format!("{SERVER}\t")));
    assert_eq!(status_of(server, "Seccomp"), "2");
    assert_eq!(status_of(server, "CapPrm"), "0000000000000000");
    let before = descriptors_of(&machine.server);

    let (mut client, _output) = machine.session("anna");
    let workers = processes_of(&machine, ANNA);
    let [worker] = workers[..] else { panic!("{workers:?}") };
    assert_eq!(status_of(worker, "Seccomp"), "2");
    assert_eq!(status_of(worker, "NoNewPrivs"), "1");
    assert_eq!(status_of(worker, "CapPrm"), "0000000000000000");
    let pidfd = pidfd_open(Pid::from_raw(worker).unwrap(), PidfdFlags::empty()).unwrap();
    drop(client.stdin.take());
    assert_eq!(client.wait().unwrap().code(), Some(0));
    wait_for_end(&pidfd);

    for _ in 0..3 {
        succeeded(&machine.ls("berta"));
    }
    // The last session may still be closing.
    let deadline = std::time::Instant::now() + END_MAX;
    while descriptors_of(&machine.server) > before {
        assert!(std::time::Instant::now() < deadline, "descriptors are left over");
        std::thread::yield_now();
    }
}

#[test]
fn a_worker_that_dies_fails_its_session_and_no_other() {
    let Some(machine) = Machine::start("password = 'shadow'\nroot = '%h'") else { return };
    let (mut client, _output) = machine.session("anna");
    let [worker] = processes_of(&machine, ANNA)[..] else { panic!("no worker") };
    let pid = Pid::from_raw(worker).unwrap();
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();

    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for_end(&pidfd);
    client.stdin.as_mut().unwrap().write_all(b"ls\n").unwrap();

    let output = client.wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    let words = ["the process that works for this user is gone", "may not be used any more"];
    assert!(words.iter().any(|words| said.contains(words)), "{said}");
    succeeded(&machine.ls("anna"));
}

#[test]
fn keys_are_read_as_their_user_and_only_if_nobody_else_could_write_them() {
    let Some(machine) = Machine::start("root = '%h'") else { return };
    let key = KeyFile::generate(&machine.path("client/key"), KeyKind::Ed25519);
    let ssh = machine.path("home/anna/.ssh");
    fs::create_dir(&ssh).unwrap();
    let file = ssh.join("authorized_keys");
    fs::write(&file, format!("{}\n", key.public_line)).unwrap();
    for path in [&ssh, &file] {
        chown(path, Some(ANNA), Some(ANNA)).unwrap();
    }
    let login = |user: &str| {
        let mut client = machine.client("ls");
        client.arg("-i").arg(&key.private).arg(format!("{user}@127.0.0.1:"));
        client.output().unwrap()
    };

    for (mode, good) in [(0o600, true), (0o666, false), (0o644, true)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let output = login("anna");
        assert_eq!(output.status.success(), good, "{mode:o}: {}", stderr(&output));
    }
    assert!(!login("berta").status.success());
    // Passwords are off.
    assert!(!machine.ls("anna").status.success());
}

#[test]
fn root_and_users_of_the_system_never_log_in() {
    let Some(machine) = Machine::start("password = 'shadow'\nmin_uid = 0\nroot = '/'") else {
        return;
    };
    succeeded(&machine.ls("lowly"));
    for user in ["root", "shellless", "expired", "nobody-of-that-name"] {
        assert!(!machine.ls(user).status.success(), "{user}");
    }
    drop(machine);
    let Some(machine) =
        Machine::start("password = 'shadow'\ngroups_allowed = ['shared']\nroot = '/'")
    else {
        return;
    };
    succeeded(&machine.ls("anna"));
    for user in ["berta", "lowly", "root"] {
        assert!(!machine.ls(user).status.success(), "{user}");
    }
}

/// The process that becomes the user is not the one that closes the session.
#[test]
fn passwords_and_sessions_go_by_pam() {
    let Some(machine) = Machine::start_with("password = 'pam'\nroot = '%h'", true) else { return };
    let (mut client, _output) = machine.session(USER);
    let [worker] = processes_of(&machine, PAM_USER)[..] else { panic!("no worker") };
    assert_eq!(status_of(worker, "Seccomp"), "2");
    let parent = status_of(worker, "PPid").parse::<i32>().unwrap();
    assert!(status_of(parent, "Uid").starts_with("0\t"), "somebody has to close the session");
    let ended = [worker, parent]
        .map(|pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap());
    drop(client.stdin.take());
    assert_eq!(client.wait().unwrap().code(), Some(0));
    ended.iter().for_each(wait_for_end);

    // Whom PAM's settings do not know.
    assert!(!machine.ls("anna").status.success());
    fs::write(machine.path("password"), "wrong\n").unwrap();
    assert!(!machine.ls(USER).status.success());
}
