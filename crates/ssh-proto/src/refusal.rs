//! What a server says to a connection that it does not serve: a version line and why, and nothing that
//! costs anything.

use sterna_ssh_crypto::Random;

use crate::error::Reason;
use crate::messages::transport::Disconnect;
use crate::packet::{OutputBuffer, Writer};

/// The bytes of a refusal: our version line, and a DISCONNECT with `text` for people behind it. Clients
/// show it although no keys were exchanged (RFC 4253 §11.1 allows it at any time).
pub fn encode_refusal(
    software_version: &str,
    reason: Reason,
    text: &str,
    random: &mut dyn Random,
) -> Vec<u8> {
    let mut payload = Vec::new();
    Disconnect { reason: reason as u32, text: text.as_bytes() }.encode(&mut payload);
    let mut packets = OutputBuffer::new();
    Writer::new().seal(&mut packets, random, &payload);
    let mut words = format!("SSH-2.0-{software_version}\r\n").into_bytes();
    words.extend_from_slice(packets.pending());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;

    impl Random for Zeros {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    #[test]
    fn a_refusal_is_a_version_line_and_one_whole_packet() {
        let words =
            encode_refusal("Sterna_1", Reason::TooManyConnections, "server is full", &mut Zeros);

        let (line, packet) = words.split_at("SSH-2.0-Sterna_1\r\n".len());
        assert_eq!(line, b"SSH-2.0-Sterna_1\r\n");
        let length = u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize;
        assert_eq!(packet.len(), 4 + length);
        assert_eq!(packet.len() % 8, 0);
        // DISCONNECT, reason 12, text, empty language.
        let body = b"\x01\0\0\0\x0c\0\0\0\x0eserver is full\0\0\0\0";
        assert_eq!(packet[5..][..body.len()], body[..]);
        assert_eq!(usize::from(packet[4]), length - 1 - body.len());
    }
}
