//! Global requests (RFC 4254 §4) and host key announcement (OpenSSH PROTOCOL §2.5).

use sterna_sshwire::{DecodeError, Reader, put_bool, put_string};

use super::{GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS};
use crate::limits::{HOST_KEYS_MAX, KEY_BLOB_LEN_MAX, NAME_LEN_MAX};

pub const KEEPALIVE: &str = "keepalive@openssh.com";
pub const HOST_KEYS: &str = "hostkeys-00@openssh.com";
pub const HOST_KEYS_PROVE: &str = "hostkeys-prove-00@openssh.com";
pub const NO_MORE_SESSIONS: &str = "no-more-sessions@openssh.com";

/// `SSH_MSG_GLOBAL_REQUEST` up to the fields of its type. Spec: RFC 4254 §4.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub name: &'a [u8],
    pub want_reply: bool,
    pub fields: &'a [u8],
}

impl<'a> Request<'a> {
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: r.string("request name", NAME_LEN_MAX)?,
            want_reply: r.bool("want reply")?,
            fields: r.rest(),
        })
    }
}

pub fn encode_request(out: &mut Vec<u8>, name: &str, want_reply: bool, blobs: &[Vec<u8>]) {
    out.push(GLOBAL_REQUEST);
    put_string(out, name.as_bytes());
    put_bool(out, want_reply);
    put_blobs(out, blobs);
}

pub fn encode_success(out: &mut Vec<u8>, blobs: &[Vec<u8>]) {
    out.push(REQUEST_SUCCESS);
    put_blobs(out, blobs);
}

pub fn encode_failure(out: &mut Vec<u8>) {
    out.push(REQUEST_FAILURE);
}

fn put_blobs(out: &mut Vec<u8>, blobs: &[Vec<u8>]) {
    for blob in blobs {
        put_string(out, blob);
    }
}

/// Keys or signatures, to the end of the message. Spec: OpenSSH PROTOCOL §2.5.
pub fn decode_blobs(fields: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut r = Reader::new(fields);
    let mut blobs = Vec::new();
    while !r.is_empty() {
        if blobs.len() as u32 == HOST_KEYS_MAX {
            return Err(DecodeError::invalid("number of host keys"));
        }
        blobs.push(r.string("host key or signature", KEY_BLOB_LEN_MAX)?.to_vec());
    }
    Ok(blobs)
}

/// What a server signs to prove that it holds a host key. Spec: OpenSSH PROTOCOL §2.5.
pub fn prove_bytes(session_id: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + key.len());
    put_string(&mut out, HOST_KEYS_PROVE.as_bytes());
    put_string(&mut out, session_id);
    put_string(&mut out, key);
    out
}
