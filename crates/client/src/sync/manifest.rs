//! Lists of digests as coreutils' `sha256sum` writes and checks them.
//!
//! A line is the digest, a space, a space or asterisk, and the name. A name with a line feed, carriage
//! return or backslash is escaped, and a backslash then stands before the line. Names are bytes.

use sterna_ssh_crypto::DigestAlgorithm;

/// One line: a digest in lower-case hexadecimal digits, and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestLine {
    pub digest: Vec<u8>,
    pub name: Vec<u8>,
}

impl ManifestLine {
    /// The line without its line feed.
    pub fn encode(&self) -> Vec<u8> {
        let special = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\\');
        let mut line = Vec::with_capacity(self.digest.len() * 2 + self.name.len() + 3);
        if self.name.iter().any(special) {
            line.push(b'\\');
        }
        line.extend_from_slice(hex::encode(&self.digest).as_bytes());
        line.extend_from_slice(b"  ");
        for byte in &self.name {
            match byte {
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\\' => line.extend_from_slice(b"\\\\"),
                byte => line.push(*byte),
            }
        }
        line
    }

    /// Reads a line without its line feed; `None` if it is none of this form.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (escaped, line) = match line.strip_prefix(b"\\") {
            Some(line) => (true, line),
            None => (false, line),
        };
        let space = line.iter().position(|byte| *byte == b' ')?;
        let (digits, rest) = line.split_at(space);
        let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
        if digits.is_empty() || name.is_empty() {
            return None;
        }
        let digest = hex::decode(digits).ok()?;
        let name = if escaped { unescaped(name)? } else { name.to_vec() };
        Some(Self { digest, name })
    }

    /// The algorithm that a digest of this length is by, as coreutils takes it; BLAKE3 has the length of
    /// SHA-256 and must be said.
    pub fn algorithm(&self) -> Option<DigestAlgorithm> {
        use DigestAlgorithm::{Md5, Sha1, Sha256, Sha384, Sha512};
        [Md5, Sha1, Sha256, Sha384, Sha512]
            .into_iter()
            .find(|a| a.output_len() == self.digest.len())
    }
}

fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b'\\' => b'\\',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_those_of_coreutils() {
        let line = |name: &[u8]| ManifestLine { digest: vec![0xd4, 0x1d], name: name.to_vec() };

        assert_eq!(line(b"a b").encode(), b"d41d  a b");
        assert_eq!(line(b"a\nb\\").encode(), b"\\d41d  a\\nb\\\\");
        assert_eq!(ManifestLine::parse(b"d41d *a b"), Some(line(b"a b")));
        assert_eq!(ManifestLine::parse(b"\\D41D  a\\nb\\\\"), Some(line(b"a\nb\\")));
    }

    #[test]
    fn what_is_no_line_is_not_taken_for_one() {
        for bad in [&b""[..], b"d41d", b"d41d a", b"d4g1  a", b"d41  a", b"d41d  ", b"\\d41d  a\\x"]
        {
            assert_eq!(ManifestLine::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(
            name in prop::collection::vec(1_u8.., 1..20),
            digest in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let line = ManifestLine { digest, name };
            let encoded = line.encode();

            prop_assert!(!encoded.contains(&b'\n'));
            prop_assert_eq!(ManifestLine::parse(&encoded), Some(line));
        }
    }
}
