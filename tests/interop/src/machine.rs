//! This machine as a host that speaks for its users: its host keys, its name, and OpenSSH's
//! `ssh-keysign`. It has only one of each, so tests that use them take turns.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_testkit::processes::run;

use crate::client::command_max;

/// The account without rights that every system has.
pub const NOBODY: (&str, u32) = ("nobody", 65534);

/// Says to `ssh-keysign` that it may sign.
const SETTING: &str = "/etc/ssh/ssh_config.d/00-sterna-interop.conf";

/// Kinds of host keys that a machine usually has.
const KINDS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// The public halves of this machine's host keys, or why there can be no test.
///
/// # Errors
/// A sentence for [`crate::binary::miss`].
pub fn host_keys() -> Result<Vec<String>, String> {
    if !rustix::process::getuid().is_root() {
        return Err("host-based logins want root: the machine's host keys and settings".into());
    }
    let public = |kind| fs::read_to_string(format!("/etc/ssh/ssh_host_{kind}_key.pub")).ok();
    let keys: Vec<String> =
        KINDS.into_iter().filter_map(public).map(|key| key.trim().to_owned()).collect();
    if keys.is_empty() { Err("this machine has no host keys in /etc/ssh".into()) } else { Ok(keys) }
}

/// What the resolver calls the address that the tests connect from, else what the machine calls itself.
pub fn own_name() -> String {
    let done = run(Command::new("getent").args(["hosts", "127.0.0.1"]), b"", command_max());
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let by_address = text.split_whitespace().nth(1).map(str::to_ascii_lowercase);
    by_address.unwrap_or_else(node_name)
}

/// What the machine calls itself.
pub fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase()
}

/// Lets everybody enter.
///
/// # Panics
/// When the mode cannot be changed.
pub fn open(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("change a mode");
}

/// `command` with its arguments and variables as [`NOBODY`].
pub fn as_nobody(command: &Command) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args([format!("--reuid={}", NOBODY.1), format!("--regid={}", NOBODY.1)]);
    setpriv.arg("--clear-groups").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => setpriv.env(name, value),
            None => setpriv.env_remove(name),
        };
    }
    setpriv.current_dir("/");
    setpriv
}

/// As long as this lives, no other test has one.
#[derive(Debug)]
pub struct Turn {
    /// Locked; given back when it is closed.
    _file: File,
}

impl Turn {
    /// Waits for it.
    ///
    /// # Panics
    /// When the file for it cannot be made.
    pub fn wait() -> Self {
        let file = File::create(std::env::temp_dir().join("sterna-interop-machine.lock"))
            .expect("make a file to lock");
        file.lock().expect("lock it");
        // Of a test that was killed.
        let _ = fs::remove_file(SETTING);
        Self { _file: file }
    }

    /// Enables `ssh-keysign` in the system's settings for as long as the answer lives.
    ///
    /// # Errors
    /// A sentence for [`crate::binary::miss`].
    pub fn enable_keysign(&self) -> Result<Keysign<'_>, String> {
        let main = fs::read_to_string("/etc/ssh/ssh_config").unwrap_or_default();
        let includes = |line: &str| line.trim_start().starts_with("Include /etc/ssh/ssh_config.d/");
        if !main.lines().any(includes) {
            return Err("/etc/ssh/ssh_config includes no directory for a setting".into());
        }
        fs::write(SETTING, "EnableSSHKeysign yes\n").map_err(|e| e.to_string())?;
        Ok(Keysign { _turn: self })
    }

    /// Certifies the machine's ed25519 host key for as long as the answer lives. `sign` is given a
    /// copy of its public half and returns the certificate.
    ///
    /// # Errors
    /// A sentence for [`crate::binary::miss`].
    pub fn certify_host_key(
        &self,
        sign: impl FnOnce(&str) -> String,
    ) -> Result<HostCertificate<'_>, String> {
        let key = Path::new("/etc/ssh/ssh_host_ed25519_key.pub");
        let file = PathBuf::from("/etc/ssh/ssh_host_ed25519_key-cert.pub");
        if file.exists() {
            return Err(format!("{} is the machine's own", file.display()));
        }
        let public = fs::read_to_string(key).map_err(|e| format!("{}: {e}", key.display()))?;
        fs::write(&file, sign(&public)).map_err(|e| e.to_string())?;
        Ok(HostCertificate { file, _turn: self })
    }
}

/// See [`Turn::enable_keysign`].
#[derive(Debug)]
pub struct Keysign<'t> {
    _turn: &'t Turn,
}

impl Drop for Keysign<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(SETTING);
    }
}

/// See [`Turn::certify_host_key`].
#[derive(Debug)]
pub struct HostCertificate<'t> {
    file: PathBuf,
    _turn: &'t Turn,
}

impl Drop for HostCertificate<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}
