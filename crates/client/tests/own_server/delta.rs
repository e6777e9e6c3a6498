//! A file that replaces another one: only what differs travels, holes stay holes, and the new file keeps
//! what the old one was.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use sterna_client::transfer::{Note, Options, Sparse};

use crate::relay::{NO_CHECK_FILE, NO_DIGESTS, Wish};
use crate::sides::{Sides, Way};
use crate::stage::{Recorder, content};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn of_a_changed_file_only_the_changed_blocks_travel() {
    for way in Way::BOTH {
        let sides = Sides::new(way);
        let mut data = content(16 * MIB, 1);
        fs::write(sides.target(), &data).unwrap();
        for place in 0..5 {
            data[place * 3 * MIB + 12_345..][..1000].reverse();
        }
        data.extend_from_slice(b"and a new end");
        fs::write(sides.source(), &data).unwrap();
        let recorder = Recorder::new();

        let (summary, bytes) = sides.run(Wish::default(), sides.options(), &recorder).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        assert_eq!(recorder.only().1, "blake3");
        assert_eq!(summary.bytes_sent, 5 * 65_536 + 13, "{way:?}");
        assert!(bytes < 500_000, "{way:?}: {bytes} bytes of packets");
        assert!(fs::read(sides.target()).unwrap() == data, "{way:?}");
        sides.assert_clean(&way);
    }
}

#[tokio::test]
async fn a_file_that_became_shorter_or_entirely_different_arrives_whole() {
    for way in Way::BOTH {
        for (data, sent) in [(content(5 * MIB, 1), 0), (content(5 * MIB, 2), 5 * MIB as u64)] {
            let sides = Sides::new(way);
            fs::write(sides.target(), content(9 * MIB, 1)).unwrap();
            fs::write(sides.source(), &data).unwrap();

            let (summary, _) = sides.run(Wish::default(), sides.options(), &Recorder::new()).await;

            assert_eq!((summary.exit_code(), summary.bytes_sent), (0, sent), "{way:?}");
            assert!(fs::read(sides.target()).unwrap() == data, "{way:?}");
            sides.assert_clean(&way);
        }
    }
}

#[tokio::test]
async fn without_digests_or_on_request_a_file_travels_whole() {
    for way in Way::BOTH {
        for (lacks, delta) in [(NO_DIGESTS, true), (&[][..], false)] {
            let sides = Sides::new(way);
            let data = content(2 * MIB, 1);
            fs::write(sides.target(), &data).unwrap();
            fs::write(sides.source(), &data).unwrap();
            let options = Options { delta, ..sides.options() };

            let wish = Wish { lacks, ..Wish::default() };
            let (summary, _) = sides.run(wish, options, &Recorder::new()).await;

            assert_eq!((summary.exit_code(), summary.bytes_sent), (0, 2 * MIB as u64), "{way:?}");
        }
    }
}

#[tokio::test]
async fn the_new_file_keeps_mode_and_owner_of_the_old_one() {
    for way in Way::BOTH {
        for len in [1000, 200_000] {
            let sides = Sides::new(way);
            fs::write(sides.source(), content(len, 1)).unwrap();
            fs::write(sides.target(), b"old").unwrap();
            fs::set_permissions(sides.target(), fs::Permissions::from_mode(0o640)).unwrap();
            // Only root can give files away; others see that nothing is said of it.
            let given =
                std::os::unix::fs::chown(sides.target(), Some(12_345), Some(54_321)).is_ok();
            let before = fs::metadata(sides.target()).unwrap();

            let (summary, _) = sides.run(Wish::default(), sides.options(), &Recorder::new()).await;

            assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
            let after = fs::metadata(sides.target()).unwrap();
            let look = |there: &fs::Metadata| (there.mode(), there.uid(), there.gid());
            assert_eq!(look(&after), look(&before), "{way:?} {len} {given}");
            assert!(summary.notes.is_empty(), "{way:?}: {:?}", summary.notes);
        }
    }
}

#[tokio::test]
async fn what_a_server_cannot_do_is_noted_once_for_each_file() {
    for len in [1000, 200_000] {
        let sides = Sides::new(Way::Put);
        fs::write(sides.source(), content(len, 1)).unwrap();
        fs::write(sides.target(), b"old").unwrap();
        let options = Options { fsync: true, replace_in_two_steps: true, ..sides.options() };
        let wish =
            Wish { lacks: &["fsync@openssh.com", "posix-rename@openssh.com"], ..Wish::default() };

        let (summary, _) = sides.run(wish, options, &Recorder::new()).await;

        assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
        let notes: Vec<_> = summary.notes.into_iter().collect();
        assert_eq!(notes, [(Note::ReplacedInTwoSteps, 1), (Note::NotSynced, 1)], "{len}");
    }
}

/// A file of 64 MiB with two pieces of data.
fn make_sparse(path: &std::path::Path) -> u64 {
    let file = fs::File::create(path).unwrap();
    file.set_len(64 * MIB as u64).unwrap();
    for at in [8 * MIB, 40 * MIB] {
        file.write_all_at(&content(100_000, 1), at as u64).unwrap();
    }
    fs::metadata(path).unwrap().blocks() * 512
}

#[tokio::test]
async fn holes_of_a_local_file_are_not_sent_and_stay_holes() {
    for lacks in [&[][..], NO_DIGESTS] {
        let sides = Sides::new(Way::Put);
        let stored = make_sparse(&sides.source());
        if stored > 32 * MIB as u64 {
            return eprintln!("skipped: no sparse files here");
        }

        let wish = Wish { lacks, ..Wish::default() };
        let (summary, _) = sides.run(wish, sides.options(), &Recorder::new()).await;

        assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
        assert!(summary.bytes_sent < MIB as u64, "{}", summary.bytes_sent);
        assert!(fs::metadata(sides.target()).unwrap().blocks() * 512 < 32 * MIB as u64);
        assert!(fs::read(sides.target()).unwrap() == fs::read(sides.source()).unwrap());
    }
}

#[tokio::test]
async fn zeros_that_arrive_become_holes_on_request() {
    let sides = Sides::new(Way::Get);
    if make_sparse(&sides.source()) > 32 * MIB as u64 {
        return eprintln!("skipped: no sparse files here");
    }
    let options = Options { sparse: Sparse::Always, ..sides.options() };
    let recorder = Recorder::new();

    let (summary, _) = sides.run(Wish::default(), options, &recorder).await;

    assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
    assert_eq!(recorder.only().1, "blake3");
    assert!(fs::metadata(sides.target()).unwrap().blocks() * 512 < 32 * MIB as u64);
    assert!(fs::read(sides.target()).unwrap() == fs::read(sides.source()).unwrap());
}

#[tokio::test]
async fn holes_that_the_server_tells_of_are_neither_fetched_nor_filled() {
    let sides = Sides::new(Way::Get);
    if make_sparse(&sides.source()) > 32 * MIB as u64 {
        return eprintln!("skipped: no sparse files here");
    }
    for (options, fetched_max) in [
        (sides.options(), MIB as u64),
        (Options { sparse: Sparse::Never, delta: false, ..sides.options() }, u64::MAX),
    ] {
        let recorder = Recorder::new();
        let (summary, _) = sides.run(Wish::default(), options, &recorder).await;

        assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
        assert_eq!(recorder.only().1, "blake3");
        assert!(summary.bytes_sent < fetched_max, "{}", summary.bytes_sent);
        let is_sparse = fs::metadata(sides.target()).unwrap().blocks() * 512 < 32 * MIB as u64;
        assert_eq!(is_sparse, fetched_max == MIB as u64);
        assert!(fs::read(sides.target()).unwrap() == fs::read(sides.source()).unwrap());
    }
}

/// Servers that have MD5 and nothing better are asked for that.
#[tokio::test]
async fn md5_hash_verifies_where_nothing_better_is_offered() {
    for way in Way::BOTH {
        let sides = Sides::new(way);
        fs::write(sides.source(), content(200_000, 1)).unwrap();
        let recorder = Recorder::new();

        let wish = Wish { lacks: NO_CHECK_FILE, ..Wish::default() };
        let (summary, _) = sides.run(wish, sides.options(), &recorder).await;

        assert_eq!(summary.exit_code(), 0, "{way:?}: {:?}", summary.errors);
        assert_eq!(recorder.only().1, "md5", "{way:?}");
    }
}
