//! Against OpenSSH itself: key files and signatures in both directions, by `ssh-keygen`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sterna_ssh_crypto::{
    HashAlgorithm, KeyFileError, KeyType, PrivateKey, PublicKey, SystemRandom,
};
use sterna_sshwire::{Reader, put_string};
use tempfile::TempDir;

const KINDS: [(&str, &str); 5] =
    [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")];

fn ssh_keygen(args: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A new key file made by ssh-keygen; its public line is beside it.
fn keygen(dir: &TempDir, (kind, bits): (&str, &str), passphrase: &str, more: &[&str]) -> PathBuf {
    let path = dir.path().join("key");
    let _ = fs::remove_file(&path);
    let file = path.to_str().unwrap();
    let base = ["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "a comment", "-f", file];
    ssh_keygen(&[&base, more].concat());
    path
}

fn public_beside(path: &Path) -> PublicKey {
    let line = fs::read_to_string(path.with_extension("pub")).unwrap();
    let (key, comment) = PublicKey::from_openssh(&line).unwrap();
    assert_eq!(comment, "a comment");
    key
}

#[test]
fn key_files_made_by_ssh_keygen_are_read() {
    let dir = TempDir::new().unwrap();
    for kind in KINDS {
        let path = keygen(&dir, kind, "", &[]);
        let key = PrivateKey::from_text(&fs::read_to_string(&path).unwrap(), None).unwrap();
        assert_eq!(key.public(), &public_beside(&path), "{kind:?}");
        assert_eq!(key.comment(), "a comment");
        assert!(ssh_keygen(&["-l", "-f", path.to_str().unwrap()]).contains(&format!(
            "{} {}",
            key.public().bits(),
            key.public().fingerprint()
        )));
    }
}

#[test]
fn pem_and_pkcs8_files_made_by_ssh_keygen_are_read() {
    let dir = TempDir::new().unwrap();
    for format in ["PEM", "PKCS8"] {
        for kind in &KINDS[1..] {
            let path = keygen(&dir, *kind, "", &["-m", format]);
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("OPENSSH"));
            let key = PrivateKey::from_text(&text, None).unwrap();
            assert_eq!(key.public(), &public_beside(&path), "{format} {kind:?}");
        }
    }
}

#[test]
fn encrypted_key_files_open_with_their_passphrase_only() {
    let dir = TempDir::new().unwrap();
    let ciphers = [
        "aes256-ctr",
        "aes128-ctr",
        "aes256-cbc",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ];
    for cipher in ciphers {
        for kind in [("ed25519", "256"), ("ecdsa", "521")] {
            let path = keygen(&dir, kind, "open sesame", &["-a", "2", "-Z", cipher]);
            let text = fs::read_to_string(&path).unwrap();
            let with = |passphrase| PrivateKey::from_text(&text, passphrase);
            assert_eq!(
                with(Some("open sesame")).unwrap().public(),
                &public_beside(&path),
                "{cipher}"
            );
            assert_eq!(with(None).err(), Some(KeyFileError::Encrypted));
            for wrong in ["open sesam", "", "open sesame "] {
                assert_eq!(
                    with(Some(wrong)).err(),
                    Some(KeyFileError::WrongPassphrase),
                    "{cipher}"
                );
            }
        }
    }
}

/// Our key in a file that ssh-keygen agrees to read.
fn write_key(dir: &TempDir, key: &PrivateKey) -> PathBuf {
    let path = dir.path().join("ours");
    fs::write(&path, key.to_openssh_text("from us").as_bytes()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn our_kinds() -> [KeyType; 5] {
    [
        KeyType::Ed25519,
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::EcdsaP521,
        KeyType::Rsa { bits: 3072 },
    ]
}

#[test]
fn key_files_that_we_write_are_read_by_ssh_keygen() {
    let dir = TempDir::new().unwrap();
    for kind in our_kinds() {
        let key = PrivateKey::generate(kind, &mut SystemRandom).unwrap();
        let path = write_key(&dir, &key);
        let line = ssh_keygen(&["-y", "-f", path.to_str().unwrap()]);
        assert_eq!(line.trim_end(), key.public().to_openssh("from us"));
        let shown = ssh_keygen(&["-l", "-f", path.to_str().unwrap()]);
        assert!(shown.contains(&key.public().fingerprint()), "{shown}");
        assert!(shown.starts_with(&format!("{} ", key.public().bits())), "{shown}");
    }
}

/// What an `sshsig` signature is made over (OpenSSH PROTOCOL.sshsig).
fn sshsig_signed_bytes(message: &[u8]) -> Vec<u8> {
    let mut signed = b"SSHSIG".to_vec();
    put_string(&mut signed, b"test");
    put_string(&mut signed, b"");
    put_string(&mut signed, b"sha512");
    put_string(&mut signed, &HashAlgorithm::Sha512.digest(&[message]));
    signed
}

#[test]
fn signatures_by_openssh_verify_here() {
    let dir = TempDir::new().unwrap();
    for kind in KINDS {
        let path = keygen(&dir, kind, "", &[]);
        let message = dir.path().join("message");
        fs::write(&message, b"hello").unwrap();
        let armour = dir.path().join("message.sig");
        let _ = fs::remove_file(&armour);
        ssh_keygen(&[
            "-q",
            "-Y",
            "sign",
            "-n",
            "test",
            "-f",
            path.to_str().unwrap(),
            message.to_str().unwrap(),
        ]);

        let text = fs::read_to_string(&armour).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let blob = STANDARD.decode(body).unwrap();
        let mut reader = Reader::new(&blob[10..]);
        for field in ["public key", "namespace", "reserved", "hash"] {
            reader.string(field, 4096).unwrap();
        }
        let signature = reader.string("signature", 4096).unwrap();
        let key = public_beside(&path);
        let algorithm = key.signature_algorithms()[0];
        assert_eq!(key.verify(algorithm, &sshsig_signed_bytes(b"hello"), signature), Ok(()));
        assert!(key.verify(algorithm, &sshsig_signed_bytes(b"hullo"), signature).is_err());
    }
}

#[test]
fn signatures_by_us_verify_in_openssh() {
    let dir = TempDir::new().unwrap();
    for kind in our_kinds() {
        let key = PrivateKey::generate(kind, &mut SystemRandom).unwrap();
        for algorithm in key.public().signature_algorithms() {
            let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
            put_string(&mut blob, &key.public().to_wire());
            put_string(&mut blob, b"test");
            put_string(&mut blob, b"");
            put_string(&mut blob, b"sha512");
            let signature = key.sign(algorithm, &sshsig_signed_bytes(b"hello")).unwrap();
            put_string(&mut blob, &signature);
            let armour = format!(
                "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
                STANDARD.encode(&blob)
            );
            let path = dir.path().join("ours.sig");
            fs::write(&path, armour).unwrap();
            let message = dir.path().join("message");
            fs::write(&message, b"hello").unwrap();
            let checked = Command::new("ssh-keygen")
                .args(["-q", "-Y", "check-novalidate", "-n", "test", "-s", path.to_str().unwrap()])
                .stdin(fs::File::open(&message).unwrap())
                .output()
                .unwrap();
            assert!(checked.status.success(), "{algorithm}: {checked:?}");
        }
    }
}
