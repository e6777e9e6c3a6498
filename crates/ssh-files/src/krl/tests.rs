//! KRLs: the vector (T25), files of ssh-keygen, and everything that refuses a file.

use proptest::prelude::*;
use sterna_sshwire::{put_bool, put_mpint, put_string, put_u8, put_u32, put_u64};

use super::*;
use crate::vectors;

/// The certificate of vector T24 with other fields; nobody checks its signature here.
fn certificate(change: impl FnOnce(&mut Certificate)) -> OfferedKey {
    let mut certificate = Certificate::from_wire(&vectors::bytes("T24.blob")).unwrap();
    change(&mut certificate);
    certificate.into()
}

fn public(line: &str) -> PublicKey {
    PublicKey::from_openssh(line).unwrap().0
}

fn header() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_u32(&mut out, FORMAT_VERSION);
    put_u64(&mut out, 5);
    put_u64(&mut out, 1_700_000_000);
    put_u64(&mut out, 0);
    put_string(&mut out, b"");
    put_string(&mut out, b"demo");
    out
}

fn section(number: u8, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut out, mut data) = (Vec::new(), Vec::new());
    fill(&mut data);
    put_u8(&mut out, number);
    put_string(&mut out, &data);
    out
}

/// A KRL with one section of certificates of every authority, of these inner sections.
fn about_every_authority(inner: &[Vec<u8>]) -> Vec<u8> {
    let certificates = section(section::CERTIFICATES, |out| {
        put_string(out, b"");
        put_string(out, b"");
        inner.iter().for_each(|section| out.extend_from_slice(section));
    });
    [header(), certificates].concat()
}

fn bitmap(offset: u64, bits: &[u8]) -> Vec<u8> {
    section(section::certificates::SERIAL_BITMAP, |out| {
        put_u64(out, offset);
        put_mpint(out, bits);
    })
}

fn range(first: u64, last: u64) -> Vec<u8> {
    section(section::certificates::SERIAL_RANGE, |out| {
        put_u64(out, first);
        put_u64(out, last);
    })
}

fn extension(number: u8, critical: bool) -> Vec<u8> {
    section(number, |out| {
        put_string(out, b"x@example.org");
        put_bool(out, critical);
        put_string(out, b"data");
    })
}

#[test]
fn the_vector_revokes_what_its_makers_say() {
    let krl = Krl::from_bytes(&vectors::bytes("T25.krl")).unwrap();
    assert_eq!((krl.version, krl.generated, &krl.comment[..]), (5, 1_700_000_000, &b"demo"[..]));

    // The user key of T24 is revoked by its fingerprint: with another key the serials show.
    let another = public(include_str!("../../testdata/id_rsa.pub"));
    let by = |change: &dyn Fn(&mut Certificate)| {
        let offered = certificate(|c| {
            (c.key, c.serial) = (another.clone(), 8);
            change(c);
        });
        krl.revocation(&offered).map(|revocation| (revocation.part, revocation.by))
    };
    for serial in [7, 9, 100, 150, 200, 1000, 1001, 1003] {
        let expected = (RevokedPart::Certificate, RevokedBy::Serial(serial));
        assert_eq!(by(&|c| c.serial = serial), Some(expected));
    }
    for serial in [0, 1, 6, 8, 10, 99, 201, 999, 1002, 1004, 1008, u64::MAX] {
        assert_eq!(by(&|c| c.serial = serial), None, "{serial}");
    }
    let by_id = (RevokedPart::Certificate, RevokedBy::KeyId);
    assert_eq!(by(&|c| c.key_id = b"id-mallory".to_vec()), Some(by_id));
    assert_eq!(by(&|c| c.key_id = b"id-mallor".to_vec()), None);
    // Another authority counts its own serials and names.
    assert_eq!(by(&|c| (c.serial, c.ca) = (7, another.clone())), None);
    assert_eq!(by(&|c| (c.key_id, c.ca) = (b"id-mallory".to_vec(), another.clone())), None);

    let user = certificate(|c| c.serial = 8);
    let by_sha256 = Revocation { part: RevokedPart::Key, by: RevokedBy::Sha256Fingerprint };
    assert_eq!(krl.revocation(&user), Some(by_sha256));
    assert_eq!(krl.revocation(&user.key().clone().into()), Some(by_sha256));
    assert_eq!(krl.revocation(&another.into()), None);
}

#[test]
fn every_form_that_ssh_keygen_writes_is_read() {
    let krl = Krl::from_bytes(include_bytes!("../../testdata/all_forms.krl")).unwrap();
    let (plain, ca) = (
        public(include_str!("../../testdata/id_ed25519.pub")),
        public(include_str!("../../testdata/ca.pub")),
    );
    let serial = |serial| {
        let offered =
            certificate(|c| (c.key, c.ca, c.serial) = (plain.clone(), ca.clone(), serial));
        krl.revocation(&offered).is_some()
    };
    let spec = include_str!("../../testdata/all_forms.spec");
    let listed: Vec<(u64, u64)> = spec
        .lines()
        .filter_map(|line| line.strip_prefix("serial: "))
        .map(|text| text.split_once('-').unwrap_or((text, text)))
        .map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()))
        .collect();
    assert_eq!(listed.len(), 13);
    for n in (0..300).chain(4990..5030).chain(u64::MAX - 3..=u64::MAX) {
        let expected = listed.iter().any(|(first, last)| (*first..=*last).contains(&n));
        assert_eq!(serial(n), expected, "{n}");
    }

    let of = |line: &str| krl.revocation(&public(line).into()).map(|r| r.by);
    assert_eq!(of(include_str!("../../testdata/id_ed25519.pub")), None);
    assert_eq!(of(include_str!("../../testdata/ca.pub")), None);
    assert_eq!(of(include_str!("../../testdata/id_ecdsa.pub")), Some(RevokedBy::ExplicitKey));
    assert_eq!(of(include_str!("../../testdata/id_rsa.pub")), Some(RevokedBy::Sha1Fingerprint));
    assert_eq!(of(include_str!("../../testdata/other_ca.pub")), Some(RevokedBy::Sha256Fingerprint));
}

#[test]
fn a_revoked_authority_takes_its_certificates_along() {
    let krl = Krl::from_bytes(include_bytes!("../../testdata/all_forms.krl")).unwrap();
    let ca = public(include_str!("../../testdata/other_ca.pub"));
    let offered = certificate(|c| (c.serial, c.ca) = (1, ca));

    let revocation = krl.revocation(&offered).unwrap();
    assert_eq!(
        revocation,
        Revocation { part: RevokedPart::Authority, by: RevokedBy::Sha256Fingerprint }
    );
    assert_eq!(revocation.to_string(), "certificate authority is revoked by SHA-256 fingerprint");
}

#[test]
fn a_section_without_authority_is_about_every_authority() {
    let krl = Krl::from_bytes(include_bytes!("../../testdata/every_authority.krl")).unwrap();
    let ca = public(include_str!("../../testdata/ca.pub"));
    for (serial, id, expected) in [
        (42, "x", Some(RevokedBy::Serial(42))),
        (41, "any", Some(RevokedBy::KeyId)),
        (41, "x", None),
        (0, "x", None),
    ] {
        let change = |c: &mut Certificate| (c.serial, c.key_id) = (serial, id.into());
        let by = krl.revocation(&certificate(change)).map(|r| r.by);
        assert_eq!(by, expected, "{serial} {id}");
        let another = certificate(|c| {
            change(c);
            c.ca = ca.clone();
        });
        assert_eq!(krl.revocation(&another).map(|r| r.by), expected, "{serial} {id}");
    }
}

/// A file that ends between two sections is a shorter list: there the cut cannot be seen.
#[test]
fn a_file_cut_anywhere_inside_is_refused() {
    for whole in [vectors::bytes("T25.krl"), include_bytes!("../../testdata/all_forms.krl").into()]
    {
        let mut r = Reader::new(&whole);
        r.bytes("", MAGIC.len() + 4 + 3 * 8).unwrap();
        r.string("reserved", 99).unwrap();
        r.string("comment", 99).unwrap();
        let mut between = vec![whole.len() - r.remaining()];
        while !r.is_empty() {
            r.u8("").unwrap();
            r.string("", 9999).unwrap();
            between.push(whole.len() - r.remaining());
        }
        assert!(between.len() > 3);
        for len in 0..=whole.len() {
            let read = Krl::from_bytes(&whole[..len]);
            assert_eq!(read.is_ok(), between.contains(&len), "{len}: {read:?}");
        }
    }
}

#[test]
fn what_is_not_understood_refuses_the_file() {
    let good = |bytes: &[u8]| Krl::from_bytes(bytes).is_ok();
    let error = |sections: &[u8]| Krl::from_bytes(&[&header()[..], sections].concat()).unwrap_err();
    assert!(good(&header()));
    let mut version = header();
    version[11] = 2;
    assert_eq!(Krl::from_bytes(&version).unwrap_err(), KrlError::FormatVersion(2));
    assert_eq!(Krl::from_bytes(b"ssh-ed25519 AAAA").unwrap_err(), KrlError::NotKrl);

    assert_eq!(
        error(&section(section::SIGNATURE, |out| put_string(out, b"key"))),
        KrlError::Signed
    );
    assert_eq!(error(&section(6, |_| ())), KrlError::Section(6));
    let critical = KrlError::CriticalExtension("x@example.org".into());
    assert_eq!(error(&extension(section::EXTENSION, true)), critical);
    assert!(good(&[header(), extension(section::EXTENSION, false)].concat()));

    let dsa = [&[0, 0, 0, 7][..], b"ssh-dss"].concat();
    for authority in [vectors::bytes("T24.blob"), dsa] {
        let unknown = section(section::CERTIFICATES, |out| {
            put_string(out, &authority);
            put_string(out, b"");
        });
        assert_eq!(error(&unknown), KrlError::Authority(KeyError::Unsupported));
    }

    for bad in [
        section(section::SHA1, |out| put_string(out, &[0; 19])),
        section(section::SHA1, |out| put_string(out, &[0; 21])),
        section(section::SHA256, |out| put_string(out, &[0; 20])),
        section(section::EXPLICIT_KEYS, |out| put_string(out, b"")),
        section(section::EXPLICIT_KEYS, |out| put_string(out, &vectors::bytes("T24.blob"))),
        section(section::EXTENSION, |out| put_string(out, b"x@example.org")),
        section(section::EXTENSION, |out| {
            out.extend_from_slice(&extension(section::EXTENSION, false)[5..]);
            out.push(0);
        }),
    ] {
        assert!(matches!(error(&bad), KrlError::Malformed(_)), "{bad:02x?}");
    }
}

#[test]
fn what_is_not_understood_about_certificates_refuses_the_file() {
    use section::certificates;
    let read = |inner: &[Vec<u8>]| Krl::from_bytes(&about_every_authority(inner));
    assert!(
        read(&[range(1, u64::MAX), bitmap(1, &[1]), extension(certificates::EXTENSION, false)])
            .is_ok()
    );
    for (inner, expected) in [
        (range(0, 5), KrlError::Serials),
        (range(6, 5), KrlError::Serials),
        (bitmap(0, &[1]), KrlError::Serials),
        (bitmap(u64::MAX, &[3]), KrlError::Serials),
        (section(0x24, |_| ()), KrlError::Section(0x24)),
        (
            extension(certificates::EXTENSION, true),
            KrlError::CriticalExtension("x@example.org".into()),
        ),
    ] {
        assert_eq!(read(std::slice::from_ref(&inner)).unwrap_err(), expected, "{inner:02x?}");
    }
    for malformed in [
        section(certificates::SERIAL_LIST, |out| out.extend_from_slice(&[0; 7])),
        section(certificates::SERIAL_RANGE, |out| out.extend_from_slice(&[1; 17])),
        section(certificates::SERIAL_BITMAP, |out| {
            put_u64(out, 1);
            put_string(out, &[0x80]);
        }),
        section(certificates::KEY_IDS, |out| put_u32(out, 1)),
        bitmap(1, &vec![1; KRL_BITMAP_LEN_MAX + 1]),
    ] {
        assert!(matches!(read(&[malformed]), Err(KrlError::Malformed(_))));
    }
}

/// Goal: 30 bytes that stand for all serials, and a bitmap of millions, cost what their bytes cost.
#[test]
fn ranges_and_bitmaps_are_not_written_out() {
    let inner = [range(1, u64::MAX - 1), bitmap(1, &vec![0xff; KRL_BITMAP_LEN_MAX])];
    let krl = Krl::from_bytes(&about_every_authority(&inner)).unwrap();

    let serial = |serial| krl.revocation(&certificate(|c| c.serial = serial)).is_some();
    assert!(serial(1) && serial(u64::MAX - 1));
    assert!(!serial(u64::MAX) && !serial(0));
}

#[test]
fn a_file_over_its_bound_is_refused() {
    let mut long = [header(), section(section::EXTENSION, |_| ())].concat();
    long.resize(REVOKED_KEYS_LEN_MAX + 1, 0);
    assert_eq!(Krl::from_bytes(&long).unwrap_err(), KrlError::TooLong);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = Krl::from_bytes(&bytes);
        let _ = Krl::from_bytes(&[header(), bytes].concat());
    }

    #[test]
    fn a_vector_with_wrong_bytes_never_panics(at in 0usize..320, byte: u8, more in 0usize..320, another: u8) {
        let mut bytes = vectors::bytes("T25.krl");
        let len = bytes.len();
        (bytes[at % len], bytes[more % len]) = (byte, another);
        if let Ok(krl) = Krl::from_bytes(&bytes) {
            let _ = krl.revocation(&certificate(|_| ()));
        }
    }
}
