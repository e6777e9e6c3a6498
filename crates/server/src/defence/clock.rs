//! Times that can be kept over a restart, made from a clock that never jumps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnixMs(pub(super) i64);

impl UnixMs {
    pub(super) fn from_seconds(seconds: u64) -> Self {
        Self(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000))
    }

    /// Rounded up, so that what is kept never ends early.
    pub(super) fn to_seconds(self) -> u64 {
        u64::try_from(self.0).map_or(0, |ms| ms.div_ceil(1000))
    }

    pub(super) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Zero if it is not later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Reads the time of day once. From then on time goes as the monotonic clock does, so a clock that
/// is set neither ends nor prolongs a penalty while the server runs.
pub(super) struct Clock {
    start: Instant,
    start_unix: UnixMs,
}

impl Clock {
    pub(super) fn new(start: Instant, time_of_day: SystemTime) -> Self {
        let unix = time_of_day.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start, start_unix: UnixMs(0).after(unix) }
    }

    pub(super) fn at(&self, now: Instant) -> UnixMs {
        self.start_unix.after(now.saturating_duration_since(self.start))
    }
}
