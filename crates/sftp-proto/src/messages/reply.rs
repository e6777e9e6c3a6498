//! Replies: STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY (draft-02 §7).

use sterna_sshwire::{DecodeError, Reader, put_string, put_string_with, put_u32};

use crate::frame::put_frame;
use crate::limits::{REPLY_HANDLE_LEN_MAX, REPLY_PACKET_LEN_MAX};
use crate::{Attrs, StatusCode};

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    Status(Status<'a>),
    Handle(Handle<'a>),
    Data(Data<'a>),
    Name(Name<'a>),
    Attrs(Attrs<'a>),
    ExtendedReply(ExtendedReply<'a>),
}

impl<'a> Reply<'a> {
    /// Type byte of ATTRS; its body is an [`Attrs`] and nothing else.
    pub const ATTRS_TYPE: u8 = 105;

    /// Appends a whole packet.
    pub fn encode(&self, id: u32, out: &mut Vec<u8>) {
        put_frame(out, self.wire_type(), Some(id), |out| match self {
            Self::Status(status) => status.encode(out),
            Self::Handle(handle) => handle.encode(out),
            Self::Data(data) => data.encode(out),
            Self::Name(name) => name.encode(out),
            Self::Attrs(attrs) => attrs.encode(out),
            Self::ExtendedReply(reply) => reply.encode(out),
        });
    }

    /// Reads the body that belongs to `wire_type`; `None` if there is no such reply. Bytes behind
    /// the known fields are ignored.
    pub fn decode(wire_type: u8, r: &mut Reader<'a>) -> Option<Result<Self, DecodeError>> {
        Some(match wire_type {
            Status::TYPE => Status::decode(r).map(Self::Status),
            Handle::TYPE => Handle::decode(r).map(Self::Handle),
            Data::TYPE => Data::decode(r).map(Self::Data),
            Name::TYPE => Name::decode(r).map(Self::Name),
            Self::ATTRS_TYPE => Attrs::decode(r).map(Self::Attrs),
            ExtendedReply::TYPE => Ok(Self::ExtendedReply(ExtendedReply { data: r.rest() })),
            _ => return None,
        })
    }

    fn wire_type(&self) -> u8 {
        match self {
            Self::Status(_) => Status::TYPE,
            Self::Handle(_) => Handle::TYPE,
            Self::Data(_) => Data::TYPE,
            Self::Name(_) => Name::TYPE,
            Self::Attrs(_) => Self::ATTRS_TYPE,
            Self::ExtendedReply(_) => ExtendedReply::TYPE,
        }
    }
}

/// `SSH_FXP_STATUS`: how a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    pub code: StatusCode,
    /// For people. From a server it may hold any bytes: filter before it is shown.
    pub message: &'a [u8],
}

impl<'a> Status<'a> {
    pub const TYPE: u8 = 101;

    /// The code with its default text.
    pub fn of(code: StatusCode) -> Status<'static> {
        Status { code, message: code.sent().text().as_bytes() }
    }

    /// Appends the body with an empty language tag. Only codes of version 3 leave: see
    /// [`StatusCode::sent`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.code.sent().number());
        put_string(out, self.message);
        put_string(out, b"");
    }

    /// Reads the body. Some servers leave out one or both strings, or cut them: what is missing
    /// is empty.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let code = StatusCode::from_number(r.u32("status code")?);
        let message = r.string("status message", REPLY_PACKET_LEN_MAX).unwrap_or_default();
        Ok(Self { code, message })
    }
}

/// `SSH_FXP_HANDLE`: names an open file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle<'a> {
    pub handle: &'a [u8],
}

impl<'a> Handle<'a> {
    pub const TYPE: u8 = 102;

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
    }

    /// Reads the body; up to [`REPLY_HANDLE_LEN_MAX`] bytes are taken.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: r.string("handle", REPLY_HANDLE_LEN_MAX)? })
    }
}

/// Length word, type, id, length of the data.
const DATA_HEADER_LEN: usize = 4 + 1 + 4 + 4;

/// `SSH_FXP_DATA`: bytes of a file, as many as asked for or fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    pub data: &'a [u8],
}

impl<'a> Data<'a> {
    pub const TYPE: u8 = 103;

    /// Bytes of the packet in front of the data, the length word included.
    pub const HEADER_LEN: usize = DATA_HEADER_LEN;

    /// The packet up to its data, for a sender that puts `len` bytes of data behind it without
    /// gathering both in one buffer.
    pub fn header(id: u32, len: u32) -> [u8; DATA_HEADER_LEN] {
        let mut header = [0; DATA_HEADER_LEN];
        header[..4].copy_from_slice(&(len + 9).to_be_bytes());
        header[4] = Self::TYPE;
        header[5..9].copy_from_slice(&id.to_be_bytes());
        header[9..].copy_from_slice(&len.to_be_bytes());
        header
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.data);
    }

    /// Reads the body.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { data: r.string("data", REPLY_PACKET_LEN_MAX)? })
    }
}

/// The beginning of a packet with DATA, its length word included, up to the data: for who moves the data by another
/// way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// The request's id.
    pub id: u32,
    /// Bytes of data behind it.
    pub data_len: u32,
}

impl DataHead {
    /// The head of the packet that `stream` begins with. `None` if that is anything but DATA of the usual form, or
    /// if more must come before that can be said: then the whole packet has to be looked at.
    pub fn decode(stream: &[u8]) -> Option<Self> {
        let mut r = Reader::new(stream);
        let packet_len = r.u32("length").ok()? as usize;
        if packet_len > REPLY_PACKET_LEN_MAX || r.u8("type").ok()? != Data::TYPE {
            return None;
        }
        let id = r.u32("request id").ok()?;
        let data_len = r.u32("data length").ok()?;
        let is_all = Data::HEADER_LEN + data_len as usize == 4 + packet_len;
        is_all.then_some(Self { id, data_len })
    }
}

/// `SSH_FXP_NAME`: names with their attributes, checked and still in their wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    count: u32,
    wire: &'a [u8],
}

/// One name of a [`Name`] reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameEntry<'a> {
    /// READDIR: one component; REALPATH and READLINK: a path. Any bytes.
    pub filename: &'a [u8],
    /// A line like that of `ls -l`; see `longname.rs`.
    pub longname: &'a [u8],
    pub attrs: Attrs<'a>,
}

impl<'a> Name<'a> {
    pub const TYPE: u8 = 104;

    /// The reply to REALPATH or READLINK, written into `buffer`, which is cleared first.
    pub fn single(path: &[u8], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        NameEntry { filename: path, longname: path, attrs: Attrs::default() }.encode(buffer);
        Self { count: 1, wire: buffer }
    }

    /// Names in the reply; a batch of none is not legal, but is decoded.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = NameEntry<'a>> + use<'a> {
        let mut r = Reader::new(self.wire);
        std::iter::from_fn(move || NameEntry::decode(&mut r).ok())
    }

    /// The one name that REALPATH, READLINK and their like are answered with.
    ///
    /// # Errors
    /// None or several names, or an empty one.
    pub fn only(&self) -> Result<&'a [u8], DecodeError> {
        match (self.count, self.iter().next()) {
            (1, Some(entry)) if !entry.filename.is_empty() => Ok(entry.filename),
            _ => Err(DecodeError::invalid("name reply")),
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.count);
        out.extend_from_slice(self.wire);
    }

    /// Reads the body and checks every entry, so that [`Name::iter`] cannot fail.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = r.u32("name count")?;
        if count as usize > r.remaining() / NameEntry::LEN_MIN {
            return Err(DecodeError::invalid("name count"));
        }
        let mut ahead = r.clone();
        for _ in 0..count {
            NameEntry::decode(&mut ahead)?;
        }
        let wire = r.bytes("names", r.remaining() - ahead.remaining())?;
        Ok(Self { count, wire })
    }
}

impl<'a> NameEntry<'a> {
    /// Two empty strings and an attribute block that says nothing.
    const LEN_MIN: usize = 4 + 4 + 4;

    fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.filename);
        put_string(out, self.longname);
        self.attrs.encode(out);
    }

    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            filename: r.string("file name", REPLY_PACKET_LEN_MAX)?,
            longname: r.string("long name", REPLY_PACKET_LEN_MAX)?,
            attrs: Attrs::decode(r)?,
        })
    }
}

/// Writes one NAME packet at the end of a buffer, entry by entry; length and count are filled in
/// by [`NameWriter::finish`]. Dropped unfinished, it takes the packet back.
#[derive(Debug)]
pub struct NameWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count: u32,
    finished: bool,
}

impl<'o> NameWriter<'o> {
    pub fn new(id: u32, out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        put_frame(out, Name::TYPE, Some(id), |out| put_u32(out, 0));
        Self { out, start, count: 0, finished: false }
    }

    /// Appends one name; `longname` writes the line.
    pub fn push(
        &mut self,
        filename: &[u8],
        attrs: &Attrs<'_>,
        longname: impl FnOnce(&mut Vec<u8>),
    ) {
        put_string(self.out, filename);
        put_string_with(self.out, longname);
        attrs.encode(self.out);
        self.count += 1;
    }

    /// Names so far.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes of the packet so far; compare with
    /// [`NAME_PACKET_LEN_TARGET`](crate::limits::NAME_PACKET_LEN_TARGET).
    pub fn packet_len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Completes the packet. Without any name the packet is taken back, since an empty batch is
    /// not legal, and `false` is returned: the answer is then STATUS EOF.
    #[must_use]
    pub fn finish(mut self) -> bool {
        if self.count == 0 {
            return false;
        }
        let len = (self.packet_len() - 4) as u32;
        let packet = &mut self.out[self.start..];
        packet[..4].copy_from_slice(&len.to_be_bytes());
        packet[9..13].copy_from_slice(&self.count.to_be_bytes());
        self.finished = true;
        true
    }
}

impl Drop for NameWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// `SSH_FXP_EXTENDED_REPLY`: what it holds depends on the request; see `extension/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedReply<'a> {
    pub data: &'a [u8],
}

impl ExtendedReply<'_> {
    pub const TYPE: u8 = 201;

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.data);
    }
}
