//! Which system calls a process may make (seccomp): an allow list, put together from groups.
//!
//! What is not allowed answers `EPERM` and does not kill: a library that tries something new for its comfort (and falls
//! back, as they all do) must not end every session at once, and what somebody makes a broken process try is refused all
//! the same. `clone3` answers `ENOSYS`, because its flags lie in memory where no filter sees them; libraries then use
//! `clone`, whose flags are looked at.

pub mod groups;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::{Error, Result};

/// One argument of a call, 32 bits of it, that must have this value after `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    pub index: u8,
    pub mask: u32,
    pub value: u32,
}

/// The calls that are allowed.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// An empty list of conditions: whatever the arguments. Else any of them is enough.
    allowed: BTreeMap<i64, Vec<Vec<Argument>>>,
}

impl Calls {
    /// None: only what is added.
    pub fn new() -> Self {
        Self::default()
    }

    /// These, with any arguments.
    #[must_use]
    pub fn allow(mut self, calls: &[i64]) -> Self {
        self.allowed.extend(calls.iter().map(|call| (*call, Vec::new())));
        self
    }

    /// This one if all of these arguments are so; or as it was allowed before.
    #[must_use]
    pub fn allow_if(mut self, call: i64, arguments: &[Argument]) -> Self {
        match self.allowed.get_mut(&call) {
            // It was allowed whatever the arguments.
            Some(all) if all.is_empty() => {}
            Some(all) => all.push(arguments.to_vec()),
            None => drop(self.allowed.insert(call, vec![arguments.to_vec()])),
        }
        self
    }

    /// Holds the calling thread, and what it starts, to these calls.
    ///
    /// # Errors
    /// If the kernel has no seccomp filters, or this kind of processor is not known here.
    pub fn restrict(&self) -> Result<()> {
        let architecture = TargetArch::try_from(std::env::consts::ARCH)
            .map_err(|error| Error::new(format!("seccomp: {error}")))?;
        let fail = |error: &dyn std::fmt::Display| {
            Error::io("seccomp", io::Error::other(error.to_string()))
        };
        let without_clone3 = filter(
            [(libc::SYS_clone3, Vec::new())].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS as u32),
            architecture,
        );
        let mut rules = BTreeMap::new();
        for (call, all) in &self.allowed {
            let each = all.iter().map(|arguments| rule(arguments));
            rules.insert(*call, each.collect::<std::result::Result<_, _>>().map_err(|e| fail(&e))?);
        }
        // The first filter answers for it.
        rules.insert(libc::SYS_clone3, Vec::new());
        let listed = filter(
            rules,
            SeccompAction::Errno(libc::EPERM as u32),
            SeccompAction::Allow,
            architecture,
        );
        let programs = [without_clone3.map_err(|e| fail(&e))?, listed.map_err(|e| fail(&e))?];
        // The second cannot forbid what the first needs to be put in place: both go in before either of them
        // would refuse that call.
        let [first, second] = &programs;
        seccompiler::apply_filter(first).map_err(|e| fail(&e))?;
        seccompiler::apply_filter(second).map_err(|e| fail(&e))
    }
}

fn rule(arguments: &[Argument]) -> std::result::Result<SeccompRule, seccompiler::BackendError> {
    let condition = |argument: &Argument| {
        SeccompCondition::new(
            argument.index,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(argument.mask.into()),
            argument.value.into(),
        )
    };
    SeccompRule::new(arguments.iter().map(condition).collect::<std::result::Result<_, _>>()?)
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
    architecture: TargetArch,
) -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into()
}
