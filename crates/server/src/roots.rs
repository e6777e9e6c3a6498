//! The directories of users on this machine: opened at login, with uploads published as each user's
//! record says, and swept of what was left unfinished.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sterna_identity::{Publish, User};
use sterna_storage::{Backend, Error, Folder, Local, OnClose, Result, Time, Uploads};

use crate::limits::{ROOTS_FORGOTTEN_AT, SWEPT_ROOTS_MAX};

/// Opens the directories of users; one for all sessions of a server.
#[derive(Default)]
pub struct Roots {
    uploads: Arc<Uploads>,
    /// Whose uploads are published on close, by root and name; also users that only a program outside
    /// knows.
    seen: Mutex<BTreeMap<(PathBuf, String), Vec<Folder>>>,
    /// Directories that sessions have open: all sessions in one share its descriptor.
    open: Mutex<HashMap<PathBuf, Weak<Local>>>,
    /// At so many entries those that nobody has open any more are looked for.
    forgotten_at: AtomicUsize,
    system: Option<Box<OpenSystem>>,
}

/// Opens the root of a user of this machine, with that user's rights.
type OpenSystem = dyn Fn(&User) -> Result<Arc<dyn Backend>> + Send + Sync;

impl Roots {
    pub fn new() -> Self {
        Self::default()
    }

    /// How users of this machine ([`User::system`]) get their files. What they left unfinished is not swept: nobody has
    /// their rights when they are gone.
    #[must_use]
    pub fn system_users<F>(mut self, open: F) -> Self
    where
        F: Fn(&User) -> Result<Arc<dyn Backend>> + Send + Sync + 'static,
    {
        self.system = Some(Box::new(open));
        self
    }

    /// What `user` sees as `/`. Where others publish on close, nobody sees their unfinished uploads.
    ///
    /// # Errors
    /// If the directory cannot be opened.
    pub fn open(&self, user: &User) -> Result<Arc<dyn Backend>> {
        let folders = folders_of(user);
        if user.system.is_some() {
            let open = self.system.as_ref().ok_or_else(|| Error::unsupported("open root"))?;
            let uploads = Arc::clone(&self.uploads);
            let layer = OnClose::new(open(user)?, user.name.as_bytes(), &folders, uploads);
            return Ok(Arc::new(layer));
        }
        let layer = self.layer(&user.root, user.name.as_bytes(), &folders)?;
        self.remember(user, folders);
        Ok(Arc::new(layer))
    }

    /// These users may have left unfinished uploads, in an earlier run of the server too.
    pub fn expect<'u>(&self, users: impl IntoIterator<Item = &'u User>) {
        users.into_iter().for_each(|user| self.remember(user, folders_of(user)));
    }

    /// Removes unfinished uploads that nobody has changed for `keep`. Blocks on the disk.
    ///
    /// Returns how many went; what could not be looked at is logged.
    pub fn sweep(&self, keep: Duration) -> usize {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let oldest = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = oldest.saturating_sub(keep);
        let oldest = Time {
            seconds: i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX),
            nanos: oldest.subsec_nanos(),
        };
        let mut removed = 0;
        for ((root, user), folders) in seen {
            match self.layer(&root, b"", &folders).and_then(|layer| layer.sweep(oldest)) {
                Ok(count) => removed += count,
                Err(error) => {
                    tracing::warn!(user, %error, "unfinished uploads could not be looked at");
                }
            }
        }
        if removed > 0 {
            tracing::info!(removed, "unfinished uploads were removed");
        }
        removed
    }

    fn layer(&self, root: &Path, owner: &[u8], folders: &[Folder]) -> Result<OnClose> {
        let below = self.local(root)?;
        Ok(OnClose::new(below, owner, folders, Arc::clone(&self.uploads)))
    }

    /// The directory `root`: as another session has it open, if it is still the one of that name.
    fn local(&self, root: &Path) -> Result<Arc<Local>> {
        let open = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open().get(root).and_then(Weak::upgrade);
        if let Some(local) = known
            && let (Ok(now), Ok(then)) = (fs::metadata(root), local.stat(b"/", true))
            && (now.dev(), now.ino()) == then.id
        {
            return Ok(local);
        }
        let local = Arc::new(Local::open(root)?);
        let mut open = open();
        // Doubled each time, so that it costs little for each session.
        if open.len() >= self.forgotten_at.load(Ordering::Relaxed).max(ROOTS_FORGOTTEN_AT) {
            open.retain(|_, local| local.strong_count() > 0);
            self.forgotten_at.store(2 * open.len(), Ordering::Relaxed);
        }
        open.insert(root.to_owned(), Arc::downgrade(&local));
        Ok(local)
    }

    fn remember(&self, user: &User, folders: Vec<Folder>) {
        if !folders.iter().any(|folder| folder.on_close) {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (user.root.clone(), user.name.clone());
        if seen.len() < SWEPT_ROOTS_MAX || seen.contains_key(&key) {
            seen.insert(key, folders);
        }
    }
}

fn folders_of(user: &User) -> Vec<Folder> {
    let folder = |path: &[u8], publish| Folder {
        path: path.to_vec(),
        on_close: publish == Publish::OnClose,
    };
    let own = user.folders.iter().map(|rules| folder(rules.path.as_bytes(), rules.publish));
    // A rule for `/` itself comes first and wins.
    own.chain([folder(b"/", user.publish)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sterna_identity::FolderRules;
    use sterna_storage::OpenHow;

    const UPLOAD: OpenHow = OpenHow {
        read: false,
        write: true,
        append: false,
        create: true,
        truncate: true,
        exclusive: false,
        mode: None,
    };

    #[test]
    fn each_folder_publishes_as_the_users_record_says() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        let rules = FolderRules { path: "/in".into(), publish: Publish::OnClose };
        let alice = User { folders: vec![rules], ..User::new("alice", dir.path()) };
        let roots = Roots::new();
        let root = roots.open(&alice).unwrap();

        let direct = root.open(b"/f", &UPLOAD).unwrap();
        let on_close = root.open(b"/in/f", &UPLOAD).unwrap();

        assert!(dir.path().join("f").exists());
        assert!(!dir.path().join("in/f").exists());
        direct.close().unwrap();
        on_close.close().unwrap();
        assert!(dir.path().join("in/f").exists());
    }

    #[test]
    fn sessions_in_one_directory_share_it_as_long_as_it_is_the_one_of_that_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let roots = Roots::new();
        let first = roots.local(&root).unwrap();

        assert!(Arc::ptr_eq(&first, &roots.local(&root).unwrap()));
        std::fs::rename(&root, dir.path().join("old")).unwrap();
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("new"), "x").unwrap();
        let second = roots.local(&root).unwrap();
        assert!(second.stat(b"/new", true).is_ok(), "what has the name now");
        assert!(first.stat(b"/new", true).is_err());

        drop((first, second));
        for number in 0..2 * ROOTS_FORGOTTEN_AT {
            let other = dir.path().join(number.to_string());
            std::fs::create_dir(&other).unwrap();
            drop(roots.local(&other).unwrap());
        }
        assert!(roots.open.lock().unwrap().len() <= ROOTS_FORGOTTEN_AT);
    }

    #[test]
    fn unfinished_uploads_of_an_earlier_run_go_when_they_are_old() {
        let dir = tempfile::tempdir().unwrap();
        let alice = User { publish: Publish::OnClose, ..User::new("alice", dir.path()) };
        drop(Roots::new().open(&alice).unwrap().open(b"/f", &UPLOAD).unwrap());
        let roots = Roots::new();
        roots.expect([&alice]);

        assert_eq!(roots.sweep(Duration::from_secs(3600)), 0);
        assert!(roots.open(&alice).unwrap().stat(b"/f", true).is_ok());
        assert_eq!(roots.sweep(Duration::ZERO), 1);

        assert!(roots.open(&alice).unwrap().stat(b"/f", true).is_err());
    }
}
