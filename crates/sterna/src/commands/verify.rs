//! `sterna verify`: compares files and trees by content, or with a list of digests.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use sterna_client::{
    sync::{SyncOptions, TreeSync, VerifyReport},
    transfer::{Cancel, Options},
};

use crate::{
    args::{ClientArgs, GlobalArgs, PatternArgs},
    commands::{
        get::Outcome,
        sum::Check,
        sync::{places, tree},
    },
    exit::Exit,
    failure::{Failure, Result},
    output::{Output, bytes_human},
    remote::Remotes,
    transfer::or_signal,
};

const EXAMPLES: &str = "\
Examples:
  sterna verify photos alice@nas:photos
  sterna verify alice@nas:big.iso big.iso
  sterna verify --json --one-way in alice@nas:in
  sterna verify --manifest SHA256SUMS alice@nas:photos

Every file is compared by digest; names, modes and times of equal files do not matter. Exit status: 0
equal, 6 something differs, 1 something is missing or cannot be read; each is named.";

/// Compare files and trees by content
///
/// The server computes digests by itself where it can; otherwise the content comes here.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Let the second place have more than the first
    #[arg(long)]
    pub one_way: bool,
    /// Compare with a list of digests as sha256sum writes it
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// One JSON object for each event
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub patterns: PatternArgs,
    /// File or directory, here or on a server; with --manifest only this one
    #[arg(value_name = "PLACE")]
    pub first: OsString,
    /// What it is compared with
    #[arg(value_name = "PLACE", required_unless_present = "manifest", conflicts_with = "manifest")]
    pub second: Option<OsString>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl VerifyArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        if let Some(file) = &self.manifest {
            let check = Check { file, algorithm: None, json: self.json };
            return check.run(&mut remotes, global, &self.first).await;
        }
        let Some(second) = &self.second else {
            return Err(Failure::usage("verify", "needs two places, or --manifest"));
        };
        let (first, second) = places(&self.first, second)?;
        let filter = self.patterns.filter()?;
        let mut outcome = Outcome::with(global, Output::new(global, self.json));
        let trees =
            async { Ok((tree(&mut remotes, first).await?, tree(&mut remotes, second).await?)) };
        let (first, second) = match trees.await {
            Ok(trees) => trees,
            Err(failure) => {
                outcome.refused(failure)?;
                return Ok(outcome.finish());
            }
        };
        let cancel = Cancel::new();
        let verify = TreeSync::new(first, second)
            .options(SyncOptions { filter, ..SyncOptions::default() })
            .transfer(Options::default())
            .progress(outcome.meter())
            .cancel(cancel.clone());
        let meter = outcome.meter();
        let broken_off = |seconds| VerifyReport {
            summary: meter.broken_off(seconds),
            ..VerifyReport::default()
        };
        match or_signal(verify.verify(self.one_way), &cancel, broken_off).await {
            Ok(report) => {
                outcome.note(|| {
                    let bytes = bytes_human(report.read_back);
                    let why = "a server computes no digests";
                    let read = format!("{bytes} were read only to compare: {why}");
                    if report.read_back > 0 { vec![read] } else { Vec::new() }
                });
                outcome.add(Ok(report.summary))?;
            }
            Err(error) => outcome.add(Err(error))?,
        }
        Ok(outcome.finish())
    }
}
