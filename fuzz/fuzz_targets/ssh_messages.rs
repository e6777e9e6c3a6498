//! Every decoder of SSH messages, chosen by the message number in front.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::ssh_messages::run(data));
