//! Bytes of one SFTP channel that wait for the stream: encoded requests, and file bytes between them.
//!
//! Requests stand side by side in one buffer, so a burst of them leaves in one piece, and none costs an
//! allocation. The bytes of a WRITE stay in the buffer in which they were read.

use std::collections::VecDeque;

use super::buffer::Buffer;

/// Sent bytes in front of unsent ones at which the buffer of requests is moved together.
const COMPACT_FROM_LEN: usize = 64 << 10;

/// See the module.
#[derive(Default)]
pub(super) struct Unsent {
    heads: Vec<u8>,
    /// How much of `heads` is sent.
    heads_sent: usize,
    /// File bytes, each with the place in `heads` that they stand behind.
    bodies: VecDeque<(usize, Buffer)>,
    /// How much of the first body is sent.
    body_sent: usize,
    /// Unsent bytes of all bodies.
    bodies_len: usize,
}

impl Unsent {
    /// Where requests are appended.
    pub(super) fn heads(&mut self) -> &mut Vec<u8> {
        &mut self.heads
    }

    /// Appends the file bytes of the request that was appended last.
    pub(super) fn push_body(&mut self, body: Buffer) {
        self.bodies_len += body.len();
        self.bodies.push_back((self.heads.len(), body));
    }

    /// Bytes that are not sent yet.
    pub(super) fn len(&self) -> usize {
        self.heads.len() - self.heads_sent + self.bodies_len
    }

    /// File bytes that are not sent yet.
    pub(super) fn bodies_len(&self) -> usize {
        self.bodies_len
    }

    /// What goes out next: requests, and the file bytes behind the last of them. `None`: nothing.
    pub(super) fn front(&self) -> Option<[&[u8]; 2]> {
        if self.len() == 0 {
            return None;
        }
        Some(match self.bodies.front() {
            Some((at, body)) => [&self.heads[self.heads_sent..*at], &body[self.body_sent..]],
            None => [&self.heads[self.heads_sent..], &[]],
        })
    }

    /// The first `len` bytes of [`front`](Self::front) are sent.
    pub(super) fn advance(&mut self, len: usize) {
        let head_end = self.bodies.front().map_or(self.heads.len(), |(at, _)| *at);
        let of_head = len.min(head_end - self.heads_sent);
        self.heads_sent += of_head;
        self.body_sent += len - of_head;
        self.bodies_len -= len - of_head;
        let body_is_sent =
            |(at, body): &(usize, Buffer)| *at == self.heads_sent && body.len() == self.body_sent;
        if self.bodies.front().is_some_and(body_is_sent) {
            self.bodies.pop_front();
            self.body_sent = 0;
        }
        if self.heads_sent == self.heads.len() && self.bodies.is_empty() {
            self.heads.clear();
            self.heads_sent = 0;
        } else if self.heads_sent >= COMPACT_FROM_LEN {
            self.heads.drain(..self.heads_sent);
            for (at, _) in &mut self.bodies {
                *at -= self.heads_sent;
            }
            self.heads_sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything out, at most `step` bytes at a time.
    fn drained(mut unsent: Unsent, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some([head, body]) = unsent.front() {
            let both = [head, body].concat();
            let len = both.len().min(step);
            out.extend_from_slice(&both[..len]);
            unsent.advance(len);
        }
        assert_eq!(unsent.len(), 0);
        out
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_stream_takes_at_once() {
        for step in [1, 2, 3, 7, 1000, usize::MAX] {
            let (mut unsent, mut expected) = (Unsent::default(), Vec::new());
            for n in 0..5000u32 {
                let head = [b'h', n as u8, (n >> 8) as u8, b'!'];
                unsent.heads().extend_from_slice(&head);
                expected.extend_from_slice(&head);
                if n % 3 == 0 {
                    let body = vec![n as u8; (n % 11) as usize];
                    expected.extend_from_slice(&body);
                    unsent.push_body(body.into());
                }
            }
            // Long enough for the requests to be moved together on the way.
            unsent.heads().extend_from_slice(&[7; 2 * COMPACT_FROM_LEN]);
            expected.extend_from_slice(&[7; 2 * COMPACT_FROM_LEN]);
            unsent.push_body(vec![8; 10].into());
            expected.extend_from_slice(&[8; 10]);

            assert!(unsent.len() == expected.len() && drained(unsent, step) == expected, "{step}");
        }
    }

    #[test]
    fn requests_in_a_row_are_one_piece() {
        let mut unsent = Unsent::default();
        for _ in 0..3 {
            unsent.heads().extend_from_slice(b"request");
        }

        assert_eq!(unsent.front(), Some([&b"requestrequestrequest"[..], b""]));
    }
}
