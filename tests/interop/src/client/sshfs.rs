//! sshfs: the server as a directory, by OpenSSH's `ssh` and FUSE.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use sterna_testkit::processes::{Process, READY_MAX, run};

use super::{Client, Stat, checked, command_max};
use crate::binary::{has_peer, miss};
use crate::server::Server;
use crate::steps::Outcome;
use crate::trees::{Links, names_in};

/// Pause between two looks whether the mount is there; ends early when sshfs does.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A mounted server. Dropping it unmounts.
#[derive(Debug)]
pub struct Sshfs {
    process: Process,
    mount: PathBuf,
    remote_root: PathBuf,
}

impl Sshfs {
    /// Mounts `server`, or `None` where there is no sshfs or no FUSE.
    ///
    /// # Panics
    /// When the mount does not come up; the message has the output.
    pub fn mount(server: &Server, options: &[&str]) -> Option<Self> {
        if !has_peer("sshfs") {
            return None;
        }
        if let Err(e) = File::options().read(true).write(true).open("/dev/fuse") {
            miss(&format!("/dev/fuse: {e}"));
            return None;
        }
        let mount = server.place.dir("mount");
        let outside = fs::metadata(&mount).expect("the mount point").dev();
        let mut sshfs = Command::new("sshfs");
        let source = format!("{}:{}", server.login.destination(), server.remote_root.display());
        sshfs.arg("-f").arg("-p").arg(server.login.port.to_string()).args(server.login.options());
        for option in options {
            sshfs.arg("-o").arg(option);
        }
        sshfs.arg(source).arg(&mount).env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        let mut process = Process::start("sshfs", &mut sshfs).unwrap_or_else(|e| panic!("{e}"));
        let deadline = Instant::now() + READY_MAX;
        while fs::metadata(&mount).is_ok_and(|m| m.dev() == outside) {
            let ended = process.wait_exit(LOOK_AGAIN).is_some();
            assert!(!ended && Instant::now() < deadline, "no mount\n{}", process.log());
        }
        Some(Self { process, mount, remote_root: server.remote_root.clone() })
    }

    /// Where the server's files are in this machine's tree.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// What sshfs printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn at(&self, remote: &Path) -> PathBuf {
        self.mount.join(remote.strip_prefix(&self.remote_root).unwrap_or(remote))
    }
}

impl Drop for Sshfs {
    fn drop(&mut self) {
        let mut unmount = Command::new("fusermount3");
        run(unmount.arg("-uz").arg(&self.mount), b"", command_max());
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = File::create(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()
}

fn copy_time(from: &Path, to: &Path) -> io::Result<()> {
    File::options().write(true).open(to)?.set_modified(fs::metadata(from)?.modified()?)
}

impl Client for Sshfs {
    fn name(&self) -> &str {
        "sshfs"
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        Ok(copy(local, &self.at(remote))?)
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        Ok(copy(&self.at(remote), local)?)
    }

    fn put_with_time(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.put(local, remote)?;
        Ok(copy_time(local, &self.at(remote))?)
    }

    fn get_with_time(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.get(remote, local)?;
        Ok(copy_time(&self.at(remote), local)?)
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        Ok(names_in(&self.at(dir))?)
    }

    fn stat(&mut self, path: &Path) -> Outcome<Stat> {
        let metadata = fs::symlink_metadata(self.at(path))?;
        Ok(Stat {
            size: Some(metadata.len()),
            mode: Some(metadata.mode() & 0o7777),
            mtime: Some(metadata.mtime()),
        })
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        Ok(fs::create_dir(self.at(path))?)
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        Ok(fs::remove_dir(self.at(path))?)
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        Ok(fs::remove_file(self.at(path))?)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        Ok(fs::rename(self.at(from), self.at(to))?)
    }

    fn replace(&mut self, from: &Path, to: &Path) -> Outcome {
        self.rename(from, to)
    }

    fn chmod(&mut self, path: &Path, mode: u32) -> Outcome {
        Ok(fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode))?)
    }

    fn set_mtime(&mut self, path: &Path, mtime: i64) -> Outcome {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs());
        Ok(File::options().write(true).open(self.at(path))?.set_modified(at)?)
    }

    fn truncate(&mut self, path: &Path, size: u64) -> Outcome {
        Ok(File::options().write(true).open(self.at(path))?.set_len(size)?)
    }

    fn symlink(&mut self, target: &Path, link: &Path) -> Outcome {
        Ok(symlink(target, self.at(link))?)
    }

    fn read_link(&mut self, link: &Path) -> Outcome<OsString> {
        Ok(fs::read_link(self.at(link))?.into())
    }

    fn hard_link(&mut self, existing: &Path, link: &Path) -> Outcome {
        Ok(fs::hard_link(self.at(existing), self.at(link))?)
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        copy_tree(local, &self.at(remote))
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        copy_tree(&self.at(remote), local)
    }

    fn remove_tree(&mut self, path: &Path) -> Outcome {
        Ok(fs::remove_dir_all(self.at(path))?)
    }

    fn links(&self) -> Links {
        Links::Kept
    }
}

fn copy_tree(from: &Path, to: &Path) -> Outcome {
    let mut cp = Command::new("cp");
    checked(run(cp.arg("-a").arg("--").arg(from).arg(to), b"", command_max())).map(drop)
}
