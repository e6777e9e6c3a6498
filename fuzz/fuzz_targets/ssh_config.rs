//! The client's `ssh_config`: any text, resolved for a host.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::ssh_config::run(data));
