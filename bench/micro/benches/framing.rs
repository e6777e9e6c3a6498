//! Channel bytes to SFTP frames: 32 KiB pieces, as a channel brings them, with frames that fill several of them or
//! are many in one.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sterna_sftp_proto::Request;
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::messages::{Stat, Write};

/// Bytes of a file in what is framed.
const STREAM_LEN: usize = 1 << 20;
/// Data of one channel packet.
const PIECE_LEN: usize = 32 * 1024;

fn framing(criterion: &mut Criterion) {
    for kib in [32, 255] {
        let data = vec![0x5a; kib * 1024];
        let write = Request::from(Write { handle: b"0123", offset: 0, data: &data });
        let stream = repeated(&write, STREAM_LEN / data.len());
        measure(criterion, &format!("WRITEs of {kib} KiB"), &stream);
    }
    let stat = Request::from(Stat { path: b"/a/path/of/usual/length.txt" });
    measure(criterion, "STATs", &repeated(&stat, 4096));
}

fn repeated(request: &Request<'_>, count: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for id in 0..count {
        request.encode(id as u32, &mut stream);
    }
    stream
}

fn measure(criterion: &mut Criterion, name: &str, stream: &[u8]) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(stream.len() as u64));

    let mut assembler = FrameAssembler::for_server();
    group.bench_function("lent or assembled", |bencher| {
        bencher.iter(|| {
            let mut frames = 0;
            for mut piece in stream.chunks(PIECE_LEN) {
                while let Some(frame) = assembler.next(&mut piece).expect("our own frames") {
                    black_box(&*frame);
                    frames += 1;
                }
            }
            frames
        });
    });

    // As the server takes them: each into a buffer that comes from a pool and goes back there.
    let mut assembler = FrameAssembler::for_server();
    let mut pool = vec![Vec::with_capacity(256 * 1024)];
    group.bench_function("owned", |bencher| {
        bencher.iter(|| {
            let mut frames = 0;
            for mut piece in stream.chunks(PIECE_LEN) {
                loop {
                    let take = |_| pool.pop().unwrap_or_default();
                    let Some(frame) =
                        assembler.next_owned(&mut piece, take).expect("our own frames")
                    else {
                        break;
                    };
                    pool.push(black_box(frame));
                    frames += 1;
                }
            }
            frames
        });
    });
    group.finish();
}

criterion_group!(benches, framing);
criterion_main!(benches);
