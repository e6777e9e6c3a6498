//! Channel messages (RFC 4254 §5, §6). DATA is laid out by `packet/writer.rs` in place.

use sterna_sshwire::{DecodeError, Reader, put_bool, put_string, put_u32};

use super::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_FAILURE, CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST, CHANNEL_SUCCESS,
    CHANNEL_WINDOW_ADJUST,
};
use crate::event::ChannelRequest;
use crate::limits::{NAME_LEN_MAX, PACKET_LEN_MAX, REQUEST_LEN_MAX};
use crate::messages::transport::peer_text;

/// Number, recipient and the length of the data: what stands before the bytes of a DATA message.
pub const DATA_HEAD_LEN: usize = 9;

/// Writes the head of a DATA message in front of `len` bytes that are already there.
pub fn data_head(recipient: u32, len: u32) -> [u8; DATA_HEAD_LEN] {
    let mut head = [0; DATA_HEAD_LEN];
    head[0] = CHANNEL_DATA;
    head[1..5].copy_from_slice(&recipient.to_be_bytes());
    head[5..9].copy_from_slice(&len.to_be_bytes());
    head
}

/// `SSH_MSG_CHANNEL_OPEN` without the fields of its type. Spec: RFC 4254 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    pub kind: &'a [u8],
    pub sender: u32,
    pub window: u32,
    pub packet_len_max: u32,
}

impl<'a> Open<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CHANNEL_OPEN);
        put_string(out, self.kind);
        put_u32(out, self.sender);
        put_u32(out, self.window);
        put_u32(out, self.packet_len_max);
    }

    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let open = Self {
            kind: r.string("channel type", NAME_LEN_MAX)?,
            sender: r.u32("sender channel")?,
            window: r.u32("initial window size")?,
            packet_len_max: r.u32("maximum packet size")?,
        };
        // What follows belongs to the channel type; `session` has nothing.
        r.rest();
        Ok(open)
    }
}

/// What follows [`Open`] for a channel of type `direct-tcpip`: where to, and where from. The originator
/// is for the server's log; no socket of ours is behind it, and OpenSSH names the same address then,
/// because some servers want one. Spec: RFC 4254 §7.2.
pub fn encode_direct_tcpip(out: &mut Vec<u8>, host: &str, port: u16) {
    put_string(out, host.as_bytes());
    put_u32(out, u32::from(port));
    put_string(out, b"127.0.0.1");
    put_u32(out, 65_535);
}

/// `SSH_MSG_CHANNEL_OPEN_CONFIRMATION`. Spec: RFC 4254 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenConfirmation {
    pub recipient: u32,
    pub sender: u32,
    pub window: u32,
    pub packet_len_max: u32,
}

impl OpenConfirmation {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CHANNEL_OPEN_CONFIRMATION);
        for word in [self.recipient, self.sender, self.window, self.packet_len_max] {
            put_u32(out, word);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let confirmation = Self {
            recipient: r.u32("recipient channel")?,
            sender: r.u32("sender channel")?,
            window: r.u32("initial window size")?,
            packet_len_max: r.u32("maximum packet size")?,
        };
        r.rest();
        Ok(confirmation)
    }
}

/// Reasons of OPEN_FAILURE (RFC 4254 §5.1).
pub const OPEN_PROHIBITED: u32 = 1;
pub const OPEN_UNKNOWN_TYPE: u32 = 3;
pub const OPEN_NO_RESOURCES: u32 = 4;

pub fn encode_open_failure(out: &mut Vec<u8>, recipient: u32, reason: u32, text: &str) {
    out.push(CHANNEL_OPEN_FAILURE);
    put_u32(out, recipient);
    put_u32(out, reason);
    put_string(out, text.as_bytes());
    put_string(out, b"");
}

/// Recipient, reason, text. Spec: RFC 4254 §5.1.
pub fn decode_open_failure<'a>(r: &mut Reader<'a>) -> Result<(u32, u32, &'a [u8]), DecodeError> {
    let recipient = r.u32("recipient channel")?;
    let reason = r.u32("reason")?;
    let text = r.string("description", PACKET_LEN_MAX)?;
    r.rest();
    Ok((recipient, reason, text))
}

pub fn encode_window_adjust(out: &mut Vec<u8>, recipient: u32, len: u32) {
    out.push(CHANNEL_WINDOW_ADJUST);
    put_u32(out, recipient);
    put_u32(out, len);
}

/// Recipient and bytes to add. Spec: RFC 4254 §5.2.
pub fn decode_window_adjust(r: &mut Reader<'_>) -> Result<(u32, u32), DecodeError> {
    let fields = (r.u32("recipient channel")?, r.u32("bytes to add")?);
    r.finish("WINDOW_ADJUST")?;
    Ok(fields)
}

/// Recipient and data. Spec: RFC 4254 §5.2.
pub fn decode_data<'a>(r: &mut Reader<'a>) -> Result<(u32, &'a [u8]), DecodeError> {
    let recipient = r.u32("recipient channel")?;
    let data = r.string("data", PACKET_LEN_MAX)?;
    r.finish("CHANNEL_DATA")?;
    Ok((recipient, data))
}

/// Recipient and data; the type code is not kept, only standard error exists. Spec: RFC 4254 §5.2.
pub fn decode_extended_data<'a>(r: &mut Reader<'a>) -> Result<(u32, &'a [u8]), DecodeError> {
    let recipient = r.u32("recipient channel")?;
    r.u32("data type code")?;
    let data = r.string("data", PACKET_LEN_MAX)?;
    r.finish("CHANNEL_EXTENDED_DATA")?;
    Ok((recipient, data))
}

pub fn encode_eof(out: &mut Vec<u8>, recipient: u32) {
    out.push(CHANNEL_EOF);
    put_u32(out, recipient);
}

pub fn encode_close(out: &mut Vec<u8>, recipient: u32) {
    out.push(CHANNEL_CLOSE);
    put_u32(out, recipient);
}

/// The one field of EOF, CLOSE, SUCCESS and FAILURE.
pub fn decode_recipient(r: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let recipient = r.u32("recipient channel")?;
    r.finish("channel message")?;
    Ok(recipient)
}

/// Appends a CHANNEL_REQUEST; `fields` writes what belongs to its type. Spec: RFC 4254 §5.4.
pub fn encode_request(
    out: &mut Vec<u8>,
    recipient: u32,
    kind: &str,
    want_reply: bool,
    fields: impl FnOnce(&mut Vec<u8>),
) {
    out.push(CHANNEL_REQUEST);
    put_u32(out, recipient);
    put_string(out, kind.as_bytes());
    put_bool(out, want_reply);
    fields(out);
}

/// A received CHANNEL_REQUEST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub recipient: u32,
    pub want_reply: bool,
    pub request: ChannelRequest,
}

impl Request {
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let recipient = r.u32("recipient channel")?;
        let kind = r.string("request type", NAME_LEN_MAX)?;
        let want_reply = r.bool("want reply")?;
        let request = match kind {
            b"subsystem" => {
                ChannelRequest::Subsystem(r.string("subsystem name", REQUEST_LEN_MAX)?.to_vec())
            }
            b"exec" => ChannelRequest::Exec(r.string("command", REQUEST_LEN_MAX)?.to_vec()),
            b"shell" => ChannelRequest::Shell,
            b"env" => ChannelRequest::Env {
                name: r.string("variable name", REQUEST_LEN_MAX)?.to_vec(),
                value: r.string("variable value", REQUEST_LEN_MAX)?.to_vec(),
            },
            b"exit-status" => ChannelRequest::ExitStatus(r.u32("exit status")?),
            b"exit-signal" => {
                let name = peer_text(r.string("signal name", NAME_LEN_MAX)?);
                // Old ssh.com servers end here; the rest is for people anyway.
                let text = r.bool("core dumped").and_then(|_| r.string("text", PACKET_LEN_MAX));
                ChannelRequest::ExitSignal { name, text: peer_text(text.unwrap_or_default()) }
            }
            b"eow@openssh.com" => ChannelRequest::EndOfWrite,
            other => ChannelRequest::Other { name: peer_text(other) },
        };
        // Fields of unknown requests, and what sloppy peers append to known ones.
        r.rest();
        Ok(Self { recipient, want_reply, request })
    }
}

pub fn encode_request_answer(out: &mut Vec<u8>, recipient: u32, accepted: bool) {
    out.push(if accepted { CHANNEL_SUCCESS } else { CHANNEL_FAILURE });
    put_u32(out, recipient);
}
