//! Keys and signatures: vectors, round trips of every kind, and everything that must be refused.

use proptest::prelude::*;
use sterna_sshwire::{Reader, put_mpint, put_string, put_u32};

use super::*;
use crate::nist::NistCurve;
use crate::{HashAlgorithm, SystemRandom, names, vectors};

const KINDS: [KeyType; 5] = [
    KeyType::Ed25519,
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::EcdsaP521,
    KeyType::Rsa { bits: 2048 },
];

fn generate(kind: KeyType) -> PrivateKey {
    PrivateKey::generate(kind, &mut SystemRandom).unwrap()
}

/// The vectors' Ed25519 keys: seeds of 32 bytes that count up.
fn seeded(first: u8) -> PrivateKey {
    let seed: Vec<u8> = (first..first + 32).collect();
    PrivateKey::from_ed25519_seed(&seed.try_into().unwrap()).unwrap()
}

#[test]
fn t3_an_ed25519_host_key_has_this_blob_and_fingerprint() {
    let key = seeded(0);
    assert_eq!(key.public().to_wire(), vectors::bytes("T3.public_key_blob"));
    assert_eq!(key.public().fingerprint(), vectors::text("T3.fingerprint"));
    assert_eq!(key.public().bits(), 256);
}

#[test]
fn t4_t15_and_t20_ed25519_signatures_come_out_the_same_and_verify() {
    let t14_request = vectors::bytes("T14.full_request");
    let t20_reply = vectors::bytes("T20.reply");
    let blob_len = vectors::bytes("T15.signature_blob").len();
    let cases = [
        (0, vectors::bytes("T4.H"), vectors::bytes("T4.signature_blob_over_H")),
        (0x20, vectors::bytes("T15.bytes_to_sign"), vectors::bytes("T15.signature_blob")),
        // The signature is the last field of these two messages.
        (
            0x20,
            vectors::bytes("T14.bytes_to_sign"),
            t14_request[t14_request.len() - blob_len..].to_vec(),
        ),
        (0, vectors::bytes("T20.bytes_to_sign"), t20_reply[t20_reply.len() - blob_len..].to_vec()),
    ];
    for (first, message, signature) in cases {
        let key = seeded(first);
        assert_eq!(key.sign(names::SSH_ED25519, &message).unwrap(), signature);
        assert_eq!(key.public().verify(names::SSH_ED25519, &message, &signature), Ok(()));
    }
}

#[test]
fn t23_an_ecdsa_signature_is_two_mpints_in_a_string() {
    let mut fixed = [0; 64];
    (fixed[0], fixed[63]) = (0x80, 1);
    let mut blob = Vec::new();
    put_string(&mut blob, names::ECDSA_P256.as_bytes());
    put_string(&mut blob, &ecdsa::from_fixed(&fixed));
    assert_eq!(blob, vectors::bytes("T23.blob"));

    let mut reader = Reader::new(&blob);
    reader.string("name", 64).unwrap();
    let numbers = reader.string("numbers", 100).unwrap();
    assert_eq!(ecdsa::to_fixed(NistCurve::P256, numbers).unwrap(), fixed);
}

#[test]
fn every_kind_of_key_signs_with_all_its_algorithms_and_verifies() {
    for kind in KINDS {
        let key = generate(kind);
        for algorithm in key.public().signature_algorithms() {
            let signature = key.sign(algorithm, b"message").unwrap();
            let public = PublicKey::from_wire(&key.public().to_wire()).unwrap();
            assert_eq!(&public, key.public());
            assert_eq!(public.verify(algorithm, b"message", &signature), Ok(()), "{algorithm}");
            let other = public.verify(algorithm, b"massage", &signature);
            assert_eq!(other, Err(SignatureError::Invalid), "{algorithm}");
        }
    }
}

#[test]
fn a_signature_by_another_key_is_invalid() {
    for kind in KINDS {
        let (signer, other) = (generate(kind), generate(kind));
        let algorithm = signer.public().signature_algorithms()[0];
        let signature = signer.sign(algorithm, b"message").unwrap();
        let verified = other.public().verify(algorithm, b"message", &signature);
        assert_eq!(verified, Err(SignatureError::Invalid), "{algorithm}");
    }
}

#[test]
fn a_blob_that_names_another_algorithm_is_refused() {
    let key = generate(KeyType::Rsa { bits: 2048 });
    let signature = key.sign(names::RSA_SHA2_256, b"message").unwrap();
    for asked in [names::RSA_SHA2_512, names::SSH_RSA, names::SSH_ED25519, ""] {
        let verified = key.public().verify(asked, b"message", &signature);
        assert_eq!(verified, Err(SignatureError::WrongAlgorithm), "{asked}");
    }
    let ed25519 = seeded(0);
    let verified = ed25519.public().verify(names::RSA_SHA2_256, b"message", &signature);
    assert_eq!(verified, Err(SignatureError::WrongAlgorithm));
}

#[test]
fn no_key_signs_with_an_algorithm_of_another_kind_or_with_sha1() {
    let rsa = generate(KeyType::Rsa { bits: 2048 });
    assert_eq!(rsa.sign(names::SSH_RSA, b"m"), Err(SignError::Unsupported));
    assert_eq!(rsa.sign(names::SSH_ED25519, b"m"), Err(SignError::Unsupported));
    assert_eq!(seeded(0).sign(names::ECDSA_P256, b"m"), Err(SignError::Unsupported));
    let odd = PrivateKey::generate(KeyType::Rsa { bits: 1024 }, &mut SystemRandom);
    assert_eq!(odd.err(), Some(SignError::Unsupported));
}

#[test]
fn every_truncation_and_every_extra_byte_of_blobs_is_refused() {
    for kind in KINDS {
        let key = generate(kind);
        let blob = key.public().to_wire();
        let algorithm = key.public().signature_algorithms()[0];
        let signature = key.sign(algorithm, b"message").unwrap();
        for len in 0..blob.len() {
            assert!(PublicKey::from_wire(&blob[..len]).is_err());
        }
        for len in 0..signature.len() {
            assert!(key.public().verify(algorithm, b"message", &signature[..len]).is_err());
        }
        assert!(PublicKey::from_wire(&[&blob[..], &[0]].concat()).is_err());
        let longer = [&signature[..], &[0]].concat();
        assert!(key.public().verify(algorithm, b"message", &longer).is_err());
    }
}

/// Goal: `S + L` in place of `S`, or a signature of another length, does not pass.
#[test]
fn a_malleated_ed25519_signature_is_invalid() {
    /// The group order L, little endian (RFC 8032 §5.1).
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let key = seeded(0);
    let mut signature = key.sign(names::SSH_ED25519, b"message").unwrap();
    let s_at = signature.len() - 32;
    let mut carry = 0;
    for (byte, order) in signature[s_at..].iter_mut().zip(hex::decode(ORDER).unwrap()) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let verified = key.public().verify(names::SSH_ED25519, b"message", &signature);
    assert_eq!(verified, Err(SignatureError::Invalid));

    for len in [63, 65] {
        let mut blob = Vec::new();
        put_string(&mut blob, names::SSH_ED25519.as_bytes());
        put_string(&mut blob, &vec![1; len]);
        assert!(key.public().verify(names::SSH_ED25519, b"message", &blob).is_err());
    }
}

#[test]
fn ecdsa_numbers_outside_the_order_or_with_bytes_behind_are_refused() {
    let key = generate(KeyType::EcdsaP256);
    /// The order n of P-256 (SEC 2 §2.4.2).
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order = hex::decode(ORDER).unwrap();
    let blob = |r: &[u8], s: &[u8], behind: &[u8]| {
        let mut numbers = Vec::new();
        put_mpint(&mut numbers, r);
        put_mpint(&mut numbers, s);
        numbers.extend_from_slice(behind);
        let mut blob = Vec::new();
        put_string(&mut blob, names::ECDSA_P256.as_bytes());
        put_string(&mut blob, &numbers);
        blob
    };
    let too_long = [1; 33];
    for wrong in [
        blob(&[], &[1], &[]),
        blob(&[1], &[], &[]),
        blob(&order, &[1], &[]),
        blob(&[1], &order, &[]),
        blob(&too_long, &[1], &[]),
        blob(&[1], &[1], &[0]),
    ] {
        assert!(key.public().verify(names::ECDSA_P256, b"message", &wrong).is_err());
    }
}

/// Goal: peers that strip leading zeros are understood, longer signatures are not.
/// Method: sign until one starts with a zero byte, about 1 in 256.
#[test]
fn a_short_rsa_signature_is_padded_and_a_long_one_refused() {
    let key = generate(KeyType::Rsa { bits: 2048 });
    let reblob = |raw: &[u8]| {
        let mut blob = Vec::new();
        put_string(&mut blob, names::RSA_SHA2_256.as_bytes());
        put_string(&mut blob, raw);
        blob
    };
    let (message, raw) = (0u32..)
        .find_map(|i| {
            let message = i.to_be_bytes();
            let blob = key.sign(names::RSA_SHA2_256, &message).unwrap();
            let raw = blob[blob.len() - 256..].to_vec();
            (raw[0] == 0).then_some((message, raw))
        })
        .unwrap();
    let verify = |raw: &[u8]| key.public().verify(names::RSA_SHA2_256, &message, &reblob(raw));
    assert_eq!(verify(&raw), Ok(()));
    assert_eq!(verify(&raw[1..]), Ok(()));
    assert!(verify(&[&[0], &raw[..]].concat()).is_err());
    assert!(verify(&[]).is_err());
}

/// Goal: moduli above the library's bound verify as those below it do.
/// Method: our own arithmetic on sizes where the library can sign.
#[test]
fn rsa_by_hand_agrees_with_the_library() {
    let key = generate(KeyType::Rsa { bits: 3072 });
    let PublicKey::Rsa(public) = key.public() else { unreachable!() };
    for (algorithm, hash) in
        [(names::RSA_SHA2_256, HashAlgorithm::Sha256), (names::RSA_SHA2_512, HashAlgorithm::Sha512)]
    {
        let blob = key.sign(algorithm, b"message").unwrap();
        let raw = &blob[blob.len() - 384..];
        assert_eq!(public.verify_large(hash, b"message", raw), Ok(()));
        assert_eq!(public.verify_large(hash, b"massage", raw), Err(SignatureError::Invalid));
        let not_below_n = public.n().to_vec();
        assert!(public.verify_large(hash, b"message", &not_below_n).is_err());
    }
}

#[test]
fn rsa_keys_out_of_bounds_are_refused_with_their_size() {
    let wire = |e: &[u8], n: &[u8]| {
        let mut blob = Vec::new();
        put_string(&mut blob, names::SSH_RSA.as_bytes());
        put_mpint(&mut blob, e);
        put_mpint(&mut blob, n);
        PublicKey::from_wire(&blob)
    };
    let e = [1, 0, 1];
    assert!(wire(&e, &[0xff; 256]).is_ok());
    assert!(wire(&e, &[0xff; 2048]).is_ok());
    assert_eq!(wire(&e, &[0xff; 128]), Err(KeyError::RsaBits(1024)));
    assert_eq!(wire(&e, &[&[0x7f], &[0xff; 255][..]].concat()), Err(KeyError::RsaBits(2047)));
    for (e, n) in [
        (&e[..], vec![0xff; 2049]),
        (&e, vec![0xff; 8192]),
        (&e, [&[0xff; 255][..], &[0xfe]].concat()),
        (&[], vec![0xff; 256]),
        (&[1], vec![0xff; 256]),
        (&[4], vec![0xff; 256]),
        (&[0x11; 32], vec![0xff; 256]),
    ] {
        assert!(wire(e, &n).is_err(), "{} bytes", n.len());
    }
}

#[test]
fn ecdsa_keys_with_another_curve_or_a_bad_point_are_refused() {
    let key = generate(KeyType::EcdsaP256);
    let PublicKey::Ecdsa { point, .. } = key.public() else { unreachable!() };
    let wire = |key_type: &str, curve: &str, point: &[u8]| {
        let mut blob = Vec::new();
        put_string(&mut blob, key_type.as_bytes());
        put_string(&mut blob, curve.as_bytes());
        put_string(&mut blob, point);
        PublicKey::from_wire(&blob)
    };
    assert!(wire(names::ECDSA_P256, "nistp256", point).is_ok());
    assert!(wire(names::ECDSA_P256, "nistp384", point).is_err());
    assert!(wire(names::ECDSA_P384, "nistp256", point).is_err());
    assert!(wire(names::ECDSA_P384, "nistp384", point).is_err());
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    assert!(wire(names::ECDSA_P256, "nistp256", &off_curve).is_err());
    assert!(wire(names::ECDSA_P256, "nistp256", &[0]).is_err());
    let mut compressed = point[..33].to_vec();
    compressed[0] = 2;
    assert!(wire(names::ECDSA_P256, "nistp256", &compressed).is_err());
}

#[test]
fn certificates_and_foreign_key_types_are_unsupported() {
    for name in [
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-rsa-cert-v01@openssh.com",
        "ssh-dss",
        "x",
        "\u{e9}",
    ] {
        let mut blob = Vec::new();
        put_string(&mut blob, name.as_bytes());
        put_string(&mut blob, &[0; 32]);
        assert_eq!(PublicKey::from_wire(&blob), Err(KeyError::Unsupported), "{name}");
    }
}

/// A token's signature: `key` plays the token.
fn token_signature(key: &PrivateKey, flags: u8, counter: u32, message: &[u8]) -> Vec<u8> {
    let signed = [
        &HashAlgorithm::Sha256.digest(&[b"ssh:"])[..],
        &[flags],
        &counter.to_be_bytes(),
        &HashAlgorithm::Sha256.digest(&[message]),
    ]
    .concat();
    let plain = key.public().signature_algorithms()[0];
    let inner = key.sign(plain, &signed).unwrap();
    let mut reader = Reader::new(&inner);
    reader.string("name", 64).unwrap();
    let mut blob = Vec::new();
    put_string(&mut blob, format!("sk-{plain}@openssh.com").as_bytes());
    put_string(&mut blob, reader.string("raw", 200).unwrap());
    blob.push(flags);
    put_u32(&mut blob, counter);
    blob
}

fn token_public(key: &PrivateKey) -> PublicKey {
    let application = b"ssh:".to_vec();
    let public = match key.public().clone() {
        PublicKey::Ed25519(key) => PublicKey::SkEd25519 { key, application },
        PublicKey::Ecdsa { point, .. } => PublicKey::SkEcdsaP256 { point, application },
        _ => unreachable!(),
    };
    assert_eq!(PublicKey::from_wire(&public.to_wire()), Ok(public.clone()));
    public
}

#[test]
fn a_security_key_says_how_it_was_used_and_must_have_been_touched_unless_the_caller_judges() {
    for kind in [KeyType::Ed25519, KeyType::EcdsaP256] {
        let key = generate(kind);
        let public = token_public(&key);
        let algorithm = public.signature_algorithms()[0];
        let token = |flags| {
            let blob = token_signature(&key, flags, 9, b"message");
            let token = public.verify_token(algorithm, b"message", &blob).unwrap().unwrap();
            let whole = public.verify(algorithm, b"message", &blob);
            (token.touched, token.user_verified, token.counter, whole)
        };
        assert_eq!(token(0), (false, false, 9, Err(SignatureError::NotTouched)));
        assert_eq!(token(1), (true, false, 9, Ok(())));
        assert_eq!(token(4), (false, true, 9, Err(SignatureError::NotTouched)));
        assert_eq!(token(5), (true, true, 9, Ok(())));

        let plain = key.sign(key.public().signature_algorithms()[0], b"message").unwrap();
        let algorithm = key.public().signature_algorithms()[0];
        assert_eq!(key.public().verify_token(algorithm, b"message", &plain), Ok(None));
    }
}

#[test]
fn altered_flags_and_counters_of_a_security_key_are_invalid() {
    let key = generate(KeyType::Ed25519);
    let public = token_public(&key);
    let signature = token_signature(&key, 1, 9, b"message");
    for from_end in 1..=5 {
        let mut altered = signature.clone();
        let at = altered.len() - from_end;
        altered[at] ^= 2;
        let verified = public.verify(names::SK_ED25519, b"message", &altered);
        assert_eq!(verified, Err(SignatureError::Invalid));
    }
    let plain = key.sign(names::SSH_ED25519, b"message").unwrap();
    assert!(public.verify(names::SK_ED25519, b"message", &plain).is_err());
    assert!(public.verify(names::SSH_ED25519, b"message", &plain).is_err());
}

#[test]
fn a_public_line_reads_back_with_its_comment() {
    for kind in KINDS {
        let key = generate(kind);
        for comment in ["", "me", "me and my key"] {
            let line = key.public().to_openssh(comment);
            assert_eq!(PublicKey::from_openssh(&line), Ok((key.public().clone(), comment)));
        }
    }
}

#[test]
fn a_public_line_whose_parts_disagree_is_refused() {
    let line = seeded(0).public().to_openssh("");
    let base64 = line.split_once(' ').unwrap().1;
    for wrong in [
        format!("ssh-rsa {base64}"),
        format!("no-pty {line}"),
        base64.to_owned(),
        "ssh-ed25519".to_owned(),
        "ssh-ed25519 !!!".to_owned(),
        String::new(),
        format!("ssh-ed25519 {}", "A".repeat(100_000)),
    ] {
        assert!(PublicKey::from_openssh(&wrong).is_err(), "{wrong:.40}");
    }
}

#[test]
fn private_keys_do_not_show_in_debug_output() {
    let shown = format!("{:?}", seeded(0));
    assert_eq!(shown, format!("PrivateKey(ssh-ed25519 {})", vectors::text("T3.fingerprint")));
}

/// A server shares its host keys between tasks.
#[test]
fn keys_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&seeded(0));
    shared(seeded(0).public());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_parsers_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        name in proptest::sample::select(names::CA_SIGNATURE_DEFAULT),
    ) {
        let mut named = Vec::new();
        put_string(&mut named, name.as_bytes());
        named.extend_from_slice(&bytes);
        let _ = PublicKey::from_wire(&bytes);
        let _ = PublicKey::from_wire(&named);
        prop_assert!(seeded(0).public().verify(name, b"m", &named).is_err());
        prop_assert!(token_public(&seeded(0)).verify(name, b"m", &named).is_err());
    }
}
