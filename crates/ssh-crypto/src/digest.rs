//! File checksums, streaming: what `check-file`-like requests and audit records name.

use aws_lc_rs::digest;
use md5::Digest as _;

/// A checksum that clients may ask for. MD5 and SHA-1 are here for comparison with old manifests, not
/// for security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Blake3,
}

impl DigestAlgorithm {
    /// All of them, strongest families first.
    pub const ALL: &[Self] =
        &[Self::Sha256, Self::Sha384, Self::Sha512, Self::Blake3, Self::Sha1, Self::Md5];

    /// The algorithm with this exact [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// Bytes of one checksum.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A checksum being computed over bytes that arrive in pieces. A clone goes on from the same bytes.
#[derive(Clone)]
pub struct Digester {
    state: State,
}

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha(digest::Context),
    /// Boxed: its tree of chunks takes 2 KB.
    Blake3(Box<blake3::Hasher>),
}

impl Digester {
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        let state = match algorithm {
            DigestAlgorithm::Md5 => State::Md5(md5::Md5::new()),
            DigestAlgorithm::Sha1 => sha(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            DigestAlgorithm::Sha256 => sha(&digest::SHA256),
            DigestAlgorithm::Sha384 => sha(&digest::SHA384),
            DigestAlgorithm::Sha512 => sha(&digest::SHA512),
            DigestAlgorithm::Blake3 => State::Blake3(Box::default()),
        };
        Self { state }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Md5(md5) => md5.update(bytes),
            State::Sha(context) => context.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The checksum, [`DigestAlgorithm::output_len`] bytes.
    pub fn finish(self) -> Vec<u8> {
        match self.state {
            State::Md5(md5) => md5.finalize().to_vec(),
            State::Sha(context) => context.finish().as_ref().to_vec(),
            State::Blake3(hasher) => hasher.finalize().as_bytes().to_vec(),
        }
    }
}

fn sha(algorithm: &'static digest::Algorithm) -> State {
    State::Sha(digest::Context::new(algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, RFC 1321 and the BLAKE3 paper give these for "abc".
    #[test]
    fn abc_in_pieces_gives_the_published_checksums() {
        let cases = [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ];
        for (name, expected) in cases {
            let algorithm = DigestAlgorithm::from_name(name).unwrap();
            let mut digester = Digester::new(algorithm);
            digester.update(b"a");
            digester.update(b"");
            digester.update(b"bc");
            assert_eq!(hex::encode(digester.finish()), expected, "{name}");
        }
    }

    #[test]
    fn every_algorithm_is_found_by_its_name_and_keeps_its_length() {
        for algorithm in DigestAlgorithm::ALL {
            assert_eq!(DigestAlgorithm::from_name(algorithm.name()), Some(*algorithm));
            assert_eq!(Digester::new(*algorithm).finish().len(), algorithm.output_len());
        }
        assert_eq!(DigestAlgorithm::from_name("SHA256"), None);
    }
}
