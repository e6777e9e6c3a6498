//! A program that the settings name: whether it may be run, and with what around it.
//!
//! As OpenSSH does for its `AuthorizedKeysCommand`, a program is refused if anybody but its owner or
//! root could have put something else in its place. That is looked at before every run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::HookError;
use crate::limits::{COMMAND_WORD_LEN_MAX, COMMAND_WORDS_MAX};

/// Where programs are looked for if the server's own environment does not say.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// A variable of the client that holds a password; a server may have inherited it.
const PASSWORD_VARIABLE: &str = "STERNA_PASSWORD";

/// Permission to write for group and others.
const SHARED_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const ANY_EXECUTE: u32 = 0o111;

/// A program and its arguments. Each argument reaches it as it is written here.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    pub(crate) args: Vec<String>,
}

impl Program {
    pub(crate) fn new(command: &[String]) -> Result<Self, HookError> {
        let setting = |what: String| Err(HookError::Setting(what));
        let Some((program, args)) = command.split_first() else {
            return setting("command of a hook: empty".into());
        };
        if !program.starts_with('/') {
            return setting(format!("command of a hook: {program:?} is no absolute path"));
        }
        if command.len() > COMMAND_WORDS_MAX {
            return setting(format!("command of a hook: more than {COMMAND_WORDS_MAX} words"));
        }
        if command.iter().any(|word| word.len() > COMMAND_WORD_LEN_MAX || word.contains('\0')) {
            return setting(format!(
                "command of a hook: a word is longer than {COMMAND_WORD_LEN_MAX} bytes or holds NUL"
            ));
        }
        Ok(Self { path: program.into(), args: args.to_vec() })
    }

    /// One that was checked where it was asked for.
    pub(crate) fn as_asked(path: &str, args: &[String]) -> Self {
        Self { path: path.into(), args: args.to_vec() }
    }

    /// As the settings have it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it may be run as things are.
    pub(crate) fn check(&self) -> Result<(), HookError> {
        trusted(&self.path).map(drop)
    }

    /// The command with its arguments as the settings have them.
    pub(crate) fn command(&self) -> Result<Command, HookError> {
        self.command_with(self.args.iter())
    }

    /// The command with other arguments, in a clean environment.
    pub(crate) fn command_with(
        &self,
        args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
    ) -> Result<Command, HookError> {
        // The path that was looked at is the one that is run; its name stays the one it was called by.
        let mut command = Command::new(trusted(&self.path)?);
        command
            .arg0(&self.path)
            .args(args)
            .env_clear()
            .envs(environment(std::env::vars_os()))
            .current_dir("/");
        Ok(command)
    }
}

/// What a program sees of our environment.
fn environment(
    ours: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    let kept = ours.filter(|(name, _)| {
        let name = name.as_encoded_bytes();
        name == b"PATH"
            || name == b"LANG"
            || (name.starts_with(b"STERNA_") && name != PASSWORD_VARIABLE.as_bytes())
    });
    // A later value replaces an earlier one.
    std::iter::once(("PATH".into(), PATH_DEFAULT.into())).chain(kept)
}

/// Where `path` leads in the end, if nobody but its owner and root can change that.
fn trusted(path: &Path) -> Result<PathBuf, HookError> {
    let failed = |e| HookError::failed(format_args!("look at {}", path.display()), e);
    let target = fs::canonicalize(path).map_err(failed)?;
    let file = fs::metadata(&target).map_err(failed)?;
    let untrusted = |path: &Path, why| HookError::Untrusted { path: path.to_owned(), why };
    if !file.is_file() || file.permissions().mode() & ANY_EXECUTE == 0 {
        return Err(untrusted(path, "is no executable file"));
    }
    if file.permissions().mode() & SHARED_WRITE != 0 {
        return Err(untrusted(path, "may be written by others than its owner"));
    }
    if !owned_by_us(&file) {
        return Err(untrusted(path, "belongs neither to root nor to the user of this server"));
    }
    // The name may lead over links: both the directories written down and those it ends in count.
    for start in [path, &target] {
        for (distance, dir) in start.ancestors().skip(1).enumerate() {
            let about = fs::metadata(dir).map_err(failed)?;
            let mode = about.permissions().mode();
            // In a sticky directory nobody replaces what belongs to somebody else.
            if mode & SHARED_WRITE != 0 && (distance == 0 || mode & STICKY == 0) {
                return Err(untrusted(dir, "may be written by others than its owner"));
            }
            if !owned_by_us(&about) {
                return Err(untrusted(
                    dir,
                    "belongs neither to root nor to the user of this server",
                ));
            }
        }
    }
    Ok(target)
}

/// Root could do anything anyway, and so could whoever this server runs as.
fn owned_by_us(about: &fs::Metadata) -> bool {
    about.uid() == 0 || about.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(dir: &Path, mode: u32) -> PathBuf {
        let path = dir.join("hook");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn why(result: Result<PathBuf, HookError>) -> &'static str {
        match result {
            Ok(_) => "trusted",
            Err(HookError::Untrusted { why, .. }) => why,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_program_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let by_others = "may be written by others than its owner";

        for (mode, expected) in [
            (0o755, "trusted"),
            (0o700, "trusted"),
            (0o775, by_others),
            (0o757, by_others),
            (0o644, "is no executable file"),
        ] {
            assert_eq!(why(trusted(&script(dir.path(), mode))), expected, "{mode:o}");
        }
        assert_eq!(why(trusted(dir.path())), "is no executable file");
    }

    #[test]
    fn a_program_in_a_directory_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let path = script(&inner, 0o755);
        let by_others = "may be written by others than its owner";

        for (outer_mode, inner_mode, expected) in [
            (0o755, 0o755, "trusted"),
            (0o755, 0o775, by_others),
            // Sticky or not: names beside the program are others' too.
            (0o755, 0o1777, by_others),
            (0o777, 0o755, by_others),
            (0o1777, 0o755, "trusted"),
        ] {
            set_mode(dir.path(), outer_mode);
            set_mode(&inner, inner_mode);
            assert_eq!(why(trusted(&path)), expected, "{outer_mode:o} {inner_mode:o}");
        }
    }

    #[test]
    fn a_link_to_a_good_program_is_only_as_good_as_its_own_directory() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o755);
        let path = script(dir.path(), 0o755);
        let links = dir.path().join("links");
        fs::create_dir(&links).unwrap();
        let link = links.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();

        set_mode(&links, 0o755);
        assert_eq!(trusted(&link).unwrap(), fs::canonicalize(&path).unwrap());
        set_mode(&links, 0o777);
        assert_eq!(why(trusted(&link)), "may be written by others than its owner");
    }

    #[test]
    fn a_program_sees_path_lang_and_our_variables_only() {
        let ours = [
            ("HOME", "/root"),
            ("LANG", "de_DE.UTF-8"),
            ("LANGUAGE", "de"),
            ("LD_PRELOAD", "/tmp/x.so"),
            ("PATH", "/opt/bin"),
            ("STERNA_PASSWORD", "secret"),
            ("STERNA_REALM", "north"),
        ];
        let seen = |vars: &[(&str, &str)]| {
            let vars: Vec<_> = vars.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
            let kept: std::collections::BTreeMap<_, _> = environment(vars.into_iter()).collect();
            kept.into_iter()
                .map(|(n, v)| format!("{}={}", n.display(), v.display()))
                .collect::<Vec<_>>()
        };

        assert_eq!(seen(&ours), ["LANG=de_DE.UTF-8", "PATH=/opt/bin", "STERNA_REALM=north"]);
        assert_eq!(seen(&[]), [format!("PATH={PATH_DEFAULT}")]);
    }

    #[test]
    fn a_command_needs_an_absolute_path_and_has_an_end() {
        let setting = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|w| (*w).to_owned()).collect();
            matches!(Program::new(&words), Err(HookError::Setting(_)))
        };

        assert!(!setting(&["/bin/sh", "-c", ""]));
        assert!(setting(&[]));
        assert!(setting(&["sh"]));
        assert!(setting(&["./sh"]));
        assert!(setting(&["/bin/sh", "a\0b"]));
        assert!(setting(&["/bin/sh", &"x".repeat(COMMAND_WORD_LEN_MAX + 1)]));
        assert!(!setting(&["/bin/sh"; COMMAND_WORDS_MAX]));
        assert!(setting(&["/bin/sh"; COMMAND_WORDS_MAX + 1]));
    }
}
