//! Where the settings and the state of a server are, for commands that are not the server.

use std::{
    env,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{files::Files, source::Source};
use crate::state_dir;

/// Where the settings are looked for if neither `--config` nor [`VARIABLE`] names them.
const DEFAULT: &str = "/etc/sterna/sterna.toml";

/// Names the settings file.
const VARIABLE: &str = "STERNA_CONFIG";

/// The settings file that was named, by an option or by the environment.
pub fn named_file(option: Option<PathBuf>) -> Option<PathBuf> {
    option.or_else(|| env::var_os(VARIABLE).map(PathBuf::from))
}

/// The settings file that is meant.
pub fn file_or_default(option: Option<PathBuf>) -> PathBuf {
    named_file(option).unwrap_or_else(|| PathBuf::from(DEFAULT))
}

/// The state directory that a settings file leads to, as far as the file reads at all: whoever asks
/// wants to reach the server that still runs with what was there before. `None` for somebody without
/// a home.
pub fn state_dir_of(file: &Path) -> Option<PathBuf> {
    let source = Source::read(file, &Files::on_disk()).ok();
    let named = source.and_then(|source| {
        let (table, _) = DeTable::parse_recoverable(source.text());
        match table.get_ref().get("state_dir")?.get_ref() {
            DeValue::String(dir) => Some(source.resolve(Path::new(dir.as_ref()))),
            _ => None,
        }
    });
    named.or_else(state_dir::default)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_state_directory_is_found_in_a_file_with_mistakes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sterna.toml");
        for broken in
            ["", "nonsense = 1\n", "[[user]\nname = 'a'\n", "[defence]\nmax_auth_tries = = 3\n"]
        {
            fs::write(&file, format!("state_dir = 'state'\n{broken}")).unwrap();

            assert_eq!(state_dir_of(&file), Some(dir.path().join("state")), "{broken}");
        }
        fs::write(&file, "state_dir = 3\n").unwrap();
        assert_eq!(state_dir_of(&file), state_dir::default());
    }
}
