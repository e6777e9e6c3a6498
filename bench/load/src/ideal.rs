//! The ideal pair: what the machine can do with nothing but the file, the cipher and the socket.
//!
//! One thread a side: pread, seal in place, TCP over loopback, open in place, pwrite. The packets are
//! those of SSH, with 32 KiB of the file in each; several of them share one system call of the socket.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use sterna_ssh_crypto::{ChaChaLibrary, CipherRow, DirectionKeys, GcmLibrary, PacketShape, cipher};
use zeroize::Zeroizing;

use crate::Failure;

/// Bytes of the file in one packet.
const PAYLOAD_LEN: usize = 32 << 10;
/// Length field and padding length in front of the payload.
const HEAD_LEN: usize = 5;
/// The shortest padding of a packet (RFC 4253 §6).
const PADDING_LEN_MIN: usize = 4;

/// One file through the ideal pair.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its length must be a multiple of 32 KiB.
    #[arg(long)]
    source: PathBuf,
    #[arg(long)]
    target: PathBuf,
    /// Name of the SSH cipher; one that authenticates by itself.
    #[arg(long, default_value = "aes256-gcm@openssh.com")]
    cipher: String,
    /// Packets that share one write.
    #[arg(long, default_value_t = 8)]
    batch: usize,
}

pub fn run(args: &Args) -> Result<Value, Failure> {
    let row = cipher(&args.cipher).filter(|row| row.aead).ok_or("no such AEAD cipher")?;
    // The choice takes time once in a process, and is no part of a transfer.
    let (gcm, chacha) = (GcmLibrary::fastest(), ChaChaLibrary::fastest());
    let (source, target) = (File::open(&args.source)?, File::create(&args.target)?);
    let len = source.metadata()?.len();
    if len == 0 || len % PAYLOAD_LEN as u64 != 0 || args.batch == 0 {
        return Err("the source must be whole packets, and a batch at least one".into());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let outgoing = TcpStream::connect(listener.local_addr()?)?;
    let (incoming, _) = listener.accept()?;
    outgoing.set_nodelay(true)?;

    let packet = Packet::of(row);
    let start = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let sender =
            scope.spawn(|| on_cpu(0, || send(row, &packet, args.batch, &source, outgoing)));
        let receiver =
            scope.spawn(|| on_cpu(1, || receive(row, &packet, args.batch, incoming, &target)));
        (sender.join(), receiver.join())
    });
    let seconds = start.elapsed().as_secs_f64();
    let ended = |_| "a side of the pair panicked";
    let (sender_cpu, receiver_cpu) = (sent.map_err(ended)??, received.map_err(ended)??);
    let mib = len as f64 / (1 << 20) as f64;
    Ok(json!({
        "cipher": args.cipher,
        "gcm_library": format!("{gcm:?}"),
        "chacha_library": format!("{chacha:?}"),
        "seconds": seconds,
        "mib_per_s": mib / seconds,
        "sender_cpu_s": sender_cpu,
        "receiver_cpu_s": receiver_cpu,
        "mib_per_cpu_s": mib / (sender_cpu + receiver_cpu),
    }))
}

/// Where the parts of a packet are; all packets are of one length.
struct Packet {
    shape: PacketShape,
    padding_len: usize,
    len: usize,
}

impl Packet {
    fn of(row: &CipherRow) -> Self {
        let shape = row.sealer(None, &keys(row)).shape();
        // No AEAD counts the length field towards the multiple.
        let unpadded = 1 + PAYLOAD_LEN + PADDING_LEN_MIN;
        let padded = unpadded.next_multiple_of(shape.block_len);
        let padding_len = padded - 1 - PAYLOAD_LEN;
        Self { shape, padding_len, len: 4 + padded + shape.tag_len }
    }

    fn packet_length(&self) -> u32 {
        (self.len - 4 - self.shape.tag_len) as u32
    }
}

/// Both sides use the same; this is a measurement, not a connection.
fn keys(row: &CipherRow) -> DirectionKeys {
    let part = |len| Zeroizing::new(vec![7; len]);
    DirectionKeys { iv: part(row.iv_len), key: part(row.key_len), mac: part(0) }
}

fn send(
    row: &CipherRow,
    packet: &Packet,
    batch: usize,
    source: &File,
    mut stream: TcpStream,
) -> io::Result<()> {
    let mut sealer = row.sealer(None, &keys(row));
    let mut buffer = vec![0; packet.len * batch];
    let (len, mut offset, mut sequence) = (source.metadata()?.len(), 0, 0);
    while offset < len {
        let mut filled = 0;
        for bytes in buffer.chunks_exact_mut(packet.len) {
            if offset == len {
                break;
            }
            bytes[..4].copy_from_slice(&packet.packet_length().to_be_bytes());
            bytes[4] = packet.padding_len as u8;
            source.read_exact_at(&mut bytes[HEAD_LEN..HEAD_LEN + PAYLOAD_LEN], offset)?;
            sealer.seal(sequence, bytes);
            sequence = sequence.wrapping_add(1);
            offset += PAYLOAD_LEN as u64;
            filled += bytes.len();
        }
        stream.write_all(&buffer[..filled])?;
    }
    Ok(())
}

fn receive(
    row: &CipherRow,
    packet: &Packet,
    batch: usize,
    mut stream: TcpStream,
    target: &File,
) -> io::Result<()> {
    let mut opener = row.opener(None, &keys(row));
    // It holds whole packets exactly, so that none has to be moved.
    let mut buffer = vec![0; packet.len * batch];
    let (mut filled, mut opened) = (0, 0);
    let (mut offset, mut sequence) = (0, 0);
    loop {
        let got = stream.read(&mut buffer[filled..])?;
        if got == 0 {
            return if filled == opened {
                Ok(())
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        filled += got;
        while filled - opened >= packet.len {
            let bytes = &mut buffer[opened..opened + packet.len];
            let length = opener.packet_length(sequence, &mut bytes[..packet.shape.head_len]);
            if length != packet.packet_length() || opener.open(sequence, bytes).is_err() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            target.write_all_at(&bytes[HEAD_LEN..HEAD_LEN + PAYLOAD_LEN], offset)?;
            sequence = sequence.wrapping_add(1);
            offset += PAYLOAD_LEN as u64;
            opened += packet.len;
        }
        if opened == buffer.len() {
            (filled, opened) = (0, 0);
        }
    }
}

/// CPU seconds that `work` takes on this thread, which stays on one processor if there are several.
fn on_cpu(index: usize, work: impl FnOnce() -> io::Result<()>) -> Result<f64, Failure> {
    if thread::available_parallelism()?.get() > index {
        let mut set = rustix::thread::CpuSet::new();
        set.set(index);
        // A machine that forbids it is measured without.
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
    let before = cpu_seconds();
    work()?;
    Ok(cpu_seconds() - before)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
