//! Bytes on their way in one direction of one connection: bounded, each chunk with its hour of arrival.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// What comes out at the far end.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    Data(Vec<u8>),
    /// The sender has closed its direction.
    End,
    /// The connection is gone: nothing more arrives.
    Gone,
}

/// See the module. One thread pushes, another takes.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    len_max: usize,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<(Instant, Arrival)>,
    len: usize,
    gone: bool,
}

impl Queue {
    /// Holds `len_max` bytes, and one chunk more.
    pub fn new(len_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), len_max }
    }

    /// Puts something in, to come out at `due`; waits for room. Does nothing once all is gone.
    pub fn push(&self, due: Instant, arrival: Arrival) {
        let mut state = self.lock();
        while state.len > self.len_max && !state.gone {
            state = self.changed.wait(state).expect("no panic under the lock");
        }
        if let Arrival::Data(data) = &arrival {
            state.len += data.len();
        }
        state.chunks.push_back((due, arrival));
        self.changed.notify_all();
    }

    /// Waits for the next thing to come out.
    pub fn take(&self) -> Arrival {
        let mut state = self.lock();
        loop {
            if state.gone {
                return Arrival::Gone;
            }
            let now = Instant::now();
            state = match state.chunks.front() {
                None => self.changed.wait(state).expect("no panic under the lock"),
                Some((due, _)) if *due > now => {
                    let wait = *due - now;
                    self.changed.wait_timeout(state, wait).expect("no panic under the lock").0
                }
                Some(_) => break,
            };
        }
        let (_, arrival) = state.chunks.pop_front().expect("there is a front");
        if let Arrival::Data(data) = &arrival {
            state.len -= data.len();
        }
        self.changed.notify_all();
        arrival
    }

    /// The connection is gone: whoever waits here stops.
    pub fn abandon(&self) {
        self.lock().gone = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_out_in_order_and_the_end_behind_them() {
        let (queue, now) = (Queue::new(20), Instant::now());
        queue.push(now, Arrival::Data(vec![1; 10]));
        queue.push(now, Arrival::Data(vec![2; 10]));
        queue.push(now, Arrival::End);
        assert_eq!(queue.take(), Arrival::Data(vec![1; 10]));
        assert_eq!(queue.take(), Arrival::Data(vec![2; 10]));
        assert_eq!(queue.take(), Arrival::End);
    }

    #[test]
    fn whoever_waits_for_room_or_for_bytes_goes_on_when_all_is_gone() {
        let queue = Queue::new(1);
        queue.push(Instant::now(), Arrival::Data(vec![0; 2]));
        std::thread::scope(|s| {
            s.spawn(|| queue.push(Instant::now(), Arrival::Data(vec![0; 2])));
            queue.abandon();
        });
        assert_eq!(queue.take(), Arrival::Gone);
    }
}
