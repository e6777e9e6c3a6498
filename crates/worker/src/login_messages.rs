//! What is said between the network process and a helper about a login: one question, one answer, each a message.
//!
//! Neither side believes the other, as in `messages.rs`.

use std::path::PathBuf;

use sterna_sshwire::{DecodeError, Reader, put_string, put_u8};
use zeroize::Zeroizing;

use crate::limits::{HOME_MAX, KEYS_LEN_MAX, PASSWORD_MAX, REASON_MAX, SOURCE_MAX, USER_NAME_MAX};

/// What a helper is asked, once.
#[derive(Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// Whether there is such a user.
    User { name: &'a str },
    /// Whether this is the user's password.
    Password { name: &'a str, password: &'a [u8], source: &'a str },
    /// The user's keys.
    Keys { name: &'a str },
    /// Become the user and serve its files.
    Files { name: &'a str },
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    Known(Known),
    /// No; why, for the log.
    Refused(String),
}

/// A user who may log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// On the machine.
    pub root: PathBuf,
    /// Seen from the root.
    pub start_dir: Vec<u8>,
    /// The content of its file of keys, if that was asked for, and its name.
    pub keys: Vec<u8>,
    pub keys_file: PathBuf,
}

impl<'a> Question<'a> {
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(USER_NAME_MAX + PASSWORD_MAX + 64));
        let o = &mut *out;
        match self {
            Self::User { name } => one(o, 1, name),
            Self::Password { name, password, source } => {
                one(o, 2, name);
                put_string(o, password);
                put_string(o, source.as_bytes());
            }
            Self::Keys { name } => one(o, 3, name),
            Self::Files { name } => one(o, 4, name),
        }
        out
    }

    /// # Errors
    /// It does not read.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let verb = r.u8("question")?;
        let name = r.utf8("name", USER_NAME_MAX)?;
        let question = match verb {
            1 => Self::User { name },
            2 => {
                let password = r.string("password", PASSWORD_MAX)?;
                Self::Password { name, password, source: r.utf8("source", SOURCE_MAX)? }
            }
            3 => Self::Keys { name },
            4 => Self::Files { name },
            _ => return Err(DecodeError::invalid("question")),
        };
        r.finish("question")?;
        Ok(question)
    }
}

fn one(o: &mut Vec<u8>, verb: u8, name: &str) {
    put_u8(o, verb);
    put_string(o, name.as_bytes());
}

impl Checked {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Refused(why) => {
                put_u8(&mut out, 0);
                put_string(&mut out, &why.as_bytes()[..why.floor_char_boundary(REASON_MAX)]);
            }
            Self::Known(known) => {
                put_u8(&mut out, 1);
                put_string(&mut out, known.root.as_os_str().as_encoded_bytes());
                put_string(&mut out, &known.start_dir);
                put_string(&mut out, &known.keys);
                put_string(&mut out, known.keys_file.as_os_str().as_encoded_bytes());
            }
        }
        out
    }

    /// # Errors
    /// It does not read.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let checked = match r.u8("answer")? {
            0 => Self::Refused(r.utf8("reason", REASON_MAX)?.to_owned()),
            1 => Self::Known(Known {
                root: r.utf8("root", HOME_MAX)?.into(),
                start_dir: r.string("start", HOME_MAX)?.to_vec(),
                keys: r.string("keys", KEYS_LEN_MAX)?.to_vec(),
                keys_file: r.utf8("keys file", HOME_MAX)?.into(),
            }),
            _ => return Err(DecodeError::invalid("answer")),
        };
        r.finish("answer")?;
        Ok(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_come_back_as_they_were() {
        for question in [
            Question::User { name: "ann" },
            Question::Password { name: "ann", password: b"p\0w", source: "::1" },
            Question::Keys { name: "ann" },
            Question::Files { name: "ann" },
        ] {
            let bytes = question.encode();
            assert_eq!(Question::decode(&bytes), Ok(question));
            assert!(Question::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        let known = Known {
            root: "/srv".into(),
            start_dir: b"/x".to_vec(),
            keys: b"ssh-ed25519 A".to_vec(),
            keys_file: "/k".into(),
        };
        for answer in [Checked::Known(known), Checked::Refused("no".into())] {
            assert_eq!(Checked::decode(&answer.encode()), Ok(answer));
        }
        // Its end is cut, between two characters.
        let long = Checked::Refused("ä".repeat(REASON_MAX));
        assert!(Checked::decode(&long.encode()).is_ok());
        for bytes in [&b""[..], b"\x01", b"\x09\0\0\0\0", b"\x02\0\0\0\x01a\xff\xff\xff\xff"] {
            assert!(Question::decode(bytes).is_err() && Checked::decode(bytes).is_err());
        }
    }
}
