//! The verification of an audit log: it judges any bytes, and no change of a log that was written goes unseen.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::audit_log::run(data));
