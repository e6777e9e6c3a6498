//! Connections that have not logged in: how many there are, and whether one more may begin.

use std::collections::HashMap;

use ipnet::IpNet;
use sterna_ssh_crypto::Random;

use super::DropReason;
use super::settings::{DefenceSettings, MaxStartups};

/// The connections without a login. Bounded, because only those that were let in are counted.
#[derive(Default)]
pub(super) struct Startups {
    all: u32,
    by_source: HashMap<IpNet, u32>,
}

impl Startups {
    /// Why one more connection from `source` may not begin, if so.
    pub(super) fn refusal(
        &self,
        source: IpNet,
        settings: &DefenceSettings,
        random: &mut dyn Random,
    ) -> Option<DropReason> {
        let from_source = self.by_source.get(&source).copied().unwrap_or(0);
        if settings.per_source_max_startups.is_some_and(|max| from_source >= max) {
            return Some(DropReason::TooManyFromSource);
        }
        let percent = drop_percent(settings.max_startups, self.all);
        let dropped = match percent {
            0 => false,
            100.. => true,
            percent => roll(random) < percent,
        };
        dropped.then_some(DropReason::TooManyStartups)
    }

    pub(super) fn begin(&mut self, source: IpNet) {
        self.all += 1;
        *self.by_source.entry(source).or_default() += 1;
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all == 0 && self.by_source.is_empty()
    }

    pub(super) fn end(&mut self, source: IpNet) {
        self.all = self.all.saturating_sub(1);
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

/// How many of 100 further connections are dropped when there are `now`.
fn drop_percent(max: MaxStartups, now: u32) -> u32 {
    if now >= max.full {
        return 100;
    }
    if now < max.start {
        return 0;
    }
    let rate = max.rate.min(100);
    let (above, span) = (u64::from(now - max.start), u64::from(max.full - max.start));
    // Below 100, since `above` is below `span`.
    rate + (u64::from(100 - rate) * above / span) as u32
}

/// 0 to 99, each as likely as the others.
fn roll(random: &mut dyn Random) -> u32 {
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    ((u64::from(u32::from_le_bytes(bytes)) * 100) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_dropped_grows_linearly() {
        let table = [
            ("10:30:100", 0, 0),
            ("10:30:100", 9, 0),
            ("10:30:100", 10, 30),
            ("10:30:100", 55, 65),
            ("10:30:100", 99, 99),
            ("10:30:100", 100, 100),
            ("10:30:100", 5000, 100),
            ("5", 4, 0),
            ("5", 5, 100),
            ("5:100:50", 5, 100),
        ];
        for (max, now, percent) in table {
            assert_eq!(drop_percent(max.parse().unwrap(), now), percent, "{max} at {now}");
        }
    }

    /// Gives these numbers of 100 in turn.
    struct Rolls(std::vec::IntoIter<u32>);

    impl Random for Rolls {
        fn fill(&mut self, out: &mut [u8]) {
            let percent = u64::from(self.0.next().expect("no more randomness is asked for"));
            let number = ((percent << 32) + (1 << 31)) / 100;
            out.copy_from_slice(&(number as u32).to_le_bytes());
        }
    }

    fn source(n: u8) -> IpNet {
        IpNet::from(std::net::IpAddr::from([192, 0, 2, n]))
    }

    #[test]
    fn a_roll_below_the_share_drops() {
        let settings = DefenceSettings {
            max_startups: "2:30:4".parse().unwrap(),
            per_source_max_startups: None,
            ..DefenceSettings::default()
        };
        let mut startups = Startups::default();
        let mut random = Rolls(vec![29, 30, 64, 65].into_iter());
        let mut asked = |startups: &Startups| startups.refusal(source(1), &settings, &mut random);
        let dropped = Some(DropReason::TooManyStartups);

        // No randomness below the start.
        for n in 0..2 {
            assert_eq!(asked(&startups), None);
            startups.begin(source(n));
        }
        assert_eq!((asked(&startups), asked(&startups)), (dropped, None));
        startups.begin(source(3));
        assert_eq!((asked(&startups), asked(&startups)), (dropped, None));
        startups.begin(source(4));
        // And none at the end.
        assert_eq!(asked(&startups), dropped);
        startups.end(source(4));
        startups.end(source(3));
        startups.end(source(1));
        assert_eq!(asked(&startups), None);
    }

    #[test]
    fn every_source_has_a_bound_of_its_own() {
        let settings =
            DefenceSettings { per_source_max_startups: Some(2), ..DefenceSettings::default() };
        let mut startups = Startups::default();
        let mut random = Rolls(Vec::new().into_iter());
        let mut asked =
            |startups: &Startups, n| startups.refusal(source(n), &settings, &mut random);

        startups.begin(source(1));
        assert_eq!(asked(&startups, 1), None);
        startups.begin(source(1));
        assert_eq!(asked(&startups, 1), Some(DropReason::TooManyFromSource));
        assert_eq!(asked(&startups, 2), None);
        startups.end(source(1));
        assert_eq!(asked(&startups, 1), None);
        startups.end(source(1));
        assert!(startups.by_source.is_empty(), "who left is not kept");
    }
}
