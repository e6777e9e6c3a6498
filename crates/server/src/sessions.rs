//! Who is logged in: so that sessions can be listed, and ended from outside.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Context;
use std::time::Duration;

use sterna_identity::User;

use crate::observe::{Observer, SessionInfo};
use crate::wake::WakeCell;

/// All sessions of a server. Bounded by the number of its connections.
#[derive(Default)]
pub struct Sessions {
    next: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// In the order in which they began.
    all: BTreeMap<u64, Arc<Entry>>,
    /// How many of them each user has.
    by_user: HashMap<String, usize>,
}

/// The user has as many sessions as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

struct Entry {
    user: Arc<User>,
    observer: Arc<Observer>,
    /// Why it has to end.
    end: OnceLock<Box<str>>,
    wake: WakeCell,
}

impl Sessions {
    /// Tells the sessions to end whose user is not `allowed` any more. Returns how many were told.
    pub fn end_unless(&self, allowed: impl Fn(&User) -> bool) -> usize {
        self.end(|entry| !allowed(&entry.user), "the account may not be used any more").len()
    }

    /// Tells the sessions to end that `which` wants to; their clients are told `why`. Returns who was told.
    pub fn end_where(&self, which: impl Fn(&SessionInfo) -> bool, why: &str) -> Vec<SessionInfo> {
        let ended = self.end(|entry| which(&entry.observer.info()), why);
        ended.iter().map(|entry| entry.observer.info()).collect()
    }

    /// Tells all sessions to end.
    pub fn end_all(&self, why: &str) -> usize {
        self.end(|_| true, why).len()
    }

    /// Tells the sessions to end whose clients have sent nothing for longer than `longest`.
    pub(crate) fn end_idle(&self, longest: Duration) -> usize {
        self.end(|entry| entry.observer.idle() > longest, "nothing was asked for too long").len()
    }

    /// Every session, the oldest first.
    pub fn list(&self) -> Vec<SessionInfo> {
        let mut all: Vec<SessionInfo> =
            self.entries(|_| true).iter().map(|entry| entry.observer.info()).collect();
        all.sort_by_key(|info| std::cmp::Reverse(info.lasts));
        all
    }

    pub(crate) fn for_each(&self, mut look: impl FnMut(&Observer)) {
        self.entries(|_| true).iter().for_each(|entry| look(&entry.observer));
    }

    fn entries(&self, which: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all.values().filter(|entry| which(entry)).cloned().collect()
    }

    fn end(&self, which: impl Fn(&Entry) -> bool, why: &str) -> Vec<Arc<Entry>> {
        let ended = self.entries(which);
        for entry in &ended {
            // The first reason counts.
            let _ = entry.end.set(why.into());
            entry.wake.wake();
        }
        ended
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A new session of `user`, known until it is dropped; unless there are `max` of that user.
    pub(crate) fn enter(
        self: &Arc<Self>,
        user: Arc<User>,
        observer: Arc<Observer>,
        max: usize,
    ) -> Result<Session, TooMany> {
        let (end, wake) = (OnceLock::new(), WakeCell::default());
        let entry = Arc::new(Entry { user, observer, end, wake });
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
    /// Why it has to end, if it was told to; wakes `cx` when it is.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Option<&str> {
        self.entry.wake.register(cx.waker());
        self.entry.end.get().map(|why| &**why)
    }

    pub(crate) fn observer(&self) -> &Arc<Observer> {
        &self.entry.observer
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
    use crate::observe::LoginFacts;
    use std::task::Waker;

    fn enter(sessions: &Arc<Sessions>, name: &str, max: usize) -> Result<Session, TooMany> {
        let source = "192.0.2.7:1000".parse().unwrap();
        let user = Arc::new(User::new(name, "/srv"));
        let facts = LoginFacts::default();
        let observer = Observer::new(name.into(), Arc::clone(&user), source, facts, None, None);
        sessions.enter(user, Arc::new(observer), max)
    }

    #[test]
    fn sessions_end_by_user_and_are_forgotten_when_dropped() {
        let sessions = Arc::new(Sessions::default());
        let enter = |name: &str| enter(&sessions, name, 2);
        let alice = enter("alice").unwrap();
        let (bob, again) = (enter("bob").unwrap(), enter("alice").unwrap());
        assert_eq!(enter("alice").err(), Some(TooMany), "a third one");
        let cx = Context::from_waker(Waker::noop());

        assert_eq!(sessions.end_unless(|user| user.name == "bob"), 2);

        assert!(alice.poll_end(&cx).is_some() && again.poll_end(&cx).is_some());
        assert_eq!(bob.poll_end(&cx), None);
        drop((alice, again));
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions.end_unless(|user| user.name == "bob"), 0);
        assert!(enter("alice").is_ok(), "places come back");
    }

    #[test]
    fn sessions_are_listed_and_ended_by_what_the_list_says() {
        let sessions = Arc::new(Sessions::default());
        let enter = |name: &str| enter(&sessions, name, 1).unwrap();
        let (alice, bob) = (enter("alice"), enter("bob"));
        let cx = Context::from_waker(Waker::noop());
        let users: Vec<_> = sessions.list().into_iter().map(|info| info.user).collect();
        assert_eq!(users, ["alice", "bob"]);

        let ended = sessions.end_where(|info| info.id == "bob", "enough");

        assert_eq!(ended.len(), 1);
        assert_eq!((alice.poll_end(&cx), bob.poll_end(&cx)), (None, Some("enough")));
        assert_eq!(sessions.end_all("all of you"), 2);
        assert_eq!((alice.poll_end(&cx), bob.poll_end(&cx)), (Some("all of you"), Some("enough")));
    }
}
