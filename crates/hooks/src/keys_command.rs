//! `authorized_keys_command`: a program that prints the keys of a user, as OpenSSH's
//! `AuthorizedKeysCommand` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sterna_identity::hook::KeyLookup;
use sterna_identity::limits::AUTHORIZED_KEYS_LEN_MAX;
use sterna_identity::{AuthorizedKey, parse_authorized_keys};
use sterna_ssh_crypto::OfferedKey;

use crate::gate::Gate;
use crate::hook::check_timeout;
use crate::limits::{CONCURRENT_MAX, LOGGED_LINES_MAX};
use crate::process::Running;
use crate::program::Program;
use crate::{HookError, name};

/// Asks a program for the keys of a user, in the format of `authorized_keys`.
///
/// In its arguments stand `%u` for the user's name, `%t` for the type of the offered key, `%k` for the
/// key as base64, `%f` for its fingerprint and `%%` for a percent sign. Without arguments it gets the
/// user's name.
#[derive(Debug)]
pub struct KeysCommand {
    program: Program,
    timeout: Duration,
    gate: Arc<Gate>,
}

impl KeysCommand {
    /// # Errors
    /// [`HookError::Setting`], for example for `%h` or a program without an absolute path.
    pub fn new(command: &[String], timeout: Duration) -> Result<Self, HookError> {
        check_timeout(timeout)?;
        let mut program = Program::new(command)?;
        if program.args.is_empty() {
            program.args.push("%u".into());
        }
        for arg in &program.args {
            expand(arg, |token| "utkf".contains(token).then_some(""))?;
        }
        Ok(Self { program, timeout, gate: Gate::new(CONCURRENT_MAX) })
    }

    /// Whether the program may be run as things are.
    ///
    /// # Errors
    /// [`HookError::Untrusted`] if others may write it, [`HookError::Failed`] if it is not there.
    pub fn check(&self) -> Result<(), HookError> {
        self.program.check()
    }

    fn ask(&self, user: &str, key: &OfferedKey) -> Result<Vec<u8>, HookError> {
        let deadline = Instant::now() + self.timeout;
        let fingerprint = key.fingerprint();
        let blob = BASE64_STANDARD.encode(key.to_wire());
        let mut args = Vec::new();
        for arg in &self.program.args {
            args.push(expand(arg, |token| match token {
                'u' => Some(user),
                't' => Some(key.type_name()),
                'k' => Some(&blob),
                'f' => Some(&fingerprint),
                _ => None,
            })?);
        }
        let permit = self.gate.enter(deadline)?;
        Running::start(&self.program, &args, permit)?.finish(b"", AUTHORIZED_KEYS_LEN_MAX, deadline)
    }
}

impl KeyLookup for KeysCommand {
    fn keys(&self, user: &str, key: &OfferedKey) -> Result<Vec<AuthorizedKey>, String> {
        // Such a name could be read as an option.
        if name::usable(user.as_bytes()).is_none() || user.starts_with('-') {
            return Err("not a name to ask a program about".into());
        }
        let text = self.ask(user, key).map_err(|error| error.to_string())?;
        let (keys, refused) = parse_authorized_keys(&text);
        for line in refused.iter().take(LOGGED_LINES_MAX) {
            tracing::warn!(user, line = line.line, error = %line.why, "a line of the keys command");
        }
        Ok(keys)
    }
}

/// Puts values in place of `%` and a letter.
fn expand<'a>(arg: &str, value: impl Fn(char) -> Option<&'a str>) -> Result<String, HookError> {
    let mut expanded = String::with_capacity(arg.len());
    let mut rest = arg.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        match rest.next() {
            Some('%') => expanded.push('%'),
            Some(token) => match value(token) {
                Some(text) => expanded.push_str(text),
                None => return Err(unknown_token(arg)),
            },
            None => return Err(unknown_token(arg)),
        }
    }
    Ok(expanded)
}

fn unknown_token(arg: &str) -> HookError {
    HookError::Setting(format!(
        "authorized_keys_command: {arg:?} holds a token other than %u, %t, %k, %f and %%"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_once_and_unknown_ones_refused() {
        let value = |token| match token {
            'u' => Some("%t"),
            't' => Some("ssh-ed25519"),
            _ => None,
        };

        assert_eq!(expand("--user=%u,%t 100%%", value).unwrap(), "--user=%t,ssh-ed25519 100%");
        assert_eq!(expand("plain", value).unwrap(), "plain");
        assert_eq!(expand("%%u", value).unwrap(), "%u");
        for arg in ["%h", "%", "x%", "%U", "% u"] {
            assert!(matches!(expand(arg, value), Err(HookError::Setting(_))), "{arg}");
        }
    }

    #[test]
    fn a_command_that_cannot_work_is_refused_with_the_settings() {
        let new = |words: &[&str], timeout| {
            let words: Vec<_> = words.iter().map(|w| (*w).to_owned()).collect();
            KeysCommand::new(&words, timeout)
        };
        let second = Duration::from_secs(1);

        assert!(new(&["/bin/echo", "%u", "%t", "%k", "%f", "%%"], second).is_ok());
        assert_eq!(new(&["/bin/echo"], second).unwrap().program.args, ["%u"]);
        assert!(new(&["/bin/echo", "%h"], second).is_err());
        assert!(new(&["echo", "%u"], second).is_err());
        assert!(new(&["/bin/echo"], Duration::ZERO).is_err());
    }
}
