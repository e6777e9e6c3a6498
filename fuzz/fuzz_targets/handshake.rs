//! What anybody on the network can say to a fresh connection of either role, before any key.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::handshake::run(data));
