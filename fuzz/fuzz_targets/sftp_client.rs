//! Channel bytes from an SFTP server to replies, with requests outstanding.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::sftp_client::run(data));
