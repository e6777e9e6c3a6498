//! How much memory the process takes, for the limit above which nobody new is let in.

use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use crate::machine::{page_len, statm};

/// Between two looks: reading takes microseconds, and a flood of connections must not cost more.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Looks at the process's own memory.
pub(crate) struct MemoryWatch {
    looked: Option<(Instant, u64)>,
}

impl MemoryWatch {
    pub(crate) fn new() -> Self {
        Self { looked: None }
    }

    /// Bytes in memory at about `now`; zero where the system does not tell.
    pub(crate) fn resident(&mut self, now: Instant) -> u64 {
        if let Some((at, bytes)) = self.looked
            && now.saturating_duration_since(at) < LOOK_PAUSE
        {
            return bytes;
        }
        let bytes = self.read().unwrap_or(0);
        self.looked = Some((now, bytes));
        bytes
    }

    fn read(&self) -> Option<u64> {
        let mut text = [0; 128];
        let len = statm()?.read_at(&mut text, 0).ok()?;
        let pages = std::str::from_utf8(&text[..len]).ok()?.split(' ').nth(1)?;
        Some(pages.parse::<u64>().ok()? * page_len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_seen_and_looks_are_rare() {
        let mut watch = MemoryWatch::new();
        let now = Instant::now();
        let before = watch.resident(now);
        assert!(before > 0);

        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);

        assert_eq!(watch.resident(now), before, "not looked again so soon");
        assert!(watch.resident(now + LOOK_PAUSE) > before + (32 << 20));
        drop(touched);
    }
}
