//! The SFTP codec: WRITE and DATA with 32 KiB, and NAME as READDIR is answered, in both directions.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sterna_sftp_proto::messages::{Data, NameWriter, Reply, Request, Write};
use sterna_sftp_proto::{Attrs, Owner, Times};
use sterna_sshwire::Reader;

const DATA_LEN: usize = 32 * 1024;
/// Names in one reply.
const NAMES: usize = 100;
/// Bytes of a packet in front of its body: length, type, request id.
const HEAD_LEN: usize = 9;

fn codec(criterion: &mut Criterion) {
    let data = vec![0x5a; DATA_LEN];
    let write = Request::from(Write { handle: b"0123", offset: 1 << 40, data: &data });
    let reply = Reply::Data(Data { data: &data });
    both_ways(criterion, "WRITE of 32 KiB", DATA_LEN, |out| write.encode(7, out), decode_request);
    both_ways(criterion, "DATA of 32 KiB", DATA_LEN, |out| reply.encode(7, out), decode_reply);

    let names: Vec<Vec<u8>> = (0..NAMES).map(|n| format!("entry-{n:06}").into_bytes()).collect();
    let attrs = Attrs {
        size: Some(4096),
        owner: Some(Owner { uid: 1000, gid: 1000 }),
        permissions: Some(0o100_644),
        times: Some(Times { accessed: 1_700_000_000, modified: 1_700_000_000 }),
        ..Attrs::default()
    };
    let encode = |out: &mut Vec<u8>| encode_names(&names, &attrs, out);
    let mut wire = Vec::new();
    encode(&mut wire);
    both_ways(criterion, "NAME with 100 names", wire.len(), encode, decode_reply);
}

/// Measures `encode`, which appends a packet, into a buffer that is used again; and `decode` of that packet.
fn both_ways(
    criterion: &mut Criterion,
    name: &str,
    len: usize,
    encode: impl Fn(&mut Vec<u8>),
    decode: impl Fn(&[u8]) -> usize,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(len as u64));
    let mut wire = Vec::new();
    encode(&mut wire);
    group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&wire))));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            wire.clear();
            encode(black_box(&mut wire));
        });
    });
    group.finish();
}

fn decode_request(packet: &[u8]) -> usize {
    let mut reader = Reader::new(&packet[HEAD_LEN..]);
    let request = Request::decode(packet[4], &mut reader).expect("a request of ours");
    let Ok(Request::Write(write)) = request else { panic!("a WRITE went in") };
    write.data.len()
}

fn decode_reply(packet: &[u8]) -> usize {
    let mut reader = Reader::new(&packet[HEAD_LEN..]);
    match Reply::decode(packet[4], &mut reader).expect("a reply of ours") {
        Ok(Reply::Data(data)) => data.data.len(),
        // Who gets names looks at each of them.
        Ok(Reply::Name(names)) => names.iter().map(|entry| entry.filename.len()).sum(),
        _ => panic!("DATA or NAME went in"),
    }
}

fn encode_names(names: &[Vec<u8>], attrs: &Attrs<'_>, out: &mut Vec<u8>) {
    let mut writer = NameWriter::new(7, out);
    for name in names {
        writer.push(name, attrs, |line| {
            line.extend_from_slice(b"-rw-r--r--    1 1000     1000         4096 Nov 14  2023 ");
            line.extend_from_slice(name);
        });
    }
    assert!(writer.finish(), "there are names");
}

criterion_group!(benches, codec);
criterion_main!(benches);
