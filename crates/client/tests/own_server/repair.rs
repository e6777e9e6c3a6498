//! Content that changes on its way is found by digests and repaired by sending only blocks that differ,
//! once.

use std::fs;

use sterna_client::transfer::{Options, Verify};

use crate::relay::{Flip, NO_DIGESTS, Wish};
use crate::sides::{Sides, Way};
use crate::stage::{Recorder, content};

const BLOCK: u64 = 64 << 10;
const LEN: u64 = 500_000;

/// Transfers a file of which byte `at` changes under way so many `times`.
async fn spoiled(
    way: Way,
    len: u64,
    flip: Flip,
    lacks: &'static [&'static str],
    verify: Verify,
) -> (Sides, sterna_client::transfer::Summary, std::sync::Arc<Recorder>) {
    let sides = Sides::new(way);
    fs::write(sides.source(), content(len as usize, 7)).unwrap();
    fs::write(sides.target(), b"what was there before").unwrap();
    let wish = Wish { flip: Some(flip), lacks, ..Wish::default() };
    let options = Options { verify, ..sides.options() };
    let recorder = Recorder::new();
    let (summary, _) = sides.run(wish, options, &recorder).await;
    (sides, summary, recorder)
}

#[tokio::test]
async fn one_block_is_sent_again_and_then_the_file_is_right() {
    for way in Way::BOTH {
        for at in [0, 300_000, LEN - 1] {
            let flip = Flip { at, times: 1 };
            let (sides, summary, recorder) = spoiled(way, LEN, flip, &[], Verify::Auto).await;

            assert_eq!(summary.exit_code(), 0, "{way:?} {at}: {:?}", summary.errors);
            assert_eq!(recorder.only().1, "blake3", "{way:?} {at}");
            let first = at - at % BLOCK;
            let again = BLOCK.min(LEN - first);
            assert_eq!(summary.bytes_sent, LEN + again, "{way:?} {at}");
            assert!(recorder.retries()[0].contains(&format!("from byte {first} on")));
            assert!(fs::read(sides.target()).unwrap() == content(LEN as usize, 7));
            sides.assert_clean(&(way, at));
        }
    }
}

#[tokio::test]
async fn a_small_file_is_repaired_too() {
    let flip = Flip { at: 5, times: 1 };
    let (sides, summary, _) = spoiled(Way::Put, 1000, flip, &[], Verify::Auto).await;

    assert_eq!((summary.exit_code(), summary.bytes_sent), (0, 2000), "{:?}", summary.errors);
    assert!(fs::read(sides.target()).unwrap() == content(1000, 7));
    sides.assert_clean(&"small");
}

#[tokio::test]
async fn what_is_spoiled_again_fails_and_names_the_first_block_that_differs() {
    for way in Way::BOTH {
        let flip = Flip { at: 300_000, times: u64::MAX };
        let (sides, summary, recorder) = spoiled(way, LEN, flip, &[], Verify::Auto).await;

        assert_eq!(summary.exit_code(), 6, "{way:?}");
        let error = summary.errors[0].1.to_string();
        assert!(error.contains("begins at byte 262144"), "{way:?}: {error}");
        assert_eq!(recorder.retries().len(), 1, "{way:?}: once");
        assert_eq!(fs::read(sides.target()).unwrap(), b"what was there before");
        sides.assert_clean(&way);
    }
}

/// Without digests the file is read back where somebody insists, and repaired from what that shows.
#[tokio::test]
async fn without_digests_a_required_verification_reads_everything_back() {
    for way in Way::BOTH {
        for times in [0, 1] {
            let flip = Flip { at: 300_000, times };
            let found = spoiled(way, LEN, flip, NO_DIGESTS, Verify::Require).await;
            let (sides, summary, recorder) = found;

            assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
            assert_eq!(recorder.only().1, "read_back", "{way:?}");
            assert_eq!(summary.bytes_sent, LEN + times * BLOCK, "{way:?}");
            assert!(fs::read(sides.target()).unwrap() == content(LEN as usize, 7));
        }
    }
}

#[tokio::test]
async fn without_digests_only_sizes_are_compared_and_that_is_said() {
    for way in Way::BOTH {
        let flip = Flip { at: 0, times: 0 };
        let (_, summary, recorder) = spoiled(way, LEN, flip, NO_DIGESTS, Verify::Auto).await;

        assert_eq!((summary.verified_by_size, recorder.only().1), (1, "size"), "{way:?}");
    }
}
