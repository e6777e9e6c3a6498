//! DISCONNECT, UNIMPLEMENTED, services, EXT_INFO, PING (RFC 4253 §10-11, RFC 8308, OpenSSH PROTOCOL §1.8).

use sterna_sshwire::{DecodeError, Reader, put_string, put_u32};

use super::{DISCONNECT, EXT_INFO, PONG, SERVICE_ACCEPT, SERVICE_REQUEST, UNIMPLEMENTED};
use crate::limits::{
    EXT_INFO_ENTRIES_MAX, EXT_INFO_VALUE_LEN_MAX, NAME_LEN_MAX, PACKET_LEN_MAX, TEXT_LEN_MAX,
};

/// `SSH_MSG_DISCONNECT`. Spec: RFC 4253 §11.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    pub reason: u32,
    /// For people; hostile.
    pub text: &'a [u8],
}

impl<'a> Disconnect<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(DISCONNECT);
        put_u32(out, self.reason);
        put_string(out, self.text);
        put_string(out, b"");
    }

    /// The language tag is optional: some peers leave it out.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { reason: r.u32("reason")?, text: r.string("description", PACKET_LEN_MAX)? })
    }
}

pub fn encode_unimplemented(out: &mut Vec<u8>, sequence: u32) {
    out.push(UNIMPLEMENTED);
    put_u32(out, sequence);
}

pub fn encode_service_request(out: &mut Vec<u8>, service: &str) {
    out.push(SERVICE_REQUEST);
    put_string(out, service.as_bytes());
}

pub fn encode_service_accept(out: &mut Vec<u8>, service: &str) {
    out.push(SERVICE_ACCEPT);
    put_string(out, service.as_bytes());
}

/// The one field of SERVICE_REQUEST and SERVICE_ACCEPT. Spec: RFC 4253 §10.
pub fn decode_service<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let service = r.string("service name", NAME_LEN_MAX)?;
    r.finish("service message")?;
    Ok(service)
}

pub fn encode_ext_info(out: &mut Vec<u8>, entries: &[(&str, &[u8])]) {
    out.push(EXT_INFO);
    put_u32(out, u32::try_from(entries.len()).expect("we send a handful of entries"));
    for (name, value) in entries {
        put_string(out, name.as_bytes());
        put_string(out, value);
    }
}

/// Walks the entries of EXT_INFO. Spec: RFC 8308 §2.3.
pub fn decode_ext_info<'a>(
    r: &mut Reader<'a>,
    mut entry: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<(), DecodeError> {
    let count = r.u32("nr-extensions")?;
    if count > EXT_INFO_ENTRIES_MAX {
        return Err(DecodeError::invalid("nr-extensions"));
    }
    for _ in 0..count {
        let name = r.string("extension name", NAME_LEN_MAX)?;
        let value = r.string("extension value", EXT_INFO_VALUE_LEN_MAX)?;
        entry(name, value);
    }
    r.finish("EXT_INFO")
}

pub fn encode_pong(out: &mut Vec<u8>, data: &[u8]) {
    out.push(PONG);
    put_string(out, data);
}

/// `PING`: `string data`. Spec: OpenSSH PROTOCOL §1.8.
pub fn decode_ping<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let data = r.string("ping data", PACKET_LEN_MAX)?;
    r.finish("PING")?;
    Ok(data)
}

/// Text from a peer, made harmless enough to keep: valid UTF-8, at most [`TEXT_LEN_MAX`] bytes,
/// control and direction characters replaced. Newlines and tabs stay.
pub fn peer_text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(TEXT_LEN_MAX)];
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{061c}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
