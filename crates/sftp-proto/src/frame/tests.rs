//! The assembler against odd pieces, lying lengths and talkative shells.

use proptest::prelude::*;

use super::*;

/// Feeds `stream` in pieces of the given lengths (repeated), gathers the frames.
fn frames(stream: &[u8], pieces: &[usize]) -> Vec<Vec<u8>> {
    let mut assembler = FrameAssembler::for_server();
    let mut frames = Vec::new();
    let (mut at, mut turn) = (0, 0);
    while at < stream.len() {
        let end = stream.len().min(at + pieces[turn % pieces.len()].max(1));
        let mut input = &stream[at..end];
        while let Some(frame) = assembler.next(&mut input).unwrap() {
            frames.push(frame.to_vec());
        }
        assert!(input.is_empty(), "None means that all input was used");
        (at, turn) = (end, turn + 1);
    }
    assert!(assembler.is_between_frames());
    frames
}

fn stream_of(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for body in bodies {
        put_frame(&mut stream, 5, Some(7), |out| out.extend_from_slice(body));
    }
    stream
}

#[test]
fn twenty_frames_in_one_piece_are_all_lent() {
    let stream = stream_of(&vec![vec![9; 30]; 20]);
    let mut assembler = FrameAssembler::for_server();
    let mut input = &stream[..];
    let mut lent = 0;

    while let Some(frame) = assembler.next(&mut input).unwrap() {
        assert!(matches!(frame, Frame::Lent(_)));
        lent += 1;
    }

    assert_eq!(lent, 20);
}

#[test]
fn single_bytes_and_whole_pieces_give_the_same_frames() {
    let stream = stream_of(&[vec![], vec![1], vec![2; 300], vec![], vec![3; 5]]);

    assert_eq!(frames(&stream, &[1]), frames(&stream, &[usize::MAX / 2]));
}

#[test]
fn a_frame_whose_length_word_came_alone_is_still_lent() {
    let stream = stream_of(&[vec![1; 100]]);
    let mut assembler = FrameAssembler::for_server();
    let (mut head, mut rest) = stream.split_at(4);

    assert!(assembler.next(&mut head).unwrap().is_none());

    assert!(matches!(assembler.next(&mut rest).unwrap(), Some(Frame::Lent(_))));
}

#[test]
fn a_taken_buffer_leaves_the_next_frame_whole_and_a_given_one_is_used_again() {
    let stream = stream_of(&[vec![1; 1000], vec![2; 1000]]);
    let mut assembler = FrameAssembler::for_server();
    let (mut first, mut rest) = stream.split_at(500);
    assert!(assembler.next(&mut first).unwrap().is_none());

    let Some(Frame::Assembled(buffer)) = assembler.next(&mut rest).unwrap() else { panic!() };
    let taken = std::mem::take(buffer);
    let address = taken.as_ptr();
    assert_eq!(taken.len(), 1005);
    assembler.give_back(taken);

    let mut part = &rest[..500];
    assert!(assembler.next(&mut part).unwrap().is_none());
    let mut part = &rest[500..];
    let Some(Frame::Assembled(buffer)) = assembler.next(&mut part).unwrap() else { panic!() };
    assert_eq!(buffer.as_ptr(), address);
    assert_eq!(buffer[5..], [2; 1000]);
}

/// Goal: a consumer that keeps its frames gets the same ones, each in the buffer it gave for it.
#[test]
fn owned_frames_are_whole_in_one_buffer_each_however_the_stream_is_cut() {
    let bodies = [vec![], vec![1], vec![2; 300], vec![], vec![3; 5000]];
    let stream = stream_of(&bodies);
    for piece_len in [1, 3, 4, 5, 9, 100, stream.len()] {
        let mut assembler = FrameAssembler::for_server();
        let (mut given, mut owned) = (Vec::new(), Vec::new());

        for mut piece in stream.chunks(piece_len) {
            while let Some(frame) = assembler
                .next_owned(&mut piece, |len| {
                    let buffer = vec![0xEE; len];
                    given.push((len, buffer.as_ptr()));
                    buffer
                })
                .unwrap()
            {
                owned.push(frame);
            }
            assert!(piece.is_empty());
        }

        assert_eq!(owned, frames(&stream, &[usize::MAX / 2]), "pieces of {piece_len}");
        let places: Vec<_> = owned.iter().map(|frame| (frame.len(), frame.as_ptr())).collect();
        assert_eq!(places, given);
        assert!(assembler.is_between_frames());
    }
}

#[test]
fn lengths_at_the_bounds_are_kept_and_beyond_them_end_the_stream() {
    for (len, good) in [
        (0u32, false),
        (1, false),
        (4, false),
        (5, true),
        (262_144, true),
        (262_145, false),
        (0xffff_fff0, false),
        (0xffff_ffff, false),
    ] {
        let mut assembler = FrameAssembler::for_server();
        let wire = len.to_be_bytes();

        assert_eq!(assembler.next(&mut &wire[..]).is_ok(), good, "{len}");
        assert_eq!(assembler.body.capacity(), 0, "nothing is reserved for a length alone");
        assert_eq!(assembler.next(&mut &[][..]).is_ok(), good, "an error stays");
    }
}

#[test]
fn text_before_the_first_reply_is_named() {
    let mut assembler = FrameAssembler::for_client();

    let error = assembler.next(&mut &b"Hello \x1b[1mAda\nsecond"[..]).unwrap_err();

    assert_eq!(error, FrameError::Text("Hello ?[1mAda".into()));
}

#[test]
fn text_shorter_than_a_length_is_named_too_and_what_follows_it_is_not() {
    for (stream, line) in [
        (&b"hi\n\0\0\0\x05\x02"[..], "hi"),
        (b"hi\0\0\0\x05\x02", "hi"),
        ("Grüße\n".as_bytes(), "Grüße"),
        (b"\r\n\r\nlate", "late"),
    ] {
        let mut assembler = FrameAssembler::for_client();

        let error = assembler.next(&mut &stream[..]).unwrap_err();

        assert_eq!(error, FrameError::Text(line.into()));
    }
}

#[test]
fn text_after_the_first_reply_is_a_length_error() {
    let mut stream = stream_of(&[vec![]]);
    stream.extend_from_slice(b"Hello");
    let mut assembler = FrameAssembler::for_client();
    let mut input = &stream[..];
    assert!(assembler.next(&mut input).unwrap().is_some());

    assert!(matches!(assembler.next(&mut input), Err(FrameError::TooLong { .. })));
}

#[test]
fn a_frame_whose_beginning_was_taken_by_another_is_completed() {
    let stream = stream_of(&[vec![1, 2, 3], vec![4]]);
    for (taken, step) in [(1, 1), (2, 3), (3, usize::MAX)] {
        let mut assembler = FrameAssembler::for_server();
        let (mut frames, mut lens) = (Vec::new(), Vec::new());
        // The length word and `taken` bytes of the frame.
        assembler.resume(stream[4..4 + taken].to_vec(), 8);
        for mut piece in stream[4 + taken..].chunks(step) {
            while let Some(frame) = assembler
                .next_owned(&mut piece, |len| {
                    lens.push(len);
                    Vec::new()
                })
                .unwrap()
            {
                frames.push(frame);
            }
        }

        assert_eq!(frames, [vec![5, 0, 0, 0, 7, 1, 2, 3], vec![5, 0, 0, 0, 7, 4]]);
        assert_eq!(lens, [6], "nothing is asked for the first");
    }
}

proptest! {
    #[test]
    fn pieces_do_not_change_the_frames(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..12),
        pieces in prop::collection::vec(1usize..64, 1..20),
    ) {
        let expected: Vec<Vec<u8>> =
            bodies.iter().map(|body| [&[5, 0, 0, 0, 7][..], body].concat()).collect();

        prop_assert_eq!(frames(&stream_of(&bodies), &pieces), expected);
    }

    #[test]
    fn no_bytes_make_the_assembler_panic(bytes: Vec<u8>) {
        let mut assembler = FrameAssembler::for_client();
        let mut input = &bytes[..];
        while let Ok(Some(frame)) = assembler.next(&mut input) {
            prop_assert!(frame.len() >= PACKET_LEN_MIN);
        }
    }
}
