//! zlib@openssh.com: one stream per direction, flushed at each packet (RFC 4253 §6.2).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::error::PeerError;
use crate::limits::INFLATED_LEN_MAX;

/// Room added each time the compressor or decompressor asks for more, in bytes.
const STEP_LEN: usize = 16 * 1024;

/// The sending half.
pub(crate) struct Deflate {
    stream: Compress,
}

impl Deflate {
    pub fn new() -> Self {
        Self { stream: Compress::new(Compression::fast(), true) }
    }

    /// Appends the compressed form of `payload` to `out`, flushed.
    pub fn run(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let before = self.stream.total_in();
        loop {
            if out.capacity() - out.len() < STEP_LEN {
                out.reserve(STEP_LEN);
            }
            let done = usize::try_from(self.stream.total_in() - before).expect("within one packet");
            self.stream
                .compress_vec(&payload[done..], out, FlushCompress::Partial)
                .expect("a deflate stream cannot fail on input");
            let all_in = self.stream.total_in() - before == payload.len() as u64;
            // Room left over means that the flush is complete.
            if all_in && out.len() < out.capacity() {
                return;
            }
        }
    }
}

/// The receiving half.
pub(crate) struct Inflate {
    stream: Decompress,
}

impl Inflate {
    pub fn new() -> Self {
        Self { stream: Decompress::new(true) }
    }

    /// Replaces `out` by the inflated `payload`, at most [`INFLATED_LEN_MAX`] bytes of it.
    pub fn run(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), PeerError> {
        out.clear();
        let before = self.stream.total_in();
        loop {
            // One byte more than may come, so that too much shows.
            if out.len() > INFLATED_LEN_MAX {
                return Err(PeerError::BadCompression);
            }
            if out.len() == out.capacity() {
                out.reserve_exact(STEP_LEN.min(INFLATED_LEN_MAX + 1 - out.len()));
            }
            let done = usize::try_from(self.stream.total_in() - before).expect("within one packet");
            let status = self
                .stream
                .decompress_vec(&payload[done..], out, FlushDecompress::Sync)
                .map_err(|_| PeerError::BadCompression)?;
            let all_in = self.stream.total_in() - before == payload.len() as u64;
            match status {
                // A peer never ends its stream inside a connection.
                Status::StreamEnd => return Err(PeerError::BadCompression),
                _ if all_in && out.len() < out.capacity() => {
                    return if out.len() > INFLATED_LEN_MAX {
                        Err(PeerError::BadCompression)
                    } else {
                        Ok(())
                    };
                }
                Status::BufError if out.len() < out.capacity() => {
                    return Err(PeerError::BadCompression);
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}
