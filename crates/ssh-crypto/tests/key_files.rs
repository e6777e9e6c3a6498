//! Key files that other programs made, in every form (`testdata/keys/make.py`): they open with their
//! passphrase, and with nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use sterna_ssh_crypto::{KeyFileError, PrivateKey, PublicKey, is_encrypted, public_key_of};

const PASSPHRASE: &str = "open sesame";

/// What is true of a form of file.
struct Form {
    name: &'static str,
    encrypted: bool,
    /// The comment is in the file, so is the public half in clear.
    commented: bool,
}

const FORMS: [Form; 23] = [
    form("openssh", false, true),
    form("openssh-encrypted", true, true),
    form("keygen-pem", false, false),
    form("keygen-pem-encrypted", true, false),
    form("keygen-pkcs8", false, false),
    form("keygen-pkcs8-encrypted", true, false),
    form("dek-aes128", true, false),
    form("dek-aes192", true, false),
    form("dek-aes256", true, false),
    form("dek-des3", true, false),
    form("pkcs8", false, false),
    form("pkcs8-aes256", true, false),
    form("pkcs8-aes192-sha512", true, false),
    form("pkcs8-aes128-sha1", true, false),
    form("pkcs8-des3", true, false),
    form("pkcs8-scrypt", true, false),
    form("ppk2", false, true),
    form("ppk2-encrypted", true, true),
    form("ppk3", false, true),
    form("ppk3-encrypted", true, true),
    form("ppk3-argon2i", true, true),
    form("ppk3-argon2d", true, true),
    form("ppk3-default", true, true),
];

const fn form(name: &'static str, encrypted: bool, commented: bool) -> Form {
    Form { name, encrypted, commented }
}

struct File {
    name: String,
    form: &'static Form,
    text: String,
    public: PublicKey,
    comment: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keys")
}

fn text_of(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// The public half of a key, and the comment, as ssh-keygen wrote them.
fn public_line(key: &str) -> (PublicKey, String) {
    let line = text_of(&format!("{key}.pub"));
    let (public, comment) = PublicKey::from_openssh(&line).unwrap();
    (public, comment.to_owned())
}

/// Every file of a form that we read.
fn files() -> Vec<File> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (key, form) = name.split_once('.').unwrap();
        if let (Some(form), false) =
            (FORMS.iter().find(|row| row.name == form), key.starts_with("sk-"))
        {
            let (public, comment) = public_line(key);
            files.push(File { form, text: text_of(&name), public, comment, name });
        }
    }
    for form in &FORMS {
        assert!(files.iter().any(|file| file.form.name == form.name), "no file: {}", form.name);
    }
    files
}

impl File {
    fn open(&self, passphrase: Option<&str>) -> Result<PrivateKey, KeyFileError> {
        PrivateKey::from_text(&self.text, passphrase)
    }

    /// This file with one bit of its text flipped.
    fn with_flip_at(&self, at: usize) -> String {
        let mut bytes = self.text.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn every_form_opens_with_its_passphrase() {
    for file in files() {
        for text in [file.text.clone(), file.text.replace('\n', "\r\n")] {
            let key = PrivateKey::from_text(&text, Some(PASSPHRASE)).expect(&file.name);
            assert_eq!(key.public(), &file.public, "{}", file.name);
            let comment = if file.form.commented { file.comment.as_str() } else { "" };
            assert_eq!(key.comment(), comment, "{}", file.name);
        }
    }
}

/// Goal: the private half is the right one too, in every form.
#[test]
fn a_key_from_every_form_signs_for_its_public_half() {
    for file in files() {
        let key = file.open(Some(PASSPHRASE)).expect(&file.name);
        let algorithm = file.public.signature_algorithms()[0];
        let signature = key.sign(algorithm, b"message").unwrap();
        assert_eq!(file.public.verify(algorithm, b"message", &signature).err(), None);
    }
}

#[test]
fn an_encrypted_form_asks_for_a_passphrase_and_refuses_wrong_ones() {
    for file in files().iter().filter(|file| file.form.encrypted) {
        assert!(is_encrypted(&file.text), "{}", file.name);
        assert_eq!(file.open(None).err(), Some(KeyFileError::Encrypted), "{}", file.name);
        for wrong in ["open sesam", "open sesame ", "Open sesame", "", "\u{0}"] {
            let refused = file.open(Some(wrong)).err();
            assert_eq!(refused, Some(KeyFileError::WrongPassphrase), "{} {wrong:?}", file.name);
        }
    }
}

/// Goal: without a check value in the file, what a wrong passphrase leaves is still no "damaged file":
/// one in 256 gives sound padding.
#[test]
fn a_wrong_passphrase_with_sound_padding_is_a_wrong_passphrase() {
    for name in ["p256.dek-aes128", "p256.pkcs8-aes128-sha1", "ed25519.pkcs8-des3"] {
        let text = text_of(name);
        for number in 0..2000 {
            let refused = PrivateKey::from_text(&text, Some(&number.to_string())).err();
            assert_eq!(refused, Some(KeyFileError::WrongPassphrase), "{name} {number}");
        }
    }
}

#[test]
fn a_form_without_encryption_needs_no_passphrase() {
    for file in files().iter().filter(|file| !file.form.encrypted) {
        assert!(!is_encrypted(&file.text), "{}", file.name);
        assert_eq!(file.open(None).expect(&file.name).public(), &file.public, "{}", file.name);
    }
}

#[test]
fn the_public_half_is_read_without_a_passphrase_where_it_lies_in_clear() {
    for file in files() {
        let hidden = file.form.name == "openssh-encrypted";
        let comment = if hidden { String::new() } else { file.comment.clone() };
        let expected = file.form.commented.then_some((file.public, comment));
        assert_eq!(public_key_of(&file.text), expected, "{}", file.name);
    }
    assert_eq!(public_key_of(""), None);
    assert_eq!(public_key_of(&text_of("p256.pub")), None);
}

/// Goal: a key that an agent signs for can be named by its file.
#[test]
fn a_security_key_file_gives_its_public_half_only() {
    for key in ["sk-ed25519", "sk-p256"] {
        let (public, comment) = public_line(key);
        for (form, comment) in [("openssh", comment.as_str()), ("openssh-encrypted", "")] {
            let text = text_of(&format!("{key}.{form}"));
            for passphrase in [None, Some(PASSPHRASE)] {
                let refused = PrivateKey::from_text(&text, passphrase).err();
                assert!(matches!(refused, Some(KeyFileError::Unsupported(_))), "{refused:?}");
            }
            assert!(!is_encrypted(&text));
            assert_eq!(public_key_of(&text), Some((public.clone(), comment.to_owned())));
        }
    }
}

#[test]
fn encryption_that_we_do_not_read_is_named_before_a_passphrase_is_asked_for() {
    let text = text_of("rsa.pkcs8-pbes1");
    for passphrase in [None, Some(PASSPHRASE)] {
        let refused = PrivateKey::from_text(&text, passphrase).err();
        assert!(matches!(refused, Some(KeyFileError::Unsupported(_))), "{refused:?}");
    }
    assert!(!is_encrypted(&text));
}

#[test]
fn other_pem_blocks_in_front_are_passed_over() {
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for name in ["p256.keygen-pem", "p256.dek-aes256", "p256.pkcs8-scrypt"] {
        let text = format!("{parameters}{}", text_of(name));
        let key = PrivateKey::from_text(&text, Some(PASSPHRASE)).unwrap();
        assert_eq!(key.public(), &public_line("p256").0);
    }
    let refused = PrivateKey::from_text(parameters, None).err();
    assert!(matches!(refused, Some(KeyFileError::Unsupported(_))));
}

/// Not what PuTTYgen chooses by default, which takes a tenth of a second each time.
fn is_quick(file: &&File) -> bool {
    file.form.name != "ppk3-default"
}

#[test]
fn every_truncation_is_refused() {
    for file in files().iter().filter(is_quick) {
        for len in 0..file.text.trim_end().len() {
            let read = PrivateKey::from_text(&file.text[..len], Some(PASSPHRASE));
            assert!(read.is_err(), "{} {len}", file.name);
            // Lines in front of the cut may still hold the public half.
            if let Some((public, _)) = public_key_of(&file.text[..len]) {
                assert_eq!(public, file.public);
            }
        }
    }
}

/// Goal: damage is noticed, in a PuTTY file also that of the comment. Not in an Ed25519 key in PKCS#8,
/// where nothing stands beside its 32 bytes: that one must only do no harm.
#[test]
fn a_flipped_bit_never_gives_another_key() {
    for file in files().iter().filter(is_quick) {
        // An RSA key costs milliseconds each time it is checked, and so does bcrypt.
        let step = match (file.name.starts_with("rsa"), file.form.name) {
            (true, _) => 79,
            (false, "openssh-encrypted") => 11,
            (false, _) => 1,
        };
        for at in (0..file.text.len()).step_by(step) {
            let read = PrivateKey::from_text(&file.with_flip_at(at), Some(PASSPHRASE));
            let without_check = file.name.starts_with("ed25519.pkcs8");
            if let (Ok(key), false) = (read, without_check) {
                assert_eq!(key.public(), &file.public, "{} {at}", file.name);
                if file.form.name.starts_with("ppk") {
                    assert_eq!(key.comment(), file.comment, "{} {at}", file.name);
                }
            }
        }
    }
}

/// Goal: a PuTTY file cannot keep us busy for minutes or take gigabytes.
#[test]
fn argon2_beyond_its_bounds_is_refused_before_it_is_computed() {
    let text = text_of("p256.ppk3-encrypted");
    let with = |memory: u32, passes: u32, lanes: u32| {
        let text = text
            .replace("Argon2-Memory: 256", &format!("Argon2-Memory: {memory}"))
            .replace("Argon2-Passes: 2", &format!("Argon2-Passes: {passes}"))
            .replace("Argon2-Parallelism: 1", &format!("Argon2-Parallelism: {lanes}"));
        PrivateKey::from_text(&text, None).err()
    };
    let asked = Some(KeyFileError::Encrypted);
    assert_eq!(with(262_144, 64, 64), asked);
    assert_eq!(with(8, 2_097_152, 1), asked);
    for (memory, passes, lanes) in [
        (262_145, 1, 1),
        (u32::MAX, 1, 1),
        (u32::MAX, u32::MAX, 1),
        (262_144, 65, 1),
        (8, 2_097_153, 1),
        (8192, 1, 65),
        (8192, 1, u32::MAX),
        (8, 1, 2),
        (7, 1, 1),
        (8192, 0, 1),
        (8192, 1, 0),
    ] {
        let refused = with(memory, passes, lanes);
        let is_refused = !matches!(refused, None | Some(KeyFileError::Encrypted));
        assert!(is_refused, "{memory} {passes} {lanes}: {refused:?}");
    }
}
