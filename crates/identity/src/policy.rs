//! Whether a user may log in at all: enabled, from here, at this time.

use crate::authenticate::Context;
use crate::{Reason, Refusal, User};

/// Judges everything about the user that no proof changes.
pub(crate) fn check(cx: &mut Context<'_>, user: &User) -> Result<(), Refusal> {
    let (place, attempt) = (user.place.as_ref(), cx.attempt);
    if !user.enabled {
        return Err(Refusal::from(Reason::UserDisabled).at(place));
    }
    cx.trace.passed("user.enabled", place, || "the user is enabled".to_owned());
    if let Some(groups) = attempt.groups {
        if !user.groups.iter().any(|group| groups.contains(group)) {
            return Err(Refusal::new(Reason::ListenerGroups, groups.join(", ")).at(place));
        }
        cx.trace.passed("listener.groups", place, || "the listener takes this user".to_owned());
    }
    if let Some(list) = &user.allow_from {
        if !list.allows(attempt.source, None) {
            return Err(
                Refusal::new(Reason::SourceNotAllowed, attempt.source.to_string()).at(place)
            );
        }
        cx.trace.passed("user.allow_from", place, || format!("{} is allowed", attempt.source));
    }
    if let Some(expires) = user.expires {
        if attempt.now >= expires {
            return Err(Refusal::from(Reason::UserExpired).at(place));
        }
        cx.trace.passed("user.expires", place, || "the account has not expired".to_owned());
    }
    if let Some(hours) = &user.hours {
        if !hours.contain(attempt.now) {
            return Err(Refusal::from(Reason::OutsideHours).at(place));
        }
        cx.trace.passed("user.hours", place, || "within the user's hours".to_owned());
    }
    Ok(())
}
