//! Every method against itself, the curve vector, and hostile public values.

use super::*;
use crate::random::testing::Bytes;
use crate::{DH_BITS_MAX, SystemRandom, derive_key, vectors};

/// Both halves with fresh values; the two secrets.
fn exchange(row: &KexRow) -> (SharedSecret, SharedSecret) {
    let client = row.client_start(&mut SystemRandom).unwrap();
    let (reply, server) = row.server_reply(client.public(), &mut SystemRandom).unwrap();
    (client.finish(&reply).unwrap(), server)
}

fn row_of(name: &str) -> &'static KexRow {
    kex(name).unwrap()
}

#[test]
fn both_sides_of_every_method_get_the_same_secret() {
    for name in names::KEX_DEFAULT.iter().chain(names::LEGACY_KEX) {
        let row = row_of(name);
        if row.kind == KexKind::DhGroupExchange {
            continue;
        }
        let (client, server) = exchange(row);
        assert_eq!(client.encoded(), server.encoded(), "{name}");
    }
}

#[test]
fn public_values_have_their_wire_sizes() {
    let sizes = [
        (names::KEX_MLKEM768_X25519, 1216, 1120),
        (names::KEX_SNTRUP761_X25519, 1190, 1071),
        (names::KEX_CURVE25519, 32, 32),
        (names::KEX_ECDH_P256, 65, 65),
        (names::KEX_ECDH_P384, 97, 97),
        (names::KEX_ECDH_P521, 133, 133),
    ];
    for (name, init_len, reply_len) in sizes {
        let client = row_of(name).client_start(&mut SystemRandom).unwrap();
        let (reply, _) = row_of(name).server_reply(client.public(), &mut SystemRandom).unwrap();
        assert_eq!((client.public().len(), reply.len()), (init_len, reply_len), "{name}");
    }
}

#[test]
fn a_public_value_of_another_length_is_refused() {
    for name in &names::KEX_DEFAULT[..8] {
        let row = row_of(name);
        let client = row.client_start(&mut SystemRandom).unwrap();
        let (reply, _) = row.server_reply(client.public(), &mut SystemRandom).unwrap();
        let init = client.public().to_vec();
        for wrong in [&[][..], &init[1..], &init[..init.len() - 1], &[&init[..], &[0]].concat()] {
            let refused = row.server_reply(wrong, &mut SystemRandom).err();
            assert_eq!(refused, Some(KexError::PeerValue), "{name}");
        }
        for wrong in [&[][..], &reply[1..], &[&reply[..], &[0]].concat()] {
            let client = row.client_start(&mut SystemRandom).unwrap();
            assert_eq!(client.finish(wrong).err(), Some(KexError::PeerValue), "{name}");
        }
    }
}

/// T4 and T5: both halves, the exchange hash over them, and keys of one and two hash blocks.
#[test]
fn t4_and_t5_curve25519_gives_the_secret_the_hash_and_the_keys() {
    let row = row_of(names::KEX_CURVE25519);
    let client = row.client_start(&mut Bytes((1..=32).collect())).unwrap();
    assert_eq!(client.public(), vectors::bytes("T4.Q_C"));
    let (reply, server) =
        row.server_reply(client.public(), &mut Bytes((0x65..=0x84).collect())).unwrap();
    assert_eq!(reply, vectors::bytes("T4.Q_S"));
    assert_eq!(server.encoded(), vectors::bytes("T4.K_as_mpint"));

    let mut hashed = Vec::new();
    put_string(&mut hashed, b"SSH-2.0-Vec_C");
    put_string(&mut hashed, b"SSH-2.0-Vec_S");
    for name in ["T4.I_C", "T4.I_S", "T3.public_key_blob", "T4.Q_C", "T4.Q_S"] {
        put_string(&mut hashed, &vectors::bytes(name));
    }
    let secret = client.finish(&reply).unwrap();
    let exchange_hash = row.hash.digest(&[&hashed, secret.encoded()]);
    assert_eq!(exchange_hash, vectors::bytes("T4.H"));

    let keys = [
        (b'A', "T5.A_first_16_iv_c2s"),
        (b'B', "T5.B_first_16_iv_s2c"),
        (b'C', "T5.C_64_bytes_key_c2s_needs_two_hash_blocks"),
        (b'D', "T5.D_64_bytes_key_s2c"),
        (b'E', "T5.E_32_bytes_mac_c2s"),
        (b'F', "T5.F_32_bytes_mac_s2c"),
    ];
    for (letter, name) in keys {
        let expected = vectors::bytes(name);
        let key =
            derive_key(row.hash, &secret, &exchange_hash, letter, &exchange_hash, expected.len());
        assert_eq!(*key, expected, "{name}");
    }
}

/// T27's key: the secret is a string there.
#[test]
fn t27_a_hybrid_secret_derives_its_key() {
    let secret = SharedSecret::from_hash(&vectors::bytes("T27.K_string")[4..]);
    let hash = vectors::bytes("T27.H");
    let key = derive_key(HashAlgorithm::Sha256, &secret, &hash, b'C', &hash, 32);
    assert_eq!(*key, vectors::bytes("T27.C_32_bytes_key_c2s"));
}

#[test]
fn t6_secrets_that_are_numbers_are_minimal_mpints() {
    let mut secret = [0; 32];
    (secret[0], secret[31]) = (0x80, 1);
    assert_eq!(SharedSecret::from_number(&secret).encoded(), vectors::bytes("T6.80_00_00_01"));
    let mut secret = [0; 32];
    secret[1] = 0x7f;
    assert_eq!(SharedSecret::from_number(&secret).encoded(), vectors::bytes("T6.00_7f_00"));
    secret[1] = 0x80;
    assert_eq!(SharedSecret::from_number(&secret).encoded(), vectors::bytes("T6.00_80_00"));
}

#[test]
fn t8_the_group_exchange_hashes_its_layout() {
    let hash = HashAlgorithm::Sha256.digest(&[&vectors::bytes("T8.hash_input")]);
    assert_eq!(hash, vectors::bytes("T8.SHA_256"));
}

/// An mpint must not start with a zero byte that is not needed, and 1 secret in 512 is a byte shorter for
/// it. So many exchanges are tried as it takes to see one; 20,000 without any would be no accident.
#[test]
fn secrets_with_leading_zeros_agree_too() {
    let row = row_of(names::KEX_CURVE25519);
    let mut exchanges = std::iter::repeat_with(|| exchange(row)).take(20_000);

    let shorter = exchanges.find(|(client, server)| {
        assert_eq!(client.encoded(), server.encoded());
        client.encoded().len() < 4 + 32
    });

    assert!(shorter.is_some(), "no secret began with a zero byte");
}

/// The points of order 1, 2, 4 and 8 on the curve and its twist, and their unreduced forms.
#[test]
fn x25519_points_of_low_order_are_refused() {
    let points = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for point in points {
        let point = hex::decode(point).unwrap();
        let row = row_of(names::KEX_CURVE25519);
        let refused = row.server_reply(&point, &mut SystemRandom).err();
        assert_eq!(refused, Some(KexError::WeakSecret), "{point:02x?}");
        let client = row.client_start(&mut SystemRandom).unwrap();
        assert_eq!(client.finish(&point).err(), Some(KexError::WeakSecret));

        let sntrup = row_of(names::KEX_SNTRUP761_X25519);
        let mut init = sntrup.client_start(&mut SystemRandom).unwrap().public().to_vec();
        init[1158..].copy_from_slice(&point);
        let refused = sntrup.server_reply(&init, &mut SystemRandom).err();
        assert_eq!(refused, Some(KexError::WeakSecret));
    }
}

#[test]
fn points_that_are_not_uncompressed_and_on_the_curve_are_refused() {
    for name in [names::KEX_ECDH_P256, names::KEX_ECDH_P384, names::KEX_ECDH_P521] {
        let row = row_of(name);
        let good = row.client_start(&mut SystemRandom).unwrap().public().to_vec();
        let mut off_curve = good.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        let mut compressed_tag = good.clone();
        compressed_tag[0] = 2;
        let mut compressed = good[..=good.len() / 2].to_vec();
        compressed[0] = 2 | (good[good.len() - 1] & 1);
        let mut zero = good.clone();
        zero[1..].fill(0);
        for wrong in [off_curve, compressed_tag, compressed, zero, vec![0]] {
            let refused = row.server_reply(&wrong, &mut SystemRandom).err();
            assert_eq!(refused, Some(KexError::PeerValue), "{name} {wrong:02x?}");
        }
    }
}

#[test]
fn finite_field_values_outside_the_range_are_refused() {
    let row = row_of(names::KEX_DH_GROUP14_SHA256);
    let p = &primes::GROUP14;
    let mut below_p = p.to_vec();
    *below_p.last_mut().unwrap() -= 1;
    let mut above_p = p.to_vec();
    let last = above_p.len() - 9;
    // ..ffff + 1 carries through the 64 one bits at the end.
    above_p[last] += 1;
    above_p[last + 1..].fill(0);
    let longer = [&[1][..], p].concat();
    let padded_one = vec![0, 0, 1];
    let few_bits = vec![1, 0, 1, 0, 1];
    for wrong in
        [vec![], vec![1], below_p, p.to_vec(), above_p, longer, padded_one, vec![2], few_bits]
    {
        let refused = row.server_reply(&wrong, &mut SystemRandom).err();
        assert_eq!(refused, Some(KexError::PeerValue), "{wrong:02x?}");
        let client = row.client_start(&mut SystemRandom).unwrap();
        assert_eq!(client.finish(&wrong).err(), Some(KexError::PeerValue));
    }
}

#[test]
fn leading_zeros_of_a_finite_field_value_do_not_matter() {
    let row = row_of(names::KEX_DH_GROUP14_SHA256);
    let client = row.client_start(&mut SystemRandom).unwrap();
    let (reply, server) = row.server_reply(client.public(), &mut SystemRandom).unwrap();
    let padded = [&[0, 0][..], &reply].concat();
    assert_eq!(client.finish(&padded).unwrap().encoded(), server.encoded());
}

#[test]
fn the_server_takes_the_smallest_group_that_is_strong_enough() {
    let bits = |min, n, max| DhGroup::choose(min, n, max).map(DhGroup::bits);
    assert_eq!(bits(2048, 2048, 8192), Some(2048));
    assert_eq!(bits(2048, 3072, 8192), Some(4096));
    assert_eq!(bits(2048, 8192, 8192), Some(8192));
    assert_eq!(bits(2048, 16384, 16384), Some(8192));
    assert_eq!(bits(2048, 8192, 6000), Some(4096));
    assert_eq!(bits(1024, 1024, 8192), Some(2048));
    assert_eq!(bits(1024, 1024, 1536), None);
    assert_eq!(bits(4097, 4097, 8191), None);
    assert_eq!(bits(8192, 4096, 2048), None);
}

#[test]
fn a_group_from_the_server_is_checked_against_what_was_asked() {
    let p = &primes::GROUP14;
    let mut even = p.to_vec();
    *even.last_mut().unwrap() -= 1;
    let group = |p: &[u8], g: &[u8]| DhGroup::from_wire(p, g, 2048, DH_BITS_MAX);
    assert!(group(p, &[2]).is_ok());
    assert!(group(&[&[0][..], p].concat(), &[0, 2]).is_ok());
    for g in [&[][..], &[0], &[1], p, &even] {
        assert!(group(p, g).is_err());
    }
    assert!(group(&even, &[2]).is_err());
    assert!(group(&p[..128], &[2]).is_err());
    assert!(group(&[], &[2]).is_err());
    assert!(DhGroup::from_wire(&p[..128], &[2], 512, DH_BITS_MAX).is_err());
    assert!(DhGroup::from_wire(p, &[2], 3072, DH_BITS_MAX).is_err());
    assert!(DhGroup::from_wire(&primes::GROUP18, &[2], 2048, 4096).is_err());
    assert!(DhGroup::from_wire(&[0xff; 1025], &[2], 2048, u32::MAX).is_err());
}

#[test]
fn a_group_from_the_wire_works_like_our_own() {
    let ours = DhGroup::choose(2048, 2048, 8192).unwrap();
    let theirs = DhGroup::from_wire(ours.p(), ours.g(), 2048, 8192).unwrap();
    let client = theirs.client_start(&mut SystemRandom).unwrap();
    let (reply, server) = ours.server_reply(client.public(), &mut SystemRandom).unwrap();
    assert_eq!(client.finish(&reply).unwrap().encoded(), server.encoded());
    let row = row_of(names::KEX_DH_EXCHANGE_SHA256);
    assert_eq!(row.client_start(&mut SystemRandom).err(), Some(KexError::NeedsGroup));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    assert_eq!(format!("{:?}", SharedSecret::from_number(&[7; 32])), "SharedSecret(..)");
}
