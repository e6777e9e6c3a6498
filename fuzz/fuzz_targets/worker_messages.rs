//! Messages between the network process, helpers and workers: what one side takes, it would have written itself.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::worker_messages::run(data));
