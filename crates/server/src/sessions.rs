//! Who is logged in: so that the sessions of a user can be ended from outside.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use sterna_identity::User;

use crate::wake::WakeCell;

/// All sessions of a server. Bounded by the number of its connections.
#[derive(Default)]
pub struct Sessions {
    next: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: HashMap<u64, Arc<Entry>>,
    /// How many of them each user has.
    by_user: HashMap<String, usize>,
}

/// The user has as many sessions as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

struct Entry {
    user: Arc<User>,
    end: AtomicBool,
    wake: WakeCell,
}

impl Sessions {
    /// Tells the sessions to end whose user is not `allowed` any more. Returns how many were told.
    pub fn end_unless(&self, allowed: impl Fn(&User) -> bool) -> usize {
        let ended: Vec<Arc<Entry>> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.all.values().filter(|entry| !allowed(&entry.user)).cloned().collect()
        };
        for entry in &ended {
            entry.end.store(true, Ordering::Release);
            entry.wake.wake();
        }
        ended.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A new session of `user`, known until it is dropped; unless there are `max` of that user.
    pub(crate) fn enter(self: &Arc<Self>, user: Arc<User>, max: usize) -> Result<Session, TooMany> {
        let entry =
            Arc::new(Entry { user, end: AtomicBool::new(false), wake: WakeCell::default() });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.by_user.get(&entry.user.name).copied().unwrap_or(0);
        if count >= max {
            return Err(TooMany);
        }
        open.by_user.insert(entry.user.name.clone(), count + 1);
        open.all.insert(id, Arc::clone(&entry));
        drop(open);
        Ok(Session { sessions: Arc::clone(self), id, entry })
    }
}

/// One session's own end of it.
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    id: u64,
    entry: Arc<Entry>,
}

impl Session {
    /// Whether it was told to end; wakes `cx` when it is.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> bool {
        self.entry.wake.register(cx.waker());
        self.entry.end.load(Ordering::Acquire)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all.remove(&self.id);
        if let Some(count) = open.by_user.get_mut(&self.entry.user.name) {
            *count -= 1;
            if *count == 0 {
                open.by_user.remove(&self.entry.user.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn sessions_end_by_user_and_are_forgotten_when_dropped() {
        let sessions = Arc::new(Sessions::default());
        let enter = |name: &str| sessions.enter(Arc::new(User::new(name, "/srv")), 2);
        let alice = enter("alice").unwrap();
        let (bob, again) = (enter("bob").unwrap(), enter("alice").unwrap());
        assert_eq!(enter("alice").err(), Some(TooMany), "a third one");
        let cx = Context::from_waker(Waker::noop());

        assert_eq!(sessions.end_unless(|user| user.name == "bob"), 2);

        assert!(alice.poll_end(&cx) && again.poll_end(&cx) && !bob.poll_end(&cx));
        drop((alice, again));
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions.end_unless(|user| user.name == "bob"), 0);
        assert!(enter("alice").is_ok(), "places come back");
    }
}
