//! "On request X answer Y": which requests a rule is for, and how they are answered.

use super::answer::Named;
use super::tree::Tree;

/// Which requests a rule is for.
#[derive(Clone, Debug)]
pub struct Request {
    name: &'static str,
    path: Option<Vec<u8>>,
    first: usize,
    last: usize,
    seen: usize,
}

impl Request {
    /// Every request with this word: `"open"`, `"read"`, …, or an extension's name on the wire.
    pub fn named(name: &'static str) -> Self {
        Self { name, path: None, first: 1, last: usize::MAX, seen: 0 }
    }

    /// Every request.
    pub fn any() -> Self {
        Self::named("")
    }

    /// Only for this path, or a handle that was opened by it.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Only the `n`th such request, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        (self.first, self.last) = (n, n);
        self
    }

    /// Only the `n`th such request and those after it.
    #[must_use]
    pub fn from(mut self, n: usize) -> Self {
        self.first = n;
        self
    }

    /// Counts a request if it is such a one. True if the rule is for it.
    pub(super) fn takes(&mut self, name: &str, path: &[u8]) -> bool {
        let is = (self.name.is_empty() || self.name == name)
            && self.path.as_ref().is_none_or(|wanted| wanted == path);
        self.seen += usize::from(is);
        is && (self.first..=self.last).contains(&self.seen)
    }
}

/// What is odd about the answer.
pub enum Odd {
    /// This status, with the usual text.
    Status(u32),
    /// This status and nothing behind the number: both strings are missing.
    BareStatus(u32),
    /// The right answer; a status has neither string.
    NoStrings,
    /// These names instead of the right ones.
    Names(Vec<Named>),
    /// These bytes of a file instead of the right ones.
    Data(Vec<u8>),
    /// A path, as REALPATH and READLINK bring one.
    Path(Vec<u8>),
    /// The right bytes of a file, but at most so many.
    Short(usize),
    /// The right answer with this size in it.
    Size(u64),
    /// The right answer under an id that nobody asked with.
    OtherId,
    /// The right answer, twice.
    Twice,
    /// Never an answer; the session goes on.
    Stall,
    /// The session ends instead.
    Cut,
    /// The session ends in the middle of the right answer.
    CutInside,
    /// The right answer, after the tree has changed.
    After(Box<dyn FnMut(&mut Tree) + Send>),
}
