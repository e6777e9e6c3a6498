//! Channel bytes from an SFTP client, in pieces of any size, to requests.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sterna_sftp_proto::extension::ExtensionSet;
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::server::{Incoming, Server};

/// Input: one byte with the length of the pieces, then the stream.
fn run(data: &[u8]) {
    let Some((piece_len, stream)) = data.split_first() else { return };
    let mut frames = FrameAssembler::for_server();
    let mut server = Server::new(ExtensionSet::all());
    for mut piece in stream.chunks(1 + usize::from(*piece_len)) {
        loop {
            let frame = match frames.next(&mut piece) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            match server.accept(&frame) {
                Ok(Incoming::Request { id, request }) => {
                    let mut wire = Vec::new();
                    request.encode(id, &mut wire);
                    let again = server.clone().accept(&wire[4..]).map(|i| format!("{i:?}"));
                    assert_eq!(again, Ok(format!("{:?}", Incoming::Request { id, request })));
                }
                Ok(Incoming::Refused { refusal, .. }) => drop(refusal.status()),
                Ok(Incoming::Init { .. }) => {}
                Err(_) => return,
            }
        }
    }
}

fuzz_target!(|data: &[u8]| run(data));
