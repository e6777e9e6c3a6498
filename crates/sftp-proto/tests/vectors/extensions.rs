//! Vectors S19 to S30 and S44: extensions.

use sterna_sftp_proto::extension::{
    CheckFileName, CheckFileReply, CopyData, Digests, ExpandPath, Extended, Fgetxattr,
    Fremovexattr, Fsync, Getxattr, GetxattrReply, Hardlink, HomeDirectory, Ids, Limits,
    LimitsReply, Listxattr, ListxattrReply, Lsetstat, Md5Hash, Md5HashHandle, Md5HashReply,
    PosixRename, Ranges, RangesReply, Setxattr, SpaceAvailable, SpaceAvailableReply, Statvfs,
    StatvfsReply, UsersGroups, UsersGroupsReply, VendorId, XATTR_CREATE,
};
use sterna_sftp_proto::{Attrs, Request, Times};
use sterna_sshwire::Reader;

use crate::check::{accept, extended, packet, reply_data, typed_prefixes_fail, typed_reply};

#[test]
fn s19_posix_rename() {
    extended(
        "0000002b                                         length
         c8                                               EXTENDED
         0000000e                                         id
         00000018                                         length
         706f7369782d72656e616d65406f70656e7373682e636f6d posix-rename@openssh.com
         00000001                                         length
         61                                               a
         00000001                                         length
         62                                               b",
        14,
        PosixRename { old_path: b"a", new_path: b"b" },
    );
}

#[test]
fn s20_limits() {
    extended(
        "0000001b                             length
         c8                                   EXTENDED
         0000000f                             id
         00000012                             length
         6c696d697473406f70656e7373682e636f6d limits@openssh.com",
        15,
        Limits::new(),
    );
    let data = typed_reply!(
        "00000025         length
         c9               EXTENDED_REPLY
         0000000f         id
         0000000000040000 bytes of a packet
         000000000003fc00 bytes of a READ
         000000000003fc00 bytes of a WRITE
         00000000000003fb handles",
        15,
        LimitsReply,
        LimitsReply::ours(1019)
    );
    typed_prefixes_fail!(LimitsReply, data);
}

#[test]
fn s21_statvfs() {
    extended(
        "00000021                               length
         c8                                     EXTENDED
         00000010                               id
         00000013                               length
         73746174766673406f70656e7373682e636f6d statvfs@openssh.com
         00000001                               length
         2f                                     /",
        16,
        Statvfs { path: b"/" },
    );
    let data = typed_reply!(
        "0000005d         length
         c9               EXTENDED_REPLY
         00000010         id
         0000000000001000 block
         0000000000001000 fragment
         00000000000f4240 blocks
         000000000007a120 free
         000000000006ddd0 available
         0000000000010000 files
         000000000000ea60 free
         000000000000ea60 available
         1122334455667788 id of the file system
         0000000000000002 NO_SETUID
         00000000000000ff bytes of a name",
        16,
        StatvfsReply,
        StatvfsReply {
            block_len: 4096,
            fragment_len: 4096,
            blocks: 1_000_000,
            blocks_free: 500_000,
            blocks_available: 450_000,
            files: 65_536,
            files_free: 60_000,
            files_available: 60_000,
            fs_id: 0x1122_3344_5566_7788,
            flags: StatvfsReply::NO_SETUID,
            name_len_max: 255,
        }
    );
    typed_prefixes_fail!(StatvfsReply, data);
}

#[test]
fn s22_copy_data() {
    extended(
        "0000003a           length
         c8                 EXTENDED
         00000011           id
         00000009           length
         636f70792d64617461 copy-data
         00000004           length
         00000001           handle read from
         0000000000000000   offset
         0000000000000000   to the end
         00000004           length
         00000002           handle written to
         0000000000000000   offset",
        17,
        CopyData {
            read_handle: &[0, 0, 0, 1],
            read_offset: 0,
            len: 0,
            write_handle: &[0, 0, 0, 2],
            write_offset: 0,
        },
    );
}

#[test]
fn s23_users_and_groups() {
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    extended(
        "0000003b                                                     length
         c8                                                           EXTENDED
         00000012                                                     id
         0000001e                                                     length
         75736572732d67726f7570732d62792d6964406f70656e7373682e636f6d users-groups-by-id@openssh.com
         00000008                                                     length of uids
         00000000                                                     0
         00001092                                                     4242
         00000004                                                     length of gids
         00000000                                                     0",
        18,
        UsersGroups { uids: Ids::build(&[0, 4242], &mut uids), gids: Ids::build(&[0], &mut gids) },
    );
    let data = reply_data(
        "00000021 length
         c9       EXTENDED_REPLY
         00000012 id
         0000000c length of users
         00000004 length
         726f6f74 root
         00000000 unknown
         00000008 length of groups
         00000004 length
         726f6f74 root",
        18,
    );
    let reply = UsersGroupsReply::decode(&mut Reader::new(&data)).unwrap();
    assert!(reply.users.iter().eq([&b"root"[..], b""]));
    assert!(reply.groups.iter().eq([&b"root"[..]]));
    let mut out = Vec::new();
    UsersGroupsReply::encode_names(["root", ""], ["root"], &mut out);
    assert_eq!(out, data);
    typed_prefixes_fail!(UsersGroupsReply, data);
}

#[test]
fn s24_lsetstat_takes_no_size() {
    let attrs = Attrs { times: Some(Times { accessed: 1, modified: 2 }), ..Attrs::default() };
    extended(
        "00000030                                 length
         c8                                       EXTENDED
         00000013                                 id
         00000014                                 length
         6c73657473746174406f70656e7373682e636f6d lsetstat@openssh.com
         00000003                                 length
         6c6e6b                                   lnk
         00000008                                 ACMODTIME
         00000001                                 atime
         00000002                                 mtime",
        19,
        Lsetstat { path: b"lnk", attrs },
    );
    let mut out = Vec::new();
    let sized = Lsetstat { path: b"lnk", attrs: Attrs { size: Some(1), ..attrs } };
    Request::from(Extended::from(sized)).encode(19, &mut out);
    assert_eq!(accept(&out[4..]), None);
}

#[test]
fn s25_hardlink_and_fsync() {
    extended(
        "00000027                                 length
         c8                                       EXTENDED
         00000014                                 id
         00000014                                 length
         686172646c696e6b406f70656e7373682e636f6d hardlink@openssh.com
         00000001                                 length
         61                                       a
         00000001                                 length
         62                                       b",
        20,
        Hardlink { existing: b"a", new: b"b" },
    );
    extended(
        "00000022                           length
         c8                                 EXTENDED
         00000015                           id
         00000011                           length
         6673796e63406f70656e7373682e636f6d fsync@openssh.com
         00000004                           length
         00000001                           handle",
        21,
        Fsync { handle: &[0, 0, 0, 1] },
    );
}

#[test]
fn s26_expand_path_and_home_directory() {
    extended(
        "00000027                                       length
         c8                                             EXTENDED
         00000016                                       id
         00000017                                       length
         657870616e642d70617468406f70656e7373682e636f6d expand-path@openssh.com
         00000003                                       length
         7e2f78                                         ~/x",
        22,
        ExpandPath { path: b"~/x" },
    );
    extended(
        "0000001b                     length
         c8                           EXTENDED
         00000017                     id
         0000000e                     length
         686f6d652d6469726563746f7279 home-directory
         00000000                     the user of the session",
        23,
        HomeDirectory { user: b"" },
    );
}

#[test]
fn s27_s28_check_file_in_all_three_forms() {
    let digest =
        hex::decode("d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592").unwrap();
    let check =
        CheckFileName { path: b"f", hash_list: b"sha256,md5", offset: 0, len: 0, block_len: 0 };
    extended(
        "0000003f                       length
         c8                             EXTENDED
         00000018                       id
         0000000f                       length
         636865636b2d66696c652d6e616d65 check-file-name
         00000001                       length
         66                             f
         0000000a                       length
         7368613235362c6d6435           sha256,md5
         0000000000000000               offset
         0000000000000000               to the end
         00000000                       one digest",
        24,
        check,
    );
    assert!(check.hash_names().eq([&b"sha256"[..], b"md5"]));

    let form_a = typed_reply!(
        "0000002f     length
         c9           EXTENDED_REPLY
         00000018     id
         00000006     length
         736861323536 sha256
         d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592",
        24,
        CheckFileReply,
        CheckFileReply { hash: b"sha256", digests: Digests::Raw(&digest) }
    );
    let form_b = [&b"\0\0\0\x0acheck-file"[..], &form_a].concat();
    let form_c = reply_data(
        "00000041             length
         c9                   EXTENDED_REPLY
         00000018             id
         0000000a             length
         636865636b2d66696c65 check-file
         00000006             length
         736861323536         sha256
         00000020             length of the digest
         d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592",
        24,
    );
    for form in [form_a, form_b, form_c] {
        let reply = CheckFileReply::decode(&mut Reader::new(&form)).unwrap();
        assert_eq!(reply.hash, b"sha256");
        assert!(reply.digests(32).unwrap().eq([&digest[..]]));
        assert!(reply.digests(20).is_err(), "the length of another hash");
        for end in 0..form.len() {
            let cut = CheckFileReply::decode(&mut Reader::new(&form[..end]));
            let digests = cut.and_then(|reply| reply.digests(32).map(Iterator::count));
            assert!(digests.is_err(), "prefix of {end} bytes");
        }
    }
}

#[test]
fn an_extension_we_do_not_have_is_kept_as_unknown() {
    let wire = packet(
        "0000003a                         length
         c8                               EXTENDED
         00000019                         id
         00000008                         length
         6372632d68617368                 crc-hash
         00000001                         length
         66                               f
         0000000000000000                 offset
         000000000000002b                 length
         00000010                         length
         9e107d9d372bb6826bd81d3542a419d6 quick check",
    );
    let Some(Ok(Request::Extended(extended))) = Request::decode(200, &mut Reader::new(&wire[9..]))
    else {
        panic!()
    };
    assert!(matches!(extended, Extended::Unknown { name: b"crc-hash", .. }));
    assert_eq!(accept(&wire[4..]), None);
    let mut out = Vec::new();
    Request::from(extended).encode(25, &mut out);
    assert_eq!(out, wire);

    let data = reply_data(
        "00000025                         length
         c9                               EXTENDED_REPLY
         00000019                         id
         00000008                         length
         6d64352d68617368                 md5-hash
         00000010                         length
         9e107d9d372bb6826bd81d3542a419d6",
        25,
    );
    assert_eq!(data.len(), 0x25 - 5);
}

#[test]
fn s30_space_available_with_and_without_its_last_word() {
    extended(
        "0000001d                       length
         c8                             EXTENDED
         0000001a                       id
         0000000f                       length
         73706163652d617661696c61626c65 space-available
         00000001                       length
         2f                             /",
        26,
        SpaceAvailable { path: b"/" },
    );
    let expected = SpaceAvailableReply {
        bytes_on_device: 1_000_000_000_000,
        unused_bytes_on_device: 400_000_000_000,
        bytes_available_to_user: 100_000_000_000,
        unused_bytes_available_to_user: 50_000_000_000,
        bytes_per_allocation_unit: 4096,
    };
    let data = typed_reply!(
        "00000029         length
         c9               EXTENDED_REPLY
         0000001a         id
         000000e8d4a51000 bytes on device
         0000005d21dba000 unused
         000000174876e800 for the user
         0000000ba43b7400 unused
         00001000         allocation unit",
        26,
        SpaceAvailableReply,
        expected
    );
    typed_prefixes_fail!(SpaceAvailableReply, data[..32]);
    for end in 32..36 {
        let short = SpaceAvailableReply::decode(&mut Reader::new(&data[..end]));
        assert_eq!(short, Ok(SpaceAvailableReply { bytes_per_allocation_unit: 0, ..expected }));
    }
}

#[test]
fn s44_vendor_id() {
    extended(
        "0000003e               length
         c8                     EXTENDED
         0000002b               id
         00000009               length
         76656e646f722d6964     vendor-id
         0000000b               length
         4578616d706c65204f7267 Example Org
         0000000a               length
         4578616d706c65465450   ExampleFTP
         00000003               length
         312e30                 1.0
         0000000000000007       build",
        43,
        VendorId { vendor: b"Example Org", product: b"ExampleFTP", version: b"1.0", build: 7 },
    );
}

#[test]
fn s29_md5_hash() {
    let quick_hash = &hex::decode("9e107d9d372bb6826bd81d3542a419d6").unwrap();
    extended(
        "0000003a                         length
         c8                               EXTENDED
         00000019                         id
         00000008                         length
         6d64352d68617368                 md5-hash
         00000001                         length
         66                               f
         0000000000000000                 offset
         000000000000002b                 length of the range
         00000010                         length
         9e107d9d372bb6826bd81d3542a419d6 quick hash",
        25,
        Md5Hash { path: b"f", offset: 0, len: 43, quick_hash },
    );
    extended(
        "00000031                         length
         c8                               EXTENDED
         00000019                         id
         0000000f                         length
         6d64352d686173682d68616e646c65   md5-hash-handle
         00000001                         length
         68                               h
         0000000000000001                 offset
         0000000000000000                 length of the range: to the end
         00000000                         no quick hash",
        25,
        Md5HashHandle { handle: b"h", offset: 1, len: 0, quick_hash: b"" },
    );
    let data = typed_reply!(
        "00000025                         length
         c9                               EXTENDED_REPLY
         00000019                         id
         00000008                         length
         6d64352d68617368                 md5-hash
         00000010                         length
         9e107d9d372bb6826bd81d3542a419d6 digest",
        25,
        Md5HashReply,
        Md5HashReply { digest: quick_hash }
    );
    typed_prefixes_fail!(Md5HashReply, data);
}

#[test]
fn s49_ranges() {
    extended(
        "00000034                               length
         c8                                     EXTENDED
         00000030                               id
         00000013                               length
         72616e676573406173796e637373682e636f6d ranges@asyncssh.com
         00000004                               length
         00000001                               handle
         0000000000000000                       offset
         0000000000100000                       length of what is asked about",
        48,
        Ranges { handle: &[0, 0, 0, 1], offset: 0, len: 1 << 20 },
    );
    let mut buffer = Vec::new();
    let data = typed_reply!(
        "0000001a         length
         c9               EXTENDED_REPLY
         00000030         id
         00000001         parts
         0000000000000000 offset
         0000000000001000 length
         01               at end",
        48,
        RangesReply,
        RangesReply::build([(0, 4096)], true, &mut buffer)
    );
    typed_prefixes_fail!(RangesReply, data);
}

#[test]
fn ranges_that_lead_nowhere_are_refused() {
    let mut buffer = Vec::new();
    for bad in
        [&[(4, 4), (0, 4)][..], &[(0, 4), (3, 4)], &[(0, 0)], &[(u64::MAX, 1)], &[(1, u64::MAX)]]
    {
        let mut wire = Vec::new();
        RangesReply::build(bad.iter().copied(), true, &mut buffer).encode(&mut wire);

        assert!(RangesReply::decode(&mut Reader::new(&wire)).is_err(), "{bad:?}");
    }
    let lie = [0xff, 0xff, 0xff, 0xff, 1];
    assert!(RangesReply::decode(&mut Reader::new(&lie)).is_err());
}

#[test]
fn s48_xattr() {
    extended(
        "00000035                                 length
         c8                                       EXTENDED
         0000002f                                 id
         00000014                                 length
         73657478617474724070726f667470642e6f7267 setxattr@proftpd.org
         00000001                                 length
         66                                       f
         00000006                                 length
         757365722e78                             user.x
         00000001                                 length
         31                                       value
         00000001                                 flags: CREATE",
        47,
        Setxattr { path: b"f", name: b"user.x", value: b"1", flags: XATTR_CREATE },
    );
    extended(
        "00000030                                 length
         c8                                       EXTENDED
         00000030                                 id
         00000014                                 length
         67657478617474724070726f667470642e6f7267 getxattr@proftpd.org
         00000001                                 length
         66                                       f
         00000006                                 length
         757365722e78                             user.x
         00010000                                 longest value",
        48,
        Getxattr { path: b"f", name: b"user.x", len_max: 65536 },
    );
    extended(
        "00000031                                   length
         c8                                         EXTENDED
         00000031                                   id
         00000015                                   length
         6667657478617474724070726f667470642e6f7267 fgetxattr@proftpd.org
         00000001                                   length
         68                                         h
         00000006                                   length
         757365722e78                               user.x
         00000001                                   longest value",
        49,
        Fgetxattr { handle: b"h", name: b"user.x", len_max: 1 },
    );
    extended(
        "00000023                                   length
         c8                                         EXTENDED
         00000032                                   id
         00000015                                   length
         6c69737478617474724070726f667470642e6f7267 listxattr@proftpd.org
         00000001                                   length
         66                                         f",
        50,
        Listxattr { path: b"f" },
    );
    extended(
        "00000036                                         length
         c8                                               EXTENDED
         00000033                                         id
         00000018                                         length
         6672656d6f766578617474724070726f667470642e6f7267 fremovexattr@proftpd.org
         00000007                                         length
         68616e646c6573                                   handles
         00000006                                         length
         757365722e78                                     user.x",
        51,
        Fremovexattr { handle: b"handles", name: b"user.x" },
    );
    let data = typed_reply!(
        "0000000a length
         c9       EXTENDED_REPLY
         00000030 id
         00000001 length
         31       value",
        48,
        GetxattrReply,
        GetxattrReply { value: b"1" }
    );
    typed_prefixes_fail!(GetxattrReply, data);
    let mut buffer = Vec::new();
    let data = typed_reply!(
        "0000001d     length
         c9           EXTENDED_REPLY
         00000032     id
         00000002     names
         00000006     length
         757365722e78 user.x
         00000006     length
         757365722e79 user.y",
        50,
        ListxattrReply,
        ListxattrReply::build([b"user.x", b"user.y"], &mut buffer)
    );
    typed_prefixes_fail!(ListxattrReply, data);
}
