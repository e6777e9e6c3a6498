//! Lists of revoked keys, plain and KRL, asked about a key and a certificate.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::revoked_keys::run(data));
