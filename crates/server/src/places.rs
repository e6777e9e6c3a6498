//! The places that connections take: so many in all, and so many of one source.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::defence::DropReason;
use crate::server_limits::ServerLimits;

/// Counts the connections of a server.
#[derive(Default)]
pub(crate) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpNet, usize>,
}

/// A connection's place; free again when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    /// `None` as long as nobody knows who is behind a balancer.
    source: Option<IpNet>,
}

impl Places {
    /// A place for a connection whose source is not known yet.
    pub(crate) fn take(self: &Arc<Self>, limits: &ServerLimits) -> Result<Place, DropReason> {
        let mut taken = self.lock();
        if taken.all >= limits.connections {
            return Err(DropReason::ServerFull);
        }
        taken.all += 1;
        drop(taken);
        Ok(Place { places: Arc::clone(self), source: None })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The connection comes from `source`, which may have its share of all places and no more.
    pub(crate) fn belongs_to(
        mut self,
        source: IpNet,
        limits: &ServerLimits,
    ) -> Result<Self, DropReason> {
        let mut taken = self.places.lock();
        let count = taken.by_source.entry(source).or_default();
        if *count >= limits.connections_per_source {
            return Err(DropReason::SourceFull);
        }
        *count += 1;
        drop(taken);
        self.source = Some(source);
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(source) = self.source
            && let Some(count) = taken.by_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_source_and_come_back() {
        let places = Arc::new(Places::default());
        let limits =
            ServerLimits { connections: 3, connections_per_source: 2, ..ServerLimits::default() };
        let one: IpNet = "192.0.2.1/32".parse().unwrap();
        let other: IpNet = "192.0.2.2/32".parse().unwrap();
        let from =
            |source| places.take(&limits).and_then(|place| place.belongs_to(source, &limits));

        let first = from(one).unwrap();
        let _second = from(one).unwrap();
        assert_eq!(from(one).err(), Some(DropReason::SourceFull));
        assert_eq!(places.lock().all, 2, "who was refused takes no place");
        let _third = from(other).unwrap();
        assert_eq!(from(other).err(), Some(DropReason::ServerFull));
        drop(first);
        assert!(from(one).is_ok());
        assert_eq!(places.lock().by_source.len(), 2);
    }
}
