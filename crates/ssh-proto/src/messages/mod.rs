//! THE message table: every number that we know, its name and where it belongs (RFC 4250 §4.1).
//!
//! Families are files: `transport`, `kex`, `auth`, `keyboard`, `channel`, `global`.

pub mod auth;
pub mod channel;
pub mod global;
pub mod kex;
pub mod keyboard;
pub mod transport;

macro_rules! numbers {
    ($($name:ident = $number:literal,)*) => {
        $(pub const $name: u8 = $number;)*

        /// The name of a message number, for logs.
        pub fn name_of(number: u8) -> &'static str {
            match number {
                $($number => stringify!($name),)*
                30..=49 => "KEX_METHOD",
                60..=79 => "USERAUTH_METHOD",
                _ => "UNKNOWN",
            }
        }
    };
}

numbers! {
    DISCONNECT = 1,
    IGNORE = 2,
    UNIMPLEMENTED = 3,
    DEBUG = 4,
    SERVICE_REQUEST = 5,
    SERVICE_ACCEPT = 6,
    EXT_INFO = 7,
    KEXINIT = 20,
    NEWKEYS = 21,
    USERAUTH_REQUEST = 50,
    USERAUTH_FAILURE = 51,
    USERAUTH_SUCCESS = 52,
    USERAUTH_BANNER = 53,
    GLOBAL_REQUEST = 80,
    REQUEST_SUCCESS = 81,
    REQUEST_FAILURE = 82,
    CHANNEL_OPEN = 90,
    CHANNEL_OPEN_CONFIRMATION = 91,
    CHANNEL_OPEN_FAILURE = 92,
    CHANNEL_WINDOW_ADJUST = 93,
    CHANNEL_DATA = 94,
    CHANNEL_EXTENDED_DATA = 95,
    CHANNEL_EOF = 96,
    CHANNEL_CLOSE = 97,
    CHANNEL_REQUEST = 98,
    CHANNEL_SUCCESS = 99,
    CHANNEL_FAILURE = 100,
    PING = 192,
    PONG = 193,
}

/// Numbers that mean something else in each key exchange method.
pub const KEX_METHOD_FIRST: u8 = 30;
pub const KEX_METHOD_LAST: u8 = 49;

/// `SSH_MSG_USERAUTH_PK_OK`, and other things in other methods.
pub const USERAUTH_PK_OK: u8 = 60;
pub const USERAUTH_PASSWD_CHANGEREQ: u8 = 60;
pub const USERAUTH_INFO_REQUEST: u8 = 60;
pub const USERAUTH_INFO_RESPONSE: u8 = 61;

#[cfg(test)]
mod tests;
