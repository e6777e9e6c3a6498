//! What moving a file costs the allocator: nothing that grows with its bytes. A binary of its own,
//! because it counts what the whole process allocates.

// Its other half is for the other test.
#[allow(dead_code)]
mod counting;
#[path = "../sessions/support.rs"]
mod support;

use std::sync::Arc;

use counting::{Cost, Counting};
use sterna_server::sftp::{Resources, SessionPolicy, SftpSession, VecSink};
use sterna_sftp_proto::messages::{Data, Open, Read, Write};
use sterna_sftp_proto::{Attrs, OpenFlags, Request};
use sterna_storage::{Backend, Local};
use support::{pattern, thread_waker};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const MIB: usize = 1024 * 1024;

/// Bytes moved in the part that is measured.
const MEASURED_MIB: usize = 64;

/// A session and the bytes that go in and out, all of it allocated before anything is measured.
struct Rig {
    session: SftpSession,
    waker: std::task::Waker,
    sink: VecSink,
    wire: Vec<u8>,
}

impl Rig {
    fn new(backend: Arc<dyn Backend>) -> Self {
        let mut rig = Self {
            session: SftpSession::new(backend, SessionPolicy::default(), &Resources::new(1)),
            waker: thread_waker(),
            sink: VecSink::new(MIB),
            wire: Vec::with_capacity(MIB),
        };
        rig.session.handle_data(&[0, 0, 0, 5, 1, 0, 0, 0, 3]);
        rig.turn_until(1);
        rig
    }

    /// Writes a request; the channel brings it in packets of 32 KiB.
    fn send<'r>(&mut self, request: impl Into<Request<'r>>) {
        self.wire.clear();
        request.into().encode(7, &mut self.wire);
        for packet in self.wire.chunks(32 * 1024) {
            self.session.handle_data(packet);
        }
    }

    /// Works until `len` bytes of replies are there. Returns the last of them.
    fn turn_until(&mut self, len: usize) -> &[u8] {
        self.sink.clear();
        loop {
            let mut cx = std::task::Context::from_waker(&self.waker);
            self.session.poll(&mut cx, &mut self.sink);
            if self.sink.bytes().len() >= len {
                return self.sink.bytes();
            }
            std::thread::park();
        }
    }

    fn open(&mut self, path: &[u8], flags: OpenFlags) -> [u8; 8] {
        self.send(Open { path, flags, attrs: Attrs::default() });
        let reply = self.turn_until(21);
        assert_eq!(reply[4], 102, "a handle");
        reply[13..21].try_into().unwrap()
    }

    /// Reads `mib` MiB in blocks of `len` bytes, 4 at a time.
    fn read(&mut self, handle: &[u8], len: usize, mib: usize) {
        for _ in 0..mib * MIB / len / 4 {
            for n in 0..4 {
                self.send(Read { handle, offset: (n * len) as u64, len: len as u32 });
            }
            let replies = self.turn_until(4 * (Data::HEADER_LEN + len));
            assert_eq!(replies[4], 103, "data");
        }
    }

    /// Writes `mib` MiB in blocks of `data`, 4 at a time.
    fn write(&mut self, handle: &[u8], data: &[u8], mib: usize) {
        // STATUS: length, type, id, code, "Success", empty language.
        const OK_LEN: usize = 4 + 1 + 4 + 4 + 4 + 7 + 4;
        for _ in 0..mib * MIB / data.len() / 4 {
            for n in 0..4 {
                self.send(Write { handle, offset: (n * data.len()) as u64, data });
            }
            let replies = self.turn_until(4 * OK_LEN);
            assert_eq!(replies[4], 101, "a status");
            assert_eq!(replies[9..13], [0; 4], "success");
        }
    }
}

fn per_mib(cost: Cost) -> (f64, f64) {
    let mib = MEASURED_MIB as f64;
    (cost.allocations as f64 / mib, cost.bytes as f64 / mib)
}

/// A directory in memory and one on the disk, as far as this machine has both.
fn directories() -> Vec<tempfile::TempDir> {
    let memory = tempfile::tempdir_in("/dev/shm").ok();
    memory.into_iter().chain([tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()]).collect()
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn steady_reads_allocate_nothing_and_writes_a_few_small_things_for_each_job() {
    for dir in directories() {
        for len in [32 * 1024, 255 * 1024] {
            let block = pattern(len);
            let mut rig = Rig::new(Arc::new(Local::open(dir.path()).unwrap()));
            let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
            let handle = rig.open(b"/f", flags);

            rig.write(&handle, &block, 4);
            let before = ALLOCATOR.cost();
            rig.write(&handle, &block, MEASURED_MIB);
            let (allocations, bytes) = per_mib(ALLOCATOR.cost() - before);
            // A job is a box and its place in two queues; each serves at least one WRITE.
            let jobs_max = (MIB / len) as f64 + 1.0;
            let what = format!("WRITEs of {len} bytes in {}, for each MiB", dir.path().display());
            assert!(allocations <= 1.5 * jobs_max, "{what}: {allocations} allocations");
            assert!(bytes <= 1024.0 * jobs_max, "{what}: {bytes} bytes allocated");

            rig.read(&handle, len, 4);
            let before = ALLOCATOR.cost();
            rig.read(&handle, len, MEASURED_MIB);
            let (allocations, bytes) = per_mib(ALLOCATOR.cost() - before);
            let what = format!("READs of {len} bytes in {}, for each MiB", dir.path().display());
            assert!(allocations <= 0.1, "{what}: {allocations} allocations");
            assert!(bytes <= 1024.0, "{what}: {bytes} bytes allocated");
        }
    }
}
