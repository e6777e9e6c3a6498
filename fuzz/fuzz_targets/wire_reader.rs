//! The bounded reader under any sequence of field types: what it takes never exceeds what is there.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::wire_reader::run(data));
