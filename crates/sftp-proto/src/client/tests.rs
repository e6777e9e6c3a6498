//! The client half against servers that answer late, twice, wrongly, or in another version.

use super::*;
use crate::StatusCode;
use crate::messages::{Data, DataHead, Remove, Status, Symlink, Write};

fn version(number: u32, pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let (mut buffer, mut frame) = (Vec::new(), Vec::new());
    let extensions = ExtensionPairs::build(pairs.iter().copied(), &mut buffer);
    let version = Version { version: number, extensions };
    put_frame(&mut frame, Version::TYPE, None, |out| version.encode(out));
    frame.split_off(4)
}

fn began(pairs: &[(&[u8], &[u8])]) -> Client<&'static str> {
    let mut client = Client::new();
    client.accept(&version(3, pairs)).unwrap();
    client
}

fn ok(id: u32) -> Vec<u8> {
    let mut frame = Vec::new();
    Reply::Status(Status::of(StatusCode::Ok)).encode(id, &mut frame);
    frame.split_off(4)
}

fn token<T: Clone>(incoming: &Incoming<'_, T>) -> T {
    let Incoming::Reply { token, .. } = incoming else { panic!("not a reply") };
    token.clone()
}

#[test]
fn init_is_the_five_bytes_of_version_three() {
    let mut out = Vec::new();

    Client::<()>::new().encode_init(&mut out);

    assert_eq!(out, [0, 0, 0, 5, 1, 0, 0, 0, 3]);
}

#[test]
fn older_versions_are_refused_and_newer_ones_taken_as_ours() {
    for old in [0, 1, 2] {
        let refused = Client::<()>::new().accept(&version(old, &[])).unwrap_err();
        assert_eq!(refused, PeerError::VersionTooOld(old));
    }
    for new in [3, 4, 6] {
        assert!(Client::<()>::new().accept(&version(new, &[])).is_ok());
    }
}

#[test]
fn a_version_cut_anywhere_is_malformed_or_lacks_whole_pairs() {
    let whole = version(3, &[(b"fsync@openssh.com", b"1"), (b"x", b"\0\xff")]);
    let pair_ends = [5, 5 + 4 + 17 + 4 + 1];
    for end in 0..whole.len() {
        let taken = Client::<()>::new().accept(&whole[..end]).is_ok();

        assert_eq!(taken, pair_ends.contains(&end), "cut at {end}");
    }
}

#[test]
fn replies_in_any_order_find_their_requests() {
    let (mut client, mut out) = (began(&[]), Vec::new());
    let first = client.request(Remove { path: b"a" }, "first", &mut out).unwrap();
    let second = client.request(Remove { path: b"b" }, "second", &mut out).unwrap();

    assert_eq!(token(&client.accept(&ok(second)).unwrap()), "second");
    assert_eq!(token(&client.accept(&ok(first)).unwrap()), "first");
    assert_eq!(client.outstanding(), 0);
}

#[test]
fn a_second_reply_and_an_unknown_id_are_fatal() {
    let (mut client, mut out) = (began(&[]), Vec::new());
    let id = client.request(Remove { path: b"a" }, "one", &mut out).unwrap();
    client.accept(&ok(id)).unwrap();

    assert_eq!(client.accept(&ok(id)).unwrap_err(), PeerError::UnknownId(id));
    // The slot is in use again, under another id.
    let next = client.request(Remove { path: b"a" }, "two", &mut out).unwrap();
    assert_ne!(next, id);
    assert_eq!(client.accept(&ok(id)).unwrap_err(), PeerError::UnknownId(id));
    assert_eq!(client.accept(&ok(u32::MAX)).unwrap_err(), PeerError::UnknownId(u32::MAX));
}

#[test]
fn one_request_too_many_gives_the_token_back_and_sends_nothing() {
    let (mut client, mut out) = (began(&[]), Vec::new());
    for _ in 0..OUTSTANDING_MAX {
        client.request(Remove { path: b"a" }, "fits", &mut out).unwrap();
    }
    let sent = out.len();

    let refused = client.request(Remove { path: b"a" }, "more", &mut out).unwrap_err();

    assert_eq!(refused, TooManyRequests("more"));
    assert_eq!((out.len(), client.room()), (sent, 0));
    assert_eq!(client.drain().count(), OUTSTANDING_MAX);
}

#[test]
fn the_head_of_a_write_and_its_data_are_the_whole_packet() {
    let (mut client, mut parts) = (began(&[]), Vec::new());
    let id = client.write_head(b"h1", 5, 3, "w", &mut parts).unwrap();
    parts.extend_from_slice(b"abc");

    let mut whole = Vec::new();
    Request::Write(Write { handle: b"h1", offset: 5, data: b"abc" }).encode(id, &mut whole);
    assert_eq!(parts, whole);
}

#[test]
fn the_head_of_a_write_is_read_from_its_beginning_and_nothing_else_is_taken_for_one() {
    let mut packet = Vec::new();
    Request::Write(Write { handle: b"handle", offset: 1 << 40, data: &[7; 1000] })
        .encode(9, &mut packet);
    let head = WriteHead { id: 9, handle: b"handle", offset: 1 << 40, data_len: 1000 };
    let head_len = packet.len() - 1000;

    assert_eq!(WriteHead::len_with(b"handle"), head_len);
    for len in 0..packet.len() {
        let expected = (len >= head_len).then_some(head);
        assert_eq!(WriteHead::decode(&packet[..len]), expected, "of {len} bytes");
    }

    let with = |at: usize, byte| {
        let mut packet = packet.clone();
        packet[at] = byte;
        packet
    };
    let another_type = with(4, 5);
    let longer_than_its_data = with(3, packet[3] + 1);
    let shorter_than_its_data = with(3, packet[3] - 1);
    let too_long = with(0, 1);
    let no_such_handle = with(9, 1);
    for packet in
        [another_type, longer_than_its_data, shorter_than_its_data, too_long, no_such_handle]
    {
        assert_eq!(WriteHead::decode(&packet), None, "{:?}", &packet[..head_len]);
    }
}

#[test]
fn the_head_of_data_is_read_from_its_beginning_and_nothing_else_is_taken_for_one() {
    let packet = [&Data::header(9, 1000)[..], &[7; 1000]].concat();
    let head = DataHead { id: 9, data_len: 1000 };

    for len in 0..packet.len() {
        let expected = (len >= Data::HEADER_LEN).then_some(head);
        assert_eq!(DataHead::decode(&packet[..len]), expected, "of {len} bytes");
    }
    // Another type, lengths that do not belong together, and a length that is not allowed.
    for (at, byte) in [(4, 101), (3, packet[3] + 1), (3, packet[3] - 1), (0, 1), (12, 0)] {
        let mut packet = packet.clone();
        packet[at] = byte;
        assert_eq!(DataHead::decode(&packet), None, "{:?}", &packet[..Data::HEADER_LEN]);
    }
}

#[test]
fn a_token_can_be_seen_and_taken_as_long_as_its_request_is_unanswered() {
    let (mut client, mut out) = (began(&[]), Vec::new());
    let id = client.request(Remove { path: b"a" }, "first", &mut out).unwrap();
    assert_eq!(client.token_mut(id + 1), None);

    *client.token_mut(id).unwrap() = "changed";

    assert_eq!(client.take_token(id), Some("changed"));
    assert!(client.token_mut(id).is_none() && client.take_token(id).is_none());
    assert!(client.accept(&ok(id)).is_err(), "it is answered");
    let again = client.request(Remove { path: b"a" }, "second", &mut out).unwrap();
    assert!(again != id && client.token_mut(id).is_none(), "a slot that is used again");
}

#[test]
fn a_request_encoded_elsewhere_goes_out_under_the_next_id() {
    let (mut client, mut elsewhere, mut out) = (began(&[]), Vec::new(), Vec::new());
    Request::from(Remove { path: b"a" }).encode(0xdead_beef, &mut elsewhere);

    let first = client.request_encoded(&elsewhere, "first", &mut out).unwrap();
    let second = client.request_encoded(&elsewhere, "second", &mut out).unwrap();

    let mut expected = Vec::new();
    Request::from(Remove { path: b"a" }).encode(first, &mut expected);
    Request::from(Remove { path: b"a" }).encode(second, &mut expected);
    assert_eq!(out, expected);
    assert_eq!(token(&client.accept(&ok(second)).unwrap()), "second");
}

#[test]
fn symlink_goes_out_target_first_unless_the_server_says_otherwise() {
    let symlink = Symlink { target: b"to", link: b"ln" };
    let draft: (&[u8], &[u8]) = (b"symlink-order@rjk.greenend.org.uk", b"linkpath-targetpath");
    let (mut usual, mut swapped) = (Vec::new(), Vec::new());

    began(&[]).request(symlink, "s", &mut usual).unwrap();
    began(&[draft]).request(symlink, "s", &mut swapped).unwrap();

    assert_eq!(usual[9..], *b"\0\0\0\x02to\0\0\0\x02ln");
    assert_eq!(swapped[9..], *b"\0\0\0\x02ln\0\0\0\x02to");
}

#[test]
fn replies_before_version_and_a_second_version_end_the_session() {
    assert_eq!(Client::<()>::new().accept(&ok(0)).unwrap_err(), PeerError::NotVersion(101));
    assert_eq!(began(&[]).accept(&version(3, &[])).unwrap_err(), PeerError::SecondVersion);
}

#[test]
fn a_vendor_in_version_is_read_and_a_broken_one_is_no_error() {
    let value = b"\0\0\0\x01v\0\0\0\x01p\0\0\0\x011\0\0\0\0\0\0\0\x07";
    let (good, bad) = (version(3, &[(b"vendor-id", value)]), version(3, &[(b"vendor-id", b"x")]));
    let decode = |frame: &[u8]| -> Option<u64> {
        let version = Version::decode(&mut Reader::new(&frame[1..])).unwrap();
        vendor_id(&version).map(|vendor| vendor.build)
    };

    assert_eq!(decode(&good), Some(7));
    assert_eq!(decode(&bad), None);
}
