//! Just enough DER: an RSA private key taken apart, since the library gives it back in no other form,
//! and the frame around an encrypted key.

use zeroize::Zeroizing;

use crate::key::RsaPrivateParts;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The numbers inside an unencrypted PKCS#8 block that holds `RSAPrivateKey` (RFC 5208 §5, RFC 8017
/// §A.1.2).
pub(crate) fn rsa_parts_of_pkcs8(der: &[u8]) -> Option<RsaPrivateParts> {
    let mut info = Der(der).take(SEQUENCE)?;
    let _version = info.take(INTEGER)?;
    let _algorithm = info.take(SEQUENCE)?;
    let mut key = info.take(OCTET_STRING)?.take(SEQUENCE)?;
    let _version = key.take(INTEGER)?;
    let n = key.number()?.to_vec();
    let e = key.number()?.to_vec();
    let [d, p, q] = [key.secret()?, key.secret()?, key.secret()?];
    let [_dp, _dq] = [key.number()?, key.number()?];
    let iqmp = key.secret()?;
    Some(RsaPrivateParts { n, e, d, p, q, iqmp })
}

/// The algorithm, with its header, and the encrypted bytes of `EncryptedPrivateKeyInfo` (RFC 5958 §3).
pub(super) fn encrypted_key_info(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut whole = Der(der);
    let mut info = whole.take(SEQUENCE)?;
    let start = info.0;
    info.take(SEQUENCE)?;
    let algorithm = &start[..start.len() - info.0.len()];
    let data = info.take(OCTET_STRING)?.0;
    (whole.0.is_empty() && info.0.is_empty()).then_some((algorithm, data))
}

/// True for a SEQUENCE that fills `der` and begins with a version: so begin `PrivateKeyInfo`,
/// `RSAPrivateKey`, `ECPrivateKey` and the private keys of types that we do not know. What a wrong
/// passphrase decrypts to looks so once in 2^40 and less.
pub(super) fn looks_like_private_key(der: &[u8]) -> bool {
    let mut whole = Der(der);
    let Some(mut key) = whole.take(SEQUENCE) else { return false };
    let version = key.take(INTEGER).map(|version| version.0);
    whole.0.is_empty() && matches!(version, Some([0 | 1]))
}

/// DER values one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<Self> {
        let (head, rest) = self.0.split_first_chunk::<2>()?;
        if head[0] != tag {
            return None;
        }
        let (len, rest) = match head[1] {
            short @ 0..=0x7f => (usize::from(short), rest),
            0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
            0x82 => rest
                .split_first_chunk()
                .map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
            // 64 KiB and more: no RSA key is that long.
            _ => return None,
        };
        let (content, left) = rest.split_at_checked(len)?;
        self.0 = left;
        Some(Der(content))
    }

    /// The magnitude of the next INTEGER, without leading zeros.
    fn number(&mut self) -> Option<&'a [u8]> {
        let bytes = self.take(INTEGER)?.0;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(&bytes[zeros..])
    }

    fn secret(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        self.number().map(|number| Zeroizing::new(number.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_a_whole_sequence_that_begins_with_its_version() {
        for good in [&[0x30, 3, 2, 1, 0][..], &[0x30, 3, 2, 1, 1], &[0x30, 5, 2, 1, 0, 5, 0]] {
            assert!(looks_like_private_key(good), "{good:?}");
        }
        for bad in [
            &[][..],
            &[0x31, 3, 2, 1, 0],
            &[0x30, 3, 2, 1, 0, 0],
            &[0x30, 4, 2, 1, 0],
            &[0x30, 3, 2, 1, 2],
            &[0x30, 4, 2, 2, 0, 0],
            &[0x30, 3, 4, 1, 0],
            &[0x30, 0],
        ] {
            assert!(!looks_like_private_key(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_encrypted_key_is_an_algorithm_and_its_bytes() {
        let whole = [0x30, 7, 0x30, 2, 5, 0, 4, 1, 9];
        assert_eq!(encrypted_key_info(&whole), Some((&[0x30, 2, 5, 0][..], &[9][..])));
        for len in 0..whole.len() {
            assert_eq!(encrypted_key_info(&whole[..len]), None, "{len}");
        }
        assert_eq!(encrypted_key_info(&[&whole[..], &[0]].concat()), None);
        assert_eq!(encrypted_key_info(&[0x30, 9, 0x30, 2, 5, 0, 4, 1, 9, 5, 0]), None);
    }
}
