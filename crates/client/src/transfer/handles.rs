//! Files and directories that are open at a server which allows few of them at once and does not say how
//! many.
//!
//! It refuses to open the next one, with the same FAILURE as for a full disk. So what is refused while
//! others are under way waits until one of them has ended and is tried again, and from then on only so many
//! are under way as there were beside it. What is refused alone is refused. A server that never takes such a file later is
//! believed at once in the end: its refusals mean something else.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Context;
use crate::limits::OPENS_DISPROVED_MAX;
use crate::{Error, Refusal};

/// See the module; for one transfer.
#[derive(Debug)]
pub(super) struct Handles {
    state: Mutex<State>,
    /// There is room, or not enough for everybody any more.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    users: usize,
    /// Users that there have been.
    begun: u64,
    users_max: usize,
    /// Something that was refused among others was opened later.
    is_proven: bool,
    /// Things that were refused among others and then alone, too.
    disproved: u32,
}

/// One file or directory that has something open at the server, or soon will.
#[derive(Debug)]
pub(super) struct User<'h> {
    of: &'h Handles,
    was_refused: bool,
    /// There were others when it began.
    had_others: bool,
    /// The number of its turn.
    turn: u64,
}

impl Handles {
    pub(super) fn new() -> Self {
        let state =
            State { users: 0, begun: 0, users_max: usize::MAX, is_proven: false, disproved: 0 };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Waits until one more may be under way. `was_refused`: it was before, among others.
    pub(super) async fn begin(&self, was_refused: bool) -> User<'_> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if state.users < state.users_max {
                    let had_others = state.users > 0;
                    state.users += 1;
                    state.begun += 1;
                    return User { of: self, was_refused, had_others, turn: state.begun };
                }
            }
            changed.await;
        }
    }

    /// Completes when fewer may be open than want to be: who only waits should close what it has open.
    pub(super) async fn scarce(&self) {
        loop {
            let changed = self.changed.notified();
            if self.are_scarce() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn are_scarce(&self) -> bool {
        self.state().users_max != usize::MAX
    }

    fn has_others(&self) -> bool {
        self.state().users > 1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl User<'_> {
    /// It was opened.
    pub(super) fn succeeded(self) {
        self.of.state().is_proven |= self.was_refused;
    }

    /// It was refused, perhaps for the others under way; whether to try again when it is its turn.
    pub(super) fn may_go_again(self) -> bool {
        let mut state = self.of.state();
        let others = state.users - 1;
        // They may have ended since the server looked.
        let had_others = self.had_others || state.begun > self.turn;
        let is_believed = !state.is_proven && state.disproved >= OPENS_DISPROVED_MAX;
        if had_others && !is_believed {
            // Once more means that it was not only those who came at the same time.
            let fewer = if self.was_refused { others / 2 } else { others };
            state.users_max = state.users_max.min(fewer.max(1));
            return true;
        }
        if self.was_refused && !state.is_proven {
            // It was not the others: they may be as many as before.
            state.disproved += 1;
            state.users_max = usize::MAX;
        }
        false
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.of.state().users -= 1;
        self.of.changed.notify_waiters();
    }
}

impl Context {
    /// Whether something was not opened that may be when fewer others are open.
    pub(super) fn is_too_much_at_once(&self, error: &Error) -> bool {
        self.may_be_too_much(error) && self.handles.has_others()
    }

    /// The same, whether there are others or not.
    pub(super) fn may_be_too_much(&self, error: &Error) -> bool {
        let Error::Refused { doing: "open" | "open directory", refusal, .. } = error else {
            return false;
        };
        let says_so = refusal.text.to_ascii_lowercase().contains("too many");
        // Who tells how many there may be is kept below that.
        let may_mean_it = refusal.code == Refusal::FAILURE && self.lanes.open_handles_max() == 0;
        says_so || may_mean_it
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    async fn begin(handles: &Handles) -> User<'_> {
        handles.begin(false).await
    }

    #[tokio::test]
    async fn after_refusals_as_many_go_on_as_the_server_takes() {
        let handles = Handles::new();
        let (first, second) = (begin(&handles).await, begin(&handles).await);
        for refused in [begin(&handles).await, begin(&handles).await] {
            assert!(refused.may_go_again());
        }

        let mut third = pin!(handles.begin(true));
        assert!(polled(third.as_mut()).await.is_pending());
        first.succeeded();
        assert!(polled(third.as_mut()).await.is_ready());
        assert!(handles.are_scarce());
        drop(second);
    }

    #[tokio::test]
    async fn what_is_refused_alone_is_refused_and_the_others_are_as_many_as_before() {
        let handles = Handles::new();
        assert!(!begin(&handles).await.may_go_again());
        for _ in 0..OPENS_DISPROVED_MAX {
            let other = begin(&handles).await;
            assert!(begin(&handles).await.may_go_again());
            drop(other);
            assert!(!handles.begin(true).await.may_go_again());
            assert!(!handles.are_scarce());
        }

        let _other = begin(&handles).await;
        assert!(!begin(&handles).await.may_go_again(), "its refusals mean something else");
    }

    #[tokio::test]
    async fn what_was_refused_for_others_that_have_ended_since_goes_again() {
        let handles = Handles::new();
        let earlier = begin(&handles).await;
        let refused = begin(&handles).await;
        drop(earlier);
        assert!(refused.may_go_again());

        assert!(!handles.begin(true).await.may_go_again(), "it was alone");

        let handles = Handles::new();
        let refused = begin(&handles).await;
        drop(begin(&handles).await);
        assert!(refused.may_go_again());
    }

    #[tokio::test]
    async fn a_server_that_took_a_file_later_is_never_believed_at_once() {
        let handles = Handles::new();
        let other = begin(&handles).await;
        assert!(begin(&handles).await.may_go_again());
        drop(other);
        handles.begin(true).await.succeeded();

        for _ in 0..2 * OPENS_DISPROVED_MAX {
            assert!(!handles.begin(true).await.may_go_again());
        }
        assert!(handles.are_scarce());
    }

    async fn polled<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }
}
