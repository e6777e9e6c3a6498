//! Key files without ssh-keygen: our own round trip and damaged files. With it: `tests/openssh.rs`.

use sterna_sshwire::{put_string, put_u32};

use super::*;
use crate::{BCRYPT_ROUNDS_MAX, KeyType, SystemRandom};

fn ed25519() -> PrivateKey {
    PrivateKey::from_ed25519_seed(&[7; 32]).unwrap()
}

#[test]
fn a_file_we_write_reads_back_with_its_comment() {
    let kinds = [
        KeyType::Ed25519,
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::EcdsaP521,
        KeyType::Rsa { bits: 2048 },
    ];
    for kind in kinds {
        let key = PrivateKey::generate(kind, &mut SystemRandom).unwrap();
        let text = key.to_openssh_text("of a test");
        let read = PrivateKey::from_text(&text, None).unwrap();
        assert_eq!(read.public(), key.public());
        assert_eq!(read.comment(), "of a test");
        assert_eq!(read.to_openssh_text("of a test"), text);
    }
}

#[test]
fn every_truncation_of_a_file_is_refused() {
    let bytes = openssh::encode(&ed25519(), "comment");
    for len in 0..bytes.len() {
        assert!(openssh::decode(&bytes[..len], None).is_err(), "{len}");
    }
    let text = ed25519().to_openssh_text("comment");
    for len in 0..text.trim_end().len() {
        assert!(PrivateKey::from_text(&text[..len], None).is_err(), "{len}");
    }
}

/// Every byte but the comment's is checked against something.
#[test]
fn a_changed_byte_outside_the_comment_is_refused() {
    let bytes = openssh::encode(&ed25519(), "");
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x10;
        assert!(openssh::decode(&changed, None).is_err(), "{at}");
    }
}

#[test]
fn a_public_half_of_another_key_is_refused() {
    let other = PrivateKey::from_ed25519_seed(&[8; 32]).unwrap().public().to_wire();
    let mut bytes = openssh::encode(&ed25519(), "").to_vec();
    let own = ed25519().public().to_wire();
    let at = bytes.windows(own.len()).position(|window| window == own).unwrap();
    bytes[at..at + own.len()].copy_from_slice(&other);
    assert_eq!(
        openssh::decode(&bytes, None).err(),
        Some(KeyFileError::Malformed("public and private halves differ"))
    );
}

/// Goal: a file cannot keep us busy for hours.
#[test]
fn too_many_bcrypt_rounds_are_refused_before_they_are_computed() {
    for rounds in [0, BCRYPT_ROUNDS_MAX + 1, u32::MAX] {
        let mut options = Vec::new();
        put_string(&mut options, &[1; 16]);
        put_u32(&mut options, rounds);
        let mut bytes = b"openssh-key-v1\0".to_vec();
        put_string(&mut bytes, b"aes256-ctr");
        put_string(&mut bytes, b"bcrypt");
        put_string(&mut bytes, &options);
        put_u32(&mut bytes, 1);
        put_string(&mut bytes, &ed25519().public().to_wire());
        put_string(&mut bytes, &[0; 160]);
        let read = openssh::decode(&bytes, Some("passphrase"));
        assert!(matches!(read, Err(KeyFileError::Unsupported(_))), "{rounds}");
        assert_eq!(openssh::decode(&bytes, None).err(), Some(KeyFileError::Encrypted));
    }
}

#[test]
fn files_of_other_kinds_say_what_they_are() {
    let unsupported =
        |text: &str| matches!(PrivateKey::from_text(text, None), Err(KeyFileError::Unsupported(_)));
    assert!(unsupported("PuTTY-User-Key-File-3: ssh-ed25519\n"));
    assert!(unsupported(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    ));
    assert!(unsupported("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    assert!(unsupported(
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nAAAA\n-----END RSA PRIVATE KEY-----"
    ));
    let malformed =
        |text: &str| matches!(PrivateKey::from_text(text, None), Err(KeyFileError::Malformed(_)));
    assert!(malformed(""));
    assert!(malformed("ssh-ed25519 AAAA"));
    assert!(malformed("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
    assert!(malformed("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END OTHER KEY-----\n"));
    assert!(malformed(&"x".repeat(KEY_FILE_LEN_MAX + 1)));
}
