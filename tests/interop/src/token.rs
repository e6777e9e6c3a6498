//! A security key that a script plays, behind an agent's socket: no hardware, and every use of it as
//! the test wants it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sterna_testkit::openssh::{KeyFile, KeyKind};
use sterna_testkit::processes::{Process, Stream};

use crate::binary::{peer_script, python};
use crate::place::Place;

/// Flag of a signature: somebody touched the key.
pub const TOUCHED: u8 = 1;

/// Flag of a signature: the key verified who it was, by a PIN or a finger.
pub const VERIFIED: u8 = 4;

/// A running agent that holds one security key.
#[derive(Debug)]
pub struct Token {
    /// For `SSH_AUTH_SOCK`.
    pub socket: PathBuf,
    /// `type base64 comment`
    pub public_line: String,
    uses: PathBuf,
    _process: Process,
    _place: Place,
}

impl Token {
    /// Kinds of keys that there are with `sk-` in front.
    pub const KINDS: [KeyKind; 2] = [KeyKind::Ed25519, KeyKind::EcdsaP256];

    /// Starts an agent with a new security key, or says why there is none.
    ///
    /// # Panics
    /// When the script does not come up; the message has its output.
    pub fn start(kind: KeyKind) -> Option<Self> {
        let python = python()?;
        let place = Place::new();
        let key = KeyFile::generate(&place.path().join("key"), kind);
        let (socket, uses) = (place.path().join("agent"), place.path().join("uses"));
        let mut agent = Command::new(python);
        agent.arg(peer_script("sk_agent.py")).arg(&socket).arg(&key.private).arg(&uses);
        let process = Process::start("sk_agent.py", &mut agent).unwrap_or_else(|e| panic!("{e}"));
        let public_line =
            process.wait_for_line(Stream::Stdout, "sk-").unwrap_or_else(|e| panic!("{e}"));
        Some(Self { socket, public_line, uses, _process: process, _place: place })
    }

    /// From now on it signs with these flags, and its counter stands at `counter`.
    ///
    /// # Panics
    /// When the script's file cannot be written.
    pub fn used(&self, flags: u8, counter: u32) {
        fs::write(&self.uses, format!("{flags} {counter}\n")).expect("say how the token is used");
    }

    /// As [`used`](Self::used), but beside the signature stand flags that it was not made with.
    ///
    /// # Panics
    /// When the script's file cannot be written.
    pub fn used_but_claims(&self, flags: u8, counter: u32, claimed: u8) {
        let text = format!("{flags} {counter} {claimed}\n");
        fs::write(&self.uses, text).expect("say how the token is used");
    }
}
