//! Vectors S1 to S18: version 3 itself.

use sterna_sftp_proto::extension::{EXTENSIONS, Extension, ExtensionSet};
use sterna_sftp_proto::longname::{Longname, Who};
use sterna_sftp_proto::messages::{
    Data, Handle, Init, Name, NameWriter, Open, Read, Realpath, Rename, Setstat, Status, Symlink,
    Version, Write,
};
use sterna_sftp_proto::server::Server;
use sterna_sftp_proto::{Attrs, OpenFlags, Owner, Reply, StatusCode, Times, attrs};
use sterna_sshwire::Reader;

use crate::check::{decode_reply, packet, prefixes_fail, reply, request};

#[test]
fn s1_init() {
    let packet = packet(
        "00000005 length
         01       INIT
         00000003 version",
    );
    let init = Init::decode(&mut Reader::new(&packet[5..])).unwrap();
    assert_eq!((packet[4], init.version), (Init::TYPE, 3));
    let mut out = Vec::new();
    init.encode(&mut out);
    assert_eq!(out, packet[5..]);
}

#[test]
fn s2_version_of_openssh_with_eleven_pairs() {
    let wire = hex::decode(S2).unwrap();
    let version = Version::decode(&mut Reader::new(&wire[5..])).unwrap();

    let set = ExtensionSet::from_announcement(&version.extensions);

    assert_eq!((wire[4], version.version), (Version::TYPE, 3));
    assert_eq!(version.extensions.iter().count(), 11);
    assert_eq!(set.rows().count(), 11);
    assert!(!set.contains(Extension::CheckFile));
    // Our table lists these eleven in the same order, so announcing them gives the same bytes.
    let mut out = Vec::new();
    Server::new(set).encode_version(&mut out);
    assert_eq!(out, wire);
    assert!(EXTENSIONS.len() > 11);
}

#[test]
fn s3_s4_open() {
    request(
        "00000021                 length
         03                       OPEN
         00000001                 id
         0000000c                 length of path
         2f646174612f75702e62696e /data/up.bin
         0000001a                 WRITE, CREATE, TRUNCATE
         00000004                 attribute flags: PERMISSIONS
         000001a4                 0644",
        1,
        Open {
            path: b"/data/up.bin",
            flags: OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE,
            attrs: Attrs { permissions: Some(0o644), ..Attrs::default() },
        },
    );
    request(
        "00000016   length
         03         OPEN
         00000002   id
         00000005   length of path
         612e747874 a.txt
         00000001   READ
         00000000   no attributes",
        2,
        Open { path: b"a.txt", flags: OpenFlags::READ, attrs: Attrs::default() },
    );
}

#[test]
fn s5_handle() {
    let wire = "0000000d length
         66       HANDLE
         00000002 id
         00000004 length of handle
         00000007";
    reply(wire, 2, Reply::Handle(Handle { handle: &[0, 0, 0, 7] }));
    prefixes_fail(wire);
}

#[test]
fn s6_read_s7_data() {
    request(
        "00000019         length
         05               READ
         00000003         id
         00000004         length of handle
         00000007
         0000000100000000 offset 4 GiB
         00008000         32768 bytes",
        3,
        Read { handle: &[0, 0, 0, 7], offset: 1 << 32, len: 32768 },
    );
    let wire = "0000000e   length
         67         DATA
         00000003   id
         00000005   length of data
         68656c6c6f hello";
    reply(wire, 3, Reply::Data(Data { data: b"hello" }));
    prefixes_fail(wire);
    assert_eq!(Data::header(3, 5), packet(wire)[..Data::HEADER_LEN]);
}

#[test]
fn s8_s9_status_with_and_without_its_strings() {
    let eof = Status { code: StatusCode::Eof, message: b"End of file" };
    let wire = "0000001c               length
         65                     STATUS
         00000004               id
         00000001               EOF
         0000000b               length of message
         456e64206f662066696c65 End of file
         00000000               no language";
    reply(wire, 4, Reply::Status(eof));
    reply(
        "00000018       length
         65             STATUS
         00000005       id
         00000000       OK
         00000007       length of message
         53756363657373 Success
         00000000       no language",
        5,
        Reply::Status(Status::of(StatusCode::Ok)),
    );

    let frame = &packet(wire)[4..];
    for end in 0..frame.len() {
        let status = decode_reply(&frame[..end]);
        let code_is_there = end >= 9;
        assert_eq!(status.is_ok(), code_is_there, "prefix of {end} bytes");
    }
}

#[test]
fn s10_write() {
    let write = Write { handle: &[0, 0, 0, 7], offset: 5, data: &[0x00, 0xff, 0x0a] };
    let wire = "0000001c         length
         06               WRITE
         00000006         id
         00000004         length of handle
         00000007
         0000000000000005 offset
         00000003         length of data
         00ff0a";
    request(wire, 6, write);
    assert_eq!(packet(wire)[4..][write.data_range()], [0x00, 0xff, 0x0a]);
}

#[test]
fn s11_attrs() {
    let wire = "00000025         length
         69               ATTRS
         00000007         id
         0000000f         SIZE, UIDGID, PERMISSIONS, ACMODTIME
         00000000000552ef size
         000003e8         uid
         00000064         gid
         000081a4         regular file, 0644
         6553f100         atime
         6553f101         mtime";
    reply(wire, 7, Reply::Attrs(listed()));
    prefixes_fail(wire);
}

#[test]
fn s12_name_of_a_listing() {
    let wire = hex::decode(S12).unwrap();
    let named = |size, permissions, modified| Attrs {
        size: Some(size),
        permissions: Some(permissions),
        times: Some(Times { accessed: 1_700_000_000, modified }),
        ..listed()
    };
    let entries = [
        (&b"."[..], named(4096, 0o040_755, 1_700_000_000), 2),
        ("naïve.txt".as_bytes(), named(12, 0o100_644, 1_700_000_000), 1),
    ];

    let mut out = Vec::new();
    let mut writer = NameWriter::new(8, &mut out);
    for (name, attrs, links) in entries {
        let line = Longname {
            permissions: attrs.permissions.unwrap(),
            links,
            owner: Who::Name(b"alice"),
            group: Who::Name(b"users"),
            size: attrs.size.unwrap(),
            modified: 1_700_000_000,
            name,
        };
        writer.push(name, &attrs, |out| line.encode(1_700_000_100, out));
    }
    assert!(writer.finish());
    assert_eq!(hex::encode(&out), S12);

    let Ok((8, Reply::Name(names))) = decode_reply(&wire[4..]) else { panic!() };
    let read: Vec<_> = names.iter().map(|entry| (entry.filename, entry.attrs)).collect();
    assert_eq!(read, entries.map(|(name, attrs, _)| (name, attrs)));
    assert!(names.iter().all(|entry| entry.longname.ends_with(entry.filename)));
    for end in 4..wire.len() {
        assert!(decode_reply(&wire[4..end]).is_err());
    }
}

#[test]
fn s13_realpath_and_its_name() {
    request(
        "0000000a length
         10       REALPATH
         00000009 id
         00000001 length of path
         2e       .",
        9,
        Realpath { path: b"." },
    );
    let wire = "0000002b               length
         68                     NAME
         00000009               id
         00000001               one name
         0000000b               length
         2f686f6d652f616c696365 /home/alice
         0000000b               length
         2f686f6d652f616c696365 the same as long name
         00000000               no attributes";
    let mut buffer = Vec::new();
    let name = Name::single(b"/home/alice", &mut buffer);
    reply(wire, 9, Reply::Name(name));
    prefixes_fail(wire);
    assert_eq!(name.only(), Ok(&b"/home/alice"[..]));
}

#[test]
fn s14_rename_s15_s16_symlink() {
    request(
        "0000000f length
         12       RENAME
         0000000a id
         00000001 length
         61       a
         00000001 length
         62       b",
        10,
        Rename { old_path: b"a", new_path: b"b" },
    );
    let symlink = Symlink { target: b"target", link: b"lnk" };
    request(
        "00000016     length
         14           SYMLINK
         0000000b     id
         00000006     length
         746172676574 target
         00000003     length
         6c6e6b       lnk",
        11,
        symlink,
    );
    request(
        "00000016     length
         14           SYMLINK in the order of the draft
         0000000b     id
         00000003     length
         6c6e6b       lnk
         00000006     length
         746172676574 target",
        11,
        symlink.swapped(),
    );
}

#[test]
fn s17_s18_setstat() {
    let times = Some(Times { accessed: 1, modified: 2 });
    request(
        "0000001a length
         09       SETSTAT
         0000000c id
         00000001 length
         66       f
         0000000c PERMISSIONS, ACMODTIME
         00000180 0600
         00000001 atime
         00000002 mtime",
        12,
        Setstat {
            path: b"f",
            attrs: Attrs { permissions: Some(0o600), times, ..Attrs::default() },
        },
    );
    let mut buffer = Vec::new();
    let extended = attrs::AttrPairs::build(&[(b"user.x", b"1")], &mut buffer);
    request(
        "00000021     length
         09           SETSTAT
         0000000d     id
         00000001     length
         66           f
         80000000     EXTENDED
         00000001     one pair
         00000006     length
         757365722e78 user.x
         00000001     length
         31           1",
        13,
        Setstat { path: b"f", attrs: Attrs { extended, ..Attrs::default() } },
    );
}

fn listed() -> Attrs<'static> {
    Attrs {
        size: Some(348_911),
        owner: Some(Owner { uid: 1000, gid: 100 }),
        permissions: Some(0o100_644),
        times: Some(Times { accessed: 1_700_000_000, modified: 1_700_000_001 }),
        ..Attrs::default()
    }
}

/// VERSION 3 and the eleven (name, value) pairs of OpenSSH 9.2 to 10.5.
const S2: &str = concat!(
    "0000013e020000000300000018706f7369782d72656e616d65406f70656e7373682e636f6d0000000131",
    "0000001373746174766673406f70656e7373682e636f6d0000000132000000146673746174766673406f",
    "70656e7373682e636f6d000000013200000014686172646c696e6b406f70656e7373682e636f6d000000",
    "0131000000116673796e63406f70656e7373682e636f6d0000000131000000146c73657473746174406f",
    "70656e7373682e636f6d0000000131000000126c696d697473406f70656e7373682e636f6d0000000131",
    "00000017657870616e642d70617468406f70656e7373682e636f6d000000013100000009636f70792d64",
    "61746100000001310000000e686f6d652d6469726563746f727900000001310000001e75736572732d67",
    "726f7570732d62792d6964406f70656e7373682e636f6d0000000131",
);

/// NAME with two entries, `.` and a name beyond ASCII; each has name, long name, attributes.
const S12: &str = concat!(
    "000000df680000000800000002000000012e0000003964727778722d78722d78202020203220616c6963",
    "65202020207573657273202020202020202034303936204e6f762031342032323a3133202e0000000f00",
    "00000000001000000003e800000064000041ed6553f1006553f1000000000a6e61c3af76652e74787400",
    "0000422d72772d722d2d722d2d202020203120616c696365202020207573657273202020202020202020",
    "203132204e6f762031342032323a3133206e61c3af76652e7478740000000f000000000000000c000003",
    "e800000064000081a46553f1006553f100",
);
