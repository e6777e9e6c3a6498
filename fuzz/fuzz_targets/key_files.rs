//! Private key files of every form. A passphrase is tried only where turning it into a key is quick:

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::key_files::run(data));
