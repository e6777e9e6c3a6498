//! Whose turn it is to send: each time another channel is served first.
//!
//! What one channel takes of the room in the output is gone for those that are served after it. The one
//! that is always first would take all of it for as long as it has credit and something to say.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use sterna_ssh_proto::ChannelId;

/// Remembers whose turn comes next.
#[derive(Debug, Default)]
pub struct Turns {
    first: Option<ChannelId>,
}

impl Turns {
    /// Calls `serve` for every channel once, and for another one first each time.
    pub fn serve_each<C>(
        &mut self,
        channels: &mut BTreeMap<ChannelId, C>,
        mut serve: impl FnMut(ChannelId, &mut C),
    ) {
        let Some(lowest) = channels.keys().next().copied() else { return };
        // The one whose turn it is may be gone.
        let next = self.first.and_then(|first| channels.range(first..).next());
        let first = next.map_or(lowest, |(id, _)| *id);
        for (id, channel) in channels.range_mut(first..) {
            serve(*id, channel);
        }
        for (id, channel) in channels.range_mut(..first) {
            serve(*id, channel);
        }
        self.first = channels.range((Excluded(first), Unbounded)).next().map(|(id, _)| *id);
    }
}

#[cfg(test)]
mod tests {
    use sterna_testkit::{Pair, PairConfig};

    use super::*;

    #[test]
    fn every_channel_is_served_each_time_and_each_is_first_in_turn() {
        let (mut pair, first) = Pair::connected(PairConfig::new(1));
        let ids = [first, pair.open_subsystem(), pair.open_subsystem()];
        let mut channels: BTreeMap<_, _> = ids.iter().map(|id| (*id, ())).collect();
        let mut turns = Turns::default();

        let mut served = Vec::new();
        for _ in 0..4 {
            turns.serve_each(&mut channels, |id, ()| served.push(id));
        }

        let [a, b, c] = ids;
        assert_eq!(served, [a, b, c, b, c, a, c, a, b, a, b, c]);
        channels.remove(&b);
        served.clear();
        for _ in 0..3 {
            turns.serve_each(&mut channels, |id, ()| served.push(id));
        }
        assert_eq!(served, [c, a, a, c, c, a], "the place of one that is gone goes to the next");
    }
}
