use super::*;
use crate::vectors;

fn t24() -> Vec<u8> {
    vectors::bytes("T24.blob")
}

fn read(blob: &[u8]) -> Result<Certificate, KeyError> {
    Certificate::from_wire(blob)
}

/// `blob` with the one place where `from` stands replaced by `to`, which is as long.
fn altered(blob: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = blob.windows(from.len()).position(|w| w == from).unwrap();
    [&blob[..at], to, &blob[at + from.len()..]].concat()
}

#[test]
fn every_field_of_the_vector_is_read() {
    let certificate = read(&t24()).unwrap();

    assert_eq!(certificate.to_wire(), t24());
    assert_eq!(certificate.type_name(), names::SSH_ED25519_CERT);
    assert_eq!(certificate.kind, CertificateKind::User);
    assert_eq!(certificate.serial, 7);
    assert_eq!(certificate.key_id, b"id-alice");
    assert_eq!(certificate.principals, [&b"alice"[..], b"ops"]);
    assert_eq!((certificate.valid_after, certificate.valid_before), (1_700_000_000, 1_800_000_000));
    let names = |options: &[CertificateOption]| {
        options.iter().map(|o| String::from_utf8(o.name.clone()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&certificate.critical_options),
        ["force-command", "source-address", "verify-required"]
    );
    assert_eq!(certificate.critical_options[0].value(), Ok(&b"internal-sftp"[..]));
    assert_eq!(certificate.critical_options[1].value(), Ok(&b"192.0.2.0/24,2001:db8::/32"[..]));
    assert!(certificate.critical_options[2].value().is_err(), "a flag has no value");
    assert_eq!(names(&certificate.extensions), ["permit-port-forwarding", "permit-pty"]);
}

#[test]
fn the_authority_signed_exactly_these_bytes() {
    assert_eq!(read(&t24()).unwrap().verify_ca(names::CA_SIGNATURE_DEFAULT), Ok(()));

    for (from, to) in [
        (&b"alice"[..], &b"mally"[..]),
        (b"id-alice", b"id-mally"),
        (b"192.0.2.0/24", b"192.0.2.0/02"),
        (&1_800_000_000u64.to_be_bytes(), &u64::MAX.to_be_bytes()),
        (&7u64.to_be_bytes(), &8u64.to_be_bytes()),
    ] {
        let forged = read(&altered(&t24(), from, to)).unwrap();
        assert_eq!(
            forged.verify_ca(names::CA_SIGNATURE_DEFAULT),
            Err(SignatureError::Invalid),
            "{}",
            from.escape_ascii()
        );
    }
}

#[test]
fn an_authority_must_use_an_allowed_algorithm() {
    let certificate = read(&t24()).unwrap();

    assert_eq!(certificate.verify_ca(&[names::RSA_SHA2_512]), Err(SignatureError::WrongAlgorithm));
    assert_eq!(certificate.verify_ca(&[]), Err(SignatureError::WrongAlgorithm));
}

#[test]
fn validity_includes_its_first_second_and_not_its_last() {
    let mut certificate = read(&t24()).unwrap();

    let valid =
        |c: &Certificate, at: &[u64]| at.iter().map(|t| c.is_valid_at(*t)).collect::<Vec<_>>();
    assert_eq!(
        valid(&certificate, &[1_699_999_999, 1_700_000_000, 1_799_999_999, 1_800_000_000]),
        [false, true, true, false]
    );
    (certificate.valid_after, certificate.valid_before) = (0, u64::MAX);
    assert_eq!(valid(&certificate, &[0, u64::MAX]), [true, true]);
}

#[test]
fn options_out_of_order_or_twice_are_refused() {
    let pack = |names: &[&str]| {
        let mut out = Vec::new();
        for name in names {
            sterna_sshwire::put_string(&mut out, name.as_bytes());
            sterna_sshwire::put_string(&mut out, b"");
        }
        out
    };

    assert!(options(&pack(&["a", "b"])).is_ok());
    assert!(options(&pack(&["b", "a"])).is_err());
    assert!(options(&pack(&["force-command", "force-command"])).is_err());
    let many: Vec<String> = (0..=CERTIFICATE_OPTIONS_MAX).map(|n| format!("{n:04}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(options(&pack(&many)).is_err());
    assert!(options(&pack(&many[1..])).is_ok());
}

#[test]
fn principals_are_counted() {
    let pack = |count: usize| {
        let mut out = Vec::new();
        (0..count).for_each(|_| sterna_sshwire::put_string(&mut out, b"p"));
        out
    };

    assert!(principals(&pack(CERTIFICATE_PRINCIPALS_MAX)).is_ok());
    assert!(principals(&pack(CERTIFICATE_PRINCIPALS_MAX + 1)).is_err());
}

#[test]
fn every_truncation_and_every_longer_blob_is_refused() {
    let blob = t24();
    for len in 0..blob.len() {
        assert!(read(&blob[..len]).is_err(), "{len}");
    }
    assert!(read(&[&blob[..], b"\0"].concat()).is_err());
}

#[test]
fn an_authority_that_is_a_certificate_and_an_unknown_kind_are_refused() {
    let blob = t24();
    let nested = {
        let certificate = read(&blob).unwrap();
        let ca = certificate.ca.to_wire();
        let at = blob.windows(ca.len()).position(|w| w == ca).unwrap();
        let mut out = blob[..at - 4].to_vec();
        sterna_sshwire::put_string(&mut out, &blob);
        out.extend_from_slice(&blob[at + ca.len()..]);
        out
    };
    assert_eq!(read(&nested), Err(KeyError::Unsupported));

    // The kind stands behind serial 7.
    let kind = |n: u8| altered(&blob, &[7, 0, 0, 0, 1], &[7, 0, 0, 0, n]);
    assert_eq!(read(&kind(2)).unwrap().kind, CertificateKind::Host);
    assert!(read(&kind(3)).is_err());
}

#[test]
fn each_key_type_has_its_certificate_type() {
    for key_type in [
        names::SSH_ED25519,
        names::ECDSA_P256,
        names::ECDSA_P384,
        names::ECDSA_P521,
        names::SSH_RSA,
        names::SK_ED25519,
        names::SK_ECDSA_P256,
    ] {
        let name = names::certificate_type(key_type);
        assert_eq!(names::certified_key_type(name), Some(key_type));
    }
    assert_eq!(names::certified_key_type(names::RSA_SHA2_512_CERT), None, "never inside a blob");
}
