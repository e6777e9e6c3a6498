//! `[audit]` and `[metrics]`: where records go, and where figures may be asked for.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use sterna_audit::{OnFailure, Rotation, Sync, Targets};
use toml::Spanned;

use super::{Check, numbers::Numbers};
use crate::settings::{
    Source,
    schema::{AuditTable, MetricsTable},
};

/// Its place in the state directory.
const AUDIT_STATE: &str = "audit";

/// A size at which files are still handled well: some hundred thousand records.
pub const ROTATE_MIB_DEFAULT: u64 = 100;
/// A tebibyte.
const ROTATE_MIB_MAX: u64 = 1024 * 1024;
/// A year.
const ROTATE_HOURS_MAX: u64 = 366 * 24;
const KEEP_FILES_MAX: u64 = 100_000;

const MIB: u64 = 1024 * 1024;

/// An `[audit]` that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    pub targets: Targets,
    pub rotation: Rotation,
    pub sync: Sync,
    pub on_failure: OnFailure,
}

impl AuditSettings {
    /// With the place for key and head in this state directory.
    pub fn in_state_dir(&self, state_dir: &Path) -> sterna_audit::Settings {
        sterna_audit::Settings {
            targets: self.targets.clone(),
            state_dir: audit_state_in(state_dir),
            rotation: self.rotation.clone(),
            sync: self.sync,
            on_failure: self.on_failure,
        }
    }
}

/// Where the audit log of a server with this state directory keeps its key and head.
pub fn audit_state_in(state_dir: &Path) -> PathBuf {
    state_dir.join(AUDIT_STATE)
}

impl Check<'_> {
    pub(super) fn audit(
        &mut self,
        source: &Source,
        table: Option<&Spanned<AuditTable>>,
    ) -> Option<AuditSettings> {
        let whole = table?;
        let table = whole.get_ref();
        let targets = Targets {
            file: table.file.as_ref().map(|path| source.resolve(path.get_ref())),
            stdout: table.stdout.unwrap_or(false),
            journald: table.journald.unwrap_or(false).then(|| Targets::JOURNALD.into()),
        };
        if targets == Targets::default() {
            let why = "records go nowhere; add a file, stdout or journald";
            self.errors.push(source.error(whole.span(), "audit", why));
        }
        let mut read = Numbers { check: self, source, table: "audit" };
        let size = read.number(&table.rotate_mib, "rotate_mib", 0..=ROTATE_MIB_MAX, "MiB");
        let hours = read.number(&table.rotate_hours, "rotate_hours", 0..=ROTATE_HOURS_MAX, "hours");
        let keep = read.number(&table.keep_files, "keep_files", 0..=KEEP_FILES_MAX, "files");
        let some = |number: u64| (number > 0).then_some(number);
        let rotation = Rotation {
            size: some(size.unwrap_or(ROTATE_MIB_DEFAULT)).map(|mib| mib * MIB),
            age: hours.and_then(some).map(|hours| Duration::from_secs(hours * 3600)),
            keep: keep.and_then(some).map(|count| count as usize),
        };
        let sync = self.word(
            source,
            table.sync.as_ref(),
            "audit.sync",
            &[("batch", Sync::Batch), ("record", Sync::Record)],
        );
        let on_failure = self.word(
            source,
            table.on_failure.as_ref(),
            "audit.on_failure",
            &[("stop", OnFailure::Stop), ("continue", OnFailure::Continue)],
        );
        Some(AuditSettings { targets, rotation, sync, on_failure })
    }

    /// One of a few words, the first of which is the default.
    fn word<T: Copy>(
        &mut self,
        source: &Source,
        typed: Option<&Spanned<String>>,
        key: &str,
        words: &[(&str, T)],
    ) -> T {
        let default = words[0].1;
        let Some(typed) = typed else { return default };
        let found = words.iter().find(|(word, _)| word == typed.get_ref());
        found.map_or_else(
            || {
                let known: Vec<String> =
                    words.iter().map(|(word, _)| format!("{word:?}")).collect();
                let why = format!("not {}", known.join(" or "));
                self.errors.push(source.error(typed.span(), key, why));
                default
            },
            |(_, value)| *value,
        )
    }

    pub(super) fn metrics(
        &mut self,
        source: &Source,
        table: Option<&Spanned<MetricsTable>>,
    ) -> Option<SocketAddr> {
        let whole = table?;
        let Some(listen) = &whole.get_ref().listen else {
            self.errors.push(source.error(whole.span(), "metrics.listen", "missing"));
            return None;
        };
        let Ok(address) = listen.get_ref().parse::<SocketAddr>() else {
            let why = "not an address such as \"127.0.0.1:9187\"";
            self.errors.push(source.error(listen.span(), "metrics.listen", why));
            return None;
        };
        if !address.ip().is_loopback() && whole.get_ref().allow_remote != Some(true) {
            let why = "other machines could read the figures; say allow_remote = true if they may";
            self.errors.push(source.error(listen.span(), "metrics.listen", why));
        }
        Some(address)
    }
}
