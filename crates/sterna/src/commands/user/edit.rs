//! One edit of the settings files: under a lock, judged as a whole, and then in one step.
//!
//! Whoever reads a file meanwhile sees the old one or the new one. Nothing is written that the
//! server would not load.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{
    Context,
    files::{Located, UserFiles, refused, shown},
};
use crate::{
    failure::{Failure, Result},
    settings::{self, Files, SettingsError},
    users_file::{EditError, UserText},
};

/// What an edit does to a file.
pub enum Change {
    /// Gives it this content; where it is a link, what it points to.
    Write {
        path: PathBuf,
        content: Vec<u8>,
    },
    /// The same for a file that may lie where others can write. A link is not followed: it could
    /// point to any file of this machine.
    WriteHere {
        path: PathBuf,
        content: Vec<u8>,
    },
    /// Makes a file that must not be there yet.
    Create {
        path: PathBuf,
        content: Vec<u8>,
    },
    Remove {
        path: PathBuf,
    },
    /// Everything is already as it was wanted.
    Nothing,
}

impl Change {
    pub fn of(path: &Path, text: &UserText) -> Self {
        Self::Write { path: path.to_owned(), content: text.text().as_bytes().to_vec() }
    }
}

impl Context<'_> {
    /// Lets `plan` decide over a change while nobody else edits, judges it, and makes it.
    ///
    /// # Errors
    /// Those of `plan`; every mistake of the settings as they would be; a file that cannot be
    /// written. Nothing was changed then.
    pub fn edit<T>(&self, plan: impl FnOnce(&UserFiles) -> Result<(Change, T)>) -> Result<T> {
        let lock = lock(&self.config)?;
        let files = UserFiles::read(&self.config)?;
        let (change, result) = plan(&files)?;
        self.apply(change)?;
        drop(lock);
        Ok(result)
    }

    /// Edits the text in which a user stands. `plan` gets the user and the text to cut.
    ///
    /// # Errors
    /// As [`Context::edit`].
    pub fn edit_user<T>(
        &self,
        name: &str,
        plan: impl FnOnce(Located<'_>, &mut UserText) -> Result<T>,
    ) -> Result<T> {
        self.edit(|files| {
            let user = files.find(name)?;
            let mut text = user.file.text.clone();
            let result = plan(user, &mut text)?;
            let change = match text.text() == user.file.text.text() {
                true => Change::Nothing,
                false => Change::of(&user.file.path, &text),
            };
            Ok((change, result))
        })
    }

    fn apply(&self, change: Change) -> Result<()> {
        let files = match &change {
            Change::Write { path, content }
            | Change::WriteHere { path, content }
            | Change::Create { path, content } => Files::with(path.clone(), content.clone()),
            Change::Remove { path } => Files::without(path.clone()),
            Change::Nothing => return Ok(()),
        };
        let settings = settings::load_from(&self.config, &files)
            .map_err(|errors| self.would_not_load(&errors))?;
        let before = settings::load(&self.config).map(|settings| settings.warnings);
        let warnings = new_warnings(settings.warnings, &before.unwrap_or_default());
        let (path, result) = match &change {
            Change::Write { path, content } => (path, write(path, content)),
            Change::WriteHere { path, content } => (path, write_here(path, content)),
            Change::Create { path, content } => (path, create(path, content, &self.config)),
            Change::Remove { path } => (path, fs::remove_file(path)),
            Change::Nothing => return Ok(()),
        };
        result.map_err(|error| Failure::io(shown(path), &error))?;
        if !self.global.quiet {
            warnings.iter().for_each(|warning| eprintln!("sterna: warning: {warning}"));
        }
        Ok(())
    }

    /// Says why nothing was changed. Mistakes that are in the files already are shown where they
    /// are, not where the edit would have moved them.
    fn would_not_load(&self, errors: &[SettingsError]) -> Failure {
        let before = settings::load(&self.config).err().unwrap_or_default();
        if errors.iter().all(|error| is_among(error, &before)) {
            eprintln!("sterna: nothing was changed, because the settings do not load as they are:");
            return refused(&before);
        }
        eprintln!("sterna: nothing was changed, because the settings would not load:");
        refused(errors)
    }
}

/// What the edit made doubtful: warnings that were not there before, maybe about another line.
fn new_warnings(after: Vec<String>, before: &[String]) -> Vec<String> {
    let text = |warning: &str| warning.replace(|c: char| c.is_ascii_digit(), "");
    let known = |warning: &String| before.iter().any(|old| text(old) == text(warning));
    after.into_iter().filter(|warning| !known(warning)).collect()
}

/// Whether an error was there before, maybe in another line.
fn is_among(error: &SettingsError, before: &[SettingsError]) -> bool {
    before
        .iter()
        .any(|old| (&old.file, &old.key, &old.why) == (&error.file, &error.key, &error.why))
}

/// The reason why a text was not cut, about a user.
pub fn cannot_edit(user: Located<'_>) -> impl Fn(EditError) -> Failure {
    let place = user.place();
    move |error| Failure::incomplete(place.clone(), error.to_string())
}

/// Waits until nobody else edits these settings. The lock is on the settings file, which an edit
/// may have replaced meanwhile: then the new one is locked.
fn lock(config: &Path) -> Result<File> {
    let fail = |error: io::Error| {
        let failure = Failure::usage(shown(config), crate::failure::io_reason(&error));
        match error.kind() {
            io::ErrorKind::NotFound => {
                failure.hint("name the settings file with --config or $STERNA_CONFIG")
            }
            _ => failure,
        }
    };
    loop {
        let file = File::open(config).map_err(fail)?;
        file.lock().map_err(fail)?;
        let (locked, there) = (file.metadata().map_err(fail)?, fs::metadata(config).map_err(fail)?);
        if (locked.dev(), locked.ino()) == (there.dev(), there.ino()) {
            return Ok(file);
        }
    }
}

/// Replaces the content of a file, of what it points to if it is a link.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_here(&fs::canonicalize(path)?, content)
}

/// Replaces the content of a file and keeps its owner and mode.
fn write_here(path: &Path, content: &[u8]) -> io::Result<()> {
    let like = fs::symlink_metadata(path)?;
    if !like.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let file = prepared(path, content, &like)?;
    file.persist(path).map_err(|error| error.error)?;
    sync_dir_of(path)
}

/// Makes a file with owner and mode of `model`.
fn create(path: &Path, content: &[u8], model: &Path) -> io::Result<()> {
    let file = prepared(path, content, &fs::metadata(model)?)?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_dir_of(path)
}

/// The content on disk beside `path`, ready to take its place. Hidden, so that a users directory is
/// not read with it, and for its owner alone until it is complete.
fn prepared(path: &Path, content: &[u8], like: &Metadata) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(".sterna-").suffix(".tmp").tempfile_in(dir_of(path))?;
    file.write_all(content)?;
    give_owner_and_mode(file.as_file(), like)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn sync_dir_of(path: &Path) -> io::Result<()> {
    File::open(dir_of(path))?.sync_all()
}

fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn give_owner_and_mode(file: &File, like: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (like.uid(), like.gid()) {
        fchown(file, Some(like.uid()), Some(like.gid())).map_err(|error| {
            let why = crate::failure::io_reason(&error);
            io::Error::new(error.kind(), format!("owner cannot be kept: {why}"))
        })?;
    }
    file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_followed_and_the_mode_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();

        write(&link, b"new").unwrap();

        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn a_new_file_takes_after_the_settings_file_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (model, new) = (dir.path().join("sterna.toml"), dir.path().join("bob.toml"));
        fs::write(&model, "").unwrap();
        fs::set_permissions(&model, fs::Permissions::from_mode(0o600)).unwrap();

        create(&new, b"first", &model).unwrap();
        assert_eq!(fs::metadata(&new).unwrap().mode() & 0o7777, 0o600);

        let again = create(&new, b"second", &model).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&new).unwrap(), b"first");
    }

    #[test]
    fn a_warning_that_only_moved_is_not_new() {
        let before = ["a.toml:4: eve: is doubtful".to_owned()];
        let after = ["a.toml:12: eve: is doubtful", "a.toml:4: bob: is doubtful"];

        let new = new_warnings(after.map(str::to_owned).to_vec(), &before);

        assert_eq!(new, ["a.toml:4: bob: is doubtful"]);
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();

        let link = dir.path().join("link");
        symlink("/etc/passwd", &link).unwrap();

        for path in [dir.path(), &link] {
            let error = write_here(path, b"").unwrap_err();
            assert_eq!(error.to_string(), "not a regular file");
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
