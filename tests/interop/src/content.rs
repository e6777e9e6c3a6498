//! File contents that repeat from a seed, and the comparison of two files.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// The sizes that every pair moves, in bytes: nothing, one, one more than the packet that SFTP
/// clients like best, and more than every window.
pub const SIZES: [u64; 4] = [0, 1, 32 * 1024 + 1, 100 << 20];

/// Step between two files that are read side by side, in bytes.
const COMPARE_STEP: usize = 1 << 20;

/// Pseudo-random numbers from a seed (SplitMix64): repeatable, and no two blocks of a file alike.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Writes `len` bytes that depend on `seed` to a new file.
///
/// # Panics
/// When the file cannot be written.
pub fn write_file(path: &Path, len: u64, seed: u64) {
    let mut numbers = Numbers::new(seed);
    let mut out = BufWriter::with_capacity(COMPARE_STEP, File::create(path).expect("create"));
    let mut chunk = vec![0; 64 * 1024];
    let mut left = len;
    while left > 0 {
        let step = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        numbers.fill(&mut chunk[..step]);
        out.write_all(&chunk[..step]).expect("write");
        left -= step as u64;
    }
    out.flush().expect("write");
}

/// `Err` with the first difference between two files, byte for byte.
///
/// # Errors
/// A sentence that names both files.
pub fn compare_files(left: &Path, right: &Path) -> Result<(), String> {
    let differ = |what: String| Err(format!("{left:?} and {right:?} differ: {what}"));
    let open = |path: &Path| File::open(path).map_err(|e| format!("open {path:?}: {e}"));
    let (mut left_file, mut right_file) = (open(left)?, open(right)?);
    let len = |path: &Path| fs::metadata(path).map(|m| m.len()).map_err(|e| e.to_string());
    let (left_len, right_len) = (len(left)?, len(right)?);
    if left_len != right_len {
        return differ(format!("{left_len} and {right_len} bytes"));
    }
    let (mut a, mut b) = (vec![0; COMPARE_STEP], vec![0; COMPARE_STEP]);
    let mut offset = 0;
    loop {
        let len = read_full(&mut left_file, &mut a).map_err(|e| e.to_string())?;
        let other = read_full(&mut right_file, &mut b).map_err(|e| e.to_string())?;
        if let Some(at) = a[..len].iter().zip(&b[..other]).position(|(x, y)| x != y) {
            return differ(format!("first at byte {}", offset + at));
        }
        if len == 0 {
            return Ok(());
        }
        offset += len;
    }
}

fn read_full(file: &mut File, out: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match file.read(&mut out[filled..])? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}
