//! Channel bytes from an SFTP client, in pieces of any size, to requests.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::sftp_server::run(data));
