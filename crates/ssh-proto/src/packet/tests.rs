//! Packets under every cipher: what one side seals the other opens, and nothing else.

use proptest::prelude::*;
use sterna_ssh_crypto::{
    CipherRow, DirectionKeys, MacRow, PacketShape, cipher, mac, names, none_sealer,
};
use sterna_testkit::Seed;
use zeroize::Zeroizing;

use super::*;
use crate::error::PeerError;
use crate::limits::{
    INFLATED_LEN_MAX, PACKET_LEN_BEFORE_LOGIN_MAX, PACKET_LEN_MAX, SEND_SLICES_MAX,
};

/// One way to seal; the clear form has no cipher.
#[derive(Clone, Copy)]
struct Suite {
    cipher: Option<&'static CipherRow>,
    mac: Option<&'static MacRow>,
}

impl Suite {
    fn name(&self) -> String {
        let cipher = self.cipher.map_or("none", |c| c.name);
        format!("{cipher} {}", self.mac.map_or("", |m| m.name))
    }

    fn keys(&self) -> DirectionKeys {
        let bytes = |len: usize, salt: u8| {
            Zeroizing::new((0..len).map(|i| i as u8 ^ salt).collect::<Vec<_>>())
        };
        let cipher = self.cipher.unwrap();
        DirectionKeys {
            iv: bytes(cipher.iv_len, 0x10),
            key: bytes(cipher.key_len, 0x20),
            mac: bytes(self.mac.map_or(0, |m| m.key_len), 0x30),
        }
    }

    fn writer(&self) -> Writer {
        let mut writer = Writer::new();
        if let Some(cipher) = self.cipher {
            writer.change_keys(cipher.sealer(self.mac, &self.keys()), false);
        }
        writer
    }

    fn reader(&self) -> Reader {
        let mut reader = Reader::new();
        if let Some(cipher) = self.cipher {
            reader.change_keys(cipher.opener(self.mac, &self.keys()), false);
        }
        reader
    }

    /// Seals a packet whose fields are all the test's own, with a right tag.
    fn seal_raw(&self, length: u32, body: &[u8]) -> Vec<u8> {
        let mut packet = length.to_be_bytes().to_vec();
        packet.extend_from_slice(body);
        if let Some(cipher) = self.cipher {
            let mut sealer = cipher.sealer(self.mac, &self.keys());
            packet.resize(packet.len() + sealer.shape().tag_len, 0);
            sealer.seal(0, &mut packet);
        }
        packet
    }

    fn shape(&self) -> PacketShape {
        match self.cipher {
            Some(cipher) => cipher.sealer(self.mac, &self.keys()).shape(),
            None => none_sealer().shape(),
        }
    }

    /// Multiple of the padded part, and the bytes of the length that count towards it.
    fn alignment(&self) -> (usize, usize) {
        let shape = self.shape();
        (shape.block_len, if shape.length_is_aligned { 4 } else { 0 })
    }

    /// The length is encrypted and not authenticated before the whole packet is there.
    fn hides_length_without_proof(&self) -> bool {
        self.mac.is_some_and(|m| !m.etm)
    }
}

fn suites() -> Vec<Suite> {
    let mut all = vec![Suite { cipher: None, mac: None }];
    for name in names::CIPHER_DEFAULT {
        let row = cipher(name).unwrap();
        if row.aead {
            all.push(Suite { cipher: Some(row), mac: None });
        } else {
            let macs = names::MAC_DEFAULT.iter().map(|m| mac(m));
            all.extend(macs.map(|mac| Suite { cipher: Some(row), mac }));
        }
    }
    all
}

fn fill(input: &mut InputBuffer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let space = input.space();
        let len = space.len().min(bytes.len());
        space[..len].copy_from_slice(&bytes[..len]);
        input.commit(len);
        bytes = &bytes[len..];
    }
}

/// Opens what is there; the payload copied.
fn open(reader: &mut Reader, input: &mut InputBuffer) -> Result<Option<Vec<u8>>, PeerError> {
    let place = reader.next(input, PACKET_LEN_MAX)?;
    Ok(place.map(|place| input.payload(&place).to_vec()))
}

fn open_all(suite: &Suite, wire: &[u8]) -> Result<Vec<Vec<u8>>, PeerError> {
    let (mut reader, mut input) = (suite.reader(), InputBuffer::new());
    fill(&mut input, wire);
    let mut payloads = Vec::new();
    while let Some(payload) = open(&mut reader, &mut input)? {
        payloads.push(payload);
    }
    Ok(payloads)
}

#[test]
fn payloads_of_every_length_come_back_and_are_padded_by_the_rules() {
    for suite in suites() {
        let (mut writer, mut reader) = (suite.writer(), suite.reader());
        let (mut out, mut input) = (OutputBuffer::new(), InputBuffer::new());
        let (block_len, counted) = suite.alignment();
        for len in (1..100).chain([4095, 32_768, 200_000]) {
            let payload = vec![len as u8; len];
            let before = out.len();
            writer.seal(&mut out, &mut Seed::new(1), &payload);
            let sealed_len = out.len() - before;
            assert_eq!(sealed_len, writer.packet_len(len), "{}", suite.name());
            let padded_len = sealed_len - suite.shape().tag_len - 4 + counted;
            assert!(padded_len.is_multiple_of(block_len), "{} {len}", suite.name());
            let padding_len = padded_len - counted - 1 - len;
            assert!((4..4 + block_len).contains(&padding_len), "{} {len}", suite.name());
            fill(&mut input, out.pending());
            out.consume(out.len());
            assert_eq!(open(&mut reader, &mut input), Ok(Some(payload)), "{} {len}", suite.name());
        }
        assert!(input.is_empty());
    }
}

#[test]
fn single_bytes_open_to_the_same_payloads_as_all_at_once() {
    for suite in suites() {
        let mut writer = suite.writer();
        let mut out = OutputBuffer::new();
        let payloads: Vec<Vec<u8>> = (1..6u8).map(|i| vec![i; usize::from(i) * 37]).collect();
        for payload in &payloads {
            writer.seal(&mut out, &mut Seed::new(2), payload);
        }
        assert_eq!(open_all(&suite, out.pending()).unwrap(), payloads, "{}", suite.name());

        let (mut reader, mut input) = (suite.reader(), InputBuffer::new());
        let mut one_by_one = Vec::new();
        for byte in out.pending() {
            fill(&mut input, &[*byte]);
            one_by_one.extend(open(&mut reader, &mut input).unwrap());
        }
        assert_eq!(one_by_one, payloads, "{}", suite.name());
    }
}

/// PKT-3: refused from the length alone, before the bytes it promises are there or room is made.
#[test]
fn bad_lengths_are_refused_at_once_before_and_after_login() {
    for suite in suites().into_iter().filter(|s| !s.hides_length_without_proof()) {
        let (block_len, counted) = suite.alignment();
        for len_max in [PACKET_LEN_BEFORE_LOGIN_MAX, PACKET_LEN_MAX] {
            let max = len_max as u32;
            let unaligned = 10 * block_len as u32 - counted as u32 + 1;
            let over = max + (block_len as u32 - (max + counted as u32) % block_len as u32);
            for length in [0, 1, 4, 5, unaligned, max + 1, over, 0x7fff_ffff, u32::MAX] {
                let (mut reader, mut input) = (suite.reader(), InputBuffer::new());
                fill(&mut input, &suite.seal_raw(length, &[0; 64]));

                let opened = reader.next(&mut input, len_max);

                assert_eq!(opened, Err(PeerError::BadPacket), "{} {length}", suite.name());
            }
        }
    }
}

#[test]
fn the_largest_packet_is_taken_and_waits_for_all_of_its_bytes() {
    for suite in suites() {
        for len_max in [PACKET_LEN_BEFORE_LOGIN_MAX, PACKET_LEN_MAX] {
            let (block_len, counted) = suite.alignment();
            let length = (len_max + counted) / block_len * block_len - counted;
            let mut body = vec![7; length];
            body[0] = 4;
            let wire = suite.seal_raw(length as u32, &body);
            let (mut reader, mut input) = (suite.reader(), InputBuffer::new());

            fill(&mut input, &wire[..wire.len() - 1]);
            assert_eq!(reader.next(&mut input, len_max), Ok(None), "{}", suite.name());
            fill(&mut input, &wire[wire.len() - 1..]);
            let place = reader.next(&mut input, len_max).unwrap().unwrap();

            assert_eq!(place.range.len(), length - 5, "{}", suite.name());
        }
    }
}

/// PKT-4: with a classic MAC a bad length looks like a packet of the largest size with a wrong MAC.
#[test]
fn a_bad_length_under_a_classic_mac_reads_on_and_ends_as_a_bad_mac() {
    for suite in suites().into_iter().filter(Suite::hides_length_without_proof) {
        for len_max in [PACKET_LEN_BEFORE_LOGIN_MAX, PACKET_LEN_MAX] {
            for length in [0, 1, 4, 5, 13, len_max as u32 + 1, u32::MAX] {
                let (mut reader, mut input) = (suite.reader(), InputBuffer::new());
                let wire = suite.seal_raw(length, &[0; 44]);
                fill(&mut input, &wire);
                assert_eq!(reader.next(&mut input, len_max), Ok(None), "{length}");

                let mut read = wire.len();
                let error = loop {
                    fill(&mut input, &[0x55; 500]);
                    read += 500;
                    match reader.next(&mut input, len_max) {
                        Ok(None) => assert!(input.is_empty(), "kept nothing"),
                        Ok(Some(_)) => panic!("opened"),
                        Err(error) => break error,
                    }
                };

                assert_eq!(error, PeerError::BadMac);
                assert!((len_max..len_max + 500).contains(&read), "{read}");
            }
        }
    }
}

#[test]
fn padding_that_is_too_short_or_too_long_and_empty_payloads_are_refused() {
    for suite in suites() {
        let (block_len, counted) = suite.alignment();
        let length = 4 * block_len - counted;
        for padding_len in [0, 1, 3, length - 1, length, length + 1, 255] {
            let mut body = vec![0; length];
            body[0] = padding_len as u8;
            let opened = open_all(&suite, &suite.seal_raw(length as u32, &body));
            assert_eq!(opened, Err(PeerError::BadPacket), "{} {padding_len}", suite.name());
        }
        for padding_len in [4, length - 2] {
            let mut body = vec![0; length];
            body[0] = padding_len as u8;
            let opened = open_all(&suite, &suite.seal_raw(length as u32, &body)).unwrap();
            assert_eq!(opened[0].len(), length - 1 - padding_len, "{}", suite.name());
        }
    }
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    for suite in suites().into_iter().filter(|s| s.cipher.is_some()) {
        let mut out = OutputBuffer::new();
        suite.writer().seal(&mut out, &mut Seed::new(3), b"\x05 some service request");
        let wire = out.pending();
        for at in 0..wire.len() {
            let mut changed = wire.to_vec();
            changed[at] ^= 0x04;
            // A changed length may make the packet seem longer: then more bytes must not help.
            changed.resize(wire.len() + 2 * PACKET_LEN_MAX, 0);

            let opened = open_all(&suite, &changed);

            let noticed = matches!(opened, Err(PeerError::BadMac | PeerError::BadPacket));
            assert!(noticed, "{} byte {at}: {opened:?}", suite.name());
            if suite.hides_length_without_proof() {
                assert_eq!(opened, Err(PeerError::BadMac), "{} byte {at}", suite.name());
            }
        }
    }
}

#[test]
fn packets_out_of_order_twice_or_missing_are_noticed() {
    for suite in suites().into_iter().filter(|s| s.cipher.is_some()) {
        let mut writer = suite.writer();
        let mut out = OutputBuffer::new();
        let mut packets = Vec::new();
        for payload in [b"\x05one", b"\x05two"] {
            writer.seal(&mut out, &mut Seed::new(4), payload);
            packets.push(out.pending().to_vec());
            out.consume(out.len());
        }
        let orders: [&[usize]; 3] = [&[1], &[0, 0], &[1, 0]];
        for order in orders {
            let mut wire: Vec<u8> = order.iter().flat_map(|i| packets[*i].clone()).collect();
            wire.resize(wire.len() + 2 * PACKET_LEN_MAX, 0);
            assert!(open_all(&suite, &wire).is_err(), "{} {order:?}", suite.name());
        }
    }
}

/// The data of all DATA messages, joined; checks recipient and lengths on the way.
fn joined_data(suite: &Suite, wire: &[u8], packet_len_max: usize) -> Vec<u8> {
    let mut joined = Vec::new();
    for payload in open_all(suite, wire).unwrap() {
        let mut r = sterna_sshwire::Reader::new(&payload[1..]);
        let (recipient, data) = crate::messages::channel::decode_data(&mut r).unwrap();
        assert_eq!((payload[0], recipient), (94, 9));
        assert!(!data.is_empty() && data.len() <= packet_len_max);
        joined.extend_from_slice(data);
    }
    joined
}

/// In place or copied: the same bytes arrive, however many slices there are and however few are used.
#[test]
fn data_sealed_in_place_arrives_as_if_it_was_copied() {
    for suite in suites() {
        for packet_len_max in [1, 7, 1000] {
            for len in [1, 5, packet_len_max, 2 * packet_len_max, SEND_SLICES_MAX * packet_len_max]
            {
                if len > SEND_SLICES_MAX * packet_len_max {
                    continue;
                }
                for used in [0, 1, len / 2, len - 1, len] {
                    let mut writer = suite.writer();
                    let mut out = OutputBuffer::new();
                    // Stale bytes in the buffer must not shine through.
                    out.extend(100_000).fill(0xEE);
                    out.consume(100_000);
                    let data = Seed::new(len as u64).bytes(used);

                    let sealed = writer.seal_data_with(
                        &mut out,
                        &mut Seed::new(5),
                        9,
                        len,
                        packet_len_max,
                        |slices| {
                            assert_eq!(slices.iter().map(|s| s.len()).sum::<usize>(), len);
                            let mut rest = &data[..];
                            for slice in slices {
                                let part = rest.len().min(slice.len());
                                slice[..part].copy_from_slice(&rest[..part]);
                                rest = &rest[part..];
                            }
                            used
                        },
                    );
                    writer.seal_data(&mut out, &mut Seed::new(5), 9, [b"behind it", b""]);

                    let expected = [&data[..], b"behind it"].concat();
                    let arrived = joined_data(&suite, out.pending(), packet_len_max.max(9));
                    assert_eq!((sealed, arrived), (used, expected), "{} {len}", suite.name());
                }
            }
        }
    }
}

#[test]
fn compressed_data_sealed_in_place_arrives_too() {
    let suite = suites()[1];
    let (mut writer, mut reader) = (suite.writer(), suite.reader());
    writer.set_deflate(Some(Deflate::new()));
    reader.set_inflate(Some(Inflate::new()));
    let (mut out, mut input) = (OutputBuffer::new(), InputBuffer::new());
    let random = &mut Seed::new(6);

    let used = writer.seal_data_with(&mut out, random, 9, 3000, 1000, |slices| {
        slices[0][..2500].fill(b'a');
        2500
    });

    fill(&mut input, out.pending());
    let mut len = 0;
    while let Some(payload) = open(&mut reader, &mut input).unwrap() {
        len += payload.len() - 9;
    }
    assert_eq!((used, len), (2500, 2500));
}

/// A compressed payload that inflates to `len` zeros, as one packet in the clear form.
fn zeros_compressed(len: usize) -> InputBuffer {
    let mut compressed = Vec::new();
    Deflate::new().run(&vec![0; len], &mut compressed);
    let mut writer = Writer::new();
    let (mut out, mut input) = (OutputBuffer::new(), InputBuffer::new());
    writer.seal(&mut out, &mut Seed::new(7), &compressed);
    fill(&mut input, out.pending());
    input
}

#[test]
fn a_compression_bomb_stops_at_the_bound() {
    for (len, fits) in [
        (INFLATED_LEN_MAX, true),
        (INFLATED_LEN_MAX + 1, false),
        (INFLATED_LEN_MAX + 20_000, false),
        (20 << 20, false),
    ] {
        let mut input = zeros_compressed(len);
        let mut reader = Reader::new();
        reader.set_inflate(Some(Inflate::new()));

        let opened = reader.next(&mut input, PACKET_LEN_MAX);

        match fits {
            true => assert_eq!(opened.unwrap().unwrap().range, 0..len),
            false => assert_eq!(opened, Err(PeerError::BadCompression), "{len}"),
        }
        let (_, inflated) = input.for_inflating(&(0..0));
        assert!(inflated.capacity() <= INFLATED_LEN_MAX + 32 * 1024, "{}", inflated.capacity());
    }
}

#[test]
fn streams_that_end_break_or_hold_nothing_are_refused() {
    use std::io::Write as _;
    let mut ended = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    ended.write_all(b"\x05payload").unwrap();
    let mut empty = Vec::new();
    Deflate::new().run(b"", &mut empty);
    for compressed in [ended.finish().unwrap(), empty, b"no zlib at all".to_vec(), vec![0x78]] {
        let mut writer = Writer::new();
        let (mut out, mut input) = (OutputBuffer::new(), InputBuffer::new());
        writer.seal(&mut out, &mut Seed::new(8), &compressed);
        fill(&mut input, out.pending());
        let mut reader = Reader::new();
        reader.set_inflate(Some(Inflate::new()));

        assert_eq!(reader.next(&mut input, PACKET_LEN_MAX), Err(PeerError::BadCompression));
    }
}

proptest! {
    #[test]
    fn no_bytes_at_all_make_the_reader_panic(
        which in 0usize..24,
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        piece_len in 1usize..100,
    ) {
        let all = suites();
        let suite = all[which % all.len()];
        let (mut reader, mut input) = (suite.reader(), InputBuffer::new());
        reader.set_inflate((which % 2 == 0).then(Inflate::new));
        'feeding: for piece in bytes.chunks(piece_len) {
            fill(&mut input, piece);
            loop {
                match open(&mut reader, &mut input) {
                    Ok(Some(payload)) => prop_assert!(!payload.is_empty()),
                    Ok(None) => break,
                    Err(_) => break 'feeding,
                }
            }
        }
    }
}
