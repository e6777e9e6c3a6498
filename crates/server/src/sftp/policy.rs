//! What one session may do and how the world looks from it. Made at login, never changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use sterna_identity::User;

use super::names::{Names, NoNames};
use crate::limits::{DIR_HANDLES_MAX, HANDLES_MAX, LONG_JOBS_MAX, REQUESTS_MAX};
use crate::server_limits::ServerLimits;

/// The rules of one SFTP session.
#[derive(Clone)]
pub struct SessionPolicy {
    /// The login name, for logs, `~name` and `home-directory`.
    pub user: Vec<u8>,
    /// Nothing may change: every writing request is refused, none is announced.
    pub read_only: bool,
    /// Operations that are refused, by their names in the operation table, for example `remove` or
    /// `posix-rename@openssh.com`.
    pub denied: BTreeSet<String>,
    /// Permission bits taken off new files and directories; `None` leaves it to the process.
    pub umask: Option<u32>,
    /// Absolute; what `~` means.
    pub home: Vec<u8>,
    /// Absolute; where relative paths begin.
    pub start_dir: Vec<u8>,
    pub names: Arc<dyn Names>,
    pub handles_max: usize,
    pub dir_handles_max: usize,
    /// Requests that are taken in and not answered.
    pub requests_max: usize,
    /// Digests and copies that run at a time.
    pub long_jobs_max: usize,
    /// SYMLINK arrives in the draft's order, link first; a login sets it by the client's name.
    pub draft_symlinks: bool,
}

impl Default for SessionPolicy {
    /// Everything allowed, starting at `/`, without names.
    fn default() -> Self {
        Self {
            user: Vec::new(),
            read_only: false,
            denied: BTreeSet::new(),
            umask: None,
            home: b"/".to_vec(),
            start_dir: b"/".to_vec(),
            names: Arc::new(NoNames),
            handles_max: HANDLES_MAX,
            dir_handles_max: DIR_HANDLES_MAX,
            requests_max: REQUESTS_MAX,
            long_jobs_max: LONG_JOBS_MAX,
            draft_symlinks: false,
        }
    }
}

impl SessionPolicy {
    /// With the numbers of `limits` for one channel.
    #[must_use]
    pub fn within(mut self, limits: &ServerLimits) -> Self {
        self.handles_max = limits.handles;
        self.dir_handles_max = limits.dir_handles.min(limits.handles);
        self.requests_max = limits.requests;
        self.long_jobs_max = limits.long_jobs;
        self
    }

    /// The rules in a user's record; everything begins at `/`.
    pub fn of_user(user: &User) -> Self {
        Self { user: user.name.clone().into_bytes(), read_only: user.read_only, ..Self::default() }
    }

    /// The mode of a new file or directory: what the client asked for or `default`, without
    /// set-id bits and less the umask. `None` if neither the client nor the policy says anything.
    pub(super) fn mode_of_new(&self, asked: Option<u32>, default: u32) -> Option<u32> {
        if asked.is_none() && self.umask.is_none() {
            return None;
        }
        let umask = self.umask.unwrap_or(0) & 0o777;
        Some(asked.unwrap_or(default) & 0o1777 & !umask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_modes_lose_set_id_bits_and_the_umask() {
        let policy = |umask| SessionPolicy { umask, ..SessionPolicy::default() };

        assert_eq!(policy(None).mode_of_new(None, 0o666), None);
        assert_eq!(policy(None).mode_of_new(Some(0o106_755), 0o666), Some(0o755));
        assert_eq!(policy(Some(0o027)).mode_of_new(None, 0o666), Some(0o640));
        assert_eq!(policy(Some(0o077)).mode_of_new(Some(0o1777), 0o777), Some(0o1700));
    }
}
