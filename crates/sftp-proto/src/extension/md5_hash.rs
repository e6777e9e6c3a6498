//! `md5-hash` and `md5-hash-handle`: the MD5 of a range, unless its beginning shows that it differs anyway
//! (draft-ietf-secsh-filexfer-05 §8).

use sterna_sshwire::{DecodeError, Reader, put_string, put_u64};

use crate::limits::DIGEST_LEN_MAX;
use crate::messages::{handle, path};

/// `md5-hash`: by path. Answered by [`Md5HashReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Md5Hash<'a> {
    pub path: &'a [u8],
    /// First byte of the range.
    pub offset: u64,
    /// Bytes of the range; 0 is up to the end of the file.
    pub len: u64,
    /// MD5 of the first [`QUICK_LEN`] bytes of the range, or of all of a shorter one, as the client has
    /// them; empty: not said.
    pub quick_hash: &'a [u8],
}

/// `md5-hash-handle`: of an open file. Answered by [`Md5HashReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Md5HashHandle<'a> {
    pub handle: &'a [u8],
    /// As in [`Md5Hash`], this and what follows.
    pub offset: u64,
    pub len: u64,
    pub quick_hash: &'a [u8],
}

/// Bytes under the quick hash.
pub const QUICK_LEN: u64 = 2048;

impl<'a> Md5Hash<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
        put_u64(out, self.offset);
        put_u64(out, self.len);
        put_string(out, self.quick_hash);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: path(r, "path")?,
            offset: r.u64("offset")?,
            len: r.u64("len")?,
            quick_hash: r.string("quick hash", DIGEST_LEN_MAX)?,
        })
    }
}

impl<'a> Md5HashHandle<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
        put_u64(out, self.offset);
        put_u64(out, self.len);
        put_string(out, self.quick_hash);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            handle: handle(r)?,
            offset: r.u64("offset")?,
            len: r.u64("len")?,
            quick_hash: r.string("quick hash", DIGEST_LEN_MAX)?,
        })
    }
}

/// The answer to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Md5HashReply<'a> {
    /// The digest; empty: the quick hash differed, and nothing more was read.
    pub digest: &'a [u8],
}

impl<'a> Md5HashReply<'a> {
    /// Stands before the digest in the reply.
    const NAME: &'static [u8] = b"md5-hash";

    /// Appends the reply's data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, Self::NAME);
        put_string(out, self.digest);
    }

    /// Reads the reply's data.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if r.string("reply name", DIGEST_LEN_MAX)? != Self::NAME {
            return Err(DecodeError::invalid("reply name"));
        }
        Ok(Self { digest: r.string("digest", DIGEST_LEN_MAX)? })
    }
}
