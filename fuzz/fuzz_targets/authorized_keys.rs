//! `authorized_keys` files, which users write themselves.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::authorized_keys::run(data));
