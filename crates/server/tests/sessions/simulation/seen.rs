//! What a client has read of a file.

use super::content::Version;

/// What was read of a file, to be held against the versions that it may have been.
#[derive(Default)]
pub struct Seen {
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// Sizes that were told, and places at which there was nothing more.
    pub sizes: Vec<u64>,
    pub ends: Vec<u64>,
}

impl Seen {
    fn is_of(&self, version: Version) -> bool {
        self.pieces.iter().all(|(offset, bytes)| version.has(*offset, bytes))
            && self.sizes.iter().all(|size| *size == version.len)
            && self.ends.iter().all(|end| *end >= version.len)
    }

    /// Some version is what was seen.
    pub fn check(&self, may: &[Version], what: &str) {
        let fits = may.iter().any(|version| self.is_of(*version));
        let pieces: Vec<_> = self.pieces.iter().map(|(at, bytes)| (at, bytes.len())).collect();
        let (sizes, ends) = (&self.sizes, &self.ends);
        assert!(fits, "{what}: read {pieces:?} {sizes:?} {ends:?}, may be {may:?}");
    }
}
