//! Content is compared by BLAKE3 at both sides, and what differs never gets its name.

use std::fs;

use sterna_client::transfer::{Options, Verify};

use crate::stage::{Recorder, Stage, Way, content, flip};

#[tokio::test]
async fn files_of_all_sizes_are_verified_by_blake3_even_if_it_is_required() {
    let stage = Stage::new();
    for verify in [Verify::Auto, Verify::Require] {
        for len in [0, 1, 65_535, 65_536, 3_000_000] {
            for way in Way::BOTH {
                fs::write(way.source(&stage), content(len, 3)).unwrap();
                let options = Options { verify, fsync: true, ..stage.options() };
                let recorder = Recorder::new();

                let summary = way.run(&stage, options, &recorder).await;

                assert_eq!(summary.verified_by_digest, 1, "{way:?} {len}: {:?}", summary.errors);
                assert_eq!(recorder.only(), (0, "blake3"), "{way:?} {len}");
                assert!(fs::read(way.target(&stage)).unwrap() == content(len, 3), "{way:?} {len}");
            }
        }
    }
}

#[tokio::test]
async fn verification_that_is_off_is_reported_as_none() {
    let stage = Stage::new();
    for way in Way::BOTH {
        for len in [10, 200_000] {
            fs::write(way.source(&stage), content(len, 4)).unwrap();
            let options = Options { verify: Verify::Off, ..stage.options() };
            let recorder = Recorder::new();

            let summary = way.run(&stage, options, &recorder).await;

            assert_eq!((summary.unverified, recorder.only().1), (1, "none"), "{way:?}");
        }
    }
}

#[tokio::test]
async fn a_byte_that_changes_on_the_servers_disk_is_repaired_by_its_block() {
    let (stage, way) = (Stage::new(), Way::Put);
    fs::write(way.source(&stage), content(8 << 20, 5)).unwrap();
    fs::write(way.target(&stage), b"what was there before").unwrap();
    let part = way.part(&stage);
    let damaging = Recorder::acting(2 << 20, move || flip(&part, 1000));

    let summary = way.run(&stage, stage.options(), &damaging).await;

    assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
    assert_eq!(summary.bytes_sent, (8 << 20) + (64 << 10));
    assert!(fs::read(way.target(&stage)).unwrap() == content(8 << 20, 5));
    assert!(!way.part(&stage).exists());
}
