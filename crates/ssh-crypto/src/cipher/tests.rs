//! Every cipher against the vectors, against itself, and against hostile packets.

use proptest::prelude::*;

use super::*;
use crate::vectors;
use crate::{mac, names};

/// T9's SERVICE_REQUEST, framed for `shape` with zero padding and with room for the tag.
fn service_request(shape: PacketShape) -> Vec<u8> {
    framed(shape, &vectors::bytes("T9.payload"))
}

fn framed(shape: PacketShape, payload: &[u8]) -> Vec<u8> {
    let counted = 1 + payload.len() + if shape.length_is_aligned { LENGTH_LEN } else { 0 };
    let mut padding = shape.block_len - counted % shape.block_len;
    if padding < 4 {
        padding += shape.block_len;
    }
    let length = 1 + payload.len() + padding;
    let mut packet = u32::try_from(length).unwrap().to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend_from_slice(payload);
    packet.resize(packet.len() + padding + shape.tag_len, 0);
    packet
}

fn range(bytes: std::ops::Range<u8>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.collect())
}

/// Keys of the right lengths, filled with a pattern.
fn pattern_keys(row: &CipherRow, mac: Option<&MacRow>) -> DirectionKeys {
    DirectionKeys {
        iv: Zeroizing::new(vec![0xff; row.iv_len]),
        key: Zeroizing::new((0..row.key_len).map(|i| i as u8).collect()),
        mac: Zeroizing::new(vec![0x42; mac.map_or(0, |mac| mac.key_len)]),
    }
}

/// Each cipher with each MAC that it can be negotiated with.
fn combinations() -> Vec<(&'static CipherRow, Option<&'static MacRow>)> {
    let mut all = Vec::new();
    for name in names::CIPHER_DEFAULT {
        let row = cipher(name).unwrap();
        if row.aead {
            all.push((row, None));
        } else {
            all.extend(names::MAC_DEFAULT.iter().map(|name| (row, mac(name))));
        }
    }
    all
}

/// Opens as a connection does: the head first, then the whole packet.
fn open(opener: &mut dyn OpenPacket, sequence: u32, packet: &mut [u8]) -> Result<u32, OpenError> {
    let head_len = opener.shape().head_len.min(packet.len());
    let length = opener.packet_length(sequence, &mut packet[..head_len]);
    opener.open(sequence, packet)?;
    Ok(length)
}

/// Seals T9's payload and expects `sealed`; opens that and expects T9's payload.
fn check_vector(
    (row, mac): (&str, Option<&'static MacRow>),
    keys: &DirectionKeys,
    packets: &[(u32, Vec<u8>)],
) {
    let row = cipher(row).unwrap();
    let (mut sealer, mut opener) = (row.sealer(mac, keys), row.opener(mac, keys));
    for (sequence, sealed) in packets {
        let clear = service_request(sealer.shape());
        let mut packet = clear.clone();
        sealer.seal(*sequence, &mut packet);
        assert_eq!(hex::encode(&packet), hex::encode(sealed));

        let length = open(&mut *opener, *sequence, &mut packet).unwrap();
        let body_end = packet.len() - opener.shape().tag_len;
        assert_eq!(length as usize, body_end - LENGTH_LEN);
        assert_eq!(packet[LENGTH_LEN..body_end], clear[LENGTH_LEN..body_end]);
    }
}

#[test]
fn t9_no_cipher() {
    let mut packet = service_request(none_sealer().shape());
    let expected = vectors::bytes("T9.unencrypted_packet_block_8");
    none_sealer().seal(0, &mut packet);
    assert_eq!(packet, expected);
    assert_eq!(open(&mut *none_opener(), 0, &mut packet), Ok(28));
    assert_eq!(packet, expected);
}

#[test]
fn t10_chacha20_poly1305() {
    let keys = DirectionKeys { iv: range(0..0), key: range(0..64), mac: range(0..0) };
    let packets = [
        (0, vectors::bytes("T10.sequence_0")),
        (7, vectors::bytes("T10.sequence_7")),
        (0xffff_fffe, vectors::bytes("T10.sequence_0xfffffffe")),
    ];
    check_vector((names::CIPHER_CHACHA20_POLY1305, None), &keys, &packets);
}

#[test]
fn t11_aes256_gcm_with_a_carry_in_the_counter() {
    let iv = Zeroizing::new(hex::decode("000102030405060708090aff").unwrap());
    let keys = DirectionKeys { iv, key: range(0..32), mac: range(0..0) };
    let packets =
        [(0, vectors::bytes("T11.first_packet")), (1, vectors::bytes("T11.second_packet"))];
    check_vector((names::CIPHER_AES256_GCM, None), &keys, &packets);
}

#[test]
fn t12_aes128_ctr_with_a_mac_over_the_ciphertext() {
    let keys = DirectionKeys { iv: range(0..16), key: range(0..16), mac: range(0x20..0x40) };
    let mac = mac(names::MAC_SHA2_256_ETM);
    check_vector((names::CIPHER_AES128_CTR, mac), &keys, &[(3, vectors::bytes("T12.packet"))]);
}

#[test]
fn t13_aes128_ctr_with_a_mac_over_the_plain_text() {
    let keys = DirectionKeys { iv: range(0..16), key: range(0..16), mac: range(0x20..0x40) };
    let mac = mac(names::MAC_SHA2_256);
    check_vector((names::CIPHER_AES128_CTR, mac), &keys, &[(3, vectors::bytes("T13.packet"))]);
}

/// The IV is all ones: the counters wrap in the second block.
#[test]
fn a_stream_of_packets_of_every_length_opens_in_order() {
    for (row, mac) in combinations() {
        let keys = pattern_keys(row, mac);
        let (mut sealer, mut opener) = (row.sealer(mac, &keys), row.opener(mac, &keys));
        for sequence in 0..80u32 {
            let payload = vec![sequence as u8; 1 + 7 * sequence as usize];
            let clear = framed(sealer.shape(), &payload);
            let mut packet = clear.clone();
            sealer.seal(sequence, &mut packet);
            let body_end = packet.len() - opener.shape().tag_len;
            assert_ne!(packet[LENGTH_LEN..body_end], clear[LENGTH_LEN..body_end]);

            let length = open(&mut *opener, sequence, &mut packet).unwrap();

            assert_eq!(length as usize, body_end - LENGTH_LEN, "{}", row.name);
            assert_eq!(packet[LENGTH_LEN..body_end], clear[LENGTH_LEN..body_end]);
        }
    }
}

#[test]
fn a_packet_with_any_bit_changed_is_refused() {
    for (row, mac) in combinations() {
        let keys = pattern_keys(row, mac);
        let mut sealer = row.sealer(mac, &keys);
        let mut sealed = service_request(sealer.shape());
        sealer.seal(5, &mut sealed);
        for at in 0..sealed.len() {
            let mut packet = sealed.clone();
            packet[at] ^= 1 << (at % 8);
            let opened = open(&mut *row.opener(mac, &keys), 5, &mut packet);
            assert_eq!(opened, Err(OpenError), "{} byte {at}", row.name);
        }
    }
}

#[test]
fn a_replayed_packet_is_refused() {
    for (row, mac) in combinations() {
        let keys = pattern_keys(row, mac);
        let (mut sealer, mut opener) = (row.sealer(mac, &keys), row.opener(mac, &keys));
        let mut packet = service_request(sealer.shape());
        sealer.seal(0, &mut packet);
        let mut again = packet.clone();
        open(&mut *opener, 0, &mut packet).unwrap();
        assert_eq!(open(&mut *opener, 1, &mut again), Err(OpenError), "{}", row.name);
    }
}

#[test]
fn no_packet_length_makes_an_opener_panic() {
    for (row, mac) in combinations() {
        let keys = pattern_keys(row, mac);
        for len in 0..200 {
            let mut opener = row.opener(mac, &keys);
            assert_eq!(opener.open(0, &mut vec![0x11; len]), Err(OpenError));
            let opened = open(&mut *row.opener(mac, &keys), 0, &mut vec![0x11; len]);
            assert_eq!(opened, Err(OpenError), "{} {len}", row.name);
        }
    }
    for len in 0..200 {
        let opened = none_opener().open(0, &mut vec![0; len]);
        assert_eq!(opened.is_ok(), len > 0 && len % 8 == 0);
    }
}

#[test]
fn a_head_that_is_too_short_gives_no_length() {
    for (row, mac) in combinations() {
        let mut opener = row.opener(mac, &pattern_keys(row, mac));
        let mut head = vec![0xff; opener.shape().head_len - 1];
        assert_eq!(opener.packet_length(0, &mut head), 0);
    }
}

#[test]
fn keys_do_not_show_in_debug_output() {
    let keys = DirectionKeys { iv: range(0..16), key: range(0..16), mac: range(0..32) };
    assert_eq!(format!("{keys:?}"), "DirectionKeys(..)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_never_a_packet(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for (row, mac) in combinations() {
            let keys = pattern_keys(row, mac);
            let opened = open(&mut *row.opener(mac, &keys), 9, &mut bytes.clone());
            prop_assert_eq!(opened, Err(OpenError));
        }
    }
}
