//! One remote file, open on several lanes at once: each channel brings a window of its own.
//!
//! Many servers let 2 MiB travel on a channel before they give credit, which on a long path is a fraction
//! of what it holds. As long as the windows of all lanes of a file are full most of the time, it gets
//! twice as many. Which range goes next is not decided here, only the lane that it takes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use super::lanes::Lane;
use crate::Error;
use crate::limits::{LANES_MAX, STRIPES_PERIOD};
use crate::sftp::{File, OpenOptions, Sftp};

/// See the module.
pub(super) struct Stripes<'p> {
    context: &'p Context,
    first: &'p File,
    /// Bytes in flight on the first lane.
    first_in_flight: usize,
    others: Vec<Stripe>,
    how: OpenOptions,
    opening: Option<Pin<Box<dyn Future<Output = Vec<Stripe>> + Send + 'p>>>,
    /// When the windows were last looked at.
    looked_at: Instant,
    /// How long the windows of all lanes together had been full until then.
    full: Duration,
    /// No further lane is to be had.
    is_widest: bool,
}

struct Stripe {
    /// Held, so that the lane counts as in use.
    _lane: Arc<Lane>,
    file: File,
    in_flight: usize,
}

impl<'p> Stripes<'p> {
    /// `first` is open already; on other lanes it is opened as `how` says.
    pub(super) fn new(context: &'p Context, first: &'p File, how: OpenOptions) -> Self {
        Self {
            context,
            first,
            first_in_flight: 0,
            others: Vec::new(),
            how,
            opening: None,
            looked_at: Instant::now(),
            full: first.sftp().window_full_time(),
            is_widest: !context.lanes.may_share_files(),
        }
    }

    /// The lane with the least in flight, by its number, and the file there. `len` bytes go that way now.
    pub(super) fn begin(&mut self, len: usize) -> (usize, &File) {
        let least = self.others.iter_mut().enumerate().min_by_key(|(_, s)| s.in_flight);
        match least {
            Some((index, stripe)) if stripe.in_flight < self.first_in_flight => {
                stripe.in_flight += len;
                (index + 1, &stripe.file)
            }
            _ => {
                self.first_in_flight += len;
                (0, self.first)
            }
        }
    }

    /// `len` bytes that went by this number are answered.
    pub(super) fn end(&mut self, number: usize, len: usize) {
        let in_flight = match number {
            0 => &mut self.first_in_flight,
            number => &mut self.others[number - 1].in_flight,
        };
        *in_flight -= len;
        self.look();
    }

    /// Completes when lanes that were being opened are there; never if there are none. To be polled
    /// beside everything else.
    pub(super) async fn widened(&mut self) {
        let Some(opening) = &mut self.opening else { return std::future::pending().await };
        let opened = opening.await;
        self.opening = None;
        self.is_widest = opened.is_empty();
        self.others.extend(opened);
        (self.full, self.looked_at) = (self.full_time(), Instant::now());
    }

    /// Begins to open more lanes if the windows of those that there are were full most of the time.
    fn look(&mut self) {
        let elapsed = self.looked_at.elapsed();
        if elapsed < STRIPES_PERIOD || self.opening.is_some() || self.is_widest {
            return;
        }
        let full = self.full_time();
        let share = full.saturating_sub(self.full).as_secs_f64() / elapsed.as_secs_f64();
        (self.full, self.looked_at) = (full, Instant::now());
        let lanes = 1 + self.others.len();
        let count = lanes.min(LANES_MAX.saturating_sub(lanes));
        if share < lanes as f64 / 2.0 || count == 0 {
            return;
        }
        let files = std::iter::once(self.first).chain(self.others.iter().map(|s| &s.file));
        let used: Vec<Sftp> = files.map(|file| file.sftp().clone()).collect();
        let (context, path, how) = (self.context, self.first.path(), self.how);
        self.opening = Some(Box::pin(async move {
            let mut opened = Vec::new();
            for lane in context.lanes.further(&used, count).await {
                // A server that opens it only once is served by one lane.
                if let Ok(file) = lane.sftp.open(path, how).await {
                    opened.push(Stripe { _lane: lane, file, in_flight: 0 });
                }
            }
            opened
        }));
    }

    fn full_time(&self) -> Duration {
        let others = self.others.iter().map(|stripe| stripe.file.sftp().window_full_time());
        others.fold(self.first.sftp().window_full_time(), Duration::saturating_add)
    }

    /// Closes the file on all lanes but the first: a server may report a lost write only now.
    ///
    /// # Errors
    /// The first that there is.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        self.opening = None;
        let mut result = Ok(());
        for stripe in self.others.drain(..) {
            result = result.and(stripe.file.close().await);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::sftp::script::{Script, against};
    use crate::transfer::Transfer;

    const OPEN: u8 = 3;

    /// Opens and closes whatever is asked for; notes the types of requests.
    async fn play(mut script: Script, seen: Arc<Mutex<Vec<u8>>>) {
        loop {
            let (wire_type, id, _) = script.request().await;
            seen.lock().unwrap().push(wire_type);
            match wire_type {
                OPEN => script.reply(102, id, &[0, 0, 0, 1, b'h']).await,
                _ => script.status(id, 0).await,
            }
        }
    }

    /// Sends for one period on two lanes of which the first was full for `full`; the lanes of four
    /// blocks after that, and what the second was asked.
    async fn lanes_after(full: Duration) -> (Vec<usize>, Vec<u8>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sftp, noted) = (against(|script| play(script, Arc::default())).await, seen.clone());
        let other = against(|script| play(script, noted)).await;
        let context = Transfer::new(&sftp).context(None);
        context.lanes.add(other);
        let how = OpenOptions::new().write(true);
        let file = sftp.open(b"/f", how).await.unwrap();
        let mut stripes = Stripes::new(&context, &file, how);
        assert_eq!(stripes.begin(1).0, 0);
        tokio::time::advance(STRIPES_PERIOD).await;
        sftp.note_window_full(full);

        stripes.end(0, 1);
        if stripes.opening.is_some() {
            stripes.widened().await;
        }

        let lanes = (0..4).map(|_| stripes.begin(1).0).collect();
        stripes.close().await.unwrap();
        let seen = seen.lock().unwrap().clone();
        (lanes, seen)
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_takes_another_lane_when_the_windows_of_its_lanes_are_full_and_not_before() {
        const CLOSE: u8 = 4;

        assert_eq!(
            lanes_after(STRIPES_PERIOD * 2 / 3).await,
            (vec![0, 1, 0, 1], vec![OPEN, CLOSE])
        );
        assert_eq!(lanes_after(STRIPES_PERIOD / 3).await, (vec![0; 4], vec![]));
    }
}
