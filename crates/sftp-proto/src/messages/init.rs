//! The first message of each side, and the extension pairs in it (draft-02 §4).

use sterna_sshwire::{DecodeError, Reader, put_string, put_u32};

use crate::limits::{EXTENSION_PAIRS_MAX, REPLY_PACKET_LEN_MAX};

/// The version this crate speaks.
pub const VERSION: u32 = 3;

/// `SSH_FXP_INIT`: the client's highest version. It has no request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init<'a> {
    pub version: u32,
    pub extensions: ExtensionPairs<'a>,
}

impl<'a> Init<'a> {
    pub const TYPE: u8 = 1;

    /// Appends the body; the frame adds length and type.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.version);
        out.extend_from_slice(self.extensions.wire);
    }

    /// Reads the version; malformed extension pairs of a client are dropped, nothing needs them.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = r.u32("version")?;
        let extensions = ExtensionPairs::decode(r).unwrap_or_default();
        Ok(Self { version, extensions })
    }
}

/// `SSH_FXP_VERSION`: the version of the session and what the server offers beyond it. It has no
/// request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    pub version: u32,
    pub extensions: ExtensionPairs<'a>,
}

impl<'a> Version<'a> {
    pub const TYPE: u8 = 2;

    /// Appends the body; the frame adds length and type.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.version);
        out.extend_from_slice(self.extensions.wire);
    }

    /// Reads the message to its end.
    ///
    /// # Errors
    /// A pair that is cut short, or more than [`EXTENSION_PAIRS_MAX`] pairs.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { version: r.u32("version")?, extensions: ExtensionPairs::decode(r)? })
    }
}

/// (name, value) pairs up to the end of the packet, checked and still in their wire form.
///
/// Values may be any bytes, and a name may occur twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionPairs<'a> {
    wire: &'a [u8],
}

impl<'a> ExtensionPairs<'a> {
    /// Writes `pairs` into `buffer`, which is cleared first, and borrows them from there.
    pub fn build<'p>(
        pairs: impl IntoIterator<Item = (&'p [u8], &'p [u8])>,
        buffer: &'a mut Vec<u8>,
    ) -> Self {
        buffer.clear();
        for (name, value) in pairs.into_iter().take(EXTENSION_PAIRS_MAX) {
            put_string(buffer, name);
            put_string(buffer, value);
        }
        Self { wire: buffer }
    }

    /// Their wire form, to be kept; [`from_wire`](Self::from_wire) reads it again.
    pub fn as_wire(&self) -> &'a [u8] {
        self.wire
    }

    /// Reads pairs that nothing follows.
    ///
    /// # Errors
    /// A pair that is cut short, or more than [`EXTENSION_PAIRS_MAX`] pairs.
    pub fn from_wire(wire: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(wire))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut r = Reader::new(self.wire);
        std::iter::from_fn(move || read_pair(&mut r).ok())
    }

    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let wire = r.rest();
        let mut pairs = Reader::new(wire);
        let mut count = 0;
        while !pairs.is_empty() {
            read_pair(&mut pairs)?;
            count += 1;
            if count > EXTENSION_PAIRS_MAX {
                return Err(DecodeError::invalid("extension pairs"));
            }
        }
        Ok(Self { wire })
    }
}

fn read_pair<'a>(r: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    Ok((
        r.string("extension name", REPLY_PACKET_LEN_MAX)?,
        r.string("extension value", REPLY_PACKET_LEN_MAX)?,
    ))
}
