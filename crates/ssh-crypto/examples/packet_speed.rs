//! Prints how fast each cipher seals and opens full packets on one core: the numbers behind the orders
//! in `names.rs`. Run with `cargo run --release --example packet_speed`.

use std::time::{Duration, Instant};

use sterna_ssh_crypto::{CipherRow, DirectionKeys, GcmLibrary, MacRow, cipher, mac, names};
use zeroize::Zeroizing;

/// Payload of a full SFTP data packet with its headers, rounded to whole blocks.
const BODY_LEN: usize = 32 * 1024 + 64;

fn main() {
    println!("AES-GCM by {:?}", GcmLibrary::fastest());
    println!("{:34} {:>10} {:>10}", "MB/s", "seal", "open");
    for name in names::CIPHER_DEFAULT {
        let Some(row) = cipher(name) else { continue };
        if row.aead {
            measure(row, None);
        } else {
            names::MAC_DEFAULT.iter().for_each(|name| measure(row, mac(name)));
        }
    }
}

fn measure(row: &CipherRow, mac: Option<&'static MacRow>) {
    let filled = |len| Zeroizing::new(vec![7; len]);
    let keys = DirectionKeys {
        iv: filled(row.iv_len),
        key: filled(row.key_len),
        mac: filled(mac.map_or(0, |mac| mac.key_len)),
    };
    let (mut sealer, mut opener) = (row.sealer(mac, &keys), row.opener(mac, &keys));
    let shape = sealer.shape();
    let aligned_len = if shape.length_is_aligned { BODY_LEN } else { BODY_LEN + 4 };
    let mut packet = vec![0; aligned_len + shape.tag_len];
    let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
    let mut sequence = 0u32;
    while sealing + opening < Duration::from_millis(300) {
        let start = Instant::now();
        sealer.seal(sequence, &mut packet);
        sealing += start.elapsed();
        let start = Instant::now();
        opener.packet_length(sequence, &mut packet[..shape.head_len]);
        opener.open(sequence, &mut packet).expect("our own packet");
        opening += start.elapsed();
        sequence += 1;
    }
    let rate = |time: Duration| f64::from(sequence) * BODY_LEN as f64 / time.as_secs_f64() / 1e6;
    let name = mac.map_or(row.name.to_owned(), |mac| format!("{} {}", row.name, mac.name));
    println!("{name:42} {:>6.0} {:>10.0}", rate(sealing), rate(opening));
}
