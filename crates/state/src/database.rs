//! The file itself: made whole, opened strictly, shared by all threads.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Error, Result};
use crate::limits::{BUSY_WAIT, NAME_LEN_MAX};
use crate::schema::{APPLICATION_ID, Found, VERSION, migrate};

/// The file's name in the state directory.
pub const FILE_NAME: &str = "state.db";

/// SQLite's log beside the file, which belongs to it.
const LOG_NAME: &str = "state.db-wal";

/// The state of one server. Shared by reference or in an `Arc`; calls take turns.
///
/// Several processes may have the same file open: each call is a transaction of its own.
pub struct State {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl State {
    /// Opens `dir/state.db`; a directory and file that are missing are made, for the owner only.
    ///
    /// # Errors
    /// [`Error::Damaged`] if what is there is not a whole state file, [`Error::TooNew`] if a newer
    /// release wrote it, [`Error::Io`], [`Error::Busy`] and [`Error::Database`] as they say.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join(FILE_NAME);
        let io = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Io { path, source }
        };
        // Only what is made here is private: the mode of a directory that exists is its owner's choice.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io(dir))?;
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(dir, &path)?;
                fs::metadata(&path).map_err(io(&path))?
            }
            Err(source) => return Err(Error::Io { path, source }),
        };
        // SQLite takes an empty file for a new database, but files are made whole here: this one
        // has lost everything.
        if !meta.is_file() || meta.len() == 0 {
            let what = if meta.is_file() { "empty" } else { "not a file" };
            return Err(Error::Damaged { path, what: what.to_owned() });
        }
        if meta.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io(&path))?;
        }
        let connection = open_existing(&path).map_err(|error| explain(&path, "open", error))?;
        Self { connection: Mutex::new(connection), path }.ready()
    }

    /// A state that is gone when it is dropped, for tests and for servers without a state directory.
    ///
    /// # Errors
    /// [`Error::Database`] if there is no memory for it.
    pub fn in_memory() -> Result<Self> {
        let path = PathBuf::from(":memory:");
        let connection =
            Connection::open_in_memory().map_err(|error| explain(&path, "open", error))?;
        Self { connection: Mutex::new(connection), path }.ready()
    }

    /// Checks what was opened and brings it to this release's schema.
    fn ready(self) -> Result<Self> {
        match self.write("check", prepare)? {
            Found::Known => Ok(self),
            Found::Newer(found) => Err(Error::TooNew { path: self.path, found, known: VERSION }),
        }
    }

    /// Runs `work` on the connection; its failure becomes an error that says `doing`.
    pub(crate) fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(&mut self.lock()).map_err(|error| explain(&self.path, doing, error))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic cannot leave a transaction half done: dropping it rolls back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses names beyond their bound.
pub(crate) fn check_name(name: &str, what: &'static str) -> Result<()> {
    if name.len() > NAME_LEN_MAX { Err(Error::TooLong { what }) } else { Ok(()) }
}

/// Makes the file under a name of its own and gives it its name when it is whole: nobody ever sees
/// half a file, and a file that is empty or cut short is known to be damaged.
fn make(dir: &Path, path: &Path) -> Result<()> {
    let log = dir.join(LOG_NAME);
    if log.exists() {
        let what = format!("it is missing, and its log {} is not", log.display());
        return Err(Error::Damaged { path: path.to_owned(), what });
    }
    let fresh = dir.join(format!("{FILE_NAME}.{}", process::id()));
    let io = |source| Error::Io { path: fresh.clone(), source };
    // One left behind by a process that died holds nothing.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(io)?;
    let made = fill(&fresh).map_err(|error| explain(&fresh, "make", error)).and_then(|()| {
        file.sync_all().map_err(io)?;
        match fs::hard_link(&fresh, path) {
            // Another process was faster, and its file is as good.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.map_err(io),
        }
    });
    let removed = fs::remove_file(&fresh).map_err(io);
    made.and(removed)?;
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| Error::Io { path: dir.to_owned(), source })
}

/// A new database in an empty file.
fn fill(path: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(path, flags())?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&mut connection)?;
    connection.close().map_err(|(_, error)| error)
}

fn flags() -> OpenFlags {
    // Without CREATE: a file that vanishes is not replaced by an empty one.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn open_existing(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags())?;
    connection.busy_timeout(BUSY_WAIT)?;
    // Before anything is written: another program's database stays as it is.
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(damaged("another program's database"));
    }
    // One sync a commit, and readers in other processes do not hold up the server.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    Ok(connection)
}

/// Settings of the connection, the check of the file, the schema.
fn prepare(connection: &mut Connection) -> rusqlite::Result<Found> {
    // A commit is on the disk before it is reported, also when the power fails.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The file is data, not code: nothing in it may run functions with effects.
    connection.pragma_update(None, "trusted_schema", false)?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(damaged(&check));
    }
    migrate(connection)
}

/// An error as SQLite itself gives it for a damaged file.
fn damaged(what: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(what.to_owned()))
}

/// The one map from SQLite's errors to ours.
fn explain(path: &Path, doing: &'static str, source: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged { path, what: source.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { path },
        _ => Error::Database { path, doing, source },
    }
}
