//! The client's `ssh_config`: any text, resolved for a host.

use std::fs;
use std::sync::LazyLock;

use sterna_client::ssh_config::ConfigSource;

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));

/// What reaches out of the file: commands, other files, the resolver.
const LEFT_OUT: [&str; 3] = ["exec", "include", "canonical"];

/// Input: the file.
pub fn run(data: &[u8]) {
    let plain: String = String::from_utf8_lossy(data)
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if LEFT_OUT.iter().any(|word| plain.contains(word)) {
        return;
    }
    let file = DIR.path().join(format!("{:?}", std::thread::current().id()));
    fs::write(&file, data).expect("a file can be written");
    let source = ConfigSource {
        file: Some(file),
        home: Some(DIR.path().to_owned()),
        ..ConfigSource::default()
    };
    for (alias, user) in [("host", None), ("a.example.com", Some("alice"))] {
        if let Ok(settings) = source.resolve(alias, user, None) {
            assert!(!settings.host.is_empty());
        }
    }
}
