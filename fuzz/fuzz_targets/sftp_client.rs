//! Channel bytes from an SFTP server to replies, with requests outstanding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sterna_sftp_proto::client::{Client, Incoming};
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::messages::Stat;

/// Requests that are unanswered when the stream begins.
const OUTSTANDING: u32 = 8;

/// Input: one byte with the length of the pieces, then the stream.
fn run(data: &[u8]) {
    let Some((piece_len, stream)) = data.split_first() else { return };
    let mut frames = FrameAssembler::for_client();
    let mut client = Client::new();
    let mut sent = Vec::new();
    for token in 0..OUTSTANDING {
        client.request(Stat { path: b"/" }, token, &mut sent).expect("a few requests");
    }
    let mut answered = Vec::new();
    for mut piece in stream.chunks(1 + usize::from(*piece_len)) {
        loop {
            let frame = match frames.next(&mut piece) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            match client.accept(&frame) {
                Ok(Incoming::Reply { token, .. }) => {
                    assert!(!answered.contains(&token), "answered twice");
                    answered.push(token);
                }
                Ok(Incoming::Version(_)) => {}
                Err(_) => return,
            }
        }
    }
}

fuzz_target!(|data: &[u8]| run(data));
