//! SSH data types on the wire (RFC 4251 §5): a bounded reader, append helpers, name-lists.
//!
//! Everything a peer sends goes through [`Reader`]: it borrows, never allocates, checks every length
//! against the bytes that are really there *and* against a bound that the caller names, and its
//! errors say which field failed. After a message is decoded and [`Reader::finish`] has passed,
//! nobody looks at the raw bytes again.
//!
//! The crate knows nothing of messages; those live in `ssh-proto` and `sftp-proto`.

mod error;
mod name_list;
mod reader;
mod writer;

pub use error::{DecodeError, Why};
pub use name_list::{NAME_LEN_MAX, NameList, first_common};
pub use reader::Reader;
pub use writer::{
    mpint_len, put_bool, put_mpint, put_name_list, put_string, put_string_with, put_u8, put_u32,
    put_u64,
};
