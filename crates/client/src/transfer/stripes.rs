//! One remote file, open on several lanes at once: each channel brings a window of its own.
//!
//! Many servers let 2 MiB travel on a channel before they give credit, which on a long path is a fraction
//! of what it holds. As long as the windows of all lanes of a file that we write are full most of the time,
//! it gets more. What we read is bounded by ourselves: a lane with much in flight is much that the server
//! may have to keep for it, and OpenSSH's needs longer for each byte the more it keeps. Which range goes
//! next is not decided here, only the lane that it takes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Context;
use super::lanes::Lane;
use super::ranges::Ranges;
use super::resume::SourceState;
use crate::Error;
use crate::limits::{
    LANES_MAX, STRIPE_ALONE_LEN_MAX, STRIPE_MIN_LEN, STRIPE_READ_LEN_MAX, STRIPES_GROWTH,
    STRIPES_PERIOD,
};
use crate::sftp::{File, OpenOptions, Sftp};

/// See the module.
pub(super) struct Stripes<'p> {
    context: &'p Context,
    first: &'p File,
    /// Bytes in flight on the first lane.
    first_in_flight: usize,
    others: Vec<Stripe>,
    side: Side,
    opening: Option<Pin<Box<dyn Future<Output = Vec<Stripe>> + Send + 'p>>>,
    /// When the windows were last looked at.
    looked_at: Instant,
    /// How long the windows of all lanes together had been full until then.
    full: Duration,
    /// No further lane is to be had.
    is_widest: bool,
}

/// What is done with the file.
#[derive(Clone)]
enum Side {
    /// It is a part of ours.
    Write,
    /// It may be replaced between two looks: only what has this state is the same file.
    Read(SourceState),
}

struct Stripe {
    /// Held, so that the lane counts as in use.
    _lane: Arc<Lane>,
    file: File,
    in_flight: usize,
}

impl<'p> Stripes<'p> {
    /// To write `first`, which is open already.
    pub(super) fn writing(context: &'p Context, first: &'p File) -> Self {
        Self::new(context, first, Side::Write)
    }

    /// To read `first`, which is open already and was seen in this `state`.
    pub(super) fn reading(context: &'p Context, first: &'p File, state: SourceState) -> Self {
        Self::new(context, first, Side::Read(state))
    }

    fn new(context: &'p Context, first: &'p File, side: Side) -> Self {
        Self {
            context,
            first,
            first_in_flight: 0,
            others: Vec::new(),
            side,
            opening: None,
            looked_at: Instant::now(),
            full: first.sftp().window_full_time(),
            is_widest: !context.lanes.may_share_files(),
        }
    }

    /// The lane with the least in flight, by its number, and the file there. `len` bytes go that way now.
    pub(super) fn begin(&mut self, len: usize) -> (usize, &File) {
        match self.least() {
            (0, _) => {
                self.first_in_flight += len;
                (0, self.first)
            }
            (number, _) => {
                let stripe = &mut self.others[number - 1];
                stripe.in_flight += len;
                (number, &stripe.file)
            }
        }
    }

    /// Whether everything goes by the first lane.
    pub(super) fn is_one(&self) -> bool {
        self.others.is_empty()
    }

    /// `len` bytes that went by this number are answered.
    pub(super) fn end(&mut self, number: usize, len: usize) {
        let in_flight = match number {
            0 => &mut self.first_in_flight,
            number => &mut self.others[number - 1].in_flight,
        };
        *in_flight -= len;
    }

    /// Whether a lane of a long path may read `len` more; if none, and what is `left` is worth it, begins to
    /// open more lanes.
    pub(super) fn may_read(&mut self, len: usize, left: &Ranges) -> bool {
        if self.is_widest {
            return true;
        }
        // While others come, the path is not left as empty as one lane alone would leave it.
        let len_max = match self.opening {
            Some(_) => STRIPE_ALONE_LEN_MAX,
            None => STRIPE_READ_LEN_MAX,
        };
        let (_, in_flight) = self.least();
        if in_flight == 0 || in_flight + len <= len_max {
            return true;
        }
        if self.opening.is_none() && left.len() >= STRIPE_MIN_LEN {
            self.widen();
        }
        false
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

    /// The number of the lane with the least in flight, and that.
    fn least(&self) -> (usize, usize) {
        let others = self.others.iter().enumerate().map(|(index, s)| (index + 1, s.in_flight));
        let all = std::iter::once((0, self.first_in_flight)).chain(others);
        all.min_by_key(|(_, in_flight)| *in_flight).unwrap_or_default()
    }

    /// To be called now and then by who writes on a long path: begins to open more lanes if the windows of
    /// those that there are were full most of the time. On a short path that says only that the server is
    /// slow, and more channels make it slower.
    pub(super) fn look(&mut self) {
        let elapsed = self.looked_at.elapsed();
        if elapsed < STRIPES_PERIOD || self.opening.is_some() || self.is_widest {
            return;
        }
        let full = self.full_time();
        let share = full.saturating_sub(self.full).as_secs_f64() / elapsed.as_secs_f64();
        (self.full, self.looked_at) = (full, Instant::now());
        if share >= (1 + self.others.len()) as f64 / 2.0 {
            self.widen();
        }
    }

    /// Begins to open more lanes, if there may be more.
    fn widen(&mut self) {
        let lanes = 1 + self.others.len();
        let count = (lanes * (STRIPES_GROWTH - 1)).min(LANES_MAX.saturating_sub(lanes));
        if count == 0 {
            self.is_widest = true;
            return;
        }
        let files = std::iter::once(self.first).chain(self.others.iter().map(|s| &s.file));
        let used: Vec<Sftp> = files.map(|file| file.sftp().clone()).collect();
        let (context, path, side) = (self.context, self.first.path(), self.side.clone());
        self.opening = Some(Box::pin(async move {
            let mut opening = JoinSet::new();
            for lane in context.lanes.further(&used, count).await {
                opening.spawn(side.clone().open(lane, path.to_vec()));
            }
            // A server that opens it only once is served by one lane.
            opening.join_all().await.into_iter().flatten().collect()
        }));
    }

    fn full_time(&self) -> Duration {
        let others = self.others.iter().map(|stripe| stripe.file.sftp().window_full_time());
        others.fold(self.first.sftp().window_full_time(), Duration::saturating_add)
    }

    /// Closes the file on all lanes but the first: a server may report a lost write only now. Who has read
    /// need not wait for that; dropping these closes it too.
    ///
    /// # Errors
    /// One of those that there are.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        self.opening = None;
        let mut closing = JoinSet::new();
        for stripe in self.others.drain(..) {
            closing.spawn(stripe.file.close());
        }
        closing.join_all().await.into_iter().collect()
    }
}

impl Side {
    async fn open(self, lane: Arc<Lane>, path: Vec<u8>) -> Option<Stripe> {
        let how = match self {
            Self::Write => OpenOptions::new().write(true),
            Self::Read(_) => OpenOptions::new().read(true),
        };
        let file = lane.sftp.open(&path, how).await.ok()?;
        if let Self::Read(expected) = self {
            let found = SourceState::of(&file.stat().await.ok()?);
            if found != expected {
                return None;
            }
        }
        Some(Stripe { _lane: lane, file, in_flight: 0 })
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
        let file = sftp.open(b"/f", OpenOptions::new().write(true)).await.unwrap();
        let mut stripes = Stripes::writing(&context, &file);
        assert_eq!(stripes.begin(1).0, 0);
        tokio::time::advance(STRIPES_PERIOD).await;
        sftp.note_window_full(full);

        stripes.end(0, 1);
        stripes.look();
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

    /// A file of this many bytes, and without times.
    fn of_len(size: u64) -> SourceState {
        SourceState { size, modified: 0, nanos: 0 }
    }

    /// Reads as much of a file of 1 GiB as it may on a long path, in pieces of 1 MiB, before and after a
    /// second lane is there that says how long the file is. The number of pieces each time, and the
    /// lane of the last one.
    async fn pieces(len_there: u64) -> ([usize; 3], usize) {
        const PIECE: usize = 1 << 20;
        let sftp = against(|script| play(script, Arc::default())).await;
        let other = against(async move |mut script: Script| {
            loop {
                let (wire_type, id, _) = script.request().await;
                match wire_type {
                    OPEN => script.reply(102, id, &[0, 0, 0, 1, b'h']).await,
                    // FSTAT: ATTRS with a size.
                    8 => {
                        let attrs = [&1_u32.to_be_bytes()[..], &len_there.to_be_bytes()].concat();
                        script.reply(105, id, &attrs).await;
                    }
                    _ => script.status(id, 0).await,
                }
            }
        })
        .await;
        let context = Transfer::new(&sftp).context(None);
        context.lanes.add(other);
        let file = sftp.open(b"/f", OpenOptions::new().read(true)).await.unwrap();
        let mut stripes = Stripes::reading(&context, &file, of_len(1 << 30));
        let left = Ranges::of(0..1 << 30);
        let mut lane = 0;
        let mut fill = |stripes: &mut Stripes<'_>| {
            let mut count = 0;
            while count < 100 && stripes.may_read(PIECE, &left) {
                lane = stripes.begin(PIECE).0;
                count += 1;
            }
            count
        };

        let first = fill(&mut stripes);
        let opening = fill(&mut stripes);
        stripes.widened().await;
        let wide = fill(&mut stripes);
        ([first, opening, wide], lane)
    }

    #[tokio::test]
    async fn a_file_that_is_read_takes_another_lane_before_the_first_has_much_in_flight() {
        let (counts, lane) = pieces(1 << 30).await;

        let first = STRIPE_READ_LEN_MAX >> 20;
        assert_eq!(counts, [first, (STRIPE_ALONE_LEN_MAX >> 20) - first, first]);
        assert_eq!(lane, 1);
    }

    #[tokio::test]
    async fn what_has_another_length_on_another_lane_is_another_file() {
        let (counts, lane) = pieces((1 << 30) + 1).await;

        assert_eq!((counts[2], lane), (100, 0), "all on the first lane");
    }
}
