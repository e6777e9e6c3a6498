//! What a server keeps of its rights once it runs: a user of the machine, the files that its settings name, no network
//! but the sockets that it has, and few system calls. `reach.rs` says which files.

mod reach;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown, lchown},
    path::{Path, PathBuf},
};

use sterna_sandbox::{Account, Calls, Capability, Landlock};

pub use self::reach::Reach;
use super::{Share, helpers, shown, state_dir_of};
use crate::{
    failure::{Failure, Result},
    settings::{Effective, SandboxMode, Settings},
};

/// What root keeps where the settings name no user: rights over files of others. Everything else that makes root root
/// goes.
const FILE_CAPABILITIES: Capability = Capability::CHOWN
    .union(Capability::DAC_OVERRIDE)
    .union(Capability::DAC_READ_SEARCH)
    .union(Capability::FOWNER)
    .union(Capability::FSETID);

/// Nobody but the owner.
const PRIVATE: u32 = 0o700;

/// Gives up what the settings say, while there is one thread. Logs one line about what holds from here on.
pub fn confine(
    settings: &Settings,
    reloads: Option<&(PathBuf, Effective)>,
    share: Option<&Share>,
) -> Result<Reach> {
    let confinement = &settings.confinement;
    let is_required = confinement.sandbox == SandboxMode::Require;
    if let Some(policy) = &settings.system_users {
        helpers::start_monitor(policy)?;
    }
    if let Some(account) = &confinement.account {
        become_user(settings, account)?;
    }
    if confinement.sandbox == SandboxMode::Off {
        let now = sterna_sandbox::current().map_err(cannot)?;
        tracing::info!(uid = now.uid, gid = now.gid, "sandbox off, as the settings say");
        return Ok(Reach::everything());
    }
    if !sterna_sandbox::is_single_threaded() {
        // Threads that are there already would keep what this one gives up.
        let why = "there are threads already, or /proc cannot be read";
        return without(is_required, why).map(|()| Reach::everything());
    }
    if let Some((_, effective)) = reloads {
        // What is started here keeps the rights that go now.
        helpers::start_hook_runner(effective)?;
    }
    sterna_sandbox::hide_from_others()
        .and_then(|()| sterna_sandbox::forbid_new_privileges())
        .and_then(|()| sterna_sandbox::keep_capabilities(FILE_CAPABILITIES))
        .map_err(cannot)?;
    let state_dir = state_dir_of(settings);
    if let Some(dir) = &state_dir {
        // Rules are for what is there.
        let _ = fs::create_dir_all(dir.parent().unwrap_or(dir));
        let _ =
            std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), PRIVATE).create(dir);
    }
    let mut reach = Reach::of(settings, state_dir.as_deref(), reloads, share);
    let knows_others =
        reloads.is_some_and(|(_, effective)| effective.table().contains_key("external_identity"));
    if knows_others && confinement.roots.is_empty() {
        // Their roots may be anywhere: a wall would lock them out.
        without(is_required, "external_identity without sandbox_roots: no wall around files")?;
        reach = reach.without_wall();
    }
    let landlock = match reach.files().map(sterna_sandbox::restrict_files).transpose() {
        Ok(None) => "none".to_owned(),
        Ok(Some(Landlock::Full(version))) => format!("abi {version}"),
        Ok(Some(Landlock::Partial(version))) => {
            without(is_required, "this kernel's Landlock is older than that of Linux 6.12")?;
            format!("abi {version}, in part")
        }
        Ok(Some(Landlock::Missing)) => {
            without(is_required, "this kernel has no Landlock")?;
            "none".to_owned()
        }
        Err(error) => {
            without(is_required, &error.to_string())?;
            "none".to_owned()
        }
    };
    // Afterwards it cannot be asked any more.
    let now = sterna_sandbox::current().map_err(cannot)?;
    let seccomp = match Calls::of_server(reach.looks_up_names()).restrict() {
        Ok(()) => "on",
        Err(error) => {
            without(is_required, &error.to_string())?;
            "none"
        }
    };
    tracing::info!(
        landlock,
        seccomp,
        uid = now.uid,
        gid = now.gid,
        roots = reach.roots(),
        no_new_privs = now.no_new_privileges,
        names = reach.looks_up_names(),
        "sandbox"
    );
    Ok(reach)
}

/// Becomes the user that the settings name, to whom the state directory must belong.
fn become_user(settings: &Settings, account: &Account) -> Result<()> {
    if settings.state_dir.is_none() {
        return Err(Failure::usage("run_as_user", "needs a state_dir")
            .hint("name one that only this user may use"));
    }
    if let Some(dir) = state_dir_of(settings) {
        hand_over(&dir, account).map_err(|error| Failure::io(shown(&dir), &error))?;
    }
    sterna_sandbox::become_account(account).map_err(|error| {
        Failure::incomplete("run_as_user", error.to_string())
            .hint("only root can become somebody else; a service manager may do it before")
    })
}

/// Gives what root made in the state directory to the user that goes on with it. What somebody else could have put there
/// is left alone.
fn hand_over(dir: &Path, account: &Account) -> std::io::Result<()> {
    let about = fs::symlink_metadata(dir)?;
    if !rustix::process::geteuid().is_root() || about.uid() != 0 || about.mode() & 0o022 != 0 {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let about = fs::symlink_metadata(&path)?;
        if about.uid() == 0 && about.is_file() && about.nlink() == 1 {
            lchown(&path, Some(account.uid), Some(account.gid))?;
        }
    }
    chown(dir, Some(account.uid), Some(account.gid))
}

/// Goes on without a wall, or not.
fn without(is_required: bool, why: &str) -> Result<()> {
    if is_required {
        return Err(Failure::incomplete("sandbox", why.to_owned())
            .hint("sandbox = \"auto\" goes on without it"));
    }
    tracing::warn!(why, "a wall of the sandbox is missing");
    Ok(())
}

fn cannot(error: sterna_sandbox::Error) -> Failure {
    Failure::incomplete("sandbox", error.to_string())
}
