//! `.shosts` files, which users write themselves, asked about any host and user.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::shosts::run(data));
