//! Public key blobs, signature blobs, and the one-line text form of keys.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::public_keys::run(data));
