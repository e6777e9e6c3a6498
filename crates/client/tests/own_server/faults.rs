//! A connection that ends at any point, in both directions: the target is the old file or the new one
//! and never anything else, and running again completes it without sending much twice.

use std::fs;

use sterna_client::transfer::Options;

use crate::relay::{Direction, Fault, IO_LEN, NO_DIGESTS, Wish};
use crate::sides::{Sides, WINDOW, Way};
use crate::stage::{Recorder, content};

/// Not a multiple of anything.
const LEN: usize = 330_001;
/// What may travel twice: the window, and where digests tell what is there also the rest of the blocks
/// in which it begins and ends.
const TWICE_MAX: u64 = WINDOW + 2 * (64 << 10);

const OLD: &[u8] = b"what was there before";

/// Servers that a client finds different things at.
const SERVERS: [&[&str]; 2] = [&[], NO_DIGESTS];

fn sides(way: Way, seed: u64) -> (Sides, Vec<u8>) {
    prepared(Sides::new(way), seed)
}

fn prepared(sides: Sides, seed: u64) -> (Sides, Vec<u8>) {
    let data = content(LEN, seed);
    fs::write(sides.source(), &data).unwrap();
    fs::write(sides.target(), OLD).unwrap();
    (sides, data)
}

/// One transfer that meets `fault`: returns the bytes that travelled, if it lived to tell.
async fn meet(
    sides: &Sides,
    options: &Options,
    lacks: &'static [&'static str],
    fault: Fault,
) -> u64 {
    let wish = Wish { fault: Some(fault), lacks, ..Wish::default() };
    let Ok(server) = sides.serve(wish).await else { return 0 };
    let recorder = Recorder::new();
    let sent = tokio::select! {
        summary = sides.transfer(&server.sftp, options.clone(), &recorder) => {
            summary.map_or(0, |summary| {
                assert!(summary.failed == 0 || summary.exit_code() == 7, "{fault:?}: {:?}", summary.errors);
                summary.bytes_sent
            })
        }
        // As by kill -9: nobody tidies up.
        () = server.stalled() => 0,
    };
    server.end().await;
    sent
}

fn assert_old_or_new(sides: &Sides, data: &[u8], what: &dyn std::fmt::Debug) {
    let now = fs::read(sides.target()).unwrap();
    assert!(now == data || now == OLD, "{what:?}: a file of {} bytes", now.len());
}

async fn assert_completes(
    sides: &Sides,
    options: &Options,
    lacks: &'static [&'static str],
    data: &[u8],
    what: &dyn std::fmt::Debug,
) -> u64 {
    let wish = Wish { lacks, ..Wish::default() };
    let (summary, _) = sides.run(wish, options.clone(), &Recorder::new()).await;
    assert_eq!(summary.exit_code(), 0, "{what:?}: {:?}", summary.errors);
    assert!(fs::read(sides.target()).unwrap() == data, "{what:?}: content");
    sides.assert_clean(what);
    summary.bytes_sent
}

/// Goal: whatever packet is the last, nothing wrong gets the name and nothing is lost.
/// Method: count the packets of an undisturbed transfer; then, for each of them, a new one that ends
/// there, before or within the packet, or by the client vanishing; then run it once more.
async fn cut_everywhere(new: fn(Way) -> Sides, way: Way, lacks: &'static [&'static str]) {
    let (sides, data) = prepared(new(way), 1);
    let server = sides.serve(Wish { lacks, ..Wish::default() }).await.unwrap();
    let options = sides.options();
    sides.transfer(&server.sftp, options, &Recorder::new()).await.unwrap();
    let counts = [Direction::Requests, Direction::Replies].map(|d| (d, server.packets(d)));
    server.end().await;
    assert!(fs::read(sides.target()).unwrap() == data);

    for (direction, count) in counts {
        assert!(count > LEN as u64 / u64::from(IO_LEN), "{count} packets");
        for packet in 0..count {
            for fault in [
                Fault::Cut(direction, packet),
                Fault::CutWithin(direction, packet),
                Fault::Stall(direction, packet),
            ] {
                let what = (way, lacks.is_empty(), fault);
                let (sides, data) = prepared(new(way), packet);
                let options = sides.options();

                let first = meet(&sides, &options, lacks, fault).await;
                assert_old_or_new(&sides, &data, &what);
                let second = assert_completes(&sides, &options, lacks, &data, &what).await;

                // A file that had its name already is compared and sent anew; so is one without anybody
                // to vouch for it.
                let vouched = !matches!(fault, Fault::Stall(..)) && first < LEN as u64;
                if vouched {
                    let sent = first + second;
                    assert!(sent <= LEN as u64 + TWICE_MAX, "{what:?}: {first} and {second}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_download_that_is_cut_anywhere_is_completed_by_running_again() {
    cut_everywhere(Sides::new, Way::Get, &[]).await;
}

#[tokio::test]
async fn an_upload_that_is_cut_anywhere_is_completed_by_running_again() {
    cut_everywhere(Sides::new, Way::Put, &[]).await;
}

#[tokio::test]
async fn a_download_from_a_server_without_digests_that_is_cut_anywhere_is_completed_too() {
    cut_everywhere(Sides::new, Way::Get, NO_DIGESTS).await;
}

#[tokio::test]
async fn an_upload_to_a_server_without_digests_that_is_cut_anywhere_is_completed_too() {
    cut_everywhere(Sides::new, Way::Put, NO_DIGESTS).await;
}

#[tokio::test]
async fn a_download_straight_into_the_part_that_is_cut_anywhere_is_completed_too() {
    cut_everywhere(Sides::in_memory, Way::Get, NO_DIGESTS).await;
}

#[tokio::test]
async fn an_upload_straight_from_the_source_that_is_cut_anywhere_is_completed_too() {
    cut_everywhere(Sides::in_memory, Way::Put, NO_DIGESTS).await;
}

/// Goal: cuts do not add up. Method: cut the same transfer again and again, at places that a seed gives,
/// until it passes.
#[tokio::test]
async fn many_cuts_in_a_row_end_with_the_right_file() {
    for way in Way::BOTH {
        for lacks in SERVERS {
            for seed in 1..=8 {
                let (sides, data) = sides(way, seed);
                let options = sides.options();
                let mut random = seed;
                for _ in 0..6 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let packet = 2 + (random >> 33) % 16;
                    let direction = match (random >> 60) & 1 {
                        0 => Direction::Requests,
                        _ => Direction::Replies,
                    };
                    let fault = match (random >> 40) % 3 {
                        0 => Fault::Cut(direction, packet),
                        1 => Fault::CutWithin(direction, packet),
                        _ => Fault::Stall(direction, packet),
                    };
                    meet(&sides, &options, lacks, fault).await;
                    assert_old_or_new(&sides, &data, &(way, seed, fault));
                }
                assert_completes(&sides, &options, lacks, &data, &(way, seed)).await;
            }
        }
    }
}

/// Goal: a hole in a part is not taken for data. Method: the server gets later writes but not one of the
/// first, then the connection ends, with and without a chance for the client to tidy up.
#[tokio::test]
async fn a_write_that_never_arrived_is_sent_again_although_later_ones_are_there() {
    for lacks in SERVERS {
        for write in 0..7 {
            let (sides, data) = sides(Way::Put, write);
            let options = sides.options();

            meet(&sides, &options, lacks, Fault::LoseWrite { write, later: 3 }).await;
            let left = fs::metadata(sides.part()).unwrap().len();
            // The server may still be writing the last ones.
            let later = (write + 1) * u64::from(IO_LEN) < left;
            assert!(later, "the part has {left} bytes: nothing that came later than write {write}");
            assert_old_or_new(&sides, &data, &write);
            assert_completes(&sides, &options, lacks, &data, &write).await;
        }
    }
}

/// Goal: a journal of an earlier attempt does not vouch for what a later one wrote. Method: a first
/// attempt gets far and notes it; its part goes away; a second one leaves a hole and vanishes.
#[tokio::test]
async fn a_journal_vouches_only_for_the_part_that_it_was_written_for() {
    for way in Way::BOTH {
        let (sides, data) = sides(way, 9);
        let options = sides.options();
        let late = 3 + LEN as u64 / u64::from(IO_LEN);
        meet(&sides, &options, NO_DIGESTS, Fault::Cut(Direction::Replies, late)).await;
        let left = fs::metadata(sides.part()).unwrap().len();
        assert!(left > 200_000, "{way:?}: {left}");
        fs::remove_file(sides.part()).unwrap();

        meet(&sides, &options, NO_DIGESTS, Fault::Stall(Direction::Replies, 5)).await;
        // As if writes had overtaken each other before it vanished. A new file, for threads of the one
        // that vanished may still write into theirs.
        let _ = fs::remove_file(sides.part());
        fs::write(sides.part(), [&vec![0; 65_536], &data[65_536..250_000]].concat()).unwrap();

        assert_completes(&sides, &options, NO_DIGESTS, &data, &way).await;
    }
}

/// Goal: in place, a transfer goes on where it was cut and the file keeps its identity.
#[tokio::test]
async fn a_file_that_is_written_in_place_is_completed_in_place() {
    use std::os::unix::fs::MetadataExt;
    for way in Way::BOTH {
        for lacks in SERVERS {
            let (sides, data) = sides(way, 3);
            let options = Options { in_place: true, ..sides.options() };
            let before = fs::metadata(sides.target()).unwrap();
            let fault = Fault::Cut(Direction::Replies, 11);

            let first = meet(&sides, &options, lacks, fault).await;
            let second = assert_completes(&sides, &options, lacks, &data, &(way, lacks)).await;

            let after = fs::metadata(sides.target()).unwrap();
            assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()), "{way:?}");
            assert!(first + second <= LEN as u64 + TWICE_MAX, "{way:?}: {first} and {second}");
            assert!(second < LEN as u64, "{way:?}: {second}");
        }
    }
}

/// In place, what is there already is compared where the server can do so, and only the rest travels.
#[tokio::test]
async fn in_place_only_what_differs_is_written() {
    for way in Way::BOTH {
        let (sides, data) = sides(way, 4);
        let mut old = data.clone();
        old[200_000] ^= 1;
        old.extend_from_slice(b"a rest that must go");
        fs::write(sides.target(), &old).unwrap();
        let options = Options { in_place: true, ..sides.options() };

        let sent = assert_completes(&sides, &options, &[], &data, &way).await;

        assert_eq!(sent, 64 << 10, "{way:?}");
    }
}
