//! Private key files of every form. A passphrase is tried only where turning it into a key is quick:
//! elsewhere time goes into hashing.

use sterna_ssh_crypto::{KeyFileError, PrivateKey, is_encrypted, public_key_of};

/// Opens the encrypted files in the corpus.
const PASSPHRASE: &str = "open sesame";

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let public = public_key_of(text);
    let mut read = PrivateKey::from_text(text, None);
    assert_eq!(is_encrypted(text), read.as_ref().err() == Some(&KeyFileError::Encrypted));
    let slow = ["OPENSSH PRIVATE", "ENCRYPTED PRIVATE", "PuTTY-User-Key-File-3"];
    let quick = !slow.iter().any(|mark| text.contains(mark));
    if quick && is_encrypted(text) {
        read = PrivateKey::from_text(text, Some(PASSPHRASE));
    }
    if let Ok(key) = read {
        if let Some((public, comment)) = public {
            assert_eq!((key.public(), key.comment()), (&public, comment.as_str()));
        }
        let written = key.to_openssh_text("fuzz");
        let again = PrivateKey::from_text(&written, None).expect("our own file");
        assert_eq!(again.public(), key.public());
    }
}
