//! Known hosts files, and the lines that are written into them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::known_hosts::run(data));
