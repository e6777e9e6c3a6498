//! The encryption of PEM itself (RFC 1421 headers, `DEK-Info`), as OpenSSL and `ssh-keygen -m PEM` write it.
//!
//! One round of MD5 turns the passphrase into a key, and nothing checks the result but the padding and the
//! key inside: it is read because such files exist, and never written.

use md5::{Digest as _, Md5};
use ssh_key::Cipher;
use zeroize::Zeroizing;

use super::KeyFileError;

/// Bytes of the salt: the first ones of the initialisation vector.
const SALT_LEN: usize = 8;

/// Longest key of the ciphers below, in bytes.
const KEY_LEN_MAX: usize = 32;

/// Decrypts a block whose `DEK-Info` is `info`: cipher name and initialisation vector.
pub(super) fn decrypt(
    info: &str,
    bytes: &[u8],
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let (name, iv) = info.split_once(',').ok_or(KeyFileError::Malformed("DEK-Info"))?;
    let cipher = match name.trim() {
        "AES-128-CBC" => Cipher::Aes128Cbc,
        "AES-192-CBC" => Cipher::Aes192Cbc,
        "AES-256-CBC" => Cipher::Aes256Cbc,
        "DES-EDE3-CBC" => Cipher::TdesCbc,
        _ => return Err(KeyFileError::Unsupported("its cipher is")),
    };
    let iv = hex::decode(iv.trim()).map_err(|_| KeyFileError::Malformed("DEK-Info"))?;
    let (key_len, iv_len) = cipher.key_and_iv_size().unwrap_or_default();
    let salt = iv.get(..SALT_LEN).filter(|_| iv.len() == iv_len);
    let salt = salt.ok_or(KeyFileError::Malformed("DEK-Info"))?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(cipher.block_size()) {
        return Err(KeyFileError::Malformed("encrypted bytes"));
    }

    let key = derive_key(passphrase.ok_or(KeyFileError::Encrypted)?, salt);
    let mut clear = Zeroizing::new(bytes.to_vec());
    cipher
        .decrypt(&key[..key_len], &iv, &mut clear, None)
        .map_err(|_| KeyFileError::Unsupported("its cipher is"))?;
    let len = unpadded_len(&clear, cipher.block_size()).ok_or(KeyFileError::WrongPassphrase)?;
    clear.truncate(len);
    Ok(clear)
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and a count of 1: each digest is over the one before it, the
/// passphrase and the salt.
fn derive_key(passphrase: &str, salt: &[u8]) -> Zeroizing<[u8; KEY_LEN_MAX]> {
    let mut key = Zeroizing::new([0; KEY_LEN_MAX]);
    let mut before: &[u8] = &[];
    for chunk in key.chunks_exact_mut(16) {
        let mut hash = Md5::new();
        hash.update(before);
        hash.update(passphrase);
        hash.update(salt);
        chunk.copy_from_slice(&hash.finalize());
        before = chunk;
    }
    key
}

/// Bytes in front of the padding of PKCS#7 (RFC 5652 §6.3).
fn unpadded_len(clear: &[u8], block_len: usize) -> Option<usize> {
    let padding = *clear.last()?;
    let len = clear.len().checked_sub(padding.into())?;
    let sound = (1..=block_len).contains(&padding.into());
    (sound && clear[len..].iter().all(|byte| *byte == padding)).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_counted_and_compared() {
        let len = |clear: &[u8]| unpadded_len(clear, 8);
        assert_eq!(len(&[9, 9, 9, 9, 9, 9, 9, 1]), Some(7));
        assert_eq!(len(&[9, 9, 9, 9, 9, 3, 3, 3]), Some(5));
        assert_eq!(len(&[8; 8]), Some(0));
        for unsound in
            [&[9, 9, 9, 9, 9, 9, 9, 0][..], &[9; 16], &[9, 9, 9, 9, 9, 2, 3, 3], &[2], &[]]
        {
            assert_eq!(len(unsound), None, "{unsound:?}");
        }
    }
}
