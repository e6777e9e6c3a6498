//! The `pflags` word of OPEN (draft-02 §6.3) and what its combinations mean.

/// How a file is to be opened: any combination of the six bits.
///
/// No bit at all means reading, as OpenSSH does. Bits that version 3 does not know are kept and
/// have no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    pub const READ: Self = Self(0x01);
    pub const WRITE: Self = Self(0x02);
    /// Every WRITE goes to the end of the file; its offset is ignored.
    pub const APPEND: Self = Self(0x04);
    /// The file is made if it does not exist.
    pub const CREATE: Self = Self(0x08);
    /// The draft wants `CREATE` with it; alone it is taken as well.
    pub const TRUNCATE: Self = Self(0x10);
    /// With `CREATE`: an existing name is an error. Without, it has no effect.
    pub const EXCLUSIVE: Self = Self(0x20);

    /// Both sets of bits together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether READs must work: asked for, or nothing was asked for.
    pub const fn reads(self) -> bool {
        self.has(Self::READ) || !(self.has(Self::WRITE) || self.has(Self::APPEND))
    }

    /// Whether WRITEs must work.
    pub const fn writes(self) -> bool {
        self.has(Self::WRITE) || self.has(Self::APPEND)
    }

    /// Whether a read-only session must refuse this OPEN: creating and truncating change the
    /// tree even if nothing is written afterwards (CVE-2017-15906).
    pub const fn changes(self) -> bool {
        self.writes() || self.has(Self::CREATE) || self.has(Self::TRUNCATE)
    }
}

impl std::ops::BitOr for OpenFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

#[cfg(test)]
mod tests {
    use super::OpenFlags as F;

    #[test]
    fn every_combination_but_plain_reading_and_exclusive_changes_the_tree() {
        for bits in 0..64u32 {
            let plain = bits & !(F::READ.0 | F::EXCLUSIVE.0) == 0;

            assert_eq!(F(bits).changes(), !plain, "{bits:#x}");
        }
    }

    #[test]
    fn no_flags_mean_reading() {
        assert!(F(0).reads());
        assert!(!F(0).writes());
        assert!(!F::WRITE.reads());
        assert!((F::APPEND | F::READ).reads());
    }
}
