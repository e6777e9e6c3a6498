//! Where Sterna keeps what must survive a restart, if nobody says otherwise.

use std::{env, path::PathBuf};

/// `$XDG_STATE_HOME/sterna`, else `~/.local/state/sterna`; `None` for somebody without a home.
pub fn default() -> Option<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = state.or_else(|| Some(env::home_dir()?.join(".local/state")))?;
    Some(state.join("sterna"))
}
