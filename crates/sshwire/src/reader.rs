//! A bounds-checked cursor over borrowed bytes; every error names the field.

use crate::{DecodeError, NameList, Why};

/// Reads SSH fields in wire order from a borrowed message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Bytes not read yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.left.len()
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Takes `len` raw bytes.
    #[inline]
    pub fn bytes(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.left.split_at_checked(len) {
            Some((taken, left)) => {
                self.left = left;
                Ok(taken)
            }
            None => {
                Err(DecodeError { field, why: Why::Short { needed: len, left: self.left.len() } })
            }
        }
    }

    /// Takes a fixed-size array.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        match self.left.split_first_chunk::<N>() {
            Some((taken, left)) => {
                self.left = left;
                Ok(*taken)
            }
            None => {
                Err(DecodeError { field, why: Why::Short { needed: N, left: self.left.len() } })
            }
        }
    }

    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(field)?[0])
    }

    /// Any non-zero byte is true (RFC 4251 §5).
    pub fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        Ok(self.u8(field)? != 0)
    }

    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// A `string`: a length and that many bytes, at most `max` of them.
    #[inline]
    pub fn string(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.u32(field)? as usize;
        if len > max && len <= self.left.len() {
            return Err(DecodeError { field, why: Why::TooLong { len, max } });
        }
        self.bytes(field, len)
    }

    /// A `string` that must be UTF-8.
    pub fn utf8(&mut self, field: &'static str, max: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.string(field, max)?).map_err(|_| DecodeError::invalid(field))
    }

    /// A non-negative `mpint`: its magnitude, big endian, without leading zeros; empty for zero.
    ///
    /// Surplus leading zeros are refused, as are negative numbers: nothing in SSH needs them.
    pub fn mpint(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        // One more byte than the magnitude may take: the zero in front of a set top bit.
        match self.string(field, max.saturating_add(1))? {
            [] => Ok(&[]),
            [0, rest @ ..] if rest.first().is_some_and(|b| b & 0x80 != 0) => Ok(rest),
            [first, ..] if *first == 0 || first & 0x80 != 0 => Err(DecodeError::invalid(field)),
            magnitude if magnitude.len() > max => {
                Err(DecodeError { field, why: Why::TooLong { len: magnitude.len(), max } })
            }
            magnitude => Ok(magnitude),
        }
    }

    /// A `name-list`; empty names and names of foreign shape are left for the caller to skip.
    pub fn name_list(
        &mut self,
        field: &'static str,
        max: usize,
    ) -> Result<NameList<'a>, DecodeError> {
        Ok(NameList::new(self.string(field, max)?))
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// Ends a message of fixed layout: left-over bytes are an error.
    pub fn finish(&self, message: &'static str) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(DecodeError { field: message, why: Why::Trailing { left } }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{put_mpint, put_string};
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_message_is_short_and_not_allocated() {
        for lying_len in [5u32, 0x8000_0000, 0xffff_ffff] {
            let mut wire = lying_len.to_be_bytes().to_vec();
            wire.extend_from_slice(b"abcd");

            let error = Reader::new(&wire).string("name", usize::MAX).unwrap_err();

            assert_eq!(error.why, Why::Short { needed: lying_len as usize, left: 4 });
        }
    }

    #[test]
    fn a_string_over_its_bound_names_the_field_and_both_lengths() {
        let mut wire = Vec::new();
        put_string(&mut wire, b"abcd");

        let error = Reader::new(&wire).string("path", 3).unwrap_err();

        assert_eq!(error.to_string(), "path: 4 bytes, at most 3 allowed");
    }

    #[test]
    fn mpint_vectors_decode_to_their_magnitude() {
        let cases: [(&str, &[u8]); 6] = [
            ("00000000", &[]),
            ("0000000101", &[1]),
            ("000000017f", &[0x7f]),
            ("000000020080", &[0x80]),
            ("0000000200ff", &[0xff]),
            ("00000009010000000000000000", &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (wire, magnitude) in cases {
            let wire = hex::decode(wire).unwrap();
            assert_eq!(Reader::new(&wire).mpint("n", 16).unwrap(), magnitude);
            let mut out = Vec::new();
            put_mpint(&mut out, magnitude);
            assert_eq!(out, wire);
        }
    }

    #[test]
    fn negative_and_padded_mpints_are_refused() {
        for wire in ["00000001ff", "0000000180", "00000002ff7f", "0000000100", "00000002007f"] {
            let wire = hex::decode(wire).unwrap();
            assert!(Reader::new(&wire).mpint("n", 16).is_err(), "{wire:02x?}");
        }
    }

    #[test]
    fn the_bound_of_an_mpint_counts_its_magnitude() {
        for magnitude in [&[0x7f; 16][..], &[0xff; 16]] {
            let mut wire = Vec::new();
            put_mpint(&mut wire, magnitude);
            assert_eq!(Reader::new(&wire).mpint("n", 16), Ok(magnitude));
            let error = Reader::new(&wire).mpint("n", 15).unwrap_err();
            assert!(matches!(error.why, Why::TooLong { max: 15 | 16, .. }), "{error}");
        }
    }

    #[test]
    fn left_over_bytes_are_an_error_at_the_end() {
        let mut reader = Reader::new(&[0, 0, 0, 1, 9]);
        reader.u32("n").unwrap();

        assert_eq!(reader.finish("message").unwrap_err().why, Why::Trailing { left: 1 });
    }

    proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes: Vec<u8>, max in 0usize..64) {
            let _ = Reader::new(&bytes).string("a", max);
            let _ = Reader::new(&bytes).mpint("a", max);
            let _ = Reader::new(&bytes).u64("a");
            if let Ok(list) = Reader::new(&bytes).name_list("a", max) {
                let _ = list.iter().count();
            }
        }

        #[test]
        fn strings_round_trip(bytes: Vec<u8>) {
            let mut wire = Vec::new();
            put_string(&mut wire, &bytes);
            let mut reader = Reader::new(&wire);
            prop_assert_eq!(reader.string("s", bytes.len()).unwrap(), &bytes[..]);
            prop_assert!(reader.finish("s").is_ok());
        }
    }
}
