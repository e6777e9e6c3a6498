//! Files with several names: which name was seen first, and who waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::SYNC_HARD_LINKS_MAX;

/// The first name of a file at the target, once it is right there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct First {
    /// Its directory, below the root.
    pub(crate) rel: Arc<[u8]>,
    pub(crate) name: Box<[u8]>,
    /// What tells it from other files of the target, if that is known.
    pub(crate) id: Option<(u64, u64)>,
}

/// Names of the files that have several, by the identity of the source's file. `J` waits for a name.
#[derive(Debug)]
pub(crate) struct HardLinks<J> {
    files: HashMap<(u64, u64), File<J>>,
    max: usize,
}

#[derive(Debug)]
struct File<J> {
    /// Names that are still to come.
    left: u64,
    state: State<J>,
}

#[derive(Debug)]
enum State<J> {
    /// The first name is under way; these wait for it.
    UnderWay(Vec<J>),
    Ready(First),
}

/// What to do with a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<J> {
    /// It is the first one: do it, then say so by [`HardLinks::ready`] or [`HardLinks::failed`].
    First(J),
    /// It is kept until the first one is there.
    Waits,
    /// Link it to this one.
    Link(J, First),
    /// Too many files have several names: transfer it by itself.
    Alone(J),
}

impl<J> Default for HardLinks<J> {
    fn default() -> Self {
        Self { files: HashMap::new(), max: SYNC_HARD_LINKS_MAX }
    }
}

impl<J> HardLinks<J> {
    /// Takes the next name of a file that has `names` of them.
    pub(crate) fn next(&mut self, id: (u64, u64), names: u64, job: J) -> Step<J> {
        let full = self.files.len() >= self.max;
        let Some(file) = self.files.get_mut(&id) else {
            if full {
                return Step::Alone(job);
            }
            let state = State::UnderWay(Vec::new());
            self.files.insert(id, File { left: names.saturating_sub(1), state });
            return Step::First(job);
        };
        file.left = file.left.saturating_sub(1);
        let last = file.left == 0;
        match &mut file.state {
            State::UnderWay(waiting) => {
                waiting.push(job);
                Step::Waits
            }
            State::Ready(first) => {
                let first = first.clone();
                if last {
                    self.files.remove(&id);
                }
                Step::Link(job, first)
            }
        }
    }

    /// The first name is there: those that waited are linked to it.
    pub(crate) fn ready(&mut self, id: (u64, u64), first: &First) -> Vec<J> {
        let Some(file) = self.files.get_mut(&id) else { return Vec::new() };
        let was = std::mem::replace(&mut file.state, State::Ready(first.clone()));
        if file.left == 0 {
            self.files.remove(&id);
        }
        match was {
            State::UnderWay(waiting) => waiting,
            State::Ready(_) => Vec::new(),
        }
    }

    /// The first name is not there: the next one is tried as the first.
    pub(crate) fn failed(&mut self, id: (u64, u64)) -> Option<J> {
        let file = self.files.get_mut(&id)?;
        let next = match &mut file.state {
            State::UnderWay(waiting) if !waiting.is_empty() => Some(waiting.remove(0)),
            State::UnderWay(_) | State::Ready(_) => None,
        };
        if next.is_none() {
            self.files.remove(&id);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> First {
        First { rel: b"d".as_slice().into(), name: b"a".as_slice().into(), id: None }
    }

    #[test]
    fn later_names_wait_for_the_first_and_are_then_linked_to_it() {
        let mut links = HardLinks::default();

        assert_eq!(links.next((1, 1), 4, 'a'), Step::First('a'));
        assert_eq!(links.next((1, 1), 4, 'b'), Step::Waits);
        assert_eq!(links.next((1, 2), 2, 'x'), Step::First('x'));
        assert_eq!(links.ready((1, 1), &first()), ['b']);
        assert_eq!(links.next((1, 1), 4, 'c'), Step::Link('c', first()));
        assert_eq!(links.next((1, 1), 4, 'd'), Step::Link('d', first()));
        assert_eq!(links.files.len(), 1, "all four names were seen: it is forgotten");
    }

    #[test]
    fn when_the_first_fails_the_next_takes_its_place() {
        let mut links = HardLinks::default();
        links.next((1, 1), 3, 'a');
        links.next((1, 1), 3, 'b');

        assert_eq!(links.failed((1, 1)), Some('b'));
        assert_eq!(links.failed((1, 1)), None);
        assert_eq!(links.next((1, 1), 3, 'c'), Step::First('c'));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut links = HardLinks { max: 1, ..HardLinks::default() };
        links.next((1, 1), 9, 'a');

        assert_eq!(links.next((1, 2), 9, 'b'), Step::Alone('b'));
    }
}
