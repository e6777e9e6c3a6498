//! What a server refuses because it is too much at once is sent again, and less at once.
//!
//! Version 3 has no word for that: it is a FAILURE, as a full disk is. So what is refused while more of
//! its file is in flight is tried again with less beside it; what is refused alone, a few times, is
//! refused.

use std::time::Duration;

use super::window::Window;
use crate::limits::REFUSED_ALONE_MAX;
use crate::{Error, Refusal};

/// Pause before something is tried again that was refused alone: files beside it may be to blame. It
/// doubles each time.
const PAUSE_FIRST: Duration = Duration::from_millis(10);

/// See the module; for one file.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// In a row, without a success in between.
    alone: u32,
    pause: Option<Duration>,
}

impl Refusals {
    /// Whether what was refused with `error` is to be sent again. `alone`: nothing else of its file was
    /// in flight when it was sent.
    pub(super) fn may_go_again(&mut self, error: &Error, alone: bool, window: &mut Window) -> bool {
        if error.refusal_code() != Some(Refusal::FAILURE) {
            return false;
        }
        window.halve();
        if !alone {
            return true;
        }
        self.pause = Some(PAUSE_FIRST * 2_u32.pow(self.alone));
        self.alone += 1;
        self.alone < REFUSED_ALONE_MAX
    }

    /// Something was not refused.
    pub(super) fn succeeded(&mut self) {
        self.alone = 0;
    }

    /// How long to wait before anything is sent; each pause is told once.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        self.pause.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn refused(code: u32) -> Error {
        let refusal = Refusal { code, text: String::new() };
        Error::Refused { doing: "write", path: Vec::new(), refusal }
    }

    #[test]
    fn what_is_refused_in_a_crowd_goes_again_and_what_is_refused_alone_does_in_the_end_not() {
        let mut window = Window::new(1 << 20, 1 << 20, None, Instant::now());
        let mut refusals = Refusals::default();
        let failure = refused(Refusal::FAILURE);

        for _ in 0..100 {
            assert!(refusals.may_go_again(&failure, false, &mut window));
        }
        assert_eq!(window.len(), 1);
        assert_eq!(refusals.pause(), None);
        let alone = |refusals: &mut Refusals, window: &mut Window| {
            (0..10).take_while(|_| refusals.may_go_again(&failure, true, window)).count()
        };
        assert_eq!(alone(&mut refusals, &mut window), REFUSED_ALONE_MAX as usize - 1);
        assert!(refusals.pause().is_some() && refusals.pause().is_none());
        refusals.succeeded();
        assert!(refusals.may_go_again(&failure, true, &mut window));
        assert!(!refusals.may_go_again(&refused(3), false, &mut window));
    }
}
