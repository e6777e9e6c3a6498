//! `sterna get`: fetches remote files and trees.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use sterna_client::{
    limits::RETRIES_DEFAULT,
    transfer::{Links, Options, Sparse, Summary, Verify},
};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath, parse_bytes},
    exit::Exit,
    failure::{Failure, Result},
    look_ahead,
    output::{Meter, Output, Shown},
    remote::{Remote, Remotes, Target, report},
    transfer::Transfers,
};

const EXAMPLES: &str = "\
Examples:
  sterna get alice@nas:big.iso .              run it again after a break to go on
  sterna get -r -p alice@nas:photos ~/backup/
  sterna get alice@nas:'in/*.csv' in/
  sterna get --json --verify=require sftp://alice@nas:2022/a.bin a.bin";

/// Fetch files
///
/// A file is written under a temporary name, verified, and then renamed into place. An interrupted
/// transfer is resumed by the same command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// What to fetch
    #[arg(required = true, value_name = "PLACE")]
    pub sources: Vec<RemotePath>,
    /// File or directory to fetch to
    #[arg(value_name = "TARGET")]
    pub target: PathBuf,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `get` and `put`.
#[derive(Clone, Copy, Debug, Args)]
pub struct TransferArgs {
    /// Transfer directories with everything in them
    #[arg(short, long, short_alias = 'R')]
    pub recursive: bool,
    /// Keep modes and times
    #[arg(short, long)]
    pub preserve: bool,
    /// Start from zero even if an interrupted transfer left a part
    #[arg(long)]
    pub no_resume: bool,
    /// Compare checksums at the end: if the server can, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub verify: VerifyWhen,
    /// Write under the final name at once, for directories that allow no other; until it is done the
    /// file there is neither the old nor the new one
    #[arg(long)]
    pub in_place: bool,
    /// Send a file whole that replaces another, instead of only the blocks that differ
    #[arg(long)]
    pub whole_file: bool,
    /// What becomes of holes in files: kept where known, made of zeros too, or filled
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub sparse: SparseHow,
    /// What to do with symbolic links inside of trees
    #[arg(long, value_name = "HOW", default_value = "keep")]
    pub links: LinksHow,
    /// Show progress even if the output goes to no terminal: a line now and then
    #[arg(long, overrides_with = "no_progress")]
    pub progress: bool,
    /// Show no progress
    #[arg(long, overrides_with = "progress")]
    pub no_progress: bool,
    /// Tries to connect again after the connection was lost, without anything advancing in between; 0 gives
    /// up at once
    #[arg(long, value_name = "N", default_value_t = RETRIES_DEFAULT)]
    pub retry: u32,
    /// Files in flight at once; auto finds out how many make it faster
    #[arg(short, long, value_name = "N", default_value = "auto", value_parser = files_in_flight)]
    pub jobs: FilesInFlight,
    /// One JSON object for each event; the bytes of a path that is not UTF-8 stand in path_base64
    #[arg(long)]
    pub json: bool,
    /// Send or fetch at most so many bytes a second, such as 500k or 2M
    #[arg(long, value_name = "RATE", value_parser = parse_bytes)]
    pub bwlimit: Option<u64>,
}

/// How many files may be in flight; `None`: as many as make it faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesInFlight(pub Option<usize>);

fn files_in_flight(text: &str) -> std::result::Result<FilesInFlight, &'static str> {
    match (text, text.parse()) {
        ("auto", _) => Ok(FilesInFlight(None)),
        (_, Ok(count @ 1..)) => Ok(FilesInFlight(Some(count))),
        _ => Err("a number from 1 on, or auto"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinksHow {
    /// Make them again as links
    Keep,
    /// Transfer what they lead to
    Follow,
    /// Leave them out
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SparseHow {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyWhen {
    Auto,
    Require,
    Off,
}

impl TransferArgs {
    pub fn options(self) -> Options {
        Options {
            recursive: self.recursive,
            preserve: self.preserve,
            resume: !self.no_resume,
            in_place: self.in_place,
            delta: !self.whole_file,
            sparse: match self.sparse {
                SparseHow::Auto => Sparse::Auto,
                SparseHow::Always => Sparse::Always,
                SparseHow::Never => Sparse::Never,
            },
            verify: match self.verify {
                VerifyWhen::Auto => Verify::Auto,
                VerifyWhen::Require => Verify::Require,
                VerifyWhen::Off => Verify::Off,
            },
            links: match self.links {
                LinksHow::Keep => Links::Keep,
                LinksHow::Follow => Links::Follow,
                LinksHow::Skip => Links::Skip,
            },
            retries: self.retry,
            files_in_flight: self.jobs.0,
            rate_max: self.bwlimit,
            ..Options::default()
        }
    }
}

impl GetArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        let mut outcome = Outcome::new(global, self.transfer);
        // One transfer for each server, in the order in which the servers appear.
        let mut groups: Vec<Vec<Target>> = Vec::new();
        for RemotePath(place) in &self.sources {
            match remotes.targets(place).await {
                Ok(targets) => {
                    for target in targets {
                        match groups.iter_mut().find(|group| group[0].is_beside(&target)) {
                            Some(group) => group.push(target),
                            None => groups.push(vec![target]),
                        }
                    }
                }
                Err(failure) => outcome.refused(failure)?,
            }
        }
        let count: usize = groups.iter().map(Vec::len).sum();
        if count + outcome.refused > 1 && !self.target.is_dir() {
            let name = crate::output::display_name(self.target.as_os_str().as_encoded_bytes());
            outcome.refused(
                Failure::incomplete(name, "not a directory")
                    .hint("several files can only be fetched into a directory"),
            )?;
            return Ok(outcome.finish());
        }
        if !self.transfer.recursive {
            outcome.meter.found(count as u64, 0);
        }
        for group in groups {
            if outcome.is_cancelled() {
                break;
            }
            let remote = group[0].remote.clone();
            let sources: Vec<_> = group.into_iter().map(|target| target.path).collect();
            let transfers = outcome.transfers(&remote, self.transfer);
            let result = transfers.get(&sources, &self.target).await;
            outcome.add(result)?;
        }
        Ok(outcome.finish())
    }
}

/// How all transfers of a command went.
pub struct Outcome {
    output: Output,
    meter: Arc<Meter>,
    summary: Summary,
    /// Sources that could not even be tried.
    refused: usize,
    worst: Exit,
}

impl Outcome {
    pub fn new(global: &GlobalArgs, args: TransferArgs) -> Self {
        let wanted = match (args.progress, args.no_progress) {
            (false, false) => None,
            (on, _) => Some(on),
        };
        Self::with(global, Output::new(global, args.json).with_progress(wanted))
    }

    /// Of a command without those options.
    pub fn with(global: &GlobalArgs, output: Output) -> Self {
        Self {
            output,
            meter: Arc::new(Meter::new(output, global.verbose > 0)),
            summary: Summary::default(),
            refused: 0,
            worst: Exit::Done,
        }
    }

    /// What listens to the transfers.
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// Says more about how it went, for people.
    pub fn note(&self, sentences: impl FnOnce() -> Vec<String>) {
        self.meter.note(sentences);
    }

    /// Transfers with one server, as the options say.
    pub fn transfers<'r>(&self, remote: &'r Remote, args: TransferArgs) -> Transfers<'r> {
        Transfers {
            sftp: &remote.sftp,
            session: Some(&remote.session),
            reconnect: Some(remote.connector.clone()),
            options: args.options(),
            meter: self.meter.clone(),
        }
    }

    /// Takes the result of one transfer.
    ///
    /// # Errors
    /// Never for the transfer; see [`report`].
    pub fn add(
        &mut self,
        result: std::result::Result<Summary, sterna_client::Error>,
    ) -> Result<()> {
        match result {
            Ok(summary) => {
                self.worst = self.worst.worst(Exit::from_status(summary.exit_code()));
                self.summary.merge(summary);
                Ok(())
            }
            Err(error) => self.refused(error.into()),
        }
    }

    /// Notes something that could not be tried, or that ended everything.
    ///
    /// # Errors
    /// See [`report`].
    pub fn refused(&mut self, failure: Failure) -> Result<()> {
        self.refused += 1;
        self.summary.failed += 1;
        self.meter.refused(&failure);
        // `finish` says it.
        let failure = if failure.exit() == Exit::Interrupted { failure.no_hint() } else { failure };
        self.worst = self.worst.worst(report(failure)?);
        Ok(())
    }

    /// Whether the user asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.summary.cancelled
    }

    /// Counts what is to be sent, for the display; does nothing where there is none.
    pub fn look_ahead(&self, sources: &[PathBuf], args: TransferArgs) {
        if self.output.progress != Shown::Not {
            look_ahead::start(sources.to_vec(), args.recursive, &self.meter);
        }
    }

    /// Says how everything went.
    pub fn finish(self) -> Exit {
        self.meter.finish(&self.summary, self.worst == Exit::Interrupted);
        self.worst
    }
}
