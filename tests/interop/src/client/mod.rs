//! Clients of every make behind one interface.
//!
//! Remote paths are whole paths as [`crate::server::Server::remote`] gives them. What a program
//! cannot express stays at the default, [`Failure::Cannot`]; the scenario then skips that step and
//! says so.

mod curl;
mod lftp;
mod psftp;
mod python;
mod rclone;
mod scp;
mod sftp;
mod sshfs;
mod sterna;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sterna_testkit::processes::{Finished, run};

use crate::binary;
use crate::server::Server;
use crate::steps::{Failure, Outcome};
use crate::trees::Links;

pub use curl::Curl;
pub use lftp::Lftp;
pub use psftp::Psftp;
pub use python::PythonClient;
pub use rclone::Rclone;
pub use scp::Scp;
pub use sftp::Sftp;
pub use sshfs::Sshfs;
pub use sterna::Sterna;

/// What [`crate::every_scenario`] takes: a client, or perhaps one.
pub trait MaybeClient {
    fn into_client(self) -> Option<Box<dyn Client>>;
}

impl<C: Client + 'static> MaybeClient for C {
    fn into_client(self) -> Option<Box<dyn Client>> {
        Some(Box::new(self))
    }
}

impl<C: Client + 'static> MaybeClient for Option<C> {
    fn into_client(self) -> Option<Box<dyn Client>> {
        self.map(|client| -> Box<dyn Client> { Box::new(client) })
    }
}

impl MaybeClient for Box<dyn Client> {
    fn into_client(self) -> Option<Box<dyn Client>> {
        Some(self)
    }
}

/// Our own commands; OpenSSH's `sftp` in a baseline run.
pub fn sterna(server: &Server) -> Box<dyn Client> {
    if binary::is_baseline() {
        return Box::new(Sftp::openssh(server));
    }
    Box::new(Sterna::new(server))
}

/// Longest run of one command of a client: 100 MiB on a machine that is busy with other tests, or
/// tens of thousands of files where real input is wanted.
pub fn command_max() -> Duration {
    Duration::from_secs(if binary::is_real() || binary::is_full() { 3600 } else { 180 })
}

/// What a client says about a file. `None`: it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub size: Option<u64>,
    /// The lower twelve bits.
    pub mode: Option<u32>,
    /// Seconds since 1970.
    pub mtime: Option<i64>,
}

/// A program that moves and manages files on a server.
pub trait Client {
    fn name(&self) -> &str;

    /// A login of this client will follow for each of many operations that have nothing to do with the key
    /// exchange: it may take the cheapest one (see [`sterna_testkit::openssh::CHEAP_KEX`]).
    fn logs_in_often(&mut self) {}

    /// Uploads one file under exactly the name `remote`, replacing what is there.
    fn put(&mut self, local: &Path, remote: &Path) -> Outcome;

    /// Downloads one file to exactly the name `local`, replacing what is there.
    fn get(&mut self, remote: &Path, local: &Path) -> Outcome;

    /// Uploads one file and gives it the time of last change that it has here.
    fn put_with_time(&mut self, _local: &Path, _remote: &Path) -> Outcome {
        Err(Failure::Cannot("keeps no times"))
    }

    /// Downloads one file and gives it the time of last change that it has there.
    fn get_with_time(&mut self, _remote: &Path, _local: &Path) -> Outcome {
        Err(Failure::Cannot("keeps no times"))
    }

    /// Names in a directory, hidden ones too, without `.` and `..`, in any order.
    fn list(&mut self, _dir: &Path) -> Outcome<Vec<OsString>> {
        Err(Failure::Cannot("lists no directories"))
    }

    fn stat(&mut self, _path: &Path) -> Outcome<Stat> {
        Err(Failure::Cannot("tells nothing about single files"))
    }

    fn make_dir(&mut self, _path: &Path) -> Outcome {
        Err(Failure::Cannot("makes no directories"))
    }

    fn remove_dir(&mut self, _path: &Path) -> Outcome {
        Err(Failure::Cannot("removes no directories"))
    }

    fn remove(&mut self, _path: &Path) -> Outcome {
        Err(Failure::Cannot("removes no files"))
    }

    /// Renames to a name that is free.
    fn rename(&mut self, _from: &Path, _to: &Path) -> Outcome {
        Err(Failure::Cannot("does not rename"))
    }

    /// Renames to a name that an existing file has, which vanishes.
    fn replace(&mut self, _from: &Path, _to: &Path) -> Outcome {
        Err(Failure::Cannot("does not rename onto existing files"))
    }

    fn chmod(&mut self, _path: &Path, _mode: u32) -> Outcome {
        Err(Failure::Cannot("changes no modes"))
    }

    /// Sets the time of last change, in seconds since 1970.
    fn set_mtime(&mut self, _path: &Path, _mtime: i64) -> Outcome {
        Err(Failure::Cannot("sets no times"))
    }

    /// Cuts or extends a file to `size` bytes.
    fn truncate(&mut self, _path: &Path, _size: u64) -> Outcome {
        Err(Failure::Cannot("does not truncate"))
    }

    fn symlink(&mut self, _target: &Path, _link: &Path) -> Outcome {
        Err(Failure::Cannot("makes no symbolic links"))
    }

    fn read_link(&mut self, _link: &Path) -> Outcome<OsString> {
        Err(Failure::Cannot("does not show where links point"))
    }

    fn hard_link(&mut self, _existing: &Path, _link: &Path) -> Outcome {
        Err(Failure::Cannot("makes no hard links"))
    }

    /// Uploads a directory with everything in it as `remote`, which does not exist yet.
    fn put_tree(&mut self, _local: &Path, _remote: &Path) -> Outcome {
        Err(Failure::Cannot("moves single files only"))
    }

    /// Downloads a directory with everything in it as `local`, which does not exist yet.
    fn get_tree(&mut self, _remote: &Path, _local: &Path) -> Outcome {
        Err(Failure::Cannot("moves single files only"))
    }

    /// Removes a directory with everything in it.
    fn remove_tree(&mut self, _path: &Path) -> Outcome {
        Err(Failure::Cannot("removes no trees"))
    }

    /// What happens to symbolic links in `put_tree` and `get_tree`.
    fn links(&self) -> Links {
        Links::Followed
    }

    /// True when `remove` of a symbolic link removes its target, by the program's own choice.
    fn removes_what_links_point_to(&self) -> bool {
        false
    }

    /// Why this program cannot say such a name, or `None` if it can.
    fn cannot_say(&self, _name: &crate::names::OddName) -> Option<&'static str> {
        None
    }
}

/// Runs a command of a client to its end; anything but exit status 0 fails the step.
fn run_checked(command: &mut Command, stdin: &[u8]) -> Outcome<Finished> {
    checked(run(command, stdin, command_max()))
}

fn checked(done: Finished) -> Outcome<Finished> {
    if done.success() { Ok(done) } else { Err(Failure::Failed(done.describe())) }
}

/// Seconds since 1970 as text, in UTC, in a format of `date`.
fn utc(seconds: i64, format: &str) -> String {
    let mut date = Command::new("date");
    let done =
        run(date.arg(format!("-ud@{seconds}")).arg(format!("+{format}")), b"", command_max());
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// The bytes of a path.
fn bytes(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}

/// `bytes` as a name.
fn name(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).to_owned()
}
