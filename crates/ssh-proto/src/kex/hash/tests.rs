//! Exchange hashes against the vectors, and the layout of group exchange written out by hand.

use sterna_ssh_crypto::{DhGroup, HashAlgorithm, SharedSecret};
use sterna_sshwire::{put_mpint, put_string, put_u32};

use super::*;
use crate::vectors;

fn transcript<'a>(client: &'a [u8], server: &'a [u8], host_key: &'a [u8]) -> Transcript<'a> {
    Transcript {
        client_version: b"SSH-2.0-Vec_C",
        server_version: b"SSH-2.0-Vec_S",
        client_kexinit: client,
        server_kexinit: server,
        host_key,
    }
}

#[test]
fn t4_curve25519_hashes_strings_and_an_mpint_secret() {
    let [client, server, host_key] = ["T4.I_C", "T4.I_S", "T3.public_key_blob"].map(vectors::bytes);
    let [client_public, server_public] = ["T4.Q_C", "T4.Q_S"].map(vectors::bytes);
    let secret = SharedSecret::from_number(&vectors::bytes("T4.K_as_mpint")[4..]);
    let values = Values {
        client_public: &client_public,
        server_public: &server_public,
        as_mpint: false,
        group: None,
    };

    let hash =
        transcript(&client, &server, &host_key).hash(HashAlgorithm::Sha256, &values, &secret);

    assert_eq!(hash, vectors::bytes("T4.H"));
}

#[test]
fn t27_a_hybrid_hashes_its_secret_as_a_string() {
    let [client, server, host_key] =
        ["T27.I_C", "T27.I_S", "T3.public_key_blob"].map(vectors::bytes);
    let [client_public, server_public] =
        ["T27.C_INIT_1216", "T27.S_REPLY_1120"].map(vectors::bytes);
    let secret = SharedSecret::from_hash(&vectors::bytes("T27.K_string")[4..]);
    let values = Values {
        client_public: &client_public,
        server_public: &server_public,
        as_mpint: false,
        group: None,
    };

    let hash =
        transcript(&client, &server, &host_key).hash(HashAlgorithm::Sha256, &values, &secret);

    assert_eq!(hash, vectors::bytes("T27.H"));
}

/// T8 has a toy group, which `DhGroup` rightly refuses: its bytes fix the layout, and the same layout
/// with a real group must give our hash.
#[test]
fn t8_group_exchange_hashes_request_group_and_numbers_in_order() {
    let layout = |p: &[u8], g: &[u8], e: &[u8], f: &[u8], k: &[u8]| {
        let mut out = Vec::new();
        let fields: [&[u8]; 5] =
            [b"SSH-2.0-Vec_C", b"SSH-2.0-Vec_S", b"\x14I_C", b"\x14I_S", b"HOSTKEY"];
        for field in fields {
            put_string(&mut out, field);
        }
        for bits in [2048, 3072, 8192] {
            put_u32(&mut out, bits);
        }
        for number in [p, g, e, f, k] {
            put_mpint(&mut out, number);
        }
        out
    };
    let toy = layout(&[0xc3], &[5], &[9], &[0x81], &[0x92]);
    assert_eq!(toy, vectors::bytes("T8.hash_input"));
    assert_eq!(HashAlgorithm::Sha256.digest(&[&toy]), vectors::bytes("T8.SHA_256"));

    let request = GexRequest { min: 2048, n: 3072, max: 8192 };
    let group = DhGroup::choose(2048, 3072, 8192).unwrap();
    let values = Values {
        client_public: &[9],
        server_public: &[0x81],
        as_mpint: true,
        group: Some((&request, group)),
    };
    let hash = transcript(b"\x14I_C", b"\x14I_S", b"HOSTKEY").hash(
        HashAlgorithm::Sha256,
        &values,
        &SharedSecret::from_number(&[0x92]),
    );

    let expected = layout(group.p(), group.g(), &[9], &[0x81], &[0x92]);
    assert_eq!(hash, HashAlgorithm::Sha256.digest(&[&expected]));
}
