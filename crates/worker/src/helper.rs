//! One helper: started as root, it answers one question about an account and ends, or becomes the user and serves its
//! files until the session is over.
//!
//! Whatever it is asked, it goes by its own policy. A session of PAM has to be closed by root: then this process stays,
//! without any channel, and another one becomes the user.

use std::io;
use std::path::Path;
use std::process::Command;

use sterna_sandbox::{
    Calls, Channel, Files, become_account, forbid_new_privileges, hide_from_others, restrict_files,
};
use sterna_storage::Local;
use zeroize::Zeroizing;

use crate::account::{self, SystemUser};
use crate::files::serve_files;
use crate::login_messages::{Checked, Known, Question};
use crate::policy::{PasswordSource, Policy};
use crate::{keys_file, pam, shadow};

/// Tells everybody but root that nobody may log in at the moment (`nologin(5)`).
const NO_LOGINS: &str = "/etc/nologin";

/// Answers what comes over `channel`. `for_files`: this process is to become that user at once; else `again` starts this
/// program once more for that, with the channel.
///
/// # Errors
/// The channel fails, or a wall of the worker does not stand.
pub fn run_helper(
    channel: Channel,
    policy: &Policy,
    for_files: Option<&str>,
    again: impl FnOnce(&str, Channel) -> io::Result<Command>,
) -> io::Result<()> {
    hide_from_others().map_err(io::Error::other)?;
    if let Some(name) = for_files {
        return match account::find(policy, name) {
            Ok(user) => become_worker(&channel, policy, &user),
            Err(why) => say(&channel, Err(why)),
        };
    }
    let Some(message) = channel.receive()? else { return Ok(()) };
    let bytes = Zeroizing::new(message.bytes);
    let question = Question::decode(&bytes).map_err(io::Error::other)?;
    match question {
        Question::User { name } => say(&channel, account::find(policy, name).map(known)),
        Question::Password { name, password, source } => {
            let checked = account::find(policy, name)
                .and_then(|user| check_password(policy, &user, password, source).map(|()| user));
            if checked.is_err() && policy.password == PasswordSource::Pam {
                // PAM itself delays what was wrong, but is not asked about names that may not log in.
                shadow::check_decoy(password);
            }
            say(&channel, checked.map(known))
        }
        Question::Keys { name } => say(&channel, keys(policy, name)),
        Question::Files { name } => {
            let user = match account::find(policy, name)
                .and_then(|user| check_open(policy, &user).map(|()| user))
            {
                Ok(user) => user,
                Err(why) => return say(&channel, Err(why)),
            };
            if policy.password != PasswordSource::Pam {
                return become_worker(&channel, policy, &user);
            }
            let mut login = match pam::Login::start(&policy.pam_service, &user.name, None, None) {
                Ok(login) => login,
                Err(why) => return say(&channel, Err(why)),
            };
            if let Err(why) = login.check_account().and_then(|()| login.open_session()) {
                return say(&channel, Err(why));
            }
            let mut worker = again(&user.name, channel)?.spawn()?;
            worker.wait()?;
            // The session ends here.
            drop(login);
            Ok(())
        }
    }
}

fn say(channel: &Channel, result: Result<Known, String>) -> io::Result<()> {
    let checked = match result {
        Ok(known) => Checked::Known(known),
        Err(why) => Checked::Refused(why),
    };
    channel.send(&checked.encode(), &[])
}

fn known(user: SystemUser) -> Known {
    Known {
        root: user.root,
        start_dir: user.start_dir,
        keys: Vec::new(),
        keys_file: user.keys_file,
    }
}

fn check_password(
    policy: &Policy,
    user: &SystemUser,
    password: &[u8],
    source: &str,
) -> Result<(), String> {
    match policy.password {
        PasswordSource::Off => Err("passwords are off for users of the machine".to_owned()),
        PasswordSource::Shadow => {
            check_open(policy, user)?;
            shadow::check(&user.name, password)
        }
        PasswordSource::Pam => {
            let service = &policy.pam_service;
            let mut login = pam::Login::start(service, &user.name, Some(password), Some(source))?;
            login.authenticate()?;
            login.check_account()
        }
    }
}

/// Whether the account may be used at all; PAM says that itself, when the session is opened.
fn check_open(policy: &Policy, user: &SystemUser) -> Result<(), String> {
    if policy.password == PasswordSource::Pam {
        return Ok(());
    }
    if Path::new(NO_LOGINS).exists() {
        return Err("there is an /etc/nologin".to_owned());
    }
    shadow::check_account(&user.name)
}

/// Reads the user's keys as the user, for good: this process ends afterwards.
fn keys(policy: &Policy, name: &str) -> Result<Known, String> {
    let user = account::find(policy, name)?;
    check_open(policy, &user)?;
    become_account(&user.account).map_err(|error| error.to_string())?;
    let keys = match keys_file::read(&user.keys_file, &user.home, user.account.uid) {
        Ok(keys) => keys.unwrap_or_default(),
        Err(why) => {
            tracing::warn!(user = user.name, why, "the user's keys are not read");
            Vec::new()
        }
    };
    Ok(Known { keys, ..known(user) })
}

/// Becomes the user, puts the walls up, says so, and serves its files.
fn become_worker(channel: &Channel, policy: &Policy, user: &SystemUser) -> io::Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(policy.umask & 0o777));
    let no_core = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, no_core)?;
    let put_up = || -> Result<Local, String> {
        let text = |error: sterna_sandbox::Error| error.to_string();
        become_account(&user.account).map_err(text)?;
        hide_from_others().and_then(|()| forbid_new_privileges()).map_err(text)?;
        let local = Local::open(&user.root).map_err(|error| error.to_string())?;
        let mut files = Files::default();
        let list = if policy.read_only { &mut files.read } else { &mut files.write };
        list.push(user.root.clone());
        // What the kernel does not have, it does not have for the server either, which says so at its start.
        restrict_files(&files).map_err(text)?;
        Calls::of_worker().restrict().map_err(text)?;
        Ok(local)
    };
    match put_up() {
        Ok(local) => {
            say(channel, Ok(known(user.clone())))?;
            serve_files(channel, &local)
        }
        Err(why) => say(channel, Err(why)),
    }
}
