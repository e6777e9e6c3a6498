//! Key files of our own making: round trip, damage, hostile costs. Those of other programs:
//! `tests/key_files.rs` and `tests/openssh.rs`.

use pkcs5::der::Encode as _;
use pkcs5::pbes2::{self, Kdf, Salt};
use sterna_sshwire::{Reader, put_string, put_u32};

use super::*;
use crate::{BCRYPT_ROUNDS_MAX, KeyType, PBKDF2_ITERATIONS_MAX, SystemRandom};

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
        for passphrase in [None, Some("passphrase")] {
            let read = openssh::decode(&bytes, passphrase);
            assert!(matches!(read, Err(KeyFileError::Unsupported(_))), "{rounds}");
        }
    }
}

#[test]
fn files_of_other_kinds_say_what_they_are() {
    let unsupported =
        |text: &str| matches!(PrivateKey::from_text(text, None), Err(KeyFileError::Unsupported(_)));
    assert!(unsupported("PuTTY-User-Key-File-1: ssh-rsa\n"));
    assert!(unsupported("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    let malformed =
        |text: &str| matches!(PrivateKey::from_text(text, None), Err(KeyFileError::Malformed(_)));
    assert!(malformed(""));
    assert!(malformed("PuTTY-User-Key-File-3: ssh-ed25519\n"));
    assert!(malformed(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    ));
    assert!(malformed("ssh-ed25519 AAAA"));
    assert!(malformed("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
    assert!(malformed("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END OTHER KEY-----\n"));
    assert!(malformed(&"x".repeat(KEY_FILE_LEN_MAX + 1)));
}

/// An encrypted PKCS#8 file with this key derivation.
fn pkcs8_with(kdf: Kdf) -> String {
    let encryption = pbes2::EncryptionScheme::Aes128Cbc { iv: [0; 16] };
    let scheme = pkcs5::EncryptionScheme::Pbes2(pbes2::Parameters { kdf, encryption });
    let mut buffer = [0; 256];
    let mut info = scheme.encode_to_slice(&mut buffer).unwrap().to_vec();
    info.extend_from_slice(&[0x04, 16]);
    info.extend_from_slice(&[0; 16]);
    let len = u8::try_from(info.len()).unwrap();
    let head: &[u8] = if len < 0x80 { &[0x30, len] } else { &[0x30, 0x81, len] };
    pem::encode("ENCRYPTED PRIVATE KEY", &[head, &info].concat()).to_string()
}

fn pkcs8_with_pbkdf2(iteration_count: u32) -> String {
    let salt = Salt::new([1; 8]).unwrap();
    let prf = pbes2::Pbkdf2Prf::HmacWithSha256;
    pkcs8_with(Kdf::Pbkdf2(pbes2::Pbkdf2Params { salt, iteration_count, key_length: None, prf }))
}

fn pkcs8_with_scrypt((cost_parameter, block_size, parallelization): (u64, u16, u16)) -> String {
    pkcs8_with(Kdf::Scrypt(pbes2::ScryptParams {
        salt: Salt::new([1; 8]).unwrap(),
        cost_parameter,
        block_size,
        parallelization,
        key_length: None,
    }))
}

/// Goal: an encrypted PKCS#8 file cannot keep us busy for minutes or take gigabytes, nor reach the
/// library with numbers that it does not expect.
#[test]
fn a_pkcs8_file_that_costs_too_much_is_refused_before_it_is_computed() {
    let refused = |text: &str| {
        [None, Some("passphrase")].iter().all(|passphrase| {
            let read = PrivateKey::from_text(text, *passphrase);
            matches!(read, Err(KeyFileError::Unsupported(_)))
        })
    };
    let asked =
        |text: &str| PrivateKey::from_text(text, None).err() == Some(KeyFileError::Encrypted);

    assert!(asked(&pkcs8_with_pbkdf2(1)));
    assert!(asked(&pkcs8_with_pbkdf2(PBKDF2_ITERATIONS_MAX)));
    for count in [0, PBKDF2_ITERATIONS_MAX + 1, u32::MAX] {
        assert!(refused(&pkcs8_with_pbkdf2(count)), "{count}");
    }
    for good in [(2, 1, 1), (1 << 14, 8, 1), (1 << 18, 8, 8), (1 << 17, 16, 1)] {
        assert!(asked(&pkcs8_with_scrypt(good)), "{good:?}");
    }
    for bad in [
        (0, 8, 1),
        (1, 8, 1),
        (3, 8, 1),
        (1 << 14, 0, 1),
        (1 << 14, 8, 0),
        (1 << 19, 8, 1),
        (1 << 18, 8, 9),
        (1 << 63, 1, 1),
        (u64::MAX, u16::MAX, u16::MAX),
        (2, u16::MAX, u16::MAX),
    ] {
        assert!(refused(&pkcs8_with_scrypt(bad)), "{bad:?}");
    }
}

#[test]
fn headers_of_pem_encryption_must_be_sound() {
    let read = |headers: &str, label: &str| {
        let text = format!(
            "-----BEGIN {label}-----\n{headers}\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END {label}-----\n"
        );
        PrivateKey::from_text(&text, Some("passphrase")).err().unwrap()
    };
    let label = "RSA PRIVATE KEY";
    let (proc_type, iv) = ("Proc-Type: 4,ENCRYPTED\n", "00112233445566778899aabbccddeeff");
    let sound = format!("{proc_type}DEK-Info: AES-128-CBC,{iv}");
    assert_eq!(read(&sound, label), KeyFileError::WrongPassphrase);
    assert!(matches!(read(&sound, OPENSSH), KeyFileError::Malformed(_)));
    for bad in [
        proc_type.to_owned(),
        format!("DEK-Info: AES-128-CBC,{iv}"),
        format!("{proc_type}DEK-Info: AES-128-CBC"),
        format!("{proc_type}DEK-Info: AES-128-CBC,{}", &iv[2..]),
        format!("{proc_type}DEK-Info: AES-128-CBC,"),
        format!("{proc_type}DEK-Info: DES-EDE3-CBC,{iv}"),
        format!("{proc_type}DEK-Info: AES-128-CBC,xx{iv}"),
    ] {
        assert!(matches!(read(&bad, label), KeyFileError::Malformed(_)), "{bad}");
    }
    assert!(matches!(read(&sound, "DSA PRIVATE KEY"), KeyFileError::Unsupported(_)));
    for unknown in ["DEK-Info: RC2-CBC,0011223344556677", "Comment: words"] {
        let headers = format!("{proc_type}{unknown}");
        assert!(matches!(read(&headers, label), KeyFileError::Unsupported(_)), "{unknown}");
    }
}

/// The wire forms that agents take (RFC 9987 §3.2, OpenSSH's certificates): with a certificate, fields
/// that its blob has are not said again, but for Ed25519.
#[test]
fn agents_get_the_fields_of_a_key_or_its_certificate_and_the_secret_ones() {
    let blob = crate::vectors::bytes("T24.blob");
    let mut certificate = Certificate::from_wire(&blob).unwrap();
    let key = PrivateKey::from_ed25519_seed(&[7; 32]).unwrap();
    certificate.key = key.public().clone();
    let PublicKey::Ed25519(public) = key.public() else { unreachable!() };
    let fields = |head: &[&[u8]]| {
        let mut out = Vec::new();
        for text in head {
            put_string(&mut out, text);
        }
        put_string(&mut out, public);
        put_string(&mut out, &[&[7; 32], &public[..]].concat());
        out
    };

    assert_eq!(key.to_agent_wire(None)[..], fields(&[b"ssh-ed25519"]));
    let name = b"ssh-ed25519-cert-v01@openssh.com";
    assert_eq!(key.to_agent_wire(Some(&certificate))[..], fields(&[name, &blob]));

    let key = PrivateKey::generate(KeyType::EcdsaP256, &mut SystemRandom).unwrap();
    certificate.key = key.public().clone();
    let (plain, certified) = (key.to_agent_wire(None), key.to_agent_wire(Some(&certificate)));
    let strings = |wire: &[u8]| {
        let mut reader = Reader::new(wire);
        let mut out = Vec::new();
        while reader.remaining() > 0 {
            out.push(reader.string("field", wire.len()).unwrap().to_vec());
        }
        out
    };
    let (plain, certified) = (strings(&plain), strings(&certified));
    assert_eq!((plain.len(), certified.len()), (4, 3));
    assert_eq!(plain[3], certified[2], "the secret number");
    assert_eq!(certified[1], blob);
}
