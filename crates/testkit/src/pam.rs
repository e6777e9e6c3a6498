//! PAM beside the machine's own: `pam_wrapper` lets a server read service files of the test, whose one
//! module asks for a password and knows one user.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::openssh::{PASSWORD, USER};

/// Where `pam_wrapper` copies service files to, in directories `pam.X`. It leaves them behind in
/// processes that are killed.
const COPIES: &str = "/tmp";

/// Service files in which [`USER`] has [`PASSWORD`].
#[derive(Debug)]
pub struct Pam {
    services: PathBuf,
    service: &'static str,
}

impl Pam {
    /// Writes the files of `service` into `dir`; `None` if `pam_wrapper` is not installed.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn new(dir: &Path, service: &'static str) -> Option<Self> {
        let module = installed_module()?;
        let users = dir.join("pam_users");
        fs::write(&users, format!("{USER}:{PASSWORD}:{service}\n")).expect("write users for PAM");
        let services = dir.join("pam_services");
        fs::create_dir(&services).expect("make a directory for PAM");
        let line =
            |kind| format!("{kind} required {} passdb={}\n", module.display(), users.display());
        let lines: String = ["auth", "account", "password", "session"].map(line).concat();
        fs::write(services.join(service), lines).expect("write a service for PAM");
        Some(Self { services, service })
    }

    /// Makes `command` ask these files, behind what it preloads already.
    pub fn apply(&self, command: &mut Command) {
        let before = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD");
        let mut preload = before.and_then(|(_, value)| value).unwrap_or_default().to_owned();
        preload.push(OsString::from(" libpam_wrapper.so"));
        command
            .env("LD_PRELOAD", preload)
            .env("PAM_WRAPPER", "1")
            .env("PAM_WRAPPER_SERVICE_DIR", &self.services);
    }
}

impl Drop for Pam {
    fn drop(&mut self) {
        let Ok(own) = fs::read(self.services.join(self.service)) else { return };
        for entry in fs::read_dir(COPIES).into_iter().flatten().flatten() {
            let is_copy = entry.file_name().to_string_lossy().starts_with("pam.")
                && fs::read(entry.path().join(self.service)).is_ok_and(|copy| copy == own);
            if is_copy {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// `pam_matrix.so`, which comes with `pam_wrapper`.
fn installed_module() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    libraries
        .map(|entry| entry.path().join("pam_wrapper/pam_matrix.so"))
        .find(|module| module.is_file())
}
