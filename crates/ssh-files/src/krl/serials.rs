//! A set of certificate serials, kept as the ranges and bitmaps in which it came.

/// Serial 0, which stands for "no serial"; a range that runs backwards; or a bitmap beyond 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SerialsError;

#[derive(Clone, Debug, Default)]
pub(super) struct SerialSet {
    /// First and last; by their first once the set is sorted, then without overlaps.
    ranges: Vec<(u64, u64)>,
    bitmaps: Vec<Bitmap>,
}

#[derive(Clone, Debug)]
struct Bitmap {
    /// The serial of the lowest bit.
    offset: u64,
    /// Big endian, without leading zeros: the lowest bit is in the last byte.
    bits: Box<[u8]>,
}

impl SerialSet {
    pub(super) fn add_range(&mut self, first: u64, last: u64) -> Result<(), SerialsError> {
        if first == 0 || first > last {
            return Err(SerialsError);
        }
        self.ranges.push((first, last));
        Ok(())
    }

    /// `bits` is a magnitude without leading zeros.
    pub(super) fn add_bitmap(&mut self, offset: u64, bits: &[u8]) -> Result<(), SerialsError> {
        let Some(highest) = bits.first() else { return Ok(()) };
        let bit_len = bits.len() as u64 * 8 - u64::from(highest.leading_zeros());
        let bitmap = Bitmap { offset, bits: bits.into() };
        if offset.checked_add(bit_len - 1).is_none() || bitmap.contains(0) {
            return Err(SerialsError);
        }
        self.bitmaps.push(bitmap);
        Ok(())
    }

    /// Makes the set ready to be asked.
    pub(super) fn sort(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, kept| {
            let joins = next.0 <= kept.1.saturating_add(1);
            if joins {
                kept.1 = kept.1.max(next.1);
            }
            joins
        });
        self.ranges.shrink_to_fit();
    }

    /// Serial 0 is in no set.
    pub(super) fn contains(&self, serial: u64) -> bool {
        let behind = self.ranges.partition_point(|(first, _)| *first <= serial);
        let in_range = behind.checked_sub(1).is_some_and(|at| serial <= self.ranges[at].1);
        in_range || self.bitmaps.iter().any(|bitmap| bitmap.contains(serial))
    }
}

impl Bitmap {
    fn contains(&self, serial: u64) -> bool {
        let Some(bit) = serial.checked_sub(self.offset) else { return false };
        let byte = usize::try_from(bit / 8).ok().and_then(|n| self.bits.iter().rev().nth(n));
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(u64, u64)]) -> SerialSet {
        let mut set = SerialSet::default();
        for (first, last) in ranges {
            set.add_range(*first, *last).unwrap();
        }
        set.sort();
        set
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let set = set(&[(5, 9), (1, 2), (10, 12), (20, 30), (22, 23), (u64::MAX, u64::MAX)]);

        assert_eq!(set.ranges, [(1, 2), (5, 12), (20, 30), (u64::MAX, u64::MAX)]);
        for (serial, expected) in
            [(0, false), (1, true), (3, false), (12, true), (13, false), (30, true), (31, false)]
        {
            assert_eq!(set.contains(serial), expected, "{serial}");
        }
        assert!(set.contains(u64::MAX) && !set.contains(u64::MAX - 1));
    }

    #[test]
    fn zero_backwards_and_beyond_64_bits_are_errors() {
        let mut set = SerialSet::default();
        assert_eq!(set.add_range(0, 5), Err(SerialsError));
        assert_eq!(set.add_range(6, 5), Err(SerialsError));
        assert_eq!(set.add_bitmap(0, &[1]), Err(SerialsError));
        assert_eq!(set.add_bitmap(0, &[2]), Ok(()));
        assert_eq!(set.add_bitmap(u64::MAX, &[2]), Err(SerialsError));
        assert_eq!(set.add_bitmap(u64::MAX, &[1]), Ok(()));
        assert_eq!(set.add_bitmap(u64::MAX - 7, &[0x80]), Ok(()));
        assert_eq!(set.add_bitmap(u64::MAX - 7, &[1, 0]), Err(SerialsError));
        assert_eq!(set.add_bitmap(9, &[]), Ok(()));
        assert!(set.contains(1) && set.contains(u64::MAX) && !set.contains(9));
    }

    proptest! {
        #[test]
        fn the_set_holds_what_went_in_and_nothing_else(
            ranges in proptest::collection::vec((1u64..60, 0u64..8), 0..8),
            bitmaps in proptest::collection::vec((1u64..60, 1u16..), 0..4),
        ) {
            let (mut set, mut all) = (SerialSet::default(), BTreeSet::new());
            for (first, more) in ranges {
                set.add_range(first, first + more).unwrap();
                all.extend(first..=first + more);
            }
            for (offset, bits) in bitmaps {
                let bytes = bits.to_be_bytes();
                set.add_bitmap(offset, &bytes[usize::from(bytes[0] == 0)..]).unwrap();
                all.extend((0..16).filter(|n| bits >> n & 1 == 1).map(|n| offset + n));
            }
            set.sort();
            for serial in 0..100 {
                prop_assert_eq!(set.contains(serial), all.contains(&serial), "{}", serial);
            }
        }
    }
}
