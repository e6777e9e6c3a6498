//! What an interrupted transfer left is continued exactly as far as the server's digests prove it.

use std::fs;

use crate::stage::{Recorder, Stage, Way, content, flip};

const MIB: u64 = 1 << 20;

/// A stage where `way` was stopped at 9 of 12 MiB.
async fn interrupted(way: Way) -> (Stage, Vec<u8>) {
    let stage = Stage::new();
    let data = content(12 << 20, 1);
    fs::write(way.source(&stage), &data).unwrap();
    let stopped = way.run(&stage, stage.options(), &Recorder::stopping(9 * MIB)).await;
    assert_eq!(stopped.exit_code(), 7, "{way:?}");
    assert!(!way.target(&stage).exists(), "{way:?}");
    assert!(fs::metadata(way.part(&stage)).unwrap().len() >= 9 * MIB, "{way:?}");
    (stage, data)
}

fn assert_whole(way: Way, stage: &Stage, data: &[u8]) {
    assert!(fs::read(way.target(stage)).unwrap() == data, "{way:?}: content");
    assert!(!way.part(stage).exists(), "{way:?}: the part is gone");
}

#[tokio::test]
async fn a_part_is_continued_without_any_journal() {
    for way in Way::BOTH {
        let (stage, data) = interrupted(way).await;
        // Only the digests of both sides can vouch for it now.
        let _ = fs::remove_dir_all(stage.dir.path().join("state"));
        let _ = fs::remove_file(stage.here(".f.sterna-journal"));
        let recorder = Recorder::new();

        let summary = way.run(&stage, stage.options(), &recorder).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        let (resumed_from, verified) = recorder.only();
        assert!(resumed_from >= 9 * MIB, "{way:?}: from {resumed_from}");
        assert_eq!((summary.bytes_sent, verified), (12 * MIB - resumed_from, "blake3"), "{way:?}");
        assert_whole(way, &stage, &data);
    }
}

#[tokio::test]
async fn a_flipped_byte_is_found_and_only_its_block_comes_again() {
    for way in Way::BOTH {
        let (stage, data) = interrupted(way).await;
        let left = fs::metadata(way.part(&stage)).unwrap().len();
        flip(&way.part(&stage), 5 * MIB + 12_345);
        let recorder = Recorder::new();

        let summary = way.run(&stage, stage.options(), &recorder).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        assert_eq!(recorder.only(), (5 * MIB, "blake3"), "{way:?}");
        assert_eq!(summary.bytes_sent, (64 << 10) + 12 * MIB - left, "{way:?}");
        assert_whole(way, &stage, &data);
    }
}

#[tokio::test]
async fn a_part_of_a_source_that_changed_is_kept_as_far_as_it_is_the_same() {
    for way in Way::BOTH {
        let (stage, mut data) = interrupted(way).await;
        data.truncate(11 << 20);
        data[3 << 20..].reverse();
        fs::write(way.source(&stage), &data).unwrap();
        let recorder = Recorder::new();

        let summary = way.run(&stage, stage.options(), &recorder).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        assert_eq!(recorder.only(), (3 * MIB, "blake3"), "{way:?}");
        assert_whole(way, &stage, &data);
    }
}

#[tokio::test]
async fn a_part_longer_than_its_source_is_cut() {
    for way in Way::BOTH {
        let stage = Stage::new();
        let data = content((2 << 20) + 77, 2);
        fs::write(way.source(&stage), &data).unwrap();
        fs::write(way.part(&stage), [&data[..], &[9; 500_000]].concat()).unwrap();
        let recorder = Recorder::new();

        let summary = way.run(&stage, stage.options(), &recorder).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        assert_eq!((summary.bytes_sent, recorder.only().1), (0, "blake3"), "{way:?}");
        assert_whole(way, &stage, &data);
    }
}

#[tokio::test]
async fn a_small_part_in_the_way_is_replaced() {
    for way in Way::BOTH {
        let stage = Stage::new();
        fs::write(way.source(&stage), b"right").unwrap();
        fs::write(way.part(&stage), b"wrong and longer").unwrap();

        let summary = way.run(&stage, stage.options(), &Recorder::new()).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        assert_whole(way, &stage, b"right");
    }
}
