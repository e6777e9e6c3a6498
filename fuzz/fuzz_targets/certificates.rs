//! Certificates as blobs and as lines: read, bounded, and never believed.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::certificates::run(data));
