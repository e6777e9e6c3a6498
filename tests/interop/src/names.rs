//! File names that programs stumble over.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A name and what is odd about it.
#[derive(Clone, Copy, Debug)]
pub struct OddName {
    pub what: &'static str,
    bytes: &'static [u8],
}

impl OddName {
    pub fn name(&self) -> &'static OsStr {
        OsStr::from_bytes(self.bytes)
    }

    pub fn is_utf8(&self) -> bool {
        str::from_utf8(self.bytes).is_ok()
    }

    pub fn has_newline(&self) -> bool {
        self.bytes.contains(&b'\n')
    }

    pub fn has_pattern_characters(&self) -> bool {
        self.bytes.iter().any(|byte| b"*?[]\\".contains(byte))
    }
}

/// The names that every pair must carry where both programs can say them.
pub const ODD_NAMES: [OddName; 9] = [
    OddName { what: "spaces", bytes: b" two  spaces and one at the end " },
    OddName { what: "leading dash", bytes: b"-rf" },
    OddName { what: "UTF-8", bytes: "grüße, 世界 🐦".as_bytes() },
    OddName { what: "decomposed UTF-8", bytes: "e\u{301}te\u{301}".as_bytes() },
    OddName { what: "invalid UTF-8", bytes: b"latin-1 gr\xfc\xdfe" },
    OddName { what: "newline", bytes: b"two\nlines" },
    OddName { what: "quotes", bytes: b"a 'single' and a \"double\"" },
    OddName { what: "pattern characters", bytes: b"star* question? [brackets]" },
    OddName { what: "255 bytes", bytes: &[b'n'; 255] },
];
