//! What a peer with valid keys can say: payloads arrive sealed, in any phase, at either role.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::session::run(data));
