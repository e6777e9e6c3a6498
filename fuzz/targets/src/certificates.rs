//! Certificates as blobs and as lines: read, bounded, and never believed.

use sterna_ssh_crypto::{Certificate, OfferedKey, names};

pub fn run(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_wire(data) {
        assert_eq!(certificate.to_wire(), data);
        assert!(certificate.principals.len() <= 256);
        for option in certificate.critical_options.iter().chain(&certificate.extensions) {
            let _ = option.value();
        }
        let _ = certificate.verify_ca(names::CA_SIGNATURE_DEFAULT);
        let _ = certificate.is_valid_at(certificate.valid_after);
        let offered = OfferedKey::from_wire(data).expect("what a certificate reads");
        assert_eq!(offered.to_wire(), data);
        for algorithm in offered.algorithms() {
            assert!(offered.verify_token(algorithm, b"message", data).is_err());
        }
    }
    if let Ok(line) = std::str::from_utf8(data) {
        let _ = OfferedKey::from_openssh(line);
    }
}
