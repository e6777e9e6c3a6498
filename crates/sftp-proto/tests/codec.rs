//! Every message survives the way to the wire and back, and no bytes make a decoder panic.

use proptest::prelude::*;
use sterna_sftp_proto::client::Client;
use sterna_sftp_proto::extension::*;
use sterna_sftp_proto::messages::*;
use sterna_sftp_proto::server::{Incoming, Refusal, Server};
use sterna_sftp_proto::{
    Attrs, OpenFlags, Owner, Reply, Request, StatusCode, Times, attrs::AttrPairs,
};
use sterna_sshwire::{DecodeError, Reader, Why};

/// Size, owner, permissions, times and our own pair of an attribute block.
type Groups =
    (Option<u64>, Option<(u32, u32)>, Option<u32>, Option<(u32, u32)>, Option<(u32, u64, u32)>);

/// Owned material that a message of any kind can be made of.
#[derive(Clone, Debug)]
struct Parts {
    id: u32,
    path: Vec<u8>,
    other: Vec<u8>,
    handle: Vec<u8>,
    handle_2: Vec<u8>,
    data: Vec<u8>,
    numbers: [u64; 3],
    word: u32,
    ids: Vec<u32>,
    attrs: Groups,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let path = || prop::collection::vec(1u8.., 0..80);
    (
        (any::<u32>(), path(), path(), bytes(20), bytes(20), bytes(300)),
        (any::<[u64; 3]>(), any::<u32>(), prop::collection::vec(any::<u32>(), 0..20)),
        any::<Groups>(),
        prop::collection::vec((bytes(20), bytes(20)), 0..5),
    )
        .prop_map(|(bytes, (numbers, word, ids), attrs, pairs)| {
            let (id, path, other, handle, handle_2, data) = bytes;
            Parts { id, path, other, handle, handle_2, data, numbers, word, ids, attrs, pairs }
        })
}

fn attrs<'a>(parts: &Parts, buffer: &'a mut Vec<u8>) -> Attrs<'a> {
    let pairs: Vec<_> = parts.pairs.iter().map(|(name, data)| (&name[..], &data[..])).collect();
    Attrs {
        size: parts.attrs.0,
        owner: parts.attrs.1.map(|(uid, gid)| Owner { uid, gid }),
        permissions: parts.attrs.2,
        times: parts.attrs.3.map(|(accessed, modified)| Times { accessed, modified }),
        posix: parts.attrs.4.map(|(nanos, file_id, links)| PosixAttrs {
            accessed_nanos: nanos % NANOS_PER_SECOND,
            modified_nanos: links % NANOS_PER_SECOND,
            file_id,
            links,
        }),
        extended: AttrPairs::build(&pairs, buffer),
    }
}

/// One request of every kind.
fn requests<'a>(p: &'a Parts, attrs: Attrs<'a>, ids: Ids<'a>) -> Vec<Request<'a>> {
    let Parts { path, other, handle, data, numbers, .. } = p;
    let [offset, len, build] = *numbers;
    let hash_list = handle;
    let block_len = p.word;
    let unsized_attrs = Attrs { size: None, ..attrs };
    let extended: Vec<Extended<'a>> = vec![
        PosixRename { old_path: path, new_path: other }.into(),
        Statvfs { path }.into(),
        Fstatvfs { handle }.into(),
        Hardlink { existing: path, new: other }.into(),
        Fsync { handle }.into(),
        Lsetstat { path, attrs: unsized_attrs }.into(),
        Limits::new().into(),
        PosixAttrsRequest::new().into(),
        ExpandPath { path }.into(),
        CopyData {
            read_handle: handle,
            read_offset: offset,
            len,
            write_handle: &p.handle_2,
            write_offset: build,
        }
        .into(),
        HomeDirectory { user: handle }.into(),
        UsersGroups { uids: ids, gids: ids }.into(),
        CheckFileHandle { handle, hash_list, offset, len, block_len }.into(),
        CheckFileName { path, hash_list, offset, len, block_len }.into(),
        Ranges { handle, offset, len }.into(),
        Getxattr { path, name: other, len_max: p.word }.into(),
        Fgetxattr { handle, name: other, len_max: p.word }.into(),
        Setxattr { path, name: other, value: data, flags: p.word }.into(),
        Fsetxattr { handle, name: other, value: data, flags: p.word }.into(),
        Listxattr { path }.into(),
        Flistxattr { handle }.into(),
        Removexattr { path, name: other }.into(),
        Fremovexattr { handle, name: other }.into(),
        Md5Hash { path, offset, len, quick_hash: handle }.into(),
        Md5HashHandle { handle, offset, len, quick_hash: hash_list }.into(),
        SpaceAvailable { path }.into(),
        VendorId { vendor: handle, product: other, version: path, build }.into(),
        Extended::Unknown { name: b"nope@example.org", data },
    ];
    let mut requests: Vec<Request<'a>> = vec![
        Open { path, flags: OpenFlags(p.word), attrs }.into(),
        Close { handle }.into(),
        Read { handle, offset, len: p.word }.into(),
        Write { handle, offset, data }.into(),
        Lstat { path }.into(),
        Fstat { handle }.into(),
        Setstat { path, attrs }.into(),
        Fsetstat { handle, attrs }.into(),
        Opendir { path }.into(),
        Readdir { handle }.into(),
        Remove { path }.into(),
        Mkdir { path, attrs }.into(),
        Rmdir { path }.into(),
        Realpath { path }.into(),
        Stat { path }.into(),
        Rename { old_path: path, new_path: other }.into(),
        Readlink { path }.into(),
        Symlink { target: path, link: other }.into(),
    ];
    requests.extend(extended.into_iter().map(Request::from));
    requests
}

proptest! {
    #[test]
    fn every_request_comes_back_as_it_was(p in parts(), junk: Vec<u8>) {
        let (mut pairs, mut ids) = (Vec::new(), Vec::new());
        let attrs = attrs(&p, &mut pairs);
        let ids = Ids::build(&p.ids, &mut ids);
        for request in requests(&p, attrs, ids) {
            let mut packet = Vec::new();
            request.encode(p.id, &mut packet);
            let mut r = Reader::new(&packet[9..]);
            prop_assert_eq!(packet[5..9].to_vec(), p.id.to_be_bytes());
            prop_assert_eq!(Request::decode(packet[4], &mut r), Some(Ok(request)));
            prop_assert!(r.is_empty());

            // Bytes behind the known fields change nothing, unless the fields go to the end.
            if !matches!(request, Request::Extended(Extended::Unknown { .. })) {
                packet.extend_from_slice(&junk);
                let decoded = Request::decode(packet[4], &mut Reader::new(&packet[9..]));
                prop_assert_eq!(decoded, Some(Ok(request)));
            }
        }
    }

    #[test]
    fn every_reply_comes_back_as_it_was(p in parts()) {
        let (mut pairs, mut name) = (Vec::new(), Vec::new());
        let attrs = attrs(&p, &mut pairs);
        let replies = [
            Reply::Status(Status { code: StatusCode::Failure, message: &p.data }),
            Reply::Handle(Handle { handle: &p.handle }),
            Reply::Data(Data { data: &p.data }),
            Reply::Name(Name::single(&p.path, &mut name)),
            Reply::Attrs(attrs),
            Reply::ExtendedReply(ExtendedReply { data: &p.data }),
        ];
        for reply in replies {
            let mut packet = Vec::new();
            reply.encode(p.id, &mut packet);
            prop_assert_eq!(Reply::decode(packet[4], &mut Reader::new(&packet[9..])), Some(Ok(reply)));
        }
    }

    #[test]
    fn names_written_one_by_one_are_read_in_order(
        names in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 1..20),
        p in parts(),
    ) {
        let mut pairs = Vec::new();
        let attrs = attrs(&p, &mut pairs);
        let mut packet = Vec::new();
        let mut writer = NameWriter::new(p.id, &mut packet);
        for (filename, longname) in &names {
            writer.push(filename, &attrs, |out| out.extend_from_slice(longname));
        }
        prop_assert!(writer.finish());

        let decoded = Reply::decode(packet[4], &mut Reader::new(&packet[9..]));
        let Some(Ok(Reply::Name(read))) = decoded else { panic!("{decoded:?}") };
        prop_assert_eq!(read.len(), names.len());
        for (entry, (filename, longname)) in read.iter().zip(&names) {
            prop_assert_eq!(entry, NameEntry { filename, longname, attrs });
        }
    }

    #[test]
    fn extension_replies_come_back_as_they_were(n: [u64; 11], word: u32, names: Vec<Vec<u8>>) {
        let statvfs = StatvfsReply {
            block_len: n[0], fragment_len: n[1], blocks: n[2], blocks_free: n[3],
            blocks_available: n[4], files: n[5], files_free: n[6], files_available: n[7],
            fs_id: n[8], flags: n[9], name_len_max: n[10],
        };
        let limits = LimitsReply {
            packet_len_max: n[0], read_len_max: n[1], write_len_max: n[2], open_handles_max: n[3],
        };
        let space = SpaceAvailableReply {
            bytes_on_device: n[0], unused_bytes_on_device: n[1], bytes_available_to_user: n[2],
            unused_bytes_available_to_user: n[3], bytes_per_allocation_unit: word,
        };
        let mut out = Vec::new();
        statvfs.encode(&mut out);
        limits.encode(&mut out);
        space.encode(&mut out);
        UsersGroupsReply::encode_names(&names, &names, &mut out);
        let mut r = Reader::new(&out);
        prop_assert_eq!(StatvfsReply::decode(&mut r), Ok(statvfs));
        prop_assert_eq!(LimitsReply::decode(&mut r), Ok(limits));
        prop_assert_eq!(SpaceAvailableReply::decode(&mut r), Ok(space));
        let reply = UsersGroupsReply::decode(&mut r).unwrap();
        prop_assert!(reply.users.iter().eq(names.iter().map(|name| &name[..])));
        prop_assert!(reply.groups.iter().eq(names.iter().map(|name| &name[..])));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        wire_type in prop_oneof![1u8..24, 101u8..106, 200u8..202],
        extension in 0..EXTENSIONS.len(),
        bytes in prop::collection::vec(prop_oneof![2 => Just(0u8), 1 => any::<u8>()], 0..120),
    ) {
        // Behind the name of a known extension, so that its own decoder is reached.
        let mut named = vec![200, 0, 0, 0, 1];
        let name = EXTENSIONS[extension].announced.as_bytes();
        named.extend_from_slice(&(name.len() as u32).to_be_bytes());
        named.extend_from_slice(name);
        named.extend_from_slice(&bytes);
        let typed = [&[wire_type][..], &bytes].concat();
        for frame in [&typed, &named, &bytes] {
            let mut server = Server::new(ExtensionSet::all());
            let _ = server.accept(&[1, 0, 0, 0, 3]);
            let _ = server.accept(frame);
            let mut client = Client::new();
            let _ = client.accept(frame);
            let _ = client.accept(&[2, 0, 0, 0, 3]);
            let _ = client.request(Stat { path: b"f" }, (), &mut Vec::new());
            let _ = client.accept(frame);
            if let Some(Ok(Reply::Name(names))) =
                Reply::decode(Name::TYPE, &mut Reader::new(&bytes))
            {
                prop_assert_eq!(names.iter().count(), names.len());
            }
        }
        let _ = StatvfsReply::decode(&mut Reader::new(&bytes));
        let _ = LimitsReply::decode(&mut Reader::new(&bytes));
        let _ = SpaceAvailableReply::decode(&mut Reader::new(&bytes));
        let _ = UsersGroupsReply::decode(&mut Reader::new(&bytes));
        if let Ok(check) = CheckFileReply::decode(&mut Reader::new(&bytes)) {
            for digest_len in [0, 1, 16, 32, 64] {
                let _ = check.digests(digest_len).map(Iterator::count);
            }
        }
    }
}

#[test]
fn every_operation_has_its_own_type_and_name() {
    for (i, row) in OPERATIONS.iter().enumerate() {
        for other in &OPERATIONS[..i] {
            assert!(row.wire_type != other.wire_type && row.name != other.name);
        }
    }
    assert_eq!(OPERATIONS.len(), 19);
}

#[test]
fn a_lying_count_of_names_is_refused_before_anything_is_read() {
    for count in [1u32, 2, 0x7fff_ffff, 0xffff_ffff] {
        let wire = [&count.to_be_bytes()[..], &[0; 11]].concat();

        assert!(Name::decode(&mut Reader::new(&wire)).is_err(), "{count}");
    }
}

#[test]
fn only_one_name_that_is_not_empty_answers_realpath() {
    let only = |names: &[&[u8]]| {
        let mut packet = Vec::new();
        let mut writer = NameWriter::new(1, &mut packet);
        names.iter().for_each(|name| writer.push(name, &Attrs::default(), |_| ()));
        assert_eq!(writer.count(), names.len());
        let _ = writer.finish();
        let Some(body) = packet.get(9..) else { return false };
        Name::decode(&mut Reader::new(body)).unwrap().only().is_ok()
    };

    assert!(only(&[b"/home"]));
    assert!(!only(&[b""]));
    assert!(!only(&[b"/a", b"/b"]));
    assert!(Name::decode(&mut Reader::new(&[0; 4])).unwrap().only().is_err());
}

#[test]
fn a_batch_without_names_leaves_the_buffer_as_it_was() {
    let mut out = b"before".to_vec();

    let written = NameWriter::new(1, &mut out).finish();

    assert!(!written);
    assert_eq!(out, b"before");
}

#[test]
fn handles_and_id_lists_over_their_bounds_fail_and_the_session_lives() {
    let mut server = Server::new(ExtensionSet::all());
    server.accept(&[1, 0, 0, 0, 3]).unwrap();
    let mut packet = Vec::new();
    for len in [256, 257] {
        packet.clear();
        Request::from(Close { handle: &vec![b'h'; len] }).encode(1, &mut packet);

        let incoming = server.accept(&packet[4..]).unwrap();

        assert_eq!(matches!(incoming, Incoming::Request { .. }), len == 256);
        if let Incoming::Refused { refusal, .. } = incoming {
            let why = Why::TooLong { len, max: 256 };
            assert_eq!(refusal, Refusal::Malformed(DecodeError { field: "handle", why }));
            assert_eq!(refusal.status().code, StatusCode::Failure);
        }
    }
    for count in [4096u32, 4097] {
        let mut body = Vec::new();
        sterna_sshwire::put_string(&mut body, b"users-groups-by-id@openssh.com");
        sterna_sshwire::put_string(&mut body, &vec![0; 4 * count as usize]);
        sterna_sshwire::put_string(&mut body, b"");

        let decoded = Extended::decode(&mut Reader::new(&body));

        assert_eq!(decoded.is_ok(), count == 4096);
    }
}

#[test]
fn a_read_only_session_can_tell_what_to_refuse() {
    let open = |flags| Request::from(Open { path: b"f", flags, attrs: Attrs::default() });

    assert!(!open(OpenFlags::READ).changes());
    assert!(open(OpenFlags::READ | OpenFlags::CREATE).changes());
    assert!(Request::from(Setstat { path: b"f", attrs: Attrs::default() }).changes());
    assert!(Request::from(Extended::Unknown { name: b"new", data: b"" }).changes());
    assert!(!Request::from(Extended::from(Statvfs { path: b"f" })).changes());
    assert!(Request::from(Extended::from(Fsync { handle: b"h" })).changes());
}
