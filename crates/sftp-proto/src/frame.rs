//! Channel bytes to frames, and the other way (draft-02 §3).
//!
//! A frame here is a packet without its length word: it begins with the type byte.

use sterna_sshwire::{put_u8, put_u32};

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
