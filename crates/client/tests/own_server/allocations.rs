//! What a byte of a large file costs the client in the steady state: no allocation for a packet, one copy, or none.

use std::fs;

use sterna_client::transfer::{Options, Verify};
use tokio::runtime::Builder;

use crate::counting::{Cost, count_this_thread};
use crate::stage::{Recorder, Stage, Way, content};

const MIB: usize = 1 << 20;

/// Files of these lengths: what they differ by is the steady state, without login, open, verify and rename.
const SHORT_LEN: usize = 16 * MIB;
const LONG_LEN: usize = 80 * MIB;

/// Allocations and copied bytes for each MiB that goes that way. Only the client's threads count.
fn cost_per_mib(way: Way, verify: Verify) -> (f64, f64) {
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stage = {
        let _server = server.enter();
        Stage::in_memory()
    };
    let client =
        Builder::new_current_thread().enable_all().on_thread_start(count_this_thread).build();
    count_this_thread();
    let client = client.unwrap();
    let cost_of = |len| {
        fs::write(way.source(&stage), content(len, 7)).unwrap();
        let options = Options { verify, ..stage.options() };
        let before = Cost::so_far();
        let summary = client.block_on(way.run(&stage, options, &Recorder::new()));
        let cost = Cost::so_far().since(before);
        assert_eq!((summary.files, summary.bytes), (1, len as u64));
        fs::remove_file(way.source(&stage)).unwrap();
        fs::remove_file(way.target(&stage)).unwrap();
        cost
    };
    // The first one pays for what is made once in a process.
    cost_of(SHORT_LEN);
    let (short, long) = (cost_of(SHORT_LEN), cost_of(LONG_LEN));
    let mib = ((LONG_LEN - SHORT_LEN) / MIB) as f64;
    let per_mib = |short: usize, long: usize| (long as f64 - short as f64) / mib;
    (per_mib(short.allocations, long.allocations), per_mib(short.copied, long.copied))
}

/// One test, so that no other one counts at the same time.
///
/// A request is 255 KiB, so one allocation more for each of them is four more for each MiB, and one for each
/// packet of the channel more than that: the bounds are two above what was seen.
#[test]
fn steady_transfers_allocate_for_requests_only_and_copy_each_byte_once() {
    let (auto, off) = (Verify::Auto, Verify::Off);
    for (way, verify, allocations_max, copies_max) in [
        (Way::Get, auto, 20.5, 1),
        (Way::Get, off, 20.5, 0),
        (Way::Put, auto, 22.5, 1),
        (Way::Put, off, 22.5, 0),
    ] {
        let (allocations, copied) = cost_per_mib(way, verify);
        let what = format!("{way:?} with {verify:?}, for each MiB");
        println!("{what}: {allocations} allocations, {copied} bytes copied");
        assert!(allocations <= allocations_max, "{what}: {allocations} allocations");
        assert!(
            copied <= (f64::from(copies_max) + 0.01) * MIB as f64,
            "{what}: {copied} bytes copied"
        );
    }
}
