//! Replies that wait for room, in order. Small ones share a buffer; file bytes stay in the buffer
//! they were read into.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use sterna_sftp_proto::messages::Data;

use super::reply::Answer;
use super::sink::Sink;
use super::table::Row;
use crate::buffers::Buffer;
use crate::observe::Latency;

/// A shared buffer that has reached this many bytes is not appended to any more, and one that has
/// grown beyond twice this is not kept for the next replies.
const SMALL_BUFFER_LEN: usize = 32 * 1024;

#[derive(Default)]
pub(super) struct Outbox {
    segments: VecDeque<Segment>,
    len: usize,
    /// An emptied buffer for small replies, to be used again.
    spare: Vec<u8>,
    /// How long requests take until their replies come here.
    pub(super) latency: Option<Box<Latency>>,
}

enum Segment {
    Small { bytes: Vec<u8>, sent: usize },
    Data { header: [u8; Data::HEADER_LEN], buffer: Arc<Buffer>, range: Range<usize>, sent: usize },
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Gives spare memory back.
    pub(super) fn release(&mut self) {
        self.spare = Vec::new();
        self.segments.shrink_to_fit();
        if let Some(latency) = &mut self.latency {
            latency.release();
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A request has arrived whose reply will come here.
    pub(super) fn note_asked(&mut self, id: u32, row: &Row) {
        if let Some(latency) = &mut self.latency {
            latency.asked(id, row.index);
        }
    }

    /// Its reply is ready; called for those that go straight into packets.
    pub(super) fn note_answered(&mut self, id: u32) {
        if let Some(latency) = &mut self.latency {
            latency.answered(id);
        }
    }

    pub(super) fn push(&mut self, id: u32, answer: &Answer) {
        self.note_answered(id);
        self.push_with(|out| answer.encode(id, out));
    }

    /// Appends what `encode` writes.
    pub(super) fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let shared = match self.segments.back_mut() {
            Some(Segment::Small { bytes, .. }) if bytes.len() < SMALL_BUFFER_LEN => bytes,
            _ => {
                let bytes = std::mem::take(&mut self.spare);
                self.segments.push_back(Segment::Small { bytes, sent: 0 });
                match self.segments.back_mut() {
                    Some(Segment::Small { bytes, .. }) => bytes,
                    Some(Segment::Data { .. }) | None => unreachable!("pushed one line above"),
                }
            }
        };
        let before = shared.len();
        encode(shared);
        self.len += shared.len() - before;
    }

    /// Appends a DATA reply whose bytes are `buffer[range]`.
    pub(super) fn push_data(&mut self, id: u32, buffer: Arc<Buffer>, range: Range<usize>) {
        self.note_answered(id);
        let header = Data::header(id, range.len() as u32);
        self.len += header.len() + range.len();
        self.segments.push_back(Segment::Data { header, buffer, range, sent: 0 });
    }

    /// Gives `sink` as much as it takes.
    pub(super) fn flush(&mut self, sink: &mut dyn Sink) {
        while let Some(front) = self.segments.front_mut() {
            let (whole, sent, taken) = match front {
                Segment::Small { bytes, sent } => {
                    let taken = sink.write(&[&bytes[*sent..]]);
                    (bytes.len(), sent, taken)
                }
                Segment::Data { header, buffer, range, sent } => {
                    let whole = header.len() + range.len();
                    let head = &header[(*sent).min(header.len())..];
                    let data_sent = sent.saturating_sub(header.len());
                    let data = &buffer[range.start + data_sent..range.end];
                    let taken = sink.write(&[head, data]);
                    (whole, sent, taken)
                }
            };
            *sent += taken;
            self.len -= taken;
            if *sent < whole {
                return;
            }
            if let Some(Segment::Small { mut bytes, .. }) = self.segments.pop_front()
                && bytes.capacity() <= 2 * SMALL_BUFFER_LEN
            {
                bytes.clear();
                self.spare = bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::BufferPool;
    use crate::sftp::sink::VecSink;

    #[test]
    fn replies_leave_whole_and_in_order_however_small_the_room() {
        for room in [1, 2, 7, 13, 14, 1000] {
            let mut outbox = Outbox::default();
            let mut buffer = BufferPool::new(1).take(8);
            buffer.copy_from_slice(b"01234567");
            outbox.push_with(|out| out.extend_from_slice(b"first"));
            outbox.push_data(0x0102_0304, Arc::new(buffer), 2..6);
            outbox.push_with(|out| out.extend_from_slice(b"last"));
            let mut sent = Vec::new();

            while !outbox.is_empty() {
                let mut sink = VecSink::new(room);
                outbox.flush(&mut sink);
                sent.extend_from_slice(sink.bytes());
            }

            let data = [0, 0, 0, 13, 103, 1, 2, 3, 4, 0, 0, 0, 4, b'2', b'3', b'4', b'5'];
            assert_eq!(sent, [b"first", &data[..], b"last"].concat());
            assert_eq!(outbox.len(), 0);
        }
    }
}
