//! Channel bytes from an SFTP server to replies, with requests outstanding.

use sterna_sftp_proto::Reply;
use sterna_sftp_proto::client::{Client, Incoming};
use sterna_sftp_proto::extension::{
    CheckFileReply, GetxattrReply, LimitsReply, ListxattrReply, Md5HashReply, RangesReply,
    SpaceAvailableReply, StatvfsReply, UsersGroupsReply,
};
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::messages::{DataHead, Stat};
use sterna_sshwire::Reader;

/// Requests that are unanswered when the stream begins.
const OUTSTANDING: u32 = 8;

/// Input: one byte with the length of the pieces, then the stream.
pub fn run(data: &[u8]) {
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
            let head = DataHead::decode(piece).filter(|_| frames.is_between_frames());
            let frame = match frames.next(&mut piece) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            match client.accept(&frame) {
                Ok(Incoming::Reply { id, token, reply }) => {
                    if let Some(head) = head {
                        // What is seen of the beginning of DATA is what is seen of the whole.
                        let Reply::Data(data) = &reply else { panic!("{head:?} of {reply:?}") };
                        assert_eq!((head.id, head.data_len as usize), (id, data.data.len()));
                    }
                    if let Reply::ExtendedReply(reply) = reply {
                        read_as_every_kind(reply.data);
                    }
                    assert!(!answered.contains(&token), "answered twice");
                    answered.push(token);
                }
                Ok(Incoming::Version(_)) => {}
                Err(_) => return,
            }
        }
    }
}

/// Which request an EXTENDED_REPLY answers is not in it.
fn read_as_every_kind(data: &[u8]) {
    let r = || Reader::new(data);
    let _ = LimitsReply::decode(&mut r());
    let _ = SpaceAvailableReply::decode(&mut r());
    let _ = StatvfsReply::decode(&mut r());
    let _ = GetxattrReply::decode(&mut r());
    let _ = Md5HashReply::decode(&mut r());
    if let Ok(reply) = CheckFileReply::decode(&mut r()) {
        let _ = reply.digests(16).map(Iterator::count);
    }
    if let Ok(reply) = UsersGroupsReply::decode(&mut r()) {
        let _ = reply.users.iter().chain(reply.groups.iter()).count();
    }
    if let Ok(reply) = ListxattrReply::decode(&mut r()) {
        let mut again = Vec::new();
        reply.encode(&mut again);
        assert!(data.starts_with(&again));
    }
    if let Ok(reply) = RangesReply::decode(&mut r()) {
        let mut after = 0;
        for (offset, len) in reply.iter() {
            assert!(offset >= after && len > 0);
            after = offset + len;
        }
    }
}
