//! `[audit]` and `[metrics]`: what can be seen of a server.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

/// `[audit]`: who did what, for those who ask later.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditTable {
    pub file: Option<Spanned<PathBuf>>,
    pub stdout: Option<bool>,
    pub journald: Option<bool>,
    /// 0: a file is not closed for its size, or its age.
    pub rotate_mib: Option<Spanned<u64>>,
    pub rotate_hours: Option<Spanned<u64>>,
    /// 0: all of them.
    pub keep_files: Option<Spanned<u64>>,
    pub sync: Option<Spanned<String>>,
    pub on_failure: Option<Spanned<String>>,
}

/// `[metrics]`: figures for Prometheus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsTable {
    pub listen: Option<Spanned<String>>,
    pub allow_remote: Option<bool>,
}
