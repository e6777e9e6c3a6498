//! Lists of digests, line by line: what is read is written so that it is read again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::manifests::run(data));
