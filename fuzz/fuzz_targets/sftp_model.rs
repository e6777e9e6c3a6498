//! An SFTP session on a real directory with a model beside it: both get the same requests and must answer alike, and

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::sftp_model::run(data));
