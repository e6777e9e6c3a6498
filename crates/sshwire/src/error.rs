//! What was wrong with bytes from the wire: which field, and why.

use std::fmt;

/// A message could not be decoded. Always the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The field's name in the specification, in words.
    pub field: &'static str,
    /// What was wrong with it.
    pub why: Why,
}

/// The reason inside a [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The message ends before the field does.
    Short { needed: usize, left: usize },
    /// The field is longer than its named bound.
    TooLong { len: usize, max: usize },
    /// The bytes are there but mean nothing here.
    Invalid,
    /// Bytes are left over behind the last field.
    Trailing { left: usize },
}

impl DecodeError {
    /// A field whose bytes are there but mean nothing.
    pub fn invalid(field: &'static str) -> Self {
        Self { field, why: Why::Invalid }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field;
        match self.why {
            Why::Short { needed, left } => {
                write!(f, "{field}: needs {needed} bytes, {left} are left")
            }
            Why::TooLong { len, max } => write!(f, "{field}: {len} bytes, at most {max} allowed"),
            Why::Invalid => write!(f, "{field}: invalid"),
            Why::Trailing { left } => write!(f, "{field}: {left} bytes left over"),
        }
    }
}

impl std::error::Error for DecodeError {}
