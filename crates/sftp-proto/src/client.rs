//! Sans-IO client half: the handshake, request ids, and replies that find their request.
//!
//! Each request carries a token of the caller's, which comes back with the reply. A reply that
//! nobody waits for is fatal: nothing of it is stored.

use std::fmt;

use sterna_sshwire::{DecodeError, Reader, put_u32};

use crate::extension::{Extension, ExtensionSet, VendorId};
use crate::frame::put_frame;
use crate::limits::OUTSTANDING_MAX;
use crate::messages::{ExtensionPairs, Init, VERSION, Version, WriteHead};
use crate::{Reply, Request};

/// What one frame from the server turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a, T> {
    /// The session has begun; [`Client::extensions`] says what may be used.
    Version(Version<'a>),
    /// The answer to the request that was sent with `token`. Whether the kind of reply fits the
    /// request is for the caller to check.
    Reply { id: u32, token: T, reply: Reply<'a> },
}

/// The server broke the protocol; the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerError {
    /// The server speaks an older version only.
    VersionTooOld(u32),
    /// A packet of this type came where VERSION must.
    NotVersion(u8),
    /// VERSION came a second time.
    SecondVersion,
    /// A reply to a request that is not outstanding: never sent, or answered already.
    UnknownId(u32),
    /// A packet type that no reply has.
    UnknownType(u8),
    Malformed(DecodeError),
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VersionTooOld(version) => {
                write!(f, "the server speaks SFTP version {version}, 3 is needed")
            }
            Self::NotVersion(wire_type) => {
                write!(f, "the server's first packet has type {wire_type}, not VERSION")
            }
            Self::SecondVersion => f.write_str("the server sent VERSION twice"),
            Self::UnknownId(id) => write!(f, "reply to request {id}, which is not outstanding"),
            Self::UnknownType(wire_type) => write!(f, "reply of unknown type {wire_type}"),
            Self::Malformed(error) => write!(f, "malformed reply: {error}"),
        }
    }
}

impl std::error::Error for PeerError {}

impl From<DecodeError> for PeerError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

/// [`OUTSTANDING_MAX`] requests are unanswered: read replies first. The token comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRequests<T>(pub T);

/// One session, from INIT on.
#[derive(Debug)]
pub struct Client<T> {
    began: bool,
    extensions: ExtensionSet,
    draft_symlinks: bool,
    outstanding: Outstanding<T>,
}

impl<T> Default for Client<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Client<T> {
    pub fn new() -> Self {
        Self {
            began: false,
            extensions: ExtensionSet::NONE,
            draft_symlinks: false,
            outstanding: Outstanding::new(),
        }
    }

    /// Appends INIT for version 3: the first thing a client sends.
    pub fn encode_init(&self, out: &mut Vec<u8>) {
        let init = Init { version: VERSION, extensions: ExtensionPairs::default() };
        put_frame(out, Init::TYPE, None, |out| init.encode(out));
    }

    /// Takes one frame (type byte first).
    ///
    /// # Errors
    /// The session is over; no frame may be given in after that.
    pub fn accept<'a>(&mut self, frame: &'a [u8]) -> Result<Incoming<'a, T>, PeerError> {
        let mut r = Reader::new(frame);
        let wire_type = r.u8("type")?;
        match (wire_type, self.began) {
            (Version::TYPE, true) => return Err(PeerError::SecondVersion),
            (Version::TYPE, false) => {
                return self.begin(Version::decode(&mut r)?).map(Incoming::Version);
            }
            (other, false) => return Err(PeerError::NotVersion(other)),
            (_, true) => {}
        }
        let id = r.u32("request id")?;
        let reply = Reply::decode(wire_type, &mut r).ok_or(PeerError::UnknownType(wire_type))?;
        let token = self.outstanding.take(id).ok_or(PeerError::UnknownId(id))?;
        Ok(Incoming::Reply { id, token, reply: reply? })
    }

    /// Appends `request` and returns its id. A SYMLINK goes out in the order that this server
    /// reads.
    ///
    /// # Errors
    /// [`TooManyRequests`]; nothing was appended.
    pub fn request<'r>(
        &mut self,
        request: impl Into<Request<'r>>,
        token: T,
        out: &mut Vec<u8>,
    ) -> Result<u32, TooManyRequests<T>> {
        let id = self.outstanding.put(token)?;
        match request.into() {
            Request::Symlink(symlink) if self.draft_symlinks => {
                Request::Symlink(symlink.swapped()).encode(id, out);
            }
            request => request.encode(id, out),
        }
        Ok(id)
    }

    /// Appends `packet`, a request that [`Request::encode`] made elsewhere with any id, and returns
    /// the id that it has now. For callers that encode where this half is not at hand; they order
    /// SYMLINK themselves, by [`symlinks_as_in_draft`].
    ///
    /// # Errors
    /// [`TooManyRequests`]; nothing was appended.
    ///
    /// # Panics
    /// If `packet` is shorter than a length, a type and an id: the caller's mistake.
    pub fn request_encoded(
        &mut self,
        packet: &[u8],
        token: T,
        out: &mut Vec<u8>,
    ) -> Result<u32, TooManyRequests<T>> {
        let id = self.outstanding.put(token)?;
        out.extend_from_slice(&packet[..5]);
        put_u32(out, id);
        out.extend_from_slice(&packet[9..]);
        Ok(id)
    }

    /// Appends a WRITE up to its data and returns its id. The caller sends exactly `len` bytes of
    /// data behind it, from wherever they are.
    ///
    /// # Errors
    /// [`TooManyRequests`]; nothing was appended.
    pub fn write_head(
        &mut self,
        handle: &[u8],
        offset: u64,
        len: u32,
        token: T,
        out: &mut Vec<u8>,
    ) -> Result<u32, TooManyRequests<T>> {
        let id = self.outstanding.put(token)?;
        WriteHead { id, handle, offset, data_len: len }.encode(out);
        Ok(id)
    }

    /// The token of an unanswered request.
    pub fn token_mut(&mut self, id: u32) -> Option<&mut T> {
        self.outstanding.get_mut(id)
    }

    /// Takes the token of a request whose reply was read by another way than [`accept`](Self::accept).
    pub fn take_token(&mut self, id: u32) -> Option<T> {
        self.outstanding.take(id)
    }

    /// What the server offers in the form that we know; empty before VERSION.
    pub fn extensions(&self) -> ExtensionSet {
        self.extensions
    }

    /// Requests that wait for their reply.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len
    }

    /// Requests that may be sent before a reply must come.
    pub fn room(&self) -> usize {
        OUTSTANDING_MAX - self.outstanding.len
    }

    /// Takes back the tokens of all unanswered requests, for the end of the session.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let outstanding = std::mem::replace(&mut self.outstanding, Outstanding::new());
        outstanding.slots.into_iter().filter_map(|slot| slot.token)
    }

    fn begin<'a>(&mut self, version: Version<'a>) -> Result<Version<'a>, PeerError> {
        // A higher version than was asked for is a known fault of a server that goes on to speak
        // the one it was asked for.
        if version.version < VERSION {
            return Err(PeerError::VersionTooOld(version.version));
        }
        self.began = true;
        self.extensions = ExtensionSet::from_announcement(&version.extensions);
        self.draft_symlinks = symlinks_as_in_draft(&version);
        Ok(version)
    }
}

/// Who the server says it is, if it does.
pub fn vendor_id<'a>(version: &Version<'a>) -> Option<VendorId<'a>> {
    let name = Extension::VendorId.row().announced.as_bytes();
    let (_, value) = version.extensions.iter().find(|(n, _)| *n == name)?;
    VendorId::decode(&mut Reader::new(value)).ok()
}

/// Whether the server says that it reads SYMLINK in the draft's order, not in that of OpenSSH, which
/// nearly everybody follows.
pub fn symlinks_as_in_draft(version: &Version<'_>) -> bool {
    version
        .extensions
        .iter()
        .any(|(name, value)| SYMLINK_ORDER_NAMES.contains(&name) && value == b"linkpath-targetpath")
}

/// Green End's server says under these names in which order it reads SYMLINK.
const SYMLINK_ORDER_NAMES: [&[u8]; 2] =
    [b"symlink-order@rjk.greenend.org.uk", b"link-order@rjk.greenend.org.uk"];

/// Tokens by request id. An id is a slot's number in its low bits and a count of the slot's uses
/// above, so a late second reply meets another id.
#[derive(Debug)]
struct Outstanding<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// The id of the request in the slot, or of the next one.
    id: u32,
    token: Option<T>,
}

impl<T> Outstanding<T> {
    fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }

    fn put(&mut self, token: T) -> Result<u32, TooManyRequests<T>> {
        if self.len == OUTSTANDING_MAX {
            return Err(TooManyRequests(token));
        }
        let index = self.free.pop().unwrap_or(self.slots.len() as u32);
        if index as usize == self.slots.len() {
            self.slots.push(Slot { id: index, token: None });
        }
        let slot = &mut self.slots[index as usize];
        slot.token = Some(token);
        self.len += 1;
        Ok(slot.id)
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let index = id % OUTSTANDING_MAX as u32;
        self.slots.get_mut(index as usize).filter(|slot| slot.id == id)?.token.as_mut()
    }

    fn take(&mut self, id: u32) -> Option<T> {
        let index = id % OUTSTANDING_MAX as u32;
        let slot = self.slots.get_mut(index as usize).filter(|slot| slot.id == id)?;
        let token = slot.token.take()?;
        slot.id = slot.id.wrapping_add(OUTSTANDING_MAX as u32);
        self.free.push(index);
        self.len -= 1;
        Some(token)
    }
}

#[cfg(test)]
mod tests;
