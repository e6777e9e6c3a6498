//! Files of revoked keys: both forms, and everything that refuses them.

use proptest::prelude::*;
use sterna_ssh_crypto::Certificate;

use super::*;
use crate::vectors;

const ED25519: &str = include_str!("../../testdata/id_ed25519.pub");
const ECDSA: &str = include_str!("../../testdata/id_ecdsa.pub");
const RSA: &str = include_str!("../../testdata/id_rsa.pub");

fn offered(line: &str) -> OfferedKey {
    OfferedKey::from_openssh(line).unwrap().0
}

fn certificate(key: &str, ca: &str) -> OfferedKey {
    let mut certificate = Certificate::from_wire(&vectors::bytes("T24.blob")).unwrap();
    (certificate.key, certificate.ca) = (offered(key).key().clone(), offered(ca).key().clone());
    certificate.into()
}

/// The certificate of vector T24 as a line.
fn certificate_line() -> String {
    use base64::Engine as _;
    let blob = base64::prelude::BASE64_STANDARD.encode(vectors::bytes("T24.blob"));
    format!("ssh-ed25519-cert-v01@openssh.com {blob} id-alice\n")
}

fn line_of(part: RevokedPart, line: usize) -> Option<Revocation> {
    Some(Revocation { part, by: RevokedBy::Line(line) })
}

#[test]
fn a_plain_list_revokes_keys_alone_in_certificates_and_as_authorities() {
    let list = format!("# lost\n\n  {ED25519}\r\n{ED25519}{}", ECDSA.trim_end());
    let revoked = RevokedKeys::from_bytes(list.as_bytes()).unwrap();

    assert_eq!(revoked.revocation(&offered(ED25519)), line_of(RevokedPart::Key, 3));
    assert_eq!(revoked.revocation(&offered(ECDSA)), line_of(RevokedPart::Key, 6));
    assert_eq!(revoked.revocation(&offered(RSA)), None);
    assert_eq!(revoked.revocation(&certificate(ECDSA, RSA)), line_of(RevokedPart::Key, 6));
    assert_eq!(revoked.revocation(&certificate(RSA, ECDSA)), line_of(RevokedPart::Authority, 6));
    assert_eq!(revoked.revocation(&certificate(RSA, RSA)), None);
    let why = revoked.revocation(&certificate(RSA, ECDSA)).unwrap().to_string();
    assert_eq!(why, "certificate authority is revoked by line 6");
}

#[test]
fn a_certificate_in_a_list_stands_for_its_key_and_not_for_its_authority() {
    let revoked = RevokedKeys::from_bytes(certificate_line().as_bytes()).unwrap();
    let listed = Certificate::from_wire(&vectors::bytes("T24.blob")).unwrap();

    assert!(revoked.revocation(&listed.key.clone().into()).is_some());
    assert!(revoked.revocation(&listed.ca.clone().into()).is_none());
    assert!(revoked.revocation(&listed.into()).is_some());
}

#[test]
fn a_krl_is_known_by_its_first_bytes() {
    let revoked = RevokedKeys::from_bytes(&vectors::bytes("T25.krl")).unwrap();
    let by =
        revoked.revocation(&Certificate::from_wire(&vectors::bytes("T24.blob")).unwrap().into());
    assert_eq!(by.unwrap().by, RevokedBy::Sha256Fingerprint);

    let mut broken = vectors::bytes("T25.krl");
    broken.pop();
    assert!(matches!(RevokedKeys::from_bytes(&broken), Err(RevokedKeysError::Krl(_))));
}

#[test]
fn keys_that_nobody_can_offer_are_passed_over() {
    let dsa = "ssh-dss AAAAB3NzaC1kc3MAAAABAQ== old";
    let list = format!("{dsa}\n{ED25519}");
    let revoked = RevokedKeys::from_bytes(list.as_bytes()).unwrap();
    assert_eq!(revoked.revocation(&offered(ED25519)), line_of(RevokedPart::Key, 2));
    assert!(RevokedKeys::from_bytes(b"").unwrap().revocation(&offered(ED25519)).is_none());
}

/// Its authority is of a type that nobody knows, but the key inside it could be offered.
#[test]
fn a_certificate_that_does_not_read_is_not_passed_over() {
    use base64::Engine as _;
    let mut blob = vectors::bytes("T24.blob");
    let known = b"\0\0\0\x0bssh-ed25519";
    let ca_type = blob.windows(known.len()).position(|bytes| bytes == known).unwrap();
    blob[ca_type + known.len() - 1] = b'x';
    let blob = base64::prelude::BASE64_STANDARD.encode(blob);
    let error =
        RevokedKeys::from_bytes(format!("ssh-ed25519-cert-v01@openssh.com {blob}").as_bytes());
    let why = KeyError::Unsupported;
    assert_eq!(error.unwrap_err(), RevokedKeysError::Line { line: 1, why });
}

#[test]
fn a_line_that_is_no_key_refuses_the_file() {
    let cut_key = &ED25519[..ED25519.find(" alice").unwrap() - 4];
    let cut_certificate = &certificate_line()[..200];
    for bad in [
        "rubbish",
        "SSHKRL",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "restrict ",
        cut_key,
        cut_certificate,
        &ED25519.replace("ssh-ed25519", "ssh-rsa"),
        &format!("restrict {ED25519}"),
        &format!("\u{feff}{ED25519}"),
    ] {
        let file = format!("{RSA}{bad}\n{ECDSA}");
        let error = RevokedKeys::from_bytes(file.as_bytes()).unwrap_err();
        assert!(matches!(error, RevokedKeysError::Line { line: 2, .. }), "{bad}: {error}");
    }
}

#[test]
fn a_file_over_its_bound_is_refused() {
    let long = vec![b'\n'; REVOKED_KEYS_LEN_MAX + 1];
    assert!(matches!(RevokedKeys::from_bytes(&long), Err(RevokedKeysError::TooLong(_))));
    assert!(RevokedKeys::from_bytes(&long[1..]).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        if let Ok(revoked) = RevokedKeys::from_bytes(&bytes) {
            prop_assert_eq!(revoked.revocation(&offered(ED25519)), None);
        }
    }
}
