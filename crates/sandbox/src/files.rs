//! Which files and TCP ports a process can reach, whatever its user could (Landlock).
//!
//! Paths are looked up once, here: what is made or put in place later counts as the directory in which it lies.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};

use crate::{Error, Result};

/// The newest rights that are asked for. Older kernels know fewer.
const ABI_WANTED: ABI = ABI::V6;

/// What stays reachable. Paths that are not there are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Files, and directories with all that is beneath them: read and listed.
    pub read: Vec<PathBuf>,
    /// Read, written, made, renamed and removed. No devices, sockets or FIFOs are made.
    pub write: Vec<PathBuf>,
    /// As `write`, and Unix sockets may be made.
    pub sockets: Vec<PathBuf>,
    /// Executed and read.
    pub execute: Vec<PathBuf>,
    /// TCP ports of other machines; no other can be connected to, and none bound.
    pub connect: Vec<u16>,
}

/// What the kernel holds up of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// This kernel has none, or it is switched off.
    Missing,
    /// Some of it: the kernel's version of Landlock.
    Partial(u32),
    /// All of it.
    Full(u32),
}

/// Everything but `files` is out of reach from here on, also for what this thread starts. Signals and abstract Unix
/// sockets reach only processes behind the same wall.
///
/// # Errors
/// If the kernel has Landlock and refuses the rules.
pub fn restrict_files(files: &Files) -> Result<Landlock> {
    let fail = |error: landlock::RulesetError| {
        Error::io("Landlock", std::io::Error::other(error.to_string()))
    };
    let all = AccessFs::from_all(ABI_WANTED);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI_WANTED)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI_WANTED)))
        .and_then(Ruleset::create)
        .map_err(fail)?;
    for (paths, access) in [
        (&files.read, read),
        (&files.write, write),
        (&files.sockets, write | AccessFs::MakeSock),
        (&files.execute, read | AccessFs::Execute),
    ] {
        for path in paths {
            let Ok(metadata) = std::fs::metadata(path) else { continue };
            let Ok(parent) = PathFd::new(path) else { continue };
            let access = if metadata.is_dir() { access } else { access & of_files() };
            rules = rules.add_rule(PathBeneath::new(parent, access)).map_err(fail)?;
        }
    }
    for port in &files.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(fail)?;
    }
    rules.restrict_self().map(|status| enforced(&status)).map_err(fail)
}

/// The rights that make sense for something that is no directory.
fn of_files() -> BitFlags<AccessFs> {
    AccessFs::from_file(ABI_WANTED)
}

fn enforced(status: &RestrictionStatus) -> Landlock {
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Landlock::Missing;
    };
    match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full(effective_abi as u32),
        RulesetStatus::PartiallyEnforced => Landlock::Partial(effective_abi as u32),
        RulesetStatus::NotEnforced => Landlock::Missing,
    }
}
