use std::os::unix::fs::FileExt;

use sterna_ssh_crypto::DigestAlgorithm;

use super::*;
use crate::sftp::ReadData;
use crate::transfer::passing::Passing;

fn arrived(offset: u64, data: &[u8]) -> Arrived {
    Arrived { offset, data: ReadData::of(data), _permit: None }
}

fn run(arrived: Vec<Arrived>, zeros: Range<u64>) -> (std::fs::File, Written) {
    let file = tempfile::tempfile_in("/tmp").unwrap();
    let fd = Arc::new(OwnedFd::from(file.try_clone().unwrap()));
    let written = Writing { fd, arrived, zeros, passer: None }.run();
    (file, written)
}

#[test]
fn what_came_in_any_order_is_written_where_it_belongs() {
    let (file, written) =
        run(vec![arrived(6, b"ghi"), arrived(12, b"m"), arrived(0, b"abcdef")], 0..0);

    written.result.unwrap();
    assert_eq!(written.done, [(0, 6), (6, 3), (12, 1)]);
    let mut all = [b'-'; 13];
    file.read_exact_at(&mut all, 0).unwrap();
    assert_eq!(&all, b"abcdefghi\0\0\0m");
}

#[test]
fn more_neighbours_than_one_call_takes_are_all_written() {
    let count = 2 * WRITE_SLICES_MAX + 1;
    let (file, written) =
        run((0..count).map(|n| arrived(2 * n as u64, &[n as u8; 2])).collect(), 0..0);

    written.result.unwrap();
    assert_eq!(written.done.len(), count);
    for n in 0..count {
        let mut both = [0; 2];
        file.read_exact_at(&mut both, 2 * n as u64).unwrap();
        assert_eq!(both, [n as u8; 2]);
    }
}

#[test]
fn zeros_stay_a_hole_only_where_nothing_was_before() {
    const LEN: u64 = 64 << 10;
    let zeros = vec![0; LEN as usize];
    let ones = vec![1; LEN as usize];
    let (file, written) = run(
        vec![
            arrived(0, &ones),
            arrived(LEN, &zeros),
            arrived(2 * LEN, &ones),
            arrived(3 * LEN, &zeros),
        ],
        0..3 * LEN,
    );

    written.result.unwrap();
    assert_eq!(written.done.len(), 4);
    let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
    assert_eq!(hole, LEN, "the second part is a hole");
    assert_eq!(file.metadata().unwrap().len(), 4 * LEN, "the last one was written");
    let mut third = vec![0; LEN as usize];
    file.read_exact_at(&mut third, 2 * LEN).unwrap();
    assert_eq!(third, ones);
}

#[test]
fn an_error_leaves_out_what_was_not_written() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let fd = Arc::new(OwnedFd::from(file));

    let written = Writing {
        fd,
        arrived: vec![arrived(0, b"a"), arrived(9, b"b")],
        zeros: 0..0,
        passer: None,
    }
    .run();

    assert!(written.result.is_err());
    assert_eq!(written.done, []);
}

/// Goal: nothing is lost between an attempt that gives up and the thread that writes instead.
#[test]
fn what_cannot_be_written_at_once_comes_back_whole() {
    let file = tempfile::tempfile_in("/dev/shm").unwrap();
    let fd = Arc::new(OwnedFd::from(file.try_clone().unwrap()));
    let writing = |passer| Writing {
        fd: fd.clone(),
        arrived: vec![arrived(3, b"def"), arrived(0, b"abc")],
        zeros: 0..0,
        passer,
    };
    let digest = Passing::new(DigestAlgorithm::Sha256, fd.clone());

    let never = writing(None).run_at_once(&mut AtHand::Never).err().expect("it would wait");
    let hashed = writing(Some(digest.passer())).run_at_once(&mut AtHand::Ask);

    assert_eq!(file.metadata().unwrap().len(), 0);
    for writing in [never, hashed.err().expect("a digest takes long")] {
        assert_eq!(writing.run().done, [(0, 3), (3, 3)]);
    }
    let again = writing(None).run_at_once(&mut AtHand::Ask).ok().expect("it is in memory");
    assert_eq!(again.done, [(0, 3), (3, 3)]);
    let mut all = [0; 6];
    file.read_exact_at(&mut all, 0).unwrap();
    assert_eq!(&all, b"abcdef");
}
