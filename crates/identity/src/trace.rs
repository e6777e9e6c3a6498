//! The rules that a decision went through, in order: what `explain` prints.

use sterna_ssh_files::Place;

/// A rule that let the attempt pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// As in [`Reason::rule`](crate::Reason::rule).
    pub rule: &'static str,
    pub place: Option<Place>,
    /// What was found.
    pub text: String,
}

/// Collects findings, bounded by the number of rules; where nobody wants them nothing is written.
#[derive(Debug, Default)]
pub struct Trace(Option<Vec<Finding>>);

impl Trace {
    /// Nobody asks how the decision came about.
    pub fn off() -> Self {
        Self(None)
    }

    pub fn on() -> Self {
        Self(Some(Vec::new()))
    }

    pub fn findings(&self) -> &[Finding] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(crate) fn passed(
        &mut self,
        rule: &'static str,
        place: Option<&Place>,
        text: impl FnOnce() -> String,
    ) {
        if let Some(findings) = &mut self.0 {
            findings.push(Finding { rule, place: place.cloned(), text: text() });
        }
    }
}
