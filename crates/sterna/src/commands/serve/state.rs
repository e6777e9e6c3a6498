//! What a server keeps in its state directory, opened at its start: host keys, used codes, counters, penalties.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};

use sterna_server::{
    HostKeys,
    defence::{Defence, DefenceSettings},
};
use sterna_state::State;

use super::shown;
use crate::{
    failure::{Failure, Result},
    settings::Settings,
    state_dir,
};

/// Where host keys and state are kept; `None` for somebody without a home.
pub fn state_dir_of(settings: &Settings) -> Option<PathBuf> {
    settings.state_dir.clone().or_else(state_dir::default)
}

/// The keys that are named, or those in the state directory; with certificates.
pub fn open_host_keys(settings: &Settings) -> Result<HostKeys> {
    let fail = |error: sterna_server::HostKeyError| Failure::usage("host keys", error.to_string());
    let keys = if settings.host_keys.is_empty() {
        let dir = state_dir_of(settings).ok_or_else(|| {
            Failure::usage("state directory", "there is no home directory to keep host keys in")
                .hint("name one with --state-dir")
        })?;
        HostKeys::in_dir(&dir)
    } else {
        HostKeys::from_files(&settings.host_keys)
    };
    keys.and_then(|keys| keys.with_certificates(&settings.host_certificates)).map_err(fail)
}

/// What must survive a restart: used codes, counters, penalties. A single shared directory does without
/// if need be.
pub fn open_state(settings: &Settings, needed: bool) -> Result<Option<Arc<State>>> {
    let Some(dir) = state_dir_of(settings) else { return Ok(None) };
    match State::open(&dir) {
        Ok(state) => Ok(Some(Arc::new(state))),
        Err(error) if !needed => {
            tracing::warn!(dir = %dir.display(), %error, "penalties will not survive a restart");
            Ok(None)
        }
        Err(error) => Err(Failure::usage(shown(&dir), error.to_string())),
    }
}

/// With the penalties of the state, if there is one.
pub fn start_defence(
    settings: DefenceSettings,
    state: Option<&Arc<State>>,
) -> Result<Arc<Defence>> {
    let (now, time_of_day) = (Instant::now(), SystemTime::now());
    match state {
        None => Ok(Defence::new(settings, now, time_of_day)),
        Some(state) => Defence::with_state(settings, Arc::clone(state), now, time_of_day)
            .map_err(|error| Failure::usage("state directory", error.to_string())),
    }
}
