//! Lists of revoked keys, plain and KRL, asked about a key and a certificate.

use sterna_ssh_crypto::{Certificate, OfferedKey};
use sterna_ssh_files::RevokedKeys;

fn certificate() -> Certificate {
    let vectors = include_str!("../../../crates/ssh-files/testdata/vectors.txt");
    let line = vectors.lines().find_map(|line| line.strip_prefix("T24.blob = ")).expect("a vector");
    let digits = line.as_bytes().chunks_exact(2);
    let bytes = digits.map(|two| {
        u8::from_str_radix(std::str::from_utf8(two).expect("digits"), 16).expect("digits")
    });
    Certificate::from_wire(&bytes.collect::<Vec<u8>>()).expect("a certificate")
}

pub fn run(data: &[u8]) {
    let Ok(revoked) = RevokedKeys::from_bytes(data) else { return };
    let mut certificate = certificate();
    let plain = OfferedKey::from(certificate.key.clone());
    let of_plain = revoked.revocation(&plain);
    for serial in [0, 7, 1001, u64::MAX] {
        certificate.serial = serial;
        let found = revoked.revocation(&certificate.clone().into());
        // A revoked key is not saved by a certificate around it.
        assert!(of_plain.is_none() || found == of_plain);
    }
}
