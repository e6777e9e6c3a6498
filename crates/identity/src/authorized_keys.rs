//! `authorized_keys` lines as OpenSSH writes them (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").
//!
//! A line with an option that narrows what a key may do, and that we do not enforce, is *refused*
//! with its reason: taking the key without the option would give more than its owner granted.

use std::fmt;
use std::str::FromStr;

use sterna_ssh_crypto::{KeyError, PublicKey};

use crate::limits::{AUTHORIZED_KEYS_LEN_MAX, AUTHORIZED_KEYS_LINE_LEN_MAX, USER_KEYS_MAX};

/// Options about things that this server never does (terminals, forwarding, shells): granted or
/// denied, they change nothing.
const NO_EFFECT: &[&str] = &[
    "restrict",
    "agent-forwarding",
    "no-agent-forwarding",
    "port-forwarding",
    "no-port-forwarding",
    "permitlisten",
    "permitopen",
    "pty",
    "no-pty",
    "user-rc",
    "no-user-rc",
    "x11-forwarding",
    "no-x11-forwarding",
];

/// Options that OpenSSH knows and that we would have to enforce.
const NOT_ENFORCED: &[&str] = &[
    "cert-authority",
    "command",
    "environment",
    "expiry-time",
    "from",
    "no-touch-required",
    "principals",
    "tunnel",
    "verify-required",
];

/// A key that may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    pub key: PublicKey,
    /// What its owner wrote behind it; for people, never for decisions.
    pub comment: String,
}

/// Why a line gives nobody access.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// The key is malformed or of an unsupported type.
    Key(KeyError),
    /// An option that we know and cannot enforce.
    NotEnforced(&'static str),
    /// An option that nobody knows.
    UnknownOption(String),
    /// Quotes that do not end, or something else between the options.
    Options,
    /// Longer than [`AUTHORIZED_KEYS_LINE_LEN_MAX`].
    TooLong,
    /// More keys than [`USER_KEYS_MAX`] or more bytes than [`AUTHORIZED_KEYS_LEN_MAX`]: this line
    /// and what follows is not read.
    TooMany,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::NotEnforced(name) => write!(f, "option {name} is not supported, key refused"),
            Self::UnknownOption(name) => write!(f, "option {name:?} is unknown, key refused"),
            Self::Options => f.write_str("options do not read"),
            Self::TooLong => f.write_str("line is too long"),
            Self::TooMany => f.write_str("too many keys, the rest is not read"),
        }
    }
}

impl std::error::Error for LineError {}

/// A line that was refused; blank lines and comments are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Counted from 1.
    pub line: usize,
    pub why: LineError,
}

/// Reads a whole file. Keys that stand twice are kept once; a bad line costs only itself.
pub fn parse_authorized_keys(file: &[u8]) -> (Vec<AuthorizedKey>, Vec<RefusedLine>) {
    let mut keys: Vec<AuthorizedKey> = Vec::new();
    let mut refused = Vec::new();
    let mut read = 0;
    for (index, bytes) in file.split(|&b| b == b'\n').enumerate() {
        let line = index + 1;
        read += bytes.len() + 1;
        if read > AUTHORIZED_KEYS_LEN_MAX + 1 {
            refused.push(RefusedLine { line, why: LineError::TooMany });
            break;
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match text.parse::<AuthorizedKey>() {
            Ok(found) if keys.iter().any(|known| known.key == found.key) => {}
            Ok(_) if keys.len() == USER_KEYS_MAX => {
                refused.push(RefusedLine { line, why: LineError::TooMany });
                break;
            }
            Ok(found) => keys.push(found),
            Err(why) => refused.push(RefusedLine { line, why }),
        }
    }
    (keys, refused)
}

impl FromStr for AuthorizedKey {
    type Err = LineError;

    /// Reads one line: `[options] type base64 [comment]`.
    fn from_str(line: &str) -> Result<Self, LineError> {
        let line = line.trim();
        if line.len() > AUTHORIZED_KEYS_LINE_LEN_MAX {
            return Err(LineError::TooLong);
        }
        let key = |text| {
            let (key, comment) = PublicKey::from_openssh(text).map_err(LineError::Key)?;
            Ok(Self { key, comment: comment.to_owned() })
        };
        // Options look like no key type: those all hold a family name and a dash.
        let first = line.split([' ', '\t']).next().unwrap_or_default();
        if ["ssh-", "ecdsa-", "sk-"].iter().any(|family| first.starts_with(family)) {
            return key(line);
        }
        key(after_options(line)?)
    }
}

/// Judges the options in front and returns what stands behind them.
fn after_options(mut rest: &str) -> Result<&str, LineError> {
    loop {
        let name_len = rest.find(['=', ',', ' ', '\t']).ok_or(LineError::Options)?;
        let (name, behind) = rest.split_at(name_len);
        judge(name)?;
        rest = match behind.strip_prefix('=') {
            Some(value) => after_quoted(value)?,
            None => behind,
        };
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.starts_with([' ', '\t']) => return Ok(rest.trim_start()),
            None => return Err(LineError::Options),
        }
    }
}

fn judge(name: &str) -> Result<(), LineError> {
    if name.is_empty() {
        return Err(LineError::Options);
    }
    let lower = name.to_ascii_lowercase();
    if let Some(known) = NOT_ENFORCED.iter().find(|known| **known == lower) {
        return Err(LineError::NotEnforced(known));
    }
    match NO_EFFECT.contains(&lower.as_str()) {
        true => Ok(()),
        false => Err(LineError::UnknownOption(name.to_owned())),
    }
}

/// What stands behind `"value"`; inside, `\"` is a quote.
fn after_quoted(text: &str) -> Result<&str, LineError> {
    let inner = text.strip_prefix('"').ok_or(LineError::Options)?;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return Ok(&inner[at + 1..]),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    Err(LineError::Options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sterna_ssh_crypto::PrivateKey;

    fn key_text(seed: u8) -> String {
        PrivateKey::from_ed25519_seed(&[seed; 32]).unwrap().public().to_openssh("")
    }

    fn parse(options: &str) -> Result<AuthorizedKey, LineError> {
        format!("{options}{} a comment", key_text(1).trim()).parse()
    }

    #[test]
    fn lines_with_and_without_options_are_read() {
        let plain = parse("").unwrap();
        assert_eq!(plain.comment, "a comment");
        for options in [
            "restrict ",
            "restrict,pty ",
            "No-PTY,no-X11-forwarding\t ",
            "permitopen=\"host:1, \\\"quoted\\\" ssh-ed25519 \",restrict ",
        ] {
            assert_eq!(parse(options).as_ref(), Ok(&plain), "{options}");
        }
    }

    #[test]
    fn what_would_narrow_a_key_refuses_it_with_the_reason() {
        for (options, name) in [
            ("from=\"10.0.0.0/8\" ", "from"),
            ("restrict,command=\"rsync --server\" ", "command"),
            ("EXPIRY-TIME=\"20300101\" ", "expiry-time"),
            ("cert-authority,principals=\"a\" ", "cert-authority"),
            ("principals=\"a,b\" ", "principals"),
            ("environment=\"A=b\" ", "environment"),
            ("tunnel=\"0\" ", "tunnel"),
            ("verify-required ", "verify-required"),
        ] {
            assert_eq!(parse(options), Err(LineError::NotEnforced(name)), "{options}");
        }
        assert_eq!(parse("read-only "), Err(LineError::UnknownOption("read-only".into())));
    }

    #[test]
    fn broken_options_refuse_the_line() {
        for options in [
            "permitopen=\"never ends ",
            "permitopen=unquoted ",
            "restrict, ",
            ",restrict ",
            "permitopen=\"a\"pty ",
            "=\"a\" ",
        ] {
            assert!(parse(options).is_err(), "{options}");
        }
        assert!("restrict".parse::<AuthorizedKey>().is_err());
        assert!(matches!("ssh-ed25519 AAAA".parse::<AuthorizedKey>(), Err(LineError::Key(_))));
    }

    #[test]
    fn a_bad_line_costs_only_itself_and_is_named() {
        let (one, two) = (key_text(1), key_text(2));
        let file = format!(
            "# keys\n\n{}\r\nfrom=\"x\" {}\n  {} twice\nrubbish\n{}",
            one.trim(),
            one.trim(),
            one.trim(),
            two.trim()
        );

        let (keys, refused) = parse_authorized_keys(file.as_bytes());

        assert_eq!(keys.len(), 2);
        let lines: Vec<usize> = refused.iter().map(|refused| refused.line).collect();
        assert_eq!(lines, [4, 6]);
        assert_eq!(refused[0].why, LineError::NotEnforced("from"));
    }

    #[test]
    fn long_lines_and_files_end() {
        let long = format!("{} {}", key_text(1).trim(), "x".repeat(AUTHORIZED_KEYS_LINE_LEN_MAX));
        assert_eq!(long.parse::<AuthorizedKey>(), Err(LineError::TooLong));
        let (_, refused) = parse_authorized_keys(&vec![b'\n'; AUTHORIZED_KEYS_LEN_MAX + 2]);
        assert_eq!(refused.last().unwrap().why, LineError::TooMany);
    }
}
