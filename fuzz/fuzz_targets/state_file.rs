//! The state file with changes: it is opened or called damaged, and what can be read of it is within its bounds.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::state_file::run(data));
