use sterna_sandbox::MESSAGE_LEN_MAX;

use super::*;

const ATTRS: Attrs = Attrs {
    kind: FileKind::Symlink,
    size: 1 << 40,
    mode: 0o1644,
    uid: 1,
    gid: u32::MAX,
    accessed: Time { seconds: -5, nanos: 999_999_999 },
    modified: Time { seconds: 1 << 40, nanos: 0 },
    changed: Time { seconds: 0, nanos: 1 },
    links: 3,
    id: (7, u64::MAX),
};

#[test]
fn requests_come_back_as_they_were() {
    let how = OpenHow {
        read: true,
        append: true,
        exclusive: true,
        mode: Some(0o640),
        ..OpenHow::default()
    };
    let attrs = SetAttrs {
        size: Some(9),
        mode: Some(0o700),
        times: Some((ATTRS.accessed, ATTRS.modified)),
        owner: Some(Owner { uid: Some(1), gid: None }),
    };
    let set = Xattr::Set { name: b"user.a", value: b"v", when: XattrWhen::There };
    for request in [
        Request::Open { path: b"/a", how },
        Request::Stat { path: b"", follow: true },
        Request::OpenDir { path: b"/" },
        Request::ReadDir { dir: 3, max: 9 },
        Request::StatDir { dir: 1 },
        Request::SyncDir { dir: 2 },
        Request::CloseDir { dir: u32::MAX },
        Request::SetAttrs { path: b"/x", attrs, follow: false },
        Request::SetAttrs { path: b"/x", attrs: SetAttrs::default(), follow: true },
        Request::Remove { path: b"/\xff" },
        Request::Mkdir { path: b"/d", mode: None },
        Request::Rmdir { path: b"/d" },
        Request::Rename { from: b"/a", to: b"/b", replace: true },
        Request::Realpath { path: b"." },
        Request::Readlink { path: b"/l" },
        Request::Symlink { target: b"../x", link: b"/l" },
        Request::Hardlink { existing: b"/a", new: b"/b" },
        Request::Statvfs { path: b"/" },
        Request::Xattr { path: b"/a", asked: Xattr::List },
        Request::Xattr { path: b"/a", asked: Xattr::Get(b"user.a") },
        Request::FileSetAttrs { attrs },
        Request::FileXattr { asked: set },
        Request::FileXattr { asked: Xattr::Remove(b"user.a") },
    ] {
        let bytes = request.encode();
        assert_eq!(Request::decode(&bytes), Ok(request));
        assert!(Request::decode(&bytes[..bytes.len() - 1]).is_err(), "{request:?} cut");
        assert!(Request::decode(&[&bytes[..], b"x"].concat()).is_err(), "{request:?} and more");
    }
}

#[test]
fn replies_come_back_as_they_were() {
    let space =
        Space { blocks: 5, fs_id: 9, no_setuid: true, name_len_max: 255, ..Space::default() };
    let entry = |name: &[u8]| DirEntry { name: name.to_vec(), attrs: ATTRS };
    let kinds = ERRORS.iter().map(|kind| Reply::Failed { kind: *kind, errno: 2 });
    let others = [
        Reply::Done,
        Reply::File,
        Reply::Attrs(ATTRS),
        Reply::Path(b"/a/b".to_vec()),
        Reply::Dir(4),
        Reply::Entries { entries: vec![entry(b"."), entry(&[b'n'; 255])], more: true },
        Reply::Space(space),
        Reply::Xattr(XattrAnswer::Value(vec![0; 65536])),
        Reply::Xattr(XattrAnswer::Names(vec![b"user.a".to_vec(), b"user.b".to_vec()])),
        Reply::Xattr(XattrAnswer::Done),
    ];
    for reply in kinds.chain(others) {
        let bytes = reply.encode();
        assert_eq!(Reply::decode(&bytes).as_ref(), Ok(&reply));
        assert!(Reply::decode(&bytes[..bytes.len() - 1]).is_err(), "{reply:?} cut");
        assert!(Reply::decode(&[&bytes[..], b"x"].concat()).is_err(), "{reply:?} and more");
    }
}

#[test]
fn the_largest_messages_fit() {
    let name = vec![b'n'; ENTRY_NAME_MAX];
    let entries = vec![DirEntry { name, attrs: ATTRS }; ENTRIES_MAX];
    assert!(Reply::Entries { entries, more: true }.encode().len() <= MESSAGE_LEN_MAX);
    let path = vec![b'p'; PATH_MAX];
    let value = vec![0; XATTR_VALUE_MAX];
    let name = vec![b'n'; XATTR_NAME_MAX];
    let asked = Xattr::Set { name: &name, value: &value, when: XattrWhen::Always };
    assert!(Request::Xattr { path: &path, asked }.encode().len() <= MESSAGE_LEN_MAX);
    // The shortest names of attributes that a list of the largest size holds: `user.x` and a NUL.
    let names = vec![b"user.x".to_vec(); 65536 / 7];
    assert!(names.len() <= XATTR_NAMES_MAX);
    assert!(Reply::Xattr(XattrAnswer::Names(names)).encode().len() <= MESSAGE_LEN_MAX);
}

#[test]
fn what_is_written_in_another_way_is_refused() {
    for (bytes, field) in [
        (&b"\x02\0\0\0\0\x02"[..], "follow"),
        (b"\x0a\0\0\0\0\0\0\0\0\x01", "mode"),
        (b"\x0a\0\0\0\0\x03\0\0\0\x01", "mode"),
    ] {
        assert_eq!(Request::decode(bytes), Err(DecodeError::invalid(field)));
    }
}
