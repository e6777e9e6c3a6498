//! Sealing and opening one full packet in place, for each cipher and MAC: the figures behind the orders of
//! preference in `ssh-crypto/names.rs`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sterna_ssh_crypto::{
    ChaChaLibrary, CipherRow, DirectionKeys, GcmLibrary, MacRow, OpenPacket, SealPacket, cipher,
    mac, names,
};
use zeroize::Zeroizing;

/// A packet with 32 KiB of a file: its padding length, payload with headers and padding, in whole blocks.
const BODY_LEN: usize = 32 * 1024 + 64;

fn ciphers(criterion: &mut Criterion) {
    println!("AES-GCM by {:?}", GcmLibrary::fastest());
    println!("ChaCha20-Poly1305 by {:?}", ChaChaLibrary::fastest());
    for name in names::CIPHER_DEFAULT {
        let Some(row) = cipher(name) else { continue };
        if row.aead {
            measure(criterion, row, None);
        } else {
            names::MAC_DEFAULT.iter().for_each(|name| measure(criterion, row, mac(name)));
        }
    }
}

fn measure(criterion: &mut Criterion, row: &CipherRow, mac: Option<&'static MacRow>) {
    let name = mac.map_or(row.name.to_owned(), |mac| format!("{} {}", row.name, mac.name));
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(BODY_LEN as u64));
    let (mut sealer, mut packet) = (row.sealer(mac, &keys(row, mac)), packet(row, mac));
    let mut sequence = 0;
    group.bench_function("seal", |bencher| {
        bencher.iter(|| {
            seal(&mut *sealer, &mut sequence, black_box(&mut packet));
        });
    });

    // A cipher counts its packets, so every packet that is opened must have been sealed for it: both states go on
    // together, and only the opening is timed.
    let (mut sealer, mut opener) =
        (row.sealer(mac, &keys(row, mac)), row.opener(mac, &keys(row, mac)));
    let (mut sealed, mut opened) = (0, 0);
    group.bench_function("open", |bencher| {
        bencher.iter_batched(
            || {
                let mut packet = packet.clone();
                seal(&mut *sealer, &mut sealed, &mut packet);
                packet
            },
            |mut packet| {
                open(&mut *opener, &mut opened, &mut packet);
                packet
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn keys(row: &CipherRow, mac: Option<&MacRow>) -> DirectionKeys {
    let filled = |len| Zeroizing::new(vec![7; len]);
    DirectionKeys {
        iv: filled(row.iv_len),
        key: filled(row.key_len),
        mac: filled(mac.map_or(0, |mac| mac.key_len)),
    }
}

/// Room for a whole packet; its content does not matter to any cipher but for its length.
fn packet(row: &CipherRow, mac: Option<&'static MacRow>) -> Vec<u8> {
    let shape = row.sealer(mac, &keys(row, mac)).shape();
    let aligned_len = if shape.length_is_aligned { BODY_LEN } else { BODY_LEN + 4 };
    let mut packet = vec![0x5a; aligned_len + shape.tag_len];
    packet[..4].copy_from_slice(&((aligned_len - 4) as u32).to_be_bytes());
    packet
}

fn seal(sealer: &mut dyn SealPacket, sequence: &mut u32, packet: &mut [u8]) {
    sealer.seal(*sequence, packet);
    *sequence = sequence.wrapping_add(1);
}

fn open(opener: &mut dyn OpenPacket, sequence: &mut u32, packet: &mut [u8]) {
    let head_len = opener.shape().head_len;
    opener.packet_length(*sequence, &mut packet[..head_len]);
    opener.open(*sequence, packet).expect("our own packet");
    *sequence = sequence.wrapping_add(1);
}

criterion_group!(benches, ciphers);
criterion_main!(benches);
