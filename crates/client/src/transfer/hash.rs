//! What file content is hashed by while it passes: a digest that the server can be asked for, or a quicker
//! hash where nobody but this client's own journal reads it.

use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use twox_hash::xxhash3_128;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashAlgorithm {
    /// Both sides can compute it.
    Digest(DigestAlgorithm),
    /// XXH3 with 128 bits: tells a file that was changed by accident or by its owner, which is all that a
    /// journal is asked, for less than half of the price of BLAKE3. It proves nothing to another side.
    Xxh3,
}

impl From<DigestAlgorithm> for HashAlgorithm {
    fn from(algorithm: DigestAlgorithm) -> Self {
        Self::Digest(algorithm)
    }
}

impl HashAlgorithm {
    /// The algorithm with this exact [`name`](Self::name).
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "xxh128" => Some(Self::Xxh3),
            name => DigestAlgorithm::from_name(name).map(Self::Digest),
        }
    }

    /// At most six bytes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Digest(algorithm) => algorithm.name(),
            Self::Xxh3 => "xxh128",
        }
    }

    /// Bytes of one hash, at most 64.
    pub(super) const fn output_len(self) -> usize {
        match self {
            Self::Digest(algorithm) => algorithm.output_len(),
            Self::Xxh3 => 16,
        }
    }
}

/// A hash being computed over bytes that come in pieces. A clone goes on from the same bytes.
#[derive(Clone)]
pub(super) enum Hasher {
    Digest(Digester),
    /// Boxed: it keeps several hundred bytes that were not hashed yet.
    Xxh3(Box<xxhash3_128::Hasher>),
}

impl Hasher {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Digest(algorithm) => Self::Digest(Digester::new(algorithm)),
            HashAlgorithm::Xxh3 => Self::Xxh3(Box::new(xxhash3_128::Hasher::new())),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Digest(digester) => digester.update(bytes),
            Self::Xxh3(hasher) => hasher.write(bytes),
        }
    }

    /// The hash, [`HashAlgorithm::output_len`] bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Digest(digester) => digester.finish(),
            Self::Xxh3(hasher) => hasher.finish_128().to_be_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_known_by_its_name_and_says_how_long_it_is() {
        let digests = DigestAlgorithm::ALL.iter().copied().map(HashAlgorithm::Digest);
        for algorithm in digests.chain([HashAlgorithm::Xxh3]) {
            let name = algorithm.name();
            assert_eq!(HashAlgorithm::from_name(name), Some(algorithm));
            assert!(name.len() <= 6, "{name}");
            assert_eq!(Hasher::new(algorithm).finish().len(), algorithm.output_len(), "{name}");
        }
        assert_eq!(HashAlgorithm::from_name("none"), None);
    }

    /// The first value is the published XXH3 (128 bits, no seed) of no bytes at all.
    #[test]
    fn pieces_give_the_hash_of_the_whole() {
        let of = |pieces: &[&[u8]]| {
            let mut hasher = Hasher::new(HashAlgorithm::Xxh3);
            pieces.iter().for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        let content: Vec<u8> = (0..100_000_u32).map(|n| (n * 7 + n / 256) as u8).collect();

        assert_eq!(of(&[]), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f_u128.to_be_bytes());
        let (start, end) = content.split_at(33_333);
        assert_eq!(of(&[start, b"", end]), of(&[&content]));
        assert_ne!(of(&[end, start]), of(&[&content]));
    }
}
