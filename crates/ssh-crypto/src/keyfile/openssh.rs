//! The `openssh-key-v1` format (OpenSSH PROTOCOL.key): key derivation and decryption by `ssh-key`, the
//! layout by our bounded reader.

use ssh_key::{Cipher, Kdf};
use sterna_sshwire::{DecodeError, NAME_LEN_MAX, Reader, put_mpint, put_string, put_u32};
use zeroize::Zeroizing;

use super::{KeyFileError, ecdsa_of_number, rsa_of_parts, with_its_public_half};
use crate::key::{RsaPrivateParts, Secret};
use crate::nist::NistCurve;
use crate::{
    BCRYPT_ROUNDS_MAX, Certificate, HashAlgorithm, KEY_BLOB_LEN_MAX, KEY_FILE_LEN_MAX, KeyError,
    PrivateKey, PublicKey, RSA_BITS_MAX, names,
};

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Alignment of the private part of a file that is not encrypted.
const CLEAR_BLOCK_LEN: usize = 8;

/// Longest padding that is taken: PuTTYgen pads by up to 16 where OpenSSH stays below the block.
const PADDING_LEN_MAX: usize = 16;

/// Longest comment, in bytes; ssh-keygen itself reads lines of this length.
const COMMENT_LEN_MAX: usize = 8 * 1024;

/// Longest bcrypt salt, in bytes; ssh-keygen writes 16.
const SALT_LEN_MAX: usize = 256;

/// Tag behind the private part if the cipher is an AEAD.
const TAG_LEN: usize = 16;

impl From<DecodeError> for KeyFileError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error.field)
    }
}

/// A file taken apart: nothing is decrypted, the cost of its key derivation is judged.
struct File<'b> {
    public: Result<PublicKey, KeyError>,
    private_section: &'b [u8],
    encryption: Option<Encryption<'b>>,
}

struct Encryption<'b> {
    cipher: Cipher,
    salt: &'b [u8],
    rounds: u32,
    tag: Option<[u8; TAG_LEN]>,
}

pub(super) fn decode(bytes: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, KeyFileError> {
    let file = File::parse(bytes)?;
    if let Ok(PublicKey::SkEd25519 { .. } | PublicKey::SkEcdsaP256 { .. }) = file.public {
        return Err(KeyFileError::Unsupported("a security key's file (use ssh-agent for it) is"));
    }
    let key = match &file.encryption {
        None => private_section(file.private_section, KeyFileError::Malformed("check"))?,
        Some(encryption) => {
            let passphrase = passphrase.ok_or(KeyFileError::Encrypted)?;
            let clear = encryption.decrypt(file.private_section, passphrase)?;
            private_section(&clear, KeyFileError::WrongPassphrase)?
        }
    };
    with_its_public_half(key, file.public.ok().as_ref())
}

/// The public half, which nothing protects as long as the file is not decrypted, and the comment if it
/// is not encrypted.
pub(super) fn public_half(bytes: &[u8]) -> Option<(PublicKey, String)> {
    let file = File::parse(bytes).ok()?;
    let public = file.public.ok()?;
    let comment = match file.encryption {
        None => comment(file.private_section, &public).unwrap_or_default(),
        Some(_) => String::new(),
    };
    Some((public, comment))
}

impl<'b> File<'b> {
    fn parse(bytes: &'b [u8]) -> Result<Self, KeyFileError> {
        let bytes =
            bytes.strip_prefix(MAGIC).ok_or(KeyFileError::Malformed("no openssh-key-v1"))?;
        let mut reader = Reader::new(bytes);
        let cipher = reader.utf8("cipher name", NAME_LEN_MAX)?;
        let kdf = reader.utf8("kdf name", NAME_LEN_MAX)?;
        let kdf_options = reader.string("kdf options", SALT_LEN_MAX + 8)?;
        if reader.u32("number of keys")? != 1 {
            return Err(KeyFileError::Unsupported("more than one key in a file is"));
        }
        let public = PublicKey::from_wire(reader.string("public key", KEY_BLOB_LEN_MAX)?);
        let private_section = reader.string("private section", KEY_FILE_LEN_MAX)?;
        let tag = reader.rest();
        let cipher = Cipher::new(cipher).map_err(|_| KeyFileError::Unsupported("its cipher is"))?;
        if !private_section.len().is_multiple_of(cipher.block_size()) {
            return Err(KeyFileError::Malformed("private section"));
        }

        let encryption = if !cipher.is_none() {
            Some(Encryption::parse(cipher, kdf, kdf_options, tag)?)
        } else if kdf == "none" && kdf_options.is_empty() && tag.is_empty() {
            None
        } else {
            return Err(KeyFileError::Malformed("kdf without a cipher"));
        };
        Ok(Self { public, private_section, encryption })
    }
}

impl<'b> Encryption<'b> {
    fn parse(
        cipher: Cipher,
        kdf: &str,
        kdf_options: &'b [u8],
        tag: &[u8],
    ) -> Result<Self, KeyFileError> {
        if kdf != "bcrypt" {
            return Err(KeyFileError::Unsupported("its key derivation is"));
        }
        let mut reader = Reader::new(kdf_options);
        let salt = reader.string("kdf salt", SALT_LEN_MAX)?;
        let rounds = reader.u32("kdf rounds")?;
        reader.finish("kdf options")?;
        if !(1..=BCRYPT_ROUNDS_MAX).contains(&rounds) {
            return Err(KeyFileError::Unsupported("its number of bcrypt rounds is"));
        }
        let tag = match (cipher.has_tag(), tag) {
            (false, []) => None,
            (true, tag) => Some(tag.try_into().map_err(|_| KeyFileError::Malformed("tag"))?),
            (false, _) => return Err(KeyFileError::Malformed("bytes left over")),
        };
        Ok(Self { cipher, salt, rounds, tag })
    }

    fn decrypt(
        &self,
        private_section: &[u8],
        passphrase: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        // An empty passphrase is the one thing that the derivation refuses.
        let (key, iv) = Kdf::Bcrypt { salt: self.salt.to_vec(), rounds: self.rounds }
            .derive_key_and_iv(self.cipher, passphrase)
            .map_err(|_| KeyFileError::WrongPassphrase)?;
        let mut clear = Zeroizing::new(private_section.to_vec());
        self.cipher
            .decrypt(&key, &iv, &mut clear, self.tag.map(Into::into))
            .map_err(|_| KeyFileError::WrongPassphrase)?;
        Ok(clear)
    }
}

/// The comment in a private section that is not encrypted. A security key's holds no secret, but fields
/// that [`private_section`] has no use for (OpenSSH PROTOCOL.u2f).
fn comment(section: &[u8], public: &PublicKey) -> Option<String> {
    if !matches!(public, PublicKey::SkEd25519 { .. } | PublicKey::SkEcdsaP256 { .. }) {
        let key = private_section(section, KeyFileError::Malformed("check"));
        return Some(key.ok()?.comment().to_owned());
    }
    let mut reader = Reader::new(section);
    reader.bytes("checks", 8).ok()?;
    // The fields of the public key come first, the type among them, as they stand in its blob.
    reader.bytes("public key", public.to_wire().len()).ok()?;
    reader.u8("flags").ok()?;
    reader.string("key handle", KEY_BLOB_LEN_MAX).ok()?;
    reader.string("reserved", KEY_BLOB_LEN_MAX).ok()?;
    let comment = reader.string("comment", COMMENT_LEN_MAX).ok()?;
    Some(String::from_utf8_lossy(comment).into_owned())
}

/// `check | check | key fields | comment | padding`. If the two checks differ, `no_match` says why.
fn private_section(section: &[u8], no_match: KeyFileError) -> Result<PrivateKey, KeyFileError> {
    let mut reader = Reader::new(section);
    if reader.u32("check")? != reader.u32("check")? {
        return Err(no_match);
    }
    let key = key_fields(&mut reader)?;
    let comment = String::from_utf8_lossy(reader.string("comment", COMMENT_LEN_MAX)?);
    let padding = reader.rest();
    let in_order = padding.iter().zip(1u8..).all(|(byte, expected)| *byte == expected);
    if padding.len() > PADDING_LEN_MAX || !in_order {
        return Err(KeyFileError::Malformed("padding"));
    }
    Ok(key.with_comment(&comment))
}

fn key_fields(reader: &mut Reader<'_>) -> Result<PrivateKey, KeyFileError> {
    let name = reader.utf8("key type", NAME_LEN_MAX)?;
    if name == names::SSH_ED25519 {
        return ed25519(reader);
    }
    if name == names::SSH_RSA {
        return rsa(reader);
    }
    if let Some(curve) = NistCurve::ALL.into_iter().find(|curve| curve.key_type() == name) {
        return ecdsa(reader, curve);
    }
    Err(KeyFileError::Unsupported("its key type is"))
}

fn ed25519(reader: &mut Reader<'_>) -> Result<PrivateKey, KeyFileError> {
    let public = reader.string("Ed25519 key", 32)?;
    let pair = reader.string("Ed25519 private key", 64)?;
    let bad = KeyFileError::Malformed("Ed25519 private key");
    let (seed, public_again) = pair.split_first_chunk::<32>().ok_or(bad)?;
    let key = PrivateKey::from_ed25519_seed(seed).ok_or(bad)?;
    let fits = matches!(key.public(), PublicKey::Ed25519(own) if own == public);
    if fits && public == public_again { Ok(key) } else { Err(bad) }
}

fn ecdsa(reader: &mut Reader<'_>, curve: NistCurve) -> Result<PrivateKey, KeyFileError> {
    let bad = KeyFileError::Malformed("ECDSA private key");
    if reader.string("curve name", NAME_LEN_MAX)? != curve.name().as_bytes() {
        return Err(bad);
    }
    let point = reader.string("curve point", curve.point_len())?;
    let key = ecdsa_of_number(curve, reader.mpint("ECDSA private key", curve.field_len())?)?;
    match key.public() {
        PublicKey::Ecdsa { point: own, .. } if own == point => Ok(key),
        _ => Err(bad),
    }
}

fn rsa(reader: &mut Reader<'_>) -> Result<PrivateKey, KeyFileError> {
    const LEN_MAX: usize = RSA_BITS_MAX / 8;
    let n = reader.mpint("RSA modulus", LEN_MAX)?.to_vec();
    let e = reader.mpint("RSA exponent", LEN_MAX)?.to_vec();
    let mut secret = |field| -> Result<_, DecodeError> {
        Ok(Zeroizing::new(reader.mpint(field, LEN_MAX)?.to_vec()))
    };
    let d = secret("RSA private exponent")?;
    let iqmp = secret("RSA coefficient")?;
    let p = secret("RSA prime")?;
    let q = secret("RSA prime")?;
    rsa_of_parts(RsaPrivateParts { n, e, d, p, q, iqmp })
}

/// The whole file, not encrypted, before armour.
pub(super) fn encode(key: &PrivateKey, comment: &str) -> Zeroizing<Vec<u8>> {
    let public = key.public().to_wire();
    let section = encode_private_section(key, &public, comment);
    let mut out = Zeroizing::new(Vec::with_capacity(128 + public.len() + section.len()));
    out.extend_from_slice(MAGIC);
    put_string(&mut out, b"none");
    put_string(&mut out, b"none");
    put_string(&mut out, b"");
    put_u32(&mut out, 1);
    put_string(&mut out, &public);
    put_string(&mut out, &section);
    out
}

fn encode_private_section(key: &PrivateKey, public: &[u8], comment: &str) -> Zeroizing<Vec<u8>> {
    // Large enough for every key that we can make, so that no copy of a secret is left behind.
    let mut out = Zeroizing::new(Vec::with_capacity(8 * 1024 + comment.len()));
    // The check only tells a wrong passphrase; without one, any number will do. Taken from the public
    // key, it keeps the file the same every time.
    let check = HashAlgorithm::Sha256.digest(&[public]);
    out.extend_from_slice(&check[..4]);
    out.extend_from_slice(&check[..4]);
    put_key_fields(&mut out, key, None);
    put_string(&mut out, comment.as_bytes());
    for padding in 1.. {
        if out.len() % CLEAR_BLOCK_LEN == 0 {
            break;
        }
        out.push(padding);
    }
    out
}

/// The type and the fields of a private key, as files and agents have them. Of a certified key the type
/// and the blob are the certificate's, and public fields that the blob has are left out.
pub(super) fn put_key_fields(
    out: &mut Vec<u8>,
    key: &PrivateKey,
    certificate: Option<&Certificate>,
) {
    let key_type = certificate.map_or(key.public().key_type(), Certificate::type_name);
    put_string(out, key_type.as_bytes());
    if let Some(certificate) = certificate {
        put_string(out, certificate.to_wire());
    }
    let is_plain = certificate.is_none();
    match (key.secret(), key.public()) {
        (Secret::Ed25519 { seed, .. }, PublicKey::Ed25519(public)) => {
            let pair = Zeroizing::new([&seed[..], public].concat());
            put_string(out, public);
            put_string(out, &pair);
        }
        (Secret::Ecdsa { curve, scalar, .. }, PublicKey::Ecdsa { point, .. }) => {
            if is_plain {
                put_string(out, curve.name().as_bytes());
                put_string(out, point);
            }
            put_mpint(out, scalar);
        }
        (Secret::Rsa { parts, .. }, _) => {
            let RsaPrivateParts { n, e, d, p, q, iqmp } = parts;
            if is_plain {
                put_mpint(out, n);
                put_mpint(out, e);
            }
            put_mpint(out, d);
            put_mpint(out, iqmp);
            put_mpint(out, p);
            put_mpint(out, q);
        }
        (Secret::Ed25519 { .. } | Secret::Ecdsa { .. }, _) => {
            unreachable!("both halves are made together, of one kind")
        }
    }
}
