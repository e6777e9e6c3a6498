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
    open: Mutex<HashMap<u64, Arc<Entry>>>,
}

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
            open.values().filter(|entry| !allowed(&entry.user)).cloned().collect()
        };
        for entry in &ended {
            entry.end.store(true, Ordering::Release);
            entry.wake.wake();
        }
        ended.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A new session of `user`, known until it is dropped.
    pub(crate) fn enter(self: &Arc<Self>, user: Arc<User>) -> Session {
        let entry =
            Arc::new(Entry { user, end: AtomicBool::new(false), wake: WakeCell::default() });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(id, Arc::clone(&entry));
        Session { sessions: Arc::clone(self), id, entry }
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
        open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn sessions_end_by_user_and_are_forgotten_when_dropped() {
        let sessions = Arc::new(Sessions::default());
        let enter = |name: &str| sessions.enter(Arc::new(User::new(name, "/srv")));
        let (alice, bob, again) = (enter("alice"), enter("bob"), enter("alice"));
        let cx = Context::from_waker(Waker::noop());

        assert_eq!(sessions.end_unless(|user| user.name == "bob"), 2);

        assert!(alice.poll_end(&cx) && again.poll_end(&cx) && !bob.poll_end(&cx));
        drop((alice, again));
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions.end_unless(|user| user.name == "bob"), 0);
    }
}
