//! The real OpenSSH beside us: keys from `ssh-keygen`, an `sshd` on a loopback port, logins to it.
//!
//! Servers that look users up in the system's tables see an [`Account`] instead: `nss_wrapper`
//! answers their questions from files of the test, so no user is added to the machine and every
//! login lands in a directory of the test.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::pam::Pam;
use crate::processes::{Process, Stream, find_program, free_port, run};

/// The only user of every server that the tests start.
pub const USER: &str = "tern";

/// Password of [`USER`].
pub const PASSWORD: &str = "correct horse";

/// `PASSWORD` for a shadow file: SHA-512 crypt, made once by `openssl passwd -6`.
pub const PASSWORD_CRYPT: &str = "$6$interop0$1SDlsSs3JJ8BDvTs2yj.Xzrxq6uoDSN5rN7q63fNjI76sxtOTaE1mam05xBneP9qBbLaaLlS1pr3/HMpHYzpu0";

/// A key exchange for those who log in hundreds of times or renew keys all the time and want to see something else
/// by that. What OpenSSH 9.2 takes by itself, sntrup761x25519, costs its client 170 ms of computing each time.
pub const CHEAP_KEX: &str = "curve25519-sha256";

/// Tries to start a server whose port somebody else took between choosing and binding it.
const PORT_TRIES: usize = 5;

/// Longest run of a helper program such as `ssh-keygen`: a 4096 bit RSA key on a loaded machine.
const HELPER_MAX: Duration = Duration::from_secs(60);

/// Kinds of keys that `ssh-keygen` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Rsa3072,
}

impl KeyKind {
    pub const ALL: [Self; 5] =
        [Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521, Self::Rsa3072];

    /// Name for files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Rsa3072 => "rsa-3072",
        }
    }

    fn keygen_arguments(self) -> [&'static str; 4] {
        match self {
            Self::Ed25519 => ["-t", "ed25519", "-b", "256"],
            Self::EcdsaP256 => ["-t", "ecdsa", "-b", "256"],
            Self::EcdsaP384 => ["-t", "ecdsa", "-b", "384"],
            Self::EcdsaP521 => ["-t", "ecdsa", "-b", "521"],
            Self::Rsa3072 => ["-t", "rsa", "-b", "3072"],
        }
    }
}

/// A key pair in OpenSSH's file format; the public half lies beside it as `.pub`.
#[derive(Clone, Debug)]
pub struct KeyFile {
    pub private: PathBuf,
    pub public: PathBuf,
    /// `type base64 comment`
    pub public_line: String,
}

impl KeyFile {
    /// Makes a key without a passphrase at `path`.
    ///
    /// # Panics
    /// When `ssh-keygen` is missing or fails.
    pub fn generate(path: &Path, kind: KeyKind) -> Self {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-N", "", "-C", "interop"]).args(kind.keygen_arguments());
        let done = run(keygen.arg("-f").arg(path), b"", HELPER_MAX);
        assert!(done.success(), "{}", done.describe());
        let public = with_suffix(path, ".pub");
        let public_line = fs::read_to_string(&public).expect("the public key").trim().to_owned();
        Self { private: path.to_owned(), public, public_line }
    }

    /// `SHA256:…` as clients print it.
    ///
    /// # Panics
    /// When `ssh-keygen` is missing or fails.
    pub fn fingerprint(&self) -> String {
        let done = run(Command::new("ssh-keygen").arg("-lf").arg(&self.public), b"", HELPER_MAX);
        let text = String::from_utf8_lossy(&done.stdout);
        let fingerprint = text.split(' ').nth(1);
        fingerprint.unwrap_or_else(|| panic!("{}", done.describe())).to_owned()
    }
}

/// All that a client needs to log in somewhere.
#[derive(Clone, Debug)]
pub struct Login {
    /// Always the IPv4 loopback address.
    pub port: u16,
    pub user: String,
    pub password: String,
    pub key: KeyFile,
    /// OpenSSH `known_hosts` with every host key of the server.
    pub known_hosts: PathBuf,
    /// `SHA256:…` of every host key of the server.
    pub host_fingerprints: Vec<String>,
    /// Whether [`options`](Self::options) ask for [`CHEAP_KEX`].
    pub cheap_kex: bool,
}

impl Login {
    /// Writes `known_hosts` into `dir` for a server with these host keys at `port`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn new(dir: &Path, port: u16, key: &KeyFile, host_keys: &[KeyFile]) -> Self {
        let known_hosts = dir.join("known_hosts");
        let mut lines = String::new();
        for host_key in host_keys {
            lines += &format!("[127.0.0.1]:{port} {}\n", host_key.public_line);
        }
        fs::write(&known_hosts, lines).expect("write known_hosts");
        Self {
            port,
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            key: key.clone(),
            known_hosts,
            host_fingerprints: host_keys.iter().map(KeyFile::fingerprint).collect(),
            cheap_kex: false,
        }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `user@127.0.0.1`
    pub fn destination(&self) -> String {
        format!("{}@127.0.0.1", self.user)
    }

    /// `-F none -o …` for OpenSSH's programs and those that take the same options: this key, this
    /// `known_hosts`, nothing of the person who runs the tests. The port is not among them, because
    /// `ssh` wants `-p` and `sftp` wants `-P`.
    pub fn options(&self) -> Vec<OsString> {
        let mut options: Vec<OsString> = vec!["-F".into(), "none".into()];
        for option in [
            format!("IdentityFile={}", self.key.private.display()),
            "IdentitiesOnly=yes".to_owned(),
            format!("UserKnownHostsFile={}", self.known_hosts.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "BatchMode=yes".to_owned(),
        ] {
            options.push("-o".into());
            options.push(option.into());
        }
        if self.cheap_kex {
            options.push("-o".into());
            options.push(format!("KexAlgorithms={CHEAP_KEX}").into());
        }
        options
    }
}

/// A user table with [`USER`] in it, for servers that ask the system who somebody is.
#[derive(Clone, Debug)]
pub struct Account {
    passwd: PathBuf,
    group: PathBuf,
    shadow: PathBuf,
}

impl Account {
    /// Writes the tables into `dir`. The user has the ids of whoever runs the tests.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn new(dir: &Path, home: &Path) -> Self {
        let account = Self {
            passwd: dir.join("passwd"),
            group: dir.join("group"),
            shadow: dir.join("shadow"),
        };
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        let home = home.display();
        // `sshd` is the user of the unprivileged half of OpenSSH's server.
        let passwd = format!(
            "{USER}:x:{uid}:{gid}:{USER}:{home}:/bin/sh\n\
             sshd:x:65534:65534:sshd:/nonexistent:/bin/false\n"
        );
        fs::write(&account.passwd, passwd).expect("write passwd");
        fs::write(&account.group, format!("tern:x:{gid}:\nnogroup:x:65534:\n"))
            .expect("write group");
        fs::write(&account.shadow, format!("{USER}:{PASSWORD_CRYPT}:19000:0:99999:7:::\n"))
            .expect("write shadow");
        account
    }

    /// Makes `command` see this table instead of the machine's.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", "libnss_wrapper.so")
            .env("NSS_WRAPPER_PASSWD", &self.passwd)
            .env("NSS_WRAPPER_GROUP", &self.group)
            .env("NSS_WRAPPER_SHADOW", &self.shadow);
    }
}

/// A running OpenSSH server on a loopback port.
#[derive(Debug)]
pub struct Sshd {
    pub process: Process,
    pub login: Login,
    pub host_keys: Vec<KeyFile>,
}

/// What differs between one `sshd` and another.
#[derive(Clone, Debug)]
pub struct SshdSettings {
    pub host_keys: Vec<KeyKind>,
    /// What `Subsystem sftp` names: `internal-sftp` or a command line.
    pub sftp: String,
    /// Whom it asks about passwords and keyboard-interactive; `None`: the user table, and nobody.
    pub pam: Option<Arc<Pam>>,
    /// Further lines of `sshd_config`.
    pub lines: Vec<String>,
}

impl Default for SshdSettings {
    fn default() -> Self {
        Self {
            host_keys: vec![KeyKind::Ed25519],
            sftp: "internal-sftp".to_owned(),
            pam: None,
            lines: vec![],
        }
    }
}

impl Sshd {
    /// Starts `sshd` with its files in `dir`; a login lands in `home`, which must exist.
    ///
    /// # Panics
    /// When it is not installed or does not come up; the message has its output.
    pub fn start(dir: &Path, home: &Path, settings: &SshdSettings) -> Self {
        let program = find_program("sshd").expect("OpenSSH's sshd is installed");
        prepare_privilege_separation();
        let key = KeyFile::generate(&dir.join("user_key"), KeyKind::Ed25519);
        let host_keys = generate_host_keys(dir, &settings.host_keys);
        let account = Account::new(dir, home);
        let (process, port) = start_on_free_port(|port| {
            let config = dir.join("sshd_config");
            fs::write(&config, sshd_config(port, &key, &host_keys, settings))
                .expect("write sshd_config");
            let mut sshd = Command::new(&program);
            account.apply(&mut sshd);
            if let Some(pam) = &settings.pam {
                pam.apply(&mut sshd);
            }
            let mut process = Process::start("sshd", sshd.args(["-D", "-e", "-f"]).arg(&config))
                .map_err(|e| e.to_string())?;
            process.wait_for_line(Stream::Stderr, "Server listening on")?;
            process.wait_for_port((Ipv4Addr::LOCALHOST, port).into())?;
            Ok(process)
        });
        let login = Login::new(dir, port, &key, &host_keys);
        Self { process, login, host_keys }
    }
}

/// Makes one host key of each kind in `dir`.
///
/// # Panics
/// When `ssh-keygen` is missing or fails.
pub fn generate_host_keys(dir: &Path, kinds: &[KeyKind]) -> Vec<KeyFile> {
    let make =
        |kind: &KeyKind| KeyFile::generate(&dir.join(format!("host_{}", kind.name())), *kind);
    kinds.iter().map(make).collect()
}

/// Calls `start` with free ports until it comes up.
///
/// # Panics
/// With what `start` said the last time.
pub fn start_on_free_port(mut start: impl FnMut(u16) -> Result<Process, String>) -> (Process, u16) {
    let mut why = String::new();
    for _ in 0..PORT_TRIES {
        let port = free_port();
        match start(port) {
            Ok(process) => return (process, port),
            Err(said) => why = said,
        }
    }
    panic!("a server did not start: {why}");
}

fn sshd_config(port: u16, key: &KeyFile, host_keys: &[KeyFile], more: &SshdSettings) -> String {
    let mut lines = vec![
        format!("Port {port}"),
        "ListenAddress 127.0.0.1".to_owned(),
        "PidFile none".to_owned(),
        format!("UsePAM {}", if more.pam.is_some() { "yes" } else { "no" }),
        "UseDNS no".to_owned(),
        "StrictModes no".to_owned(),
        "PermitRootLogin yes".to_owned(),
        "PrintMotd no".to_owned(),
        "MaxStartups 100".to_owned(),
        "LogLevel VERBOSE".to_owned(),
        format!("AuthorizedKeysFile {}", key.public.display()),
        format!("Subsystem sftp {}", more.sftp),
    ];
    lines.extend(host_keys.iter().map(|key| format!("HostKey {}", key.private.display())));
    // The first line that names a setting decides.
    lines.splice(0..0, more.lines.iter().cloned());
    lines.join("\n") + "\n"
}

/// Debian's sshd refuses to start without this directory, which its unit file makes.
fn prepare_privilege_separation() {
    if rustix::process::getuid().is_root() {
        match fs::create_dir("/run/sshd") {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                panic!("create /run/sshd: {e}")
            }
            _ => {}
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
