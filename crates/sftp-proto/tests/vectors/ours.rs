//! Worked packets of this system's own extensions.

use sterna_sftp_proto::attrs::AttrPairs;
use sterna_sftp_proto::extension::{PosixAttrs, PosixAttrsRequest};
use sterna_sftp_proto::messages::Setstat;
use sterna_sftp_proto::{Attrs, Reply, Times};

use crate::check::{decode_reply, extended, packet, prefixes_fail, reply, request};

#[test]
fn posix_attrs_are_asked_for_once() {
    extended(
        "00000020                                       length
         c8                                             EXTENDED
         00000032                                       id
         00000017                                       length
         706f7369782d617474727340737465726e612d73667470 posix-attrs@sterna-sftp",
        50,
        PosixAttrsRequest::new(),
    );
}

const STAT_REPLY: &str = "\
    00000048                                       length
    69                                             ATTRS
    00000033                                       id
    80000008                                       flags: ACMODTIME EXTENDED
    6553f100                                       atime
    6553f101                                       mtime
    00000001                                       pairs
    00000017                                       length
    706f7369782d617474727340737465726e612d73667470 posix-attrs@sterna-sftp
    00000014                                       length
    3b9ac9ff                                       atime nanoseconds 999999999
    00000001                                       mtime nanoseconds
    0102030405060708                               file id
    00000002                                       links";

fn exact() -> Attrs<'static> {
    let posix = PosixAttrs {
        accessed_nanos: 999_999_999,
        modified_nanos: 1,
        file_id: 0x0102_0304_0506_0708,
        links: 2,
    };
    let times = Times { accessed: 0x6553_f100, modified: 0x6553_f101 };
    Attrs { times: Some(times), posix: Some(posix), ..Attrs::default() }
}

#[test]
fn posix_attrs_in_a_reply() {
    reply(STAT_REPLY, 51, Reply::Attrs(exact()));
    prefixes_fail(STAT_REPLY);
    let attrs = exact();
    assert_eq!((attrs.accessed_nanos(), attrs.modified_nanos()), (Some(999_999_999), Some(1)));
    assert_eq!((attrs.file_id(), attrs.links()), (Some(0x0102_0304_0506_0708), Some(2)));
    let without_times = Attrs { times: None, ..attrs };
    assert_eq!((without_times.accessed_nanos(), without_times.modified_nanos()), (None, None));
    let silent = Attrs { posix: Some(PosixAttrs::default()), ..Attrs::default() };
    assert_eq!((silent.file_id(), silent.links()), (None, None));
}

#[test]
fn posix_attrs_in_a_request_stand_before_other_pairs() {
    let mut buffer = Vec::new();
    let extended = AttrPairs::build(&[(b"user.x", b"1")], &mut buffer);
    let attrs = Attrs {
        times: Some(Times { accessed: 1, modified: 2 }),
        extended,
        ..Attrs::default().with_nanos(3, 4)
    };
    request(
        "0000005c                                       length
         09                                             SETSTAT
         00000034                                       id
         00000001                                       length
         66                                             f
         80000008                                       flags: ACMODTIME EXTENDED
         00000001                                       atime
         00000002                                       mtime
         00000002                                       pairs
         00000017                                       length
         706f7369782d617474727340737465726e612d73667470 posix-attrs@sterna-sftp
         00000014                                       length
         00000003                                       atime nanoseconds
         00000004                                       mtime nanoseconds
         0000000000000000                               file id
         00000000                                       links
         00000006                                       length
         757365722e78                                   user.x
         00000001                                       length
         31                                             1",
        52,
        Setstat { path: b"f", attrs },
    );
}

/// A second more than there is, and data of another length.
#[test]
fn a_pair_that_cannot_be_ours_is_one_of_the_unknown_ones() {
    let too_many = packet(&STAT_REPLY.replace("3b9ac9ff", "3b9aca00"));
    let shorter = packet(
        &STAT_REPLY
            .replace("00000048", "00000044")
            .replace("00000014", "00000010")
            .replace("    00000002                                       links", ""),
    );
    for packet in [too_many, shorter] {
        let Ok((51, Reply::Attrs(attrs))) = decode_reply(&packet[4..]) else { panic!() };

        assert_eq!((attrs.posix, attrs.extended.len()), (None, 1));
        let mut again = Vec::new();
        Reply::Attrs(attrs).encode(51, &mut again);
        assert_eq!(again, packet);
    }
}
