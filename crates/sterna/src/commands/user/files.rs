//! All users of a server: those in its settings file, and those in files of their own beside it.

use std::path::{Path, PathBuf};

use crate::{
    exit::Exit,
    failure::{Failure, Result, io_reason},
    output::display_name,
    settings::{Files, SettingsError, Source, USERS_MAX},
    users_file::{EditError, Form, UserText, UserView},
};

/// A file that holds users.
pub struct UserFile {
    pub path: PathBuf,
    pub text: UserText,
}

/// Every file that holds users, read at one moment.
pub struct UserFiles {
    /// `None`: users stand in the settings file itself.
    pub users_dir: Option<PathBuf>,
    /// The settings file first.
    files: Vec<UserFile>,
    /// Which file, and what it says.
    users: Vec<(usize, UserView)>,
    /// Files of the users directory that could not be read.
    pub broken: Vec<SettingsError>,
}

/// A user and the file that says so.
#[derive(Clone, Copy)]
pub struct Located<'f> {
    pub file: &'f UserFile,
    pub view: &'f UserView,
}

impl UserFiles {
    /// Reads the settings file and the users directory that it names.
    ///
    /// # Errors
    /// If the settings file cannot be read. What is wrong in the directory is in `broken`.
    pub fn read(config: &Path) -> Result<Self> {
        let on_disk = Files::on_disk();
        let source = Source::read(config, &on_disk).map_err(|error| refused(&[error]))?;
        let text = UserText::new(Form::Listed, source.text().to_owned());
        let dir = text.top_level("users_dir").map_err(|e| refused(&[broken(config, &e)]))?;
        let users_dir = dir.map(|dir| source.resolve(Path::new(&dir)));
        let mut all = Self { users_dir, files: Vec::new(), users: Vec::new(), broken: Vec::new() };
        all.push(config.to_owned(), text);
        if !all.broken.is_empty() {
            return Err(refused(&all.broken));
        }
        for path in all.own_files(&on_disk) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match Source::read(&path, &on_disk) {
                Ok(source) => {
                    let text = UserText::new(Form::Own(stem), source.text().to_owned());
                    all.push(path, text);
                }
                Err(error) => all.broken.push(error),
            }
        }
        Ok(all)
    }

    pub fn users(&self) -> impl Iterator<Item = Located<'_>> {
        self.users
            .iter()
            .filter_map(|(file, view)| Some(Located { file: self.files.get(*file)?, view }))
    }

    /// # Errors
    /// If there is no user of that name.
    pub fn find(&self, name: &str) -> Result<Located<'_>> {
        self.get(name).ok_or_else(|| {
            let failure = Failure::incomplete(shown_name(name), "no such user");
            match self.broken.first() {
                Some(error) => failure.hint(format!("not all files could be read: {error}")),
                None => failure.hint("`sterna user list` shows all"),
            }
        })
    }

    pub fn get(&self, name: &str) -> Option<Located<'_>> {
        self.users().find(|user| user.view.name == name)
    }

    /// The settings file.
    pub fn main(&self) -> Option<&UserFile> {
        self.files.first()
    }

    fn own_files(&mut self, on_disk: &Files) -> Vec<PathBuf> {
        let Some(dir) = &self.users_dir else { return Vec::new() };
        on_disk.users_in(dir, USERS_MAX).unwrap_or_else(|error| {
            self.broken.push(SettingsError {
                file: dir.clone(),
                line: None,
                key: String::new(),
                why: io_reason(&error),
            });
            Vec::new()
        })
    }

    fn push(&mut self, path: PathBuf, text: UserText) {
        match text.users() {
            Ok(views) => {
                let at = self.files.len();
                self.users.extend(views.into_iter().map(|view| (at, view)));
                self.files.push(UserFile { path, text });
            }
            Err(error) => self.broken.push(broken(&path, &error)),
        }
    }
}

impl Located<'_> {
    /// `FILE:LINE` of the user.
    pub fn place(&self) -> String {
        format!("{}:{}", shown(&self.file.path), self.view.line)
    }

    /// The text of a key; `None` if it is not there or no text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.view.values.get(key)?.as_str()
    }

    /// The texts of an array.
    pub fn list(&self, key: &str) -> Vec<&str> {
        let items = self.view.values.get(key).and_then(serde_json::Value::as_array);
        items.into_iter().flatten().filter_map(serde_json::Value::as_str).collect()
    }

    pub fn enabled(&self) -> bool {
        self.view.values.get("enabled").and_then(serde_json::Value::as_bool).unwrap_or(true)
    }

    /// A path as the user's file means it.
    pub fn resolve(&self, path: &str) -> PathBuf {
        match self.file.path.parent() {
            Some(dir) => dir.join(path),
            None => PathBuf::from(path),
        }
    }
}

/// Prints what is wrong with the settings.
pub fn refused(errors: &[SettingsError]) -> Failure {
    for error in errors {
        eprintln!("sterna: {error}");
    }
    Failure::reported(Exit::Usage)
}

fn broken(path: &Path, error: &EditError) -> SettingsError {
    let line = match error {
        EditError::Syntax { line, .. } => *line,
        _ => None,
    };
    SettingsError { file: path.to_owned(), line, key: String::new(), why: error.to_string() }
}

/// A path that is safe to print.
pub fn shown(path: &Path) -> String {
    display_name(path.as_os_str().as_encoded_bytes())
}

/// A user's name that is safe to print.
pub fn shown_name(name: &str) -> String {
    display_name(name.as_bytes())
}
