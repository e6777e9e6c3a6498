//! Public key blobs, signature blobs, and the one-line text form of keys.

use sterna_ssh_crypto::PublicKey;
use sterna_sshwire::Reader;

/// Input: a string with the key blob, then the signature blob; or a line of text.
pub fn run(data: &[u8]) {
    let mut r = Reader::new(data);
    if let Ok(blob) = r.string("key", usize::MAX)
        && let Ok(key) = PublicKey::from_wire(blob)
    {
        assert_eq!(PublicKey::from_wire(&key.to_wire()).as_ref(), Ok(&key));
        assert!(key.bits() > 0 && key.fingerprint().starts_with("SHA256:"));
        let (again, _) = PublicKey::from_openssh(&key.to_openssh("comment")).expect("our own text");
        assert_eq!(again, key);
        let signature = r.rest();
        for algorithm in key.signature_algorithms() {
            let _ = key.verify(algorithm, b"message", signature);
        }
    }
    if let Ok(line) = std::str::from_utf8(data) {
        let _ = PublicKey::from_openssh(line);
    }
}
