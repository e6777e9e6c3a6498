//! Private key files of every form, without a passphrase (with one, time goes into hashing).

#![no_main]

use libfuzzer_sys::fuzz_target;
use sterna_ssh_crypto::PrivateKey;

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = PrivateKey::from_text(text, None) {
        let written = key.to_openssh_text("fuzz");
        let again = PrivateKey::from_text(&written, None).expect("our own file");
        assert_eq!(again.public(), key.public());
    }
}

fuzz_target!(|data: &[u8]| run(data));
