//! The checks that every vector goes through.

use sterna_sftp_proto::extension::{Extended, ExtensionSet};
use sterna_sftp_proto::server::{Incoming, Server};
use sterna_sftp_proto::{Reply, Request};
use sterna_sshwire::{DecodeError, Reader};

pub fn packet(annotated: &str) -> Vec<u8> {
    let words = annotated.lines().filter_map(|line| line.split_whitespace().next());
    words.flat_map(|word| hex::decode(word).unwrap()).collect()
}

pub fn accept(frame: &[u8]) -> Option<(u32, Request<'_>)> {
    let mut server = Server::new(ExtensionSet::all());
    server.accept(&[1, 0, 0, 0, 3]).unwrap();
    match server.accept(frame) {
        Ok(Incoming::Request { id, request }) => Some((id, request)),
        Ok(_) | Err(_) => None,
    }
}

/// The packet means `request`, is written so again, and no prefix of it means anything.
pub fn request<'r>(annotated: &str, id: u32, request: impl Into<Request<'r>>) {
    let (packet, request) = (packet(annotated), request.into());
    assert_eq!(packet[..4], (packet.len() as u32 - 4).to_be_bytes(), "length word");

    assert_eq!(accept(&packet[4..]), Some((id, request)));
    for end in 4..packet.len() {
        assert_eq!(accept(&packet[4..end]), None, "prefix of {end} bytes");
    }
    let mut out = b"before".to_vec();
    request.encode(id, &mut out);
    assert_eq!(out[6..], packet);
}

pub fn extended<'r>(annotated: &str, id: u32, message: impl Into<Extended<'r>>) {
    request(annotated, id, message.into());
}

/// Reads the packet as a reply and writes it again; gives its frame back for more.
pub fn reply(annotated: &str, id: u32, expected: Reply<'_>) {
    let packet = packet(annotated);
    assert_eq!(packet[..4], (packet.len() as u32 - 4).to_be_bytes(), "length word");

    assert_eq!(decode_reply(&packet[4..]), Ok((id, expected)));
    let mut out = Vec::new();
    expected.encode(id, &mut out);
    assert_eq!(out, packet);
}

pub fn decode_reply(frame: &[u8]) -> Result<(u32, Reply<'_>), DecodeError> {
    let mut r = Reader::new(frame);
    let wire_type = r.u8("type")?;
    let id = r.u32("id")?;
    Ok((id, Reply::decode(wire_type, &mut r).ok_or(DecodeError::invalid("type"))??))
}

pub fn prefixes_fail(annotated: &str) {
    let packet = packet(annotated);
    for end in 4..packet.len() {
        assert!(decode_reply(&packet[4..end]).is_err(), "prefix of {end} bytes");
    }
}

/// The data of an EXTENDED_REPLY.
pub fn reply_data(annotated: &str, id: u32) -> Vec<u8> {
    let packet = packet(annotated);
    let Ok((got, Reply::ExtendedReply(reply))) = decode_reply(&packet[4..]) else { panic!() };
    assert_eq!(got, id);
    reply.data.to_vec()
}

macro_rules! typed_reply {
    ($annotated:expr, $id:expr, $kind:ident, $expected:expr) => {{
        let (data, expected) = (reply_data($annotated, $id), $expected);
        assert_eq!($kind::decode(&mut Reader::new(&data)), Ok(expected));
        let mut out = Vec::new();
        expected.encode(&mut out);
        assert_eq!(out, data);
        data
    }};
}

macro_rules! typed_prefixes_fail {
    ($kind:ident, $data:expr) => {
        for end in 0..$data.len() {
            assert!($kind::decode(&mut Reader::new(&$data[..end])).is_err(), "prefix of {end}");
        }
    };
}

pub(crate) use {typed_prefixes_fail, typed_reply};
