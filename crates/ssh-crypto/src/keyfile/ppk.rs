//! PuTTY's key files, versions 2 and 3 (PuTTY manual, appendix C).
//!
//! Lines in a fixed order; the public half and the comment lie there in clear. Nothing of the private
//! half is looked at before the MAC over everything has been verified.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::Cipher;
use sterna_sshwire::{DecodeError, Reader, put_string};
use zeroize::Zeroizing;

use super::{KeyFileError, ecdsa_of_number, rsa_of_parts, with_its_public_half};
use crate::key::RsaPrivateParts;
use crate::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_SALT_LEN_MAX, ARGON2_WORK_KIB_MAX,
    HashAlgorithm, KEY_FILE_LEN_MAX, KeyError, PrivateKey, PublicKey, RSA_BITS_MAX,
};

/// What the first line begins with, before the version.
pub(super) const MAGIC: &str = "PuTTY-User-Key-File-";

/// The one cipher there is.
const AES256_CBC: &str = "aes256-cbc";
const KEY_LEN: usize = 32;
const IV_LEN: usize = 16;

/// Bytes of a MAC key in version 3.
const MAC_KEY_LEN: usize = 32;

/// What the MAC key of version 2 is made of, before the passphrase.
const MAC_KEY_V2: &[u8] = b"putty-private-key-file-mac-key";

const SHA1_LEN: usize = HashAlgorithm::Sha1.output_len();

const ED25519_SEED_LEN: usize = 32;

/// Longest padding behind the private half: one byte less than a block.
const PADDING_LEN_MAX: usize = 15;

#[derive(Clone, Copy)]
enum FileVersion {
    /// SHA-1 everywhere (PuTTY 0.52 to 0.74).
    V2,
    /// Argon2 and SHA-256 (PuTTY 0.75 and later).
    V3,
}

/// A file taken apart: nothing is decrypted or verified, the cost of its key derivation is judged.
struct File<'t> {
    version: FileVersion,
    key_type: &'t str,
    /// The name that stands in the file; the MAC covers it.
    encryption_name: &'t str,
    encryption: Option<Derivation>,
    comment: &'t str,
    public: Vec<u8>,
    private: Zeroizing<Vec<u8>>,
    mac: Vec<u8>,
}

/// How a passphrase becomes keys.
enum Derivation {
    Sha1,
    Argon2 { argon2: Argon2<'static>, salt: Vec<u8> },
}

/// What the passphrase of an encrypted file gives.
struct Keys {
    cipher: Zeroizing<[u8; KEY_LEN]>,
    iv: [u8; IV_LEN],
    mac: Zeroizing<Vec<u8>>,
}

pub(super) fn decode(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, KeyFileError> {
    let file = File::parse(text)?;
    let public = file.public_key()?;
    let clear = file.open(passphrase)?;
    let mut reader = Reader::new(&clear);
    let key = private_half(&mut reader, &public)?;
    if reader.rest().len() > PADDING_LEN_MAX {
        return Err(KeyFileError::Malformed("padding"));
    }
    Ok(with_its_public_half(key, Some(&public))?.with_comment(file.comment))
}

/// The public half and the comment, which nothing protects as long as the file is not decrypted.
pub(super) fn public_half(text: &str) -> Option<(PublicKey, String)> {
    let file = File::parse(text).ok()?;
    Some((file.public_key().ok()?, file.comment.to_owned()))
}

impl<'t> File<'t> {
    fn parse(text: &'t str) -> Result<Self, KeyFileError> {
        let mut lines = Lines(text.lines());
        let first = lines.0.next().and_then(|line| line.strip_prefix(MAGIC)?.split_once(": "));
        let (version, key_type) = match first {
            Some(("2", key_type)) => (FileVersion::V2, key_type),
            Some(("3", key_type)) => (FileVersion::V3, key_type),
            Some(_) => return Err(KeyFileError::Unsupported("this version of PuTTY's format is")),
            None => return Err(KeyFileError::Malformed("no PuTTY key file")),
        };
        let encryption_name = lines.value("Encryption")?;
        let comment = lines.value("Comment")?;
        let public = lines.block("Public-Lines")?.to_vec();
        let encryption = match (encryption_name, version) {
            ("none", _) => None,
            (AES256_CBC, FileVersion::V2) => Some(Derivation::Sha1),
            (AES256_CBC, FileVersion::V3) => Some(lines.argon2()?),
            _ => return Err(KeyFileError::Unsupported("its cipher is")),
        };
        let private = lines.block("Private-Lines")?;
        let mac = hex::decode(lines.value("Private-MAC")?)
            .map_err(|_| KeyFileError::Malformed("Private-MAC"))?;
        if lines.0.any(|line| !line.trim().is_empty()) {
            return Err(KeyFileError::Malformed("lines left over"));
        }
        Ok(Self { version, key_type, encryption_name, encryption, comment, public, private, mac })
    }

    fn public_key(&self) -> Result<PublicKey, KeyFileError> {
        match PublicKey::from_wire(&self.public) {
            Ok(key) if key.key_type() == self.key_type => Ok(key),
            Err(KeyError::Malformed(_)) | Ok(_) => Err(KeyFileError::Malformed("public key")),
            Err(KeyError::RsaBits(_)) => {
                Err(KeyFileError::Unsupported("an RSA key of this size is"))
            }
            Err(KeyError::Unsupported) => Err(KeyFileError::Unsupported("its key type is")),
        }
    }

    /// The private half in clear, verified.
    fn open(&self, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let mut clear = self.private.clone();
        let (mac_key, no_match) = match &self.encryption {
            None => (self.version.mac_key_in_clear(), KeyFileError::Malformed("MAC does not fit")),
            Some(derivation) => {
                if !clear.len().is_multiple_of(Cipher::Aes256Cbc.block_size()) {
                    return Err(KeyFileError::Malformed("Private-Lines"));
                }
                let keys = derivation.keys(passphrase.ok_or(KeyFileError::Encrypted)?)?;
                Cipher::Aes256Cbc
                    .decrypt(&*keys.cipher, &keys.iv, &mut clear, None)
                    .map_err(|_| KeyFileError::Unsupported("its cipher is"))?;
                (keys.mac, KeyFileError::WrongPassphrase)
            }
        };
        let key = hmac::Key::new(self.version.mac_algorithm(), &mac_key);
        hmac::verify(&key, &self.signed_bytes(&clear), &self.mac).map_err(|_| no_match)?;
        Ok(clear)
    }

    /// What the MAC is over.
    fn signed_bytes(&self, clear: &[u8]) -> Zeroizing<Vec<u8>> {
        let fields = [
            self.key_type.as_bytes(),
            self.encryption_name.as_bytes(),
            self.comment.as_bytes(),
            &self.public,
            clear,
        ];
        let len = fields.iter().map(|field| 4 + field.len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        for field in fields {
            put_string(&mut bytes, field);
        }
        bytes
    }
}

impl FileVersion {
    fn mac_algorithm(self) -> hmac::Algorithm {
        match self {
            Self::V2 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::V3 => hmac::HMAC_SHA256,
        }
    }

    /// The MAC key of a file that is not encrypted: no secret.
    fn mac_key_in_clear(self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::V2 => sha1(&[MAC_KEY_V2]),
            Self::V3 => Zeroizing::default(),
        }
    }
}

impl Derivation {
    fn keys(&self, passphrase: &str) -> Result<Keys, KeyFileError> {
        let passphrase = passphrase.as_bytes();
        let mut cipher = Zeroizing::new([0; KEY_LEN]);
        let mut iv = [0; IV_LEN];
        let mac = match self {
            Self::Sha1 => {
                let [first, second] = [0, 1].map(|count| sha1(&[&[0, 0, 0, count], passphrase]));
                cipher[..SHA1_LEN].copy_from_slice(&first);
                cipher[SHA1_LEN..].copy_from_slice(&second[..KEY_LEN - SHA1_LEN]);
                sha1(&[MAC_KEY_V2, passphrase])
            }
            Self::Argon2 { argon2, salt } => {
                let mut out = Zeroizing::new([0; KEY_LEN + IV_LEN + MAC_KEY_LEN]);
                argon2
                    .hash_password_into(passphrase, salt, &mut *out)
                    .map_err(|_| KeyFileError::Unsupported("its key derivation is"))?;
                let (cipher_key, rest) = out.split_at(KEY_LEN);
                cipher.copy_from_slice(cipher_key);
                iv.copy_from_slice(&rest[..IV_LEN]);
                Zeroizing::new(rest[IV_LEN..].to_vec())
            }
        };
        Ok(Keys { cipher, iv, mac })
    }
}

/// The lines of a file, which come in one order only.
struct Lines<'t>(std::str::Lines<'t>);

impl<'t> Lines<'t> {
    /// The value of the next line, which must be `name: value`.
    fn value(&mut self, name: &'static str) -> Result<&'t str, KeyFileError> {
        let line = self.0.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.ok_or(KeyFileError::Malformed(name))
    }

    fn number(&mut self, name: &'static str) -> Result<u32, KeyFileError> {
        self.value(name)?.parse().map_err(|_| KeyFileError::Malformed(name))
    }

    /// `name: COUNT` and that many lines of base64.
    fn block(&mut self, name: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let mut body = Zeroizing::new(String::with_capacity(KEY_FILE_LEN_MAX));
        for _ in 0..self.number(name)? {
            body.push_str(self.0.next().ok_or(KeyFileError::Malformed(name))?);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(body.len()));
        STANDARD
            .decode_vec(body.as_bytes(), &mut bytes)
            .map_err(|_| KeyFileError::Malformed("base64 is damaged"))?;
        Ok(bytes)
    }

    fn argon2(&mut self) -> Result<Derivation, KeyFileError> {
        let algorithm = match self.value("Key-Derivation")? {
            "Argon2id" => Algorithm::Argon2id,
            "Argon2i" => Algorithm::Argon2i,
            "Argon2d" => Algorithm::Argon2d,
            _ => return Err(KeyFileError::Unsupported("its key derivation is")),
        };
        let memory_kib = self.number("Argon2-Memory")?;
        let passes = self.number("Argon2-Passes")?;
        let lanes = self.number("Argon2-Parallelism")?;
        let salt = self.value("Argon2-Salt")?;
        let salt = hex::decode(salt).map_err(|_| KeyFileError::Malformed("Argon2-Salt"))?;
        if memory_kib > ARGON2_MEMORY_KIB_MAX
            || u64::from(memory_kib) * u64::from(passes) > ARGON2_WORK_KIB_MAX
            || lanes > ARGON2_LANES_MAX
            || salt.len() > ARGON2_SALT_LEN_MAX
        {
            return Err(KeyFileError::Unsupported("the cost of its key derivation is"));
        }
        let params = Params::new(memory_kib, passes, lanes, None)
            .map_err(|_| KeyFileError::Malformed("Argon2 parameters"))?;
        Ok(Derivation::Argon2 { argon2: Argon2::new(algorithm, Version::V0x13, params), salt })
    }
}

fn private_half(reader: &mut Reader<'_>, public: &PublicKey) -> Result<PrivateKey, KeyFileError> {
    match public {
        PublicKey::Ed25519(_) => {
            // Little endian: zeros at its end may be missing.
            let number = reader.string("Ed25519 private key", ED25519_SEED_LEN)?;
            let mut seed = Zeroizing::new([0; ED25519_SEED_LEN]);
            seed[..number.len()].copy_from_slice(number);
            PrivateKey::from_ed25519_seed(&seed)
                .ok_or(KeyFileError::Malformed("Ed25519 private key"))
        }
        PublicKey::Ecdsa { curve, .. } => {
            ecdsa_of_number(*curve, reader.mpint("ECDSA private key", curve.field_len())?)
        }
        PublicKey::Rsa(public) => {
            let mut secret = |field| -> Result<_, DecodeError> {
                Ok(Zeroizing::new(reader.mpint(field, RSA_BITS_MAX / 8)?.to_vec()))
            };
            let d = secret("RSA private exponent")?;
            let p = secret("RSA prime")?;
            let q = secret("RSA prime")?;
            let iqmp = secret("RSA coefficient")?;
            let (n, e) = (public.n().to_vec(), public.e().to_vec());
            rsa_of_parts(RsaPrivateParts { n, e, d, p, q, iqmp })
        }
        _ => Err(KeyFileError::Unsupported("its key type is")),
    }
}

fn sha1(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(HashAlgorithm::Sha1.digest(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_may_lack_the_zeros_at_its_end() {
        let mut seed = [9; ED25519_SEED_LEN];
        seed[30..].fill(0);
        let key = PrivateKey::from_ed25519_seed(&seed).unwrap();
        for len in [30, 31, 32] {
            let mut private = Vec::new();
            put_string(&mut private, &seed[..len]);
            let read = private_half(&mut Reader::new(&private), key.public()).unwrap();
            assert_eq!(read.public(), key.public(), "{len}");
        }
        let mut too_long = Vec::new();
        put_string(&mut too_long, &[9; ED25519_SEED_LEN + 1]);
        assert!(private_half(&mut Reader::new(&too_long), key.public()).is_err());
    }
}
