//! Binary packets (RFC 4253 §6): bytes of the socket to opened payloads and back, in place.

mod compress;
mod input;
mod output;
mod reader;
mod writer;

pub(crate) use compress::{Deflate, Inflate};
pub use input::InputBuffer;
pub(crate) use input::Payload;
pub use output::OutputBuffer;
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// The length field and the padding length in front of every payload.
pub(crate) const HEAD_LEN: usize = 5;

#[cfg(test)]
mod tests;
