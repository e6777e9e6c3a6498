//! `vendor-id`: who made the peer (draft-ietf-secsh-filexfer-09). It is only read.

use sterna_sshwire::{DecodeError, Reader, put_string, put_u64};

use crate::limits::VENDOR_TEXT_LEN_MAX;

/// The value in VERSION, or a client's request (answered by STATUS OK).
///
/// The texts are any bytes: filter before they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendorId<'a> {
    pub vendor: &'a [u8],
    pub product: &'a [u8],
    pub version: &'a [u8],
    pub build: u64,
}

impl<'a> VendorId<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.vendor);
        put_string(out, self.product);
        put_string(out, self.version);
        put_u64(out, self.build);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            vendor: r.string("vendor", VENDOR_TEXT_LEN_MAX)?,
            product: r.string("product", VENDOR_TEXT_LEN_MAX)?,
            version: r.string("version", VENDOR_TEXT_LEN_MAX)?,
            build: r.u64("build")?,
        })
    }
}
