//! `check-file`: digests of a file, computed by the server
//! (draft-ietf-secsh-filexfer-extensions-00 §3).
//!
//! Known hash names in our order of preference: `sha256`, `sha512`, `sha384`, `sha224`, `sha1`,
//! `md5`, `crc32`. Our own servers also announce `check-file-blake3@sterna-sftp`: then the list may
//! hold the name `blake3`, for plain BLAKE3 with 32 bytes of output. Servers that do not know the
//! name skip it.
//!
//! Three forms of the reply are in use; a server here sends the first, a client reads all:
//! a) hash name, raw digests; b) `check-file`, hash name, raw digests (Paramiko);
//! c) `check-file`, hash name, each digest as a string (Apache MINA).

use sterna_sshwire::{DecodeError, Reader, put_string, put_u32, put_u64};

#[cfg(doc)]
use crate::limits::CHECK_BLOCK_LEN_MIN;
use crate::limits::{DIGEST_LEN_MAX, HASH_LIST_LEN_MAX};
use crate::messages::{handle, path};

/// `check-file-handle`: digests of an open file. Answered by [`CheckFileReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckFileHandle<'a> {
    pub handle: &'a [u8],
    /// Hash names with commas between them, best first; see [`hash_names`](Self::hash_names).
    pub hash_list: &'a [u8],
    /// First byte of the range.
    pub offset: u64,
    /// Bytes of the range; 0 is up to the end of the file.
    pub len: u64,
    /// Bytes under one digest; 0 is one digest for the whole range, else at least
    /// [`CHECK_BLOCK_LEN_MIN`].
    pub block_len: u32,
}

impl<'a> CheckFileHandle<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
        put_string(out, self.hash_list);
        put_u64(out, self.offset);
        put_u64(out, self.len);
        put_u32(out, self.block_len);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            handle: handle(r)?,
            hash_list: r.string("hash list", HASH_LIST_LEN_MAX)?,
            offset: r.u64("offset")?,
            len: r.u64("len")?,
            block_len: r.u32("block len")?,
        })
    }
}

impl<'a> CheckFileHandle<'a> {
    /// The wanted hashes, best first. The server takes the first it knows.
    pub fn hash_names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.hash_list.split(|byte| *byte == b',')
    }
}

/// `check-file-name`: digests of a file by path. Answered by [`CheckFileReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckFileName<'a> {
    pub path: &'a [u8],
    /// Hash names with commas between them, best first; see [`hash_names`](Self::hash_names).
    pub hash_list: &'a [u8],
    /// First byte of the range.
    pub offset: u64,
    /// Bytes of the range; 0 is up to the end of the file.
    pub len: u64,
    /// Bytes under one digest; 0 is one digest for the whole range, else at least
    /// [`CHECK_BLOCK_LEN_MIN`].
    pub block_len: u32,
}

impl<'a> CheckFileName<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
        put_string(out, self.hash_list);
        put_u64(out, self.offset);
        put_u64(out, self.len);
        put_u32(out, self.block_len);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: path(r, "path")?,
            hash_list: r.string("hash list", HASH_LIST_LEN_MAX)?,
            offset: r.u64("offset")?,
            len: r.u64("len")?,
            block_len: r.u32("block len")?,
        })
    }
}

impl<'a> CheckFileName<'a> {
    /// The wanted hashes, best first. The server takes the first it knows.
    pub fn hash_names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.hash_list.split(|byte| *byte == b',')
    }
}

/// The digests, in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckFileReply<'a> {
    /// The hash that the server took from the list.
    pub hash: &'a [u8],
    pub digests: Digests<'a>,
}

/// Digests as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digests<'a> {
    /// One behind the other; the hash tells the length of each.
    Raw(&'a [u8]),
    /// Each with its length in front, as Apache MINA sends them; checked.
    Strings(&'a [u8]),
}

impl<'a> CheckFileReply<'a> {
    /// What stands in front of the hash name in the forms b and c.
    const PREFIX: &'static [u8] = b"check-file";

    /// Appends the reply's data in form a; digests that came as strings are sent raw.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.hash);
        match self.digests {
            Digests::Raw(raw) => out.extend_from_slice(raw),
            Digests::Strings(wire) => strings(wire).for_each(|d| out.extend_from_slice(d)),
        }
    }

    /// Reads the reply's data in any of its three forms.
    ///
    /// Digests behind the prefix are strings if they begin with the length of a known digest; a
    /// raw digest does so about once in 600 million files.
    ///
    /// # Errors
    /// A field is cut short, or digests that are strings do not end with the reply.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let first = r.string("hash name", HASH_LIST_LEN_MAX)?;
        if first != Self::PREFIX {
            return Ok(Self { hash: first, digests: Digests::Raw(r.rest()) });
        }
        let hash = r.string("hash name", HASH_LIST_LEN_MAX)?;
        let wire = r.rest();
        let first_len = wire.first_chunk::<4>().map(|len| u32::from_be_bytes(*len));
        if !first_len.is_some_and(|len| DIGEST_LENS.contains(&len)) {
            return Ok(Self { hash, digests: Digests::Raw(wire) });
        }
        let covered: usize = strings(wire).map(|digest| 4 + digest.len()).sum();
        if covered != wire.len() {
            return Err(DecodeError::invalid("digests"));
        }
        Ok(Self { hash, digests: Digests::Strings(wire) })
    }

    /// The digests one by one, for a hash with `digest_len` bytes of output.
    ///
    /// # Errors
    /// A digest has another length, or there is none.
    pub fn digests(
        &self,
        digest_len: usize,
    ) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, DecodeError> {
        let fits = match self.digests {
            Digests::Raw(raw) => {
                digest_len > 0 && !raw.is_empty() && raw.len().is_multiple_of(digest_len)
            }
            Digests::Strings(wire) => strings(wire).all(|digest| digest.len() == digest_len),
        };
        if !fits {
            return Err(DecodeError::invalid("digests"));
        }
        let (step, skip, wire) = match self.digests {
            Digests::Raw(raw) => (digest_len, 0, raw),
            Digests::Strings(wire) => (4 + digest_len, 4, wire),
        };
        Ok(wire.chunks_exact(step).map(move |chunk| &chunk[skip..]))
    }
}

/// Bytes of a digest: crc32, md5, sha1, sha224, sha256 and blake3, sha384, sha512.
const DIGEST_LENS: [u32; 7] = [4, 16, 20, 28, 32, 48, 64];

fn strings(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut r = Reader::new(wire);
    std::iter::from_fn(move || r.string("digest", DIGEST_LEN_MAX).ok())
}
