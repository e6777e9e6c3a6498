//! Who the process is, and giving that up so that it cannot come back.

use std::io;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::{Error, Result};

/// A user of the machine, as a process is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Something that root may do and others may not (`capabilities(7)`).
pub type Capability = CapabilitySet;

/// What the kernel says that this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileges {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub capabilities: Capability,
    pub no_new_privileges: bool,
}

/// Reads them.
///
/// # Errors
/// If the kernel does not answer.
pub fn current() -> Result<Privileges> {
    let fail = |error: rustix::io::Errno| Error::io("privileges", error);
    let groups = rustix::process::getgroups().map_err(fail)?;
    Ok(Privileges {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: groups.into_iter().map(rustix::process::Gid::as_raw).collect(),
        capabilities: rustix::thread::capabilities(None).map_err(fail)?.permitted,
        no_new_privileges: rustix::thread::no_new_privs().map_err(fail)?,
    })
}

/// Makes the whole process this account and takes every capability from it. Needs root, or does nothing if the process
/// is this account already and has no other groups.
///
/// # Errors
/// If the kernel refuses a step, or if root can be had back afterwards: the process must then end.
pub fn become_account(account: &Account) -> Result<()> {
    let now = current()?;
    let is_it = now.uid == account.uid && now.gid == account.gid;
    if !is_it || now.uid == 0 {
        let fail = |what: &str, error: nix::errno::Errno| {
            Error::io(
                format!("become user {} and group {}: {what}", account.uid, account.gid),
                io::Error::from(error),
            )
        };
        let groups: Vec<Gid> = account.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(|error| fail("groups", error))?;
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        setresgid(gid, gid, gid).map_err(|error| fail("group", error))?;
        setresuid(uid, uid, uid).map_err(|error| fail("user", error))?;
    }
    if account.uid != 0 {
        keep_capabilities(Capability::empty())?;
        // What was given up must not come back, whatever the kernel or a library did above.
        let root = Uid::from_raw(0);
        if setresuid(root, root, root).is_ok() {
            return Err(Error::new("become user: root could be had back"));
        }
    }
    let now = current()?;
    let mut wanted = account.groups.clone();
    let mut have = now.groups.clone();
    for groups in [&mut wanted, &mut have] {
        groups.sort_unstable();
        groups.dedup();
    }
    let keeps_groups = is_it && account.uid != 0;
    if now.uid != account.uid || now.gid != account.gid || (have != wanted && !keeps_groups) {
        return Err(Error::new("become user: the kernel shows another user, group or groups"));
    }
    Ok(())
}

/// Takes every capability but these, also from programs that this process would start.
///
/// # Errors
/// If some of the others are still there afterwards.
pub fn keep_capabilities(keep: Capability) -> Result<()> {
    let fail =
        |what: &str, error: rustix::io::Errno| Error::io(format!("capabilities: {what}"), error);
    let now = rustix::thread::capabilities(None).map_err(|error| fail("read", error))?;
    let may_lower_bounds = now.effective.contains(Capability::SETPCAP);
    if may_lower_bounds {
        for capability in Capability::all().difference(keep).iter() {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // The kernel does not know this one.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(fail("bounding set", error)),
            }
        }
        // Being or becoming user 0 must not bring them back. A locked bit cannot be set again.
        let _ = rustix::thread::set_capabilities_secure_bits(
            CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED,
        );
    }
    // Without a kernel that has them there is nothing to clear.
    let _ = rustix::thread::clear_ambient_capability_set();
    let kept = now.permitted & keep;
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: Capability::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(|error| fail("set", error))?;
    let after = rustix::thread::capabilities(None).map_err(|error| fail("read", error))?;
    if !keep.contains(after.permitted) || !after.inheritable.is_empty() {
        return Err(Error::new("capabilities: some are still there"));
    }
    Ok(())
}

/// No program that this process starts has more rights than it (`no_new_privs`).
///
/// # Errors
/// If the kernel refuses.
pub fn forbid_new_privileges() -> Result<()> {
    let fail = |error: rustix::io::Errno| Error::io("no_new_privs", error);
    rustix::thread::set_no_new_privs(true).map_err(fail)?;
    match rustix::thread::no_new_privs().map_err(fail)? {
        true => Ok(()),
        false => Err(Error::new("no_new_privs: the kernel does not show it")),
    }
}

/// No core dumps, and no other process of this user may look into the memory of this one.
///
/// # Errors
/// If the kernel refuses.
pub fn hide_from_others() -> Result<()> {
    let off = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(off).map_err(|error| Error::io("dumpable", error))
}
