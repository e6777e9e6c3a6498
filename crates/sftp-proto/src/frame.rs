//! Channel bytes to frames, and the other way (draft-02 §3).
//!
//! A frame here is a packet without its length word: it begins with the type byte. Channel data
//! comes in pieces that mean nothing. A frame that lies inside one piece is lent from there
//! without a copy; one that spans pieces is assembled once, in a buffer that the consumer may
//! take away and replace, so that a large WRITE goes to another thread without a second copy.

use std::fmt;
use std::ops::Deref;

use sterna_sshwire::{put_u8, put_u32};

use crate::limits::{GARBAGE_LEN_MAX, PACKET_LEN_MAX, PACKET_LEN_MIN, REPLY_PACKET_LEN_MAX};

/// One frame: type byte and what follows.
#[derive(Debug)]
pub enum Frame<'a> {
    /// Part of the bytes that were given in.
    Lent(&'a [u8]),
    /// Gathered from several pieces. It may be taken with [`std::mem::take`]; a buffer that is
    /// put in its place, or given to [`FrameAssembler::give_back`], is used for the next.
    Assembled(&'a mut Vec<u8>),
}

impl Deref for Frame<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Assembled(bytes) => bytes,
        }
    }
}

/// Finds the frames in a stream of bytes.
///
/// Memory: at most one frame. A frame's buffer is reserved when its first bytes have come and its
/// length has been checked.
#[derive(Debug)]
pub struct FrameAssembler {
    len_max: usize,
    /// Text in front of the first frame is recognised as such.
    expects_text: bool,
    /// The length word as far as it has come.
    head: [u8; 4],
    head_len: usize,
    /// What has come of the frame; handed out when it has the length of the head.
    body: Vec<u8>,
    /// `body` was handed out and its content is over.
    handed_out: bool,
}

impl FrameAssembler {
    /// For requests: frames of up to [`PACKET_LEN_MAX`] bytes.
    pub fn for_server() -> Self {
        Self::new(PACKET_LEN_MAX, false)
    }

    /// For replies: frames of up to [`REPLY_PACKET_LEN_MAX`] bytes, and start-up text of a shell
    /// in front of VERSION is recognised.
    pub fn for_client() -> Self {
        Self::new(REPLY_PACKET_LEN_MAX, true)
    }

    fn new(len_max: usize, expects_text: bool) -> Self {
        Self {
            len_max,
            expects_text,
            head: [0; 4],
            head_len: 0,
            body: Vec::new(),
            handed_out: false,
        }
    }

    /// The next frame of the stream; `input` moves forward over the bytes that were used. `None`
    /// when all of `input` is used up and the frame is not complete.
    ///
    /// # Errors
    /// The stream cannot be understood from here on: every later call fails too.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'a>>, FrameError> {
        let Some(len) = self.next_len(input)? else { return Ok(None) };
        if self.body.is_empty() && input.len() >= len {
            let (frame, rest) = input.split_at(len);
            *input = rest;
            self.end_frame();
            return Ok(Some(Frame::Lent(frame)));
        }
        if input.is_empty() {
            return Ok(None);
        }
        let missing = len - self.body.len();
        self.body.reserve_exact(missing);
        let (part, rest) = input.split_at(missing.min(input.len()));
        self.body.extend_from_slice(part);
        *input = rest;
        if self.body.len() < len {
            return Ok(None);
        }
        self.end_frame();
        self.handed_out = true;
        Ok(Some(Frame::Assembled(&mut self.body)))
    }

    /// As [`FrameAssembler::next`], for a consumer that keeps its frames: each is copied once, into a
    /// buffer of the consumer's. `take` is called with the length of a frame when its first bytes have
    /// come and the length has been checked; the content of what it gives is thrown away.
    ///
    /// # Errors
    /// As [`FrameAssembler::next`].
    pub fn next_owned(
        &mut self,
        input: &mut &[u8],
        take: impl FnOnce(usize) -> Vec<u8>,
    ) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(len) = self.next_len(input)? else { return Ok(None) };
        if input.is_empty() {
            return Ok(None);
        }
        if self.body.is_empty() {
            self.body = take(len);
            self.body.clear();
            self.body.reserve_exact(len);
        }
        let (part, rest) = input.split_at((len - self.body.len()).min(input.len()));
        self.body.extend_from_slice(part);
        *input = rest;
        if self.body.len() < len {
            return Ok(None);
        }
        self.end_frame();
        Ok(Some(std::mem::take(&mut self.body)))
    }

    /// What comes next belongs to a frame of `len` bytes whose first ones are in `body`: the consumer has looked at
    /// the beginning of the frame itself. Only between two frames, and for lengths that are allowed.
    pub fn resume(&mut self, body: Vec<u8>, len: usize) {
        assert!(self.is_between_frames() && !body.is_empty() && body.len() < len);
        self.head = (len as u32).to_be_bytes();
        self.head_len = 4;
        self.body = body;
        self.handed_out = false;
    }

    /// The checked length of the frame that is being read, once its length word is complete.
    fn next_len(&mut self, input: &mut &[u8]) -> Result<Option<usize>, FrameError> {
        if self.handed_out {
            self.body.clear();
            self.handed_out = false;
        }
        let head_part = (4 - self.head_len).min(input.len());
        self.head[self.head_len..self.head_len + head_part].copy_from_slice(&input[..head_part]);
        self.head_len += head_part;
        *input = &input[head_part..];
        if self.head_len < 4 {
            return Ok(None);
        }
        let len = u32::from_be_bytes(self.head) as usize;
        // The head stays as it is after an error, so that the next call fails as well.
        self.check_len(len, input)?;
        Ok(Some(len))
    }

    /// Returns a buffer that was taken out of [`Frame::Assembled`], for its memory. The larger
    /// of two is kept; a frame being assembled is not touched.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        let idle = self.body.is_empty() || self.handed_out;
        if idle && buffer.capacity() > self.body.capacity() && buffer.capacity() <= self.len_max {
            buffer.clear();
            self.body = buffer;
            self.handed_out = false;
        }
    }

    /// Whether the stream stands between two frames: at its end, nothing was cut off.
    pub fn is_between_frames(&self) -> bool {
        self.head_len == 0
    }

    /// Frees the buffer of a session that has become idle.
    pub fn shrink(&mut self) {
        if self.handed_out || self.body.is_empty() {
            self.body = Vec::new();
            self.handed_out = false;
        }
    }

    fn end_frame(&mut self) {
        self.head_len = 0;
        self.expects_text = false;
    }

    fn check_len(&self, len: usize, input: &[u8]) -> Result<(), FrameError> {
        if (PACKET_LEN_MIN..=self.len_max).contains(&len) {
            return Ok(());
        }
        // No length that is allowed begins with a byte that text has; a short text is followed by VERSION.
        if self.expects_text && is_text(self.head[0]) {
            return Err(FrameError::Text(first_line(&self.head, input)));
        }
        Err(if len < PACKET_LEN_MIN {
            FrameError::TooShort { len }
        } else {
            FrameError::TooLong { len, max: self.len_max }
        })
    }
}

/// The stream is not SFTP. The channel must be closed: there is no way to find the next frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame without room for its type and id.
    TooShort {
        len: usize,
    },
    TooLong {
        len: usize,
        max: usize,
    },
    /// The server printed text before the first packet; this is its first line as far as it has
    /// come, without control characters.
    Text(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { len } => write!(f, "packet of {len} bytes is too short"),
            Self::TooLong { len, max } => {
                write!(f, "packet of {len} bytes, at most {max} allowed")
            }
            Self::Text(line) => write!(f, "server printed {line:?} instead of speaking SFTP"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Appends one packet: length, type, id if there is one, and what `fill` writes.
pub fn put_frame(
    out: &mut Vec<u8>,
    wire_type: u8,
    id: Option<u32>,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    put_u32(out, 0);
    put_u8(out, wire_type);
    if let Some(id) = id {
        put_u32(out, id);
    }
    fill(out);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// What shell start-up files print: printable ASCII, line ends, tabs, colours.
fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1b)
}

fn first_line(head: &[u8], more: &[u8]) -> String {
    let text = head.iter().chain(more).take(GARBAGE_LEN_MAX).copied();
    let line: Vec<u8> = text
        .skip_while(u8::is_ascii_whitespace)
        .take_while(|byte| !matches!(byte, b'\n' | b'\r' | 0))
        .collect();
    let printable = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(&line).chars().map(printable).collect()
}

const _: () = assert!(REPLY_PACKET_LEN_MAX < 1 << 24, "every length begins with a zero byte");

#[cfg(test)]
mod tests;
