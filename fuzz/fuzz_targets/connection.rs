//! Whole connections of both roles: real sequences of messages, changed before they are sealed, against an application

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::connection::run(data));
