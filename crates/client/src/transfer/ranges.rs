//! Ranges of a file: those that must travel, and those that are there.
//!
//! A transfer is a list of [`Ranges`] and a pump that takes them one after the other. What a resumed
//! transfer, a repair and a delta differ in is only how that list is made.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::limits::RANGES_MAX;

/// Ranges in ascending order, none empty, none touching the next. At most [`RANGES_MAX`]: if there
/// would be more, those that are closest together become one, with what is between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    list: VecDeque<Range<u64>>,
    /// Gaps shorter than this are not kept, in bytes; grows when there are too many.
    gap_min: u64,
}

impl Ranges {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// `range` alone; nothing if it is empty.
    pub(super) fn of(range: Range<u64>) -> Self {
        let mut ranges = Self::new();
        ranges.push(range);
        ranges
    }

    /// Adds a range that does not begin before the last one.
    pub(super) fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.list.back_mut() {
            Some(last) if range.start <= last.end.saturating_add(self.gap_min) => {
                last.end = last.end.max(range.end);
            }
            _ => self.list.push_back(range),
        }
        while self.list.len() > RANGES_MAX {
            self.gap_min = (self.gap_min * 2).max(1);
            for range in std::mem::take(&mut self.list) {
                match self.list.back_mut() {
                    Some(last) if range.start <= last.end.saturating_add(self.gap_min) => {
                        last.end = range.end;
                    }
                    _ => self.list.push_back(range),
                }
            }
        }
    }

    /// Takes up to `len_max` bytes from the front: where they begin and how many they are.
    pub(super) fn take(&mut self, len_max: u64) -> Option<(u64, u64)> {
        let first = self.list.front_mut()?;
        let (start, len) = (first.start, len_max.min(first.end - first.start));
        first.start += len;
        if first.is_empty() {
            self.list.pop_front();
        }
        Some((start, len))
    }

    /// Drops everything from `end` on.
    pub(super) fn cut(&mut self, end: u64) {
        while let Some(last) = self.list.back_mut()
            && last.end > end
        {
            if last.start < end {
                last.end = end;
            } else {
                self.list.pop_back();
            }
        }
    }

    /// Where the first range begins.
    pub(super) fn first(&self) -> Option<u64> {
        self.list.front().map(|range| range.start)
    }

    /// The range that the next bytes are taken from.
    pub(super) fn front(&self) -> Option<Range<u64>> {
        self.list.front().cloned()
    }

    /// Bytes of all ranges together.
    pub(super) fn len(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.list.iter()
    }

    /// These ranges, but from `from` on only as far as they lie in `data`.
    pub(super) fn only_data_from(&self, from: u64, data: &Self) -> Self {
        let mut out = Self::new();
        let mut data = data.list.iter().peekable();
        for range in &self.list {
            out.push(range.start..range.end.min(from));
            let above = range.start.max(from)..range.end;
            while let Some(piece) = data.peek()
                && piece.start < above.end
            {
                out.push(piece.start.max(above.start)..piece.end.min(above.end));
                if piece.end > above.end {
                    break;
                }
                data.next();
            }
        }
        out
    }
}

/// What is there of a file, when its ranges arrive in any order. Everything below
/// [`contiguous`](Self::contiguous) is there without a gap.
#[derive(Debug)]
pub(super) struct Done {
    contiguous: u64,
    /// Start to end of what lies above the first gap. Bounded by the requests in flight and by
    /// [`RANGES_MAX`].
    above: BTreeMap<u64, u64>,
}

impl Done {
    /// A file of `size` bytes of which all but `missing` is there already.
    pub(super) fn except(missing: &Ranges, size: u64) -> Self {
        let mut done = Self { contiguous: 0, above: BTreeMap::new() };
        let mut at = 0;
        for range in missing.iter() {
            done.add(at, range.start - at);
            at = range.end;
        }
        done.add(at, size.saturating_sub(at));
        done
    }

    pub(super) fn contiguous(&self) -> u64 {
        self.contiguous
    }

    pub(super) fn add(&mut self, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        self.above.insert(start, start + len);
        while let Some(entry) = self.above.first_entry()
            && *entry.key() <= self.contiguous
        {
            self.contiguous = self.contiguous.max(entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[Range<u64>]) -> Ranges {
        let mut ranges = Ranges::new();
        list.iter().for_each(|range| ranges.push(range.clone()));
        ranges
    }

    fn listed(ranges: &Ranges) -> Vec<Range<u64>> {
        ranges.iter().cloned().collect()
    }

    #[test]
    fn ranges_that_touch_become_one_and_empty_ones_are_none() {
        let ranges = ranges(&[0..10, 10..20, 25..25, 30..40, 35..50]);

        assert_eq!(listed(&ranges), [0..20, 30..50]);
        assert_eq!((ranges.len(), ranges.first()), (40, Some(0)));
    }

    #[test]
    fn bytes_are_taken_in_order_and_never_across_a_gap() {
        let mut ranges = ranges(&[0..10, 20..25]);

        let taken: Vec<_> = std::iter::from_fn(|| ranges.take(7)).collect();

        assert_eq!(taken, [(0, 7), (7, 3), (20, 5)]);
    }

    #[test]
    fn nothing_is_left_behind_a_cut() {
        let both = ranges(&[0..10, 20..30]);
        let cuts = [(100, both.clone()), (25, ranges(&[0..10, 20..25])), (20, Ranges::of(0..10))];
        for (end, left) in cuts {
            let mut cut = both.clone();
            cut.cut(end);
            assert_eq!(cut, left, "{end}");
        }
    }

    /// However many pieces come, each byte of them stays covered, and the list stays short.
    #[test]
    fn too_many_ranges_become_fewer_and_longer() {
        let mut ranges = Ranges::new();
        let pieces = 5 * RANGES_MAX as u64;
        for n in 0..pieces {
            ranges.push(n * 10..n * 10 + 1 + n % 7);
        }

        assert!(ranges.list.len() <= RANGES_MAX);
        let mut covering = ranges.iter().peekable();
        for n in 0..pieces {
            let piece = n * 10..n * 10 + 1 + n % 7;
            while covering.peek().is_some_and(|range| range.end <= piece.start) {
                covering.next();
            }
            let range = covering.peek().unwrap();
            assert!(range.start <= piece.start && piece.end <= range.end, "{piece:?}");
        }
    }

    #[test]
    fn holes_are_left_out_only_where_nothing_was_before() {
        let data = ranges(&[0..5, 30..60, 70..75]);

        assert_eq!(listed(&Ranges::of(0..100).only_data_from(0, &data)), [0..5, 30..60, 70..75]);
        let kept = ranges(&[0..20, 40..100]).only_data_from(10, &data);
        assert_eq!(listed(&kept), [0..10, 40..60, 70..75]);
        assert_eq!(Ranges::of(0..10).only_data_from(50, &data), Ranges::of(0..10));
    }

    #[test]
    fn a_gap_holds_back_what_is_above_it() {
        let mut done = Done::except(&Ranges::of(10..100), 100);
        done.add(30, 10);
        done.add(20, 10);
        assert_eq!(done.contiguous(), 10);
        done.add(10, 10);
        assert_eq!(done.contiguous(), 40);
        assert!(done.above.is_empty());
    }

    #[test]
    fn what_is_kept_between_missing_ranges_counts_once_the_gap_before_it_is_filled() {
        let mut done = Done::except(&ranges(&[0..10, 50..60]), 80);
        assert_eq!(done.contiguous(), 0);
        done.add(0, 10);
        assert_eq!(done.contiguous(), 50);
        done.add(50, 10);
        assert_eq!(done.contiguous(), 80);
    }
}
