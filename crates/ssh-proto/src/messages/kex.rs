//! KEXINIT and the messages of the exchange methods (RFC 4253 §7, §8; RFC 4419; RFC 5656).

use sterna_sshwire::{
    DecodeError, NameList, Reader, put_bool, put_mpint, put_name_list, put_string, put_u32,
};

use super::KEXINIT;
use crate::limits::{DH_VALUE_LEN_MAX, KEX_VALUE_LEN_MAX, KEY_BLOB_LEN_MAX, NAME_LIST_LEN_MAX};

/// Numbers of the method messages; 31 means two things.
pub const EXCHANGE_INIT: u8 = 30;
pub const EXCHANGE_REPLY: u8 = 31;
pub const GEX_GROUP: u8 = 31;
pub const GEX_INIT: u8 = 32;
pub const GEX_REPLY: u8 = 33;
pub const GEX_REQUEST: u8 = 34;

/// `SSH_MSG_KEXINIT`. Spec: RFC 4253 §7.1.
#[derive(Clone, Debug)]
pub struct KexInit<'a> {
    pub kex: NameList<'a>,
    pub host_key: NameList<'a>,
    pub cipher_c2s: NameList<'a>,
    pub cipher_s2c: NameList<'a>,
    pub mac_c2s: NameList<'a>,
    pub mac_s2c: NameList<'a>,
    pub compression_c2s: NameList<'a>,
    pub compression_s2c: NameList<'a>,
    /// A guessed exchange packet follows.
    pub first_packet_follows: bool,
}

impl<'a> KexInit<'a> {
    /// Reads behind the message number. Cookie, languages, the reserved word and surplus bytes
    /// mean nothing to us; they count in the exchange hash only.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.array::<16>("cookie")?;
        let mut list = |field| r.name_list(field, NAME_LIST_LEN_MAX);
        let kex = list("kex algorithms")?;
        let host_key = list("host key algorithms")?;
        let cipher_c2s = list("ciphers client to server")?;
        let cipher_s2c = list("ciphers server to client")?;
        let mac_c2s = list("macs client to server")?;
        let mac_s2c = list("macs server to client")?;
        let compression_c2s = list("compression client to server")?;
        let compression_s2c = list("compression server to client")?;
        list("languages client to server")?;
        list("languages server to client")?;
        let first_packet_follows = r.bool("first_kex_packet_follows")?;
        r.u32("reserved")?;
        Ok(Self {
            kex,
            host_key,
            cipher_c2s,
            cipher_s2c,
            mac_c2s,
            mac_s2c,
            compression_c2s,
            compression_s2c,
            first_packet_follows,
        })
    }
}

/// Appends our KEXINIT: the same lists in both directions, no guess.
pub fn encode_kexinit(
    out: &mut Vec<u8>,
    cookie: &[u8; 16],
    kex: &[&str],
    host_key: &[&str],
    ciphers: &[&str],
    macs: &[&str],
    compression: &[&str],
) {
    out.push(KEXINIT);
    out.extend_from_slice(cookie);
    for list in [kex, host_key, ciphers, ciphers, macs, macs, compression, compression] {
        put_name_list(out, list.iter().copied());
    }
    put_name_list(out, []);
    put_name_list(out, []);
    put_bool(out, false);
    put_u32(out, 0);
}

/// One public value, as the method writes it: `string`, or `mpint` for finite-field groups.
pub fn encode_public(out: &mut Vec<u8>, number: u8, value: &[u8], as_mpint: bool) {
    out.push(number);
    put_public(out, value, as_mpint);
}

pub fn put_public(out: &mut Vec<u8>, value: &[u8], as_mpint: bool) {
    if as_mpint { put_mpint(out, value) } else { put_string(out, value) }
}

fn read_public<'a>(
    r: &mut Reader<'a>,
    field: &'static str,
    as_mpint: bool,
) -> Result<&'a [u8], DecodeError> {
    if as_mpint { r.mpint(field, DH_VALUE_LEN_MAX) } else { r.string(field, KEX_VALUE_LEN_MAX) }
}

/// The client's public value: messages 30 and 32.
pub fn decode_init<'a>(r: &mut Reader<'a>, as_mpint: bool) -> Result<&'a [u8], DecodeError> {
    let value = read_public(r, "client's public value", as_mpint)?;
    r.finish("key exchange init")?;
    Ok(value)
}

/// The server's answer: messages 31 and 33.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeReply<'a> {
    pub host_key: &'a [u8],
    pub public: &'a [u8],
    pub signature: &'a [u8],
}

impl<'a> ExchangeReply<'a> {
    pub fn encode(&self, out: &mut Vec<u8>, number: u8, as_mpint: bool) {
        out.push(number);
        put_string(out, self.host_key);
        put_public(out, self.public, as_mpint);
        put_string(out, self.signature);
    }

    pub fn decode(r: &mut Reader<'a>, as_mpint: bool) -> Result<Self, DecodeError> {
        let reply = Self {
            host_key: r.string("host key", KEY_BLOB_LEN_MAX)?,
            public: read_public(r, "server's public value", as_mpint)?,
            signature: r.string("signature", KEY_BLOB_LEN_MAX)?,
        };
        r.finish("key exchange reply")?;
        Ok(reply)
    }
}

/// `SSH_MSG_KEX_DH_GEX_REQUEST`: bits of the wanted group. Spec: RFC 4419 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GexRequest {
    pub min: u32,
    pub n: u32,
    pub max: u32,
}

impl GexRequest {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(GEX_REQUEST);
        self.put_fields(out);
    }

    pub fn put_fields(&self, out: &mut Vec<u8>) {
        put_u32(out, self.min);
        put_u32(out, self.n);
        put_u32(out, self.max);
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let request = Self { min: r.u32("min")?, n: r.u32("n")?, max: r.u32("max")? };
        r.finish("GEX_REQUEST")?;
        Ok(request)
    }
}

pub fn encode_gex_group(out: &mut Vec<u8>, p: &[u8], g: &[u8]) {
    out.push(GEX_GROUP);
    put_mpint(out, p);
    put_mpint(out, g);
}

/// Prime and generator. Spec: RFC 4419 §3.
pub fn decode_gex_group<'a>(r: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let p = r.mpint("p", DH_VALUE_LEN_MAX)?;
    let g = r.mpint("g", DH_VALUE_LEN_MAX)?;
    r.finish("GEX_GROUP")?;
    Ok((p, g))
}
