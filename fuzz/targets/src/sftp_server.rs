//! Channel bytes from an SFTP client, in pieces of any size, to requests.

use sterna_sftp_proto::Request;
use sterna_sftp_proto::extension::ExtensionSet;
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::messages::WriteHead;
use sterna_sftp_proto::server::{Incoming, Server};

/// Input: one byte with the length of the pieces, then the stream.
pub fn run(data: &[u8]) {
    let Some((piece_len, stream)) = data.split_first() else { return };
    let mut frames = FrameAssembler::for_server();
    let mut server = Server::new(ExtensionSet::all());
    for mut piece in stream.chunks(1 + usize::from(*piece_len)) {
        loop {
            let head = WriteHead::decode(piece).filter(|_| frames.is_between_frames());
            let frame = match frames.next(&mut piece) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            match server.accept(&frame) {
                Ok(Incoming::Request { id, request }) => {
                    if let Some(head) = head {
                        assert_head(&head, id, &request);
                    }
                    let mut wire = Vec::new();
                    request.encode(id, &mut wire);
                    let again = server.clone().accept(&wire[4..]).map(|i| format!("{i:?}"));
                    assert_eq!(again, Ok(format!("{:?}", Incoming::Request { id, request })));
                }
                Ok(Incoming::Refused { refusal, .. }) => _ = refusal.status(),
                Ok(Incoming::Init { .. }) => {}
                Err(_) => return,
            }
        }
    }
}

/// What is seen of the beginning of a WRITE is what is seen of the whole.
fn assert_head(head: &WriteHead<'_>, id: u32, request: &Request<'_>) {
    let Request::Write(write) = request else { panic!("{head:?} of {request:?}") };
    let whole = (id, write.handle, write.offset, write.data.len());
    assert_eq!((head.id, head.handle, head.offset, head.data_len as usize), whole);
    let mut wire = Vec::new();
    head.encode(&mut wire);
    assert_eq!(wire.len(), WriteHead::len_with(head.handle));
    wire.extend_from_slice(write.data);
    let mut again = Vec::new();
    request.encode(id, &mut again);
    assert_eq!(wire, again);
}
