//! The files behind the settings: as they are on disk, or as they would be after an edit.
//!
//! An edit is judged before it is made: the edited file is read from memory, every other one from
//! disk, by the same code that reads them for the server.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// What there is to read.
#[derive(Debug, Default)]
pub struct Files {
    /// A path as the settings lead to it, and what it would hold; `None` if it would be gone.
    edited: Option<(PathBuf, Option<Vec<u8>>)>,
}

impl Files {
    /// As they are.
    pub fn on_disk() -> Self {
        Self::default()
    }

    /// As they would be if `path` held `content`.
    pub fn with(path: PathBuf, content: Vec<u8>) -> Self {
        Self { edited: Some((path, Some(content))) }
    }

    /// As they would be if `path` were gone.
    pub fn without(path: PathBuf) -> Self {
        Self { edited: Some((path, None)) }
    }

    /// The first `len_max + 1` bytes of a file: whoever gets more than `len_max` knows that it is
    /// too large.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match &self.edited {
            Some((edited, content)) if edited == path => {
                let content = content.as_deref().ok_or(io::ErrorKind::NotFound)?;
                content.take(len_max + 1).read_to_end(&mut bytes)?;
            }
            _ => {
                fs::File::open(path)?.take(len_max + 1).read_to_end(&mut bytes)?;
            }
        }
        Ok(bytes)
    }

    /// As [`read`](Self::read), for a file that somebody else than the owner of the settings may have
    /// put there: only what is a file is opened, because others may never end or never begin.
    ///
    /// # Errors
    /// If it is no regular file or cannot be read.
    pub fn read_regular(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        let is_edited = matches!(&self.edited, Some((edited, _)) if edited == path);
        if !is_edited && !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        self.read(path, len_max)
    }

    /// The files of a users directory, one user each, sorted; no more than `count_max + 1` of them.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn users_in(&self, dir: &Path, count_max: usize) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let file = entry?.path();
            let gone = matches!(&self.edited, Some((edited, None)) if *edited == file);
            if is_user_file(&file) && !gone {
                files.push(file);
            }
            if files.len() > count_max {
                break;
            }
        }
        if let Some((edited, Some(_))) = &self.edited
            && edited.parent() == Some(dir)
            && is_user_file(edited)
            && !files.contains(edited)
        {
            files.push(edited.clone());
        }
        files.sort();
        Ok(files)
    }
}

/// Editors leave hidden files and other endings behind.
fn is_user_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".toml") && !name.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_file_hides_the_one_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("a.toml"), dir.path().join("b.toml"));
        fs::write(&old, "old").unwrap();
        fs::write(dir.path().join(".hidden.toml"), "").unwrap();

        let with = Files::with(new.clone(), b"new".to_vec());
        assert_eq!(with.users_in(dir.path(), 9).unwrap(), [old.clone(), new.clone()]);
        assert_eq!(with.read(&new, 9).unwrap(), b"new");
        assert_eq!(with.read(&old, 1).unwrap(), b"ol");

        let without = Files::without(old.clone());
        assert!(without.users_in(dir.path(), 9).unwrap().is_empty());
        assert_eq!(without.read(&old, 9).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(Files::on_disk().users_in(dir.path(), 9).unwrap(), [old]);
    }
}
