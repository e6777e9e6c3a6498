//! Public keys of users: those on the command line, and those that a user has.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use sterna_identity::{
    AuthorizedKey,
    limits::{AUTHORIZED_KEYS_LEN_MAX, USER_KEYS_MAX},
};

use super::files::{Located, shown};
use crate::{
    failure::{Failure, Result, io_reason},
    output::display_name,
    settings::Files,
    users_file::key_lines::key_lines,
};

/// One key of a user, usable or not.
pub struct UserKey {
    /// Counted from 1 over all keys of the user.
    pub number: usize,
    pub place: KeyPlace,
    /// The key, or why the server will not take the line.
    pub key: std::result::Result<AuthorizedKey, String>,
}

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In `authorized_keys`, at this index.
    Array(usize),
    /// In a file, in this line.
    File(PathBuf, usize),
}

/// The file that `authorized_keys_file` of a user names.
pub fn keys_file(user: Located<'_>) -> Option<PathBuf> {
    user.text("authorized_keys_file").map(|path| user.resolve(path))
}

/// The bytes of an authorized keys file. It may lie where its user can write: with `to_edit` a link
/// is not followed, because what is read there is written again for the user to see.
///
/// # Errors
/// If it cannot be read, is no regular file or too large.
pub fn read_keys_file(path: &Path, to_edit: bool) -> Result<Vec<u8>> {
    let fail = |why: String| Failure::incomplete(shown(path), why);
    // A pipe without a writer would be waited for.
    let mut flags = OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, to_edit);
    let mut bytes = Vec::new();
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .and_then(|file| match file.metadata()?.is_file() {
            true => file.take(AUTHORIZED_KEYS_LEN_MAX as u64 + 1).read_to_end(&mut bytes),
            false => Err(io::Error::other("not a regular file")),
        })
        .map_err(|error| fail(io_reason(&error)))?;
    if bytes.len() > AUTHORIZED_KEYS_LEN_MAX {
        return Err(fail(format!("larger than {AUTHORIZED_KEYS_LEN_MAX} bytes")));
    }
    Ok(bytes)
}

/// All keys of a user: those of the settings first, then those of the file.
///
/// # Errors
/// If there is a file that cannot be read.
pub fn keys_of(user: Located<'_>) -> Result<Vec<UserKey>> {
    let read = |text: &str| text.parse::<AuthorizedKey>().map_err(|why| why.to_string());
    let items = user.list("authorized_keys").into_iter().enumerate();
    let mut keys: Vec<_> =
        items.map(|(index, text)| (KeyPlace::Array(index), read(text))).collect();
    if let Some(path) = keys_file(user) {
        let lines = key_lines(&read_keys_file(&path, false)?).into_iter();
        keys.extend(lines.map(|l| (KeyPlace::File(path.clone(), l.line), read(&l.text))));
    }
    let numbered = keys.into_iter().zip(1..);
    Ok(numbered.map(|((place, key), number)| UserKey { number, place, key }).collect())
}

/// The lines that arguments mean: each a line itself, or a file of lines.
///
/// # Errors
/// If one is neither, or a line is no key that the server takes.
pub fn given_keys(arguments: &[String]) -> Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    for argument in arguments {
        // A line has at least a type and a key; a file of such a name is named as ./FILE.
        let is_line = argument.contains([' ', '\t']) && !Path::new(argument).exists();
        if is_line {
            lines.push(checked(argument, "key")?);
            continue;
        }
        let path = Path::new(argument);
        let bytes = Files::on_disk()
            .read(path, AUTHORIZED_KEYS_LEN_MAX as u64)
            .map_err(|error| Failure::usage(shown(path), io_reason(&error)))?;
        if bytes.starts_with(b"-----BEGIN") || bytes.starts_with(b"PuTTY-User-Key-File") {
            return Err(Failure::usage(shown(path), "holds a private key")
                .hint("give the public one, which stands in FILE.pub"));
        }
        let before = lines.len();
        for line in key_lines(&bytes) {
            lines.push(checked(&line.text, &format!("{}:{}", shown(path), line.line))?);
            if lines.len() > USER_KEYS_MAX {
                return Err(Failure::usage(shown(path), format!("more than {USER_KEYS_MAX} keys")));
            }
        }
        if lines.len() == before {
            return Err(Failure::usage(shown(path), "holds no key"));
        }
    }
    Ok(lines)
}

/// A line as it may be written down: a key that the server takes, and nothing that would end a line.
fn checked(line: &str, place: &str) -> Result<String> {
    let line = line.trim().replace('\t', " ");
    let refuse = |why: String| Err(Failure::usage(place, format!("not a usable key: {why}")));
    if line.chars().any(char::is_control) {
        return refuse("holds a control character".to_owned());
    }
    match line.parse::<AuthorizedKey>() {
        Ok(_) => Ok(line),
        Err(why) => refuse(why.to_string()),
    }
}

/// `ssh-ed25519 SHA256:… comment`.
pub fn shown_key(key: &AuthorizedKey) -> String {
    let comment = display_name(key.comment.as_bytes());
    let text = format!("{} {} {comment}", key.key.key_type(), key.key.fingerprint());
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrsSTxm+vJdIU1ZNA8BCSSzBvrGL9aPZjsnOeeFf0xw";

    fn given(argument: &str) -> Result<Vec<String>> {
        given_keys(&[argument.to_owned()])
    }

    #[test]
    fn an_argument_is_a_line_or_a_file_of_lines() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys.pub");
        std::fs::write(&file, format!("# two\n{KEY} a b\r\n\n restrict {KEY}\n")).unwrap();

        assert_eq!(given(&format!(" {KEY}\tme ")).unwrap(), [format!("{KEY} me")]);
        let lines = given(file.to_str().unwrap()).unwrap();
        assert_eq!(lines, [format!("{KEY} a b"), format!("restrict {KEY}")]);
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        for (content, said) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", "private key"),
            ("# nothing\n", "holds no key"),
            ("\nssh-ed25519 AAAA\n", "file:2: not a usable key"),
            ("ssh-ed25519 \x1b[31m\n", "control character"),
        ] {
            let file = dir.path().join("file");
            std::fs::write(&file, content).unwrap();
            let failure = given(file.to_str().unwrap()).unwrap_err();
            assert!(failure.text().contains(said), "{failure}");
            assert_eq!(failure.exit(), Exit::Usage);
        }
        assert!(given("/nonexistent").unwrap_err().text().contains("no such file"));
        assert!(given(&format!("{KEY} a\nb")).unwrap_err().text().contains("control character"));
    }
}
