//! STATUS codes (draft-02 §7), their names and their default texts.

use std::fmt;

/// The result of a request.
///
/// A server of version 3 sends the named codes only; see [`StatusCode::sent`]. A client treats
/// [`StatusCode::Other`] as a failure and keeps the number for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusCode {
    Ok,
    /// No more bytes in the file, no more names in the directory.
    Eof,
    NoSuchFile,
    PermissionDenied,
    Failure,
    BadMessage,
    /// Local to a client; never sent.
    NoConnection,
    /// Local to a client; never sent.
    ConnectionLost,
    OpUnsupported,
    /// A code that version 3 does not have.
    Other(u32),
}

impl StatusCode {
    /// From the wire.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Eof,
            2 => Self::NoSuchFile,
            3 => Self::PermissionDenied,
            4 => Self::Failure,
            5 => Self::BadMessage,
            6 => Self::NoConnection,
            7 => Self::ConnectionLost,
            8 => Self::OpUnsupported,
            other => Self::Other(other),
        }
    }

    pub const fn number(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::Eof => 1,
            Self::NoSuchFile => 2,
            Self::PermissionDenied => 3,
            Self::Failure => 4,
            Self::BadMessage => 5,
            Self::NoConnection => 6,
            Self::ConnectionLost => 7,
            Self::OpUnsupported => 8,
            Self::Other(number) => number,
        }
    }

    /// The code that a version 3 server puts on the wire: newer codes become the nearest old one,
    /// the two that are local to a client become a failure.
    pub const fn sent(self) -> Self {
        match self {
            Self::Other(10 | 19) => Self::NoSuchFile,
            Self::Other(12 | 22) => Self::PermissionDenied,
            Self::Other(_) | Self::NoConnection | Self::ConnectionLost => Self::Failure,
            code => code,
        }
    }

    /// The name in the drafts, without its prefix.
    pub const fn name(self) -> &'static str {
        let number = self.number();
        if (number as usize) < ROWS.len() { ROWS[number as usize].0 } else { "UNKNOWN" }
    }

    /// A short English text for people.
    pub const fn text(self) -> &'static str {
        let number = self.number();
        if (number as usize) < ROWS.len() { ROWS[number as usize].1 } else { "Unknown status" }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "{} (status {number})", self.text()),
            _ => f.write_str(self.text()),
        }
    }
}

/// Name and text by number; 9 and up come from versions 4 to 6 and are only ever received.
const ROWS: [(&str, &str); 32] = [
    ("OK", "Success"),
    ("EOF", "End of file"),
    ("NO_SUCH_FILE", "No such file or directory"),
    ("PERMISSION_DENIED", "Permission denied"),
    ("FAILURE", "Failure"),
    ("BAD_MESSAGE", "Bad message"),
    ("NO_CONNECTION", "No connection"),
    ("CONNECTION_LOST", "Connection lost"),
    ("OP_UNSUPPORTED", "Operation not supported"),
    ("INVALID_HANDLE", "Invalid handle"),
    ("NO_SUCH_PATH", "No such path"),
    ("FILE_ALREADY_EXISTS", "File already exists"),
    ("WRITE_PROTECT", "Write protected"),
    ("NO_MEDIA", "No media"),
    ("NO_SPACE_ON_FILESYSTEM", "No space left"),
    ("QUOTA_EXCEEDED", "Quota exceeded"),
    ("UNKNOWN_PRINCIPAL", "Unknown user or group"),
    ("LOCK_CONFLICT", "Locked by another"),
    ("DIR_NOT_EMPTY", "Directory not empty"),
    ("NOT_A_DIRECTORY", "Not a directory"),
    ("INVALID_FILENAME", "Invalid file name"),
    ("LINK_LOOP", "Too many symbolic links"),
    ("CANNOT_DELETE", "Cannot be deleted"),
    ("INVALID_PARAMETER", "Invalid parameter"),
    ("FILE_IS_A_DIRECTORY", "Is a directory"),
    ("BYTE_RANGE_LOCK_CONFLICT", "Byte range locked by another"),
    ("BYTE_RANGE_LOCK_REFUSED", "Byte range lock refused"),
    ("DELETE_PENDING", "Deletion pending"),
    ("FILE_CORRUPT", "File corrupt"),
    ("OWNER_INVALID", "Invalid owner"),
    ("GROUP_INVALID", "Invalid group"),
    ("NO_MATCHING_BYTE_RANGE_LOCK", "No such byte range lock"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_the_way_in_and_out() {
        for number in (0..64).chain([u32::MAX]) {
            assert_eq!(StatusCode::from_number(number).number(), number);
        }
    }

    #[test]
    fn no_code_of_a_newer_version_is_ever_sent() {
        for number in (0..64).chain([u32::MAX]) {
            let sent = StatusCode::from_number(number).sent().number();

            assert!(sent <= 8 && sent != 6 && sent != 7, "{number} became {sent}");
        }
        assert_eq!(StatusCode::Other(10).sent(), StatusCode::NoSuchFile);
        assert_eq!(StatusCode::Other(12).sent(), StatusCode::PermissionDenied);
        assert_eq!(StatusCode::Other(14).sent(), StatusCode::Failure);
    }

    #[test]
    fn an_unknown_number_is_still_shown() {
        assert_eq!(StatusCode::Other(77).to_string(), "Unknown status (status 77)");
    }
}
