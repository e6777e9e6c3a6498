//! `sterna sync`: makes one tree equal to another, here or on a server.

use std::{ffi::OsString, time::Duration};

use clap::Args;
use sterna_client::{
    Destination, Place,
    sync::{Basis, DeleteMax, GROUP_NAME, Report, SyncOptions, TIMES, Tree, TreeSync, USER_NAME},
    transfer::Cancel,
};

use crate::{
    args::{ClientArgs, GlobalArgs, PatternArgs, bytes_of, parse_age, parse_bytes},
    commands::get::{Outcome, TransferArgs},
    exit::Exit,
    failure::{Failure, Result},
    output::{bytes_human, display_name},
    remote::Remotes,
    transfer::{or_signal, raise_open_files_limit},
};

const EXAMPLES: &str = "\
Examples:
  sterna sync photos alice@nas:photos                   upload what is new or changed
  sterna sync --delete --dry-run photos alice@nas:photos
  sterna sync alice@nas:in ./in                         download; run it again, it does nothing
  sterna sync --checksum --exclude '*.tmp' site web:/srv/www
  sterna sync alice@old:/data bob@new:/data             from server to server

What is in SOURCE goes into TARGET, which becomes equal to it; a slash at the end changes nothing.
A file is right if size and time agree (--checksum: size and digest). Modes and times are kept.

Patterns are those of .gitignore, the last that matches decides: --exclude '*' --include '*/'
--include '*.csv' takes nothing but CSV files. What is excluded is never deleted.

--delete removes what SOURCE does not have, after everything has been transferred. If the source is
empty or cannot be read completely, or too much would go (--max-delete), nothing is deleted.";

/// Make a tree equal to another
///
/// One of both places is on a server, or both are. Content is transferred as by get and put: resumed,
/// verified, renamed into place. What the target cannot keep is counted at the end.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("recursive", |arg| arg.hide(true)))]
#[command(mut_arg("preserve", |arg| arg.hide(true)))]
pub struct SyncArgs {
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// Say what would be done and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Compare by size and digest
    #[arg(short, long, conflicts_with = "size_only")]
    pub checksum: bool,
    /// Compare by size alone
    #[arg(long)]
    pub size_only: bool,
    /// Keep files that are newer at the target
    #[arg(short, long)]
    pub update: bool,
    /// Delete what the source does not have
    #[arg(long)]
    pub delete: bool,
    /// Delete nothing if more would go: a number, or a part of the target such as 10% (default: 1000, or
    /// half of the target if that is more)
    #[arg(long, value_name = "N", value_parser = parse_delete_max)]
    pub max_delete: Option<DeleteMax>,
    /// Delete even if the source is empty or could not be read completely
    #[arg(long, requires = "delete")]
    pub force_delete: bool,
    /// Delete what is excluded, too
    #[arg(long, requires = "delete")]
    pub delete_excluded: bool,
    /// Keep names of one file names of one file
    #[arg(short = 'H', long)]
    pub hard_links: bool,
    /// Keep the owner: by name where both sides know it, else by number
    #[arg(long)]
    pub owner: bool,
    /// Keep the group: by name where both sides know it, else by number
    #[arg(long)]
    pub group: bool,
    /// Keep owner and group by number in any case
    #[arg(long)]
    pub numeric_ids: bool,
    /// Keep extended attributes (user.*) of files and directories
    #[arg(short = 'X', long)]
    pub xattrs: bool,
    #[command(flatten)]
    pub patterns: PatternArgs,
    /// Leave out files that are smaller
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, help_heading = "What takes part")]
    pub min_size: Option<u64>,
    /// Leave out files that are larger
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, help_heading = "What takes part")]
    pub max_size: Option<u64>,
    /// Leave out files that were not changed for so long
    #[arg(long, value_name = "TIME", value_parser = parse_age, help_heading = "What takes part")]
    pub max_age: Option<Duration>,
    /// Begin no further file when so many bytes have been sent
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, help_heading = "What takes part")]
    pub max_transfer: Option<u64>,
    /// Directory whose content is taken
    #[arg(value_name = "SOURCE")]
    pub source: OsString,
    /// Directory that becomes equal to it
    #[arg(value_name = "TARGET")]
    pub target: OsString,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl SyncArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let options = self.options()?;
        let (source, target) = places(&self.source, &self.target)?;
        let mut remotes = Remotes::new(&self.client, global)?;
        let mut outcome = Outcome::new(global, self.transfer);
        let trees =
            async { Ok((tree(&mut remotes, source).await?, tree(&mut remotes, target).await?)) };
        let (source, target) = match trees.await {
            Ok(trees) => trees,
            Err(failure) => {
                outcome.refused(failure)?;
                return Ok(outcome.finish());
            }
        };
        raise_open_files_limit();
        let cancel = Cancel::new();
        let sync = TreeSync::new(source, target)
            .options(options)
            .transfer(self.transfer.options())
            .progress(outcome.meter())
            .cancel(cancel.clone());
        let meter = outcome.meter();
        let broken_off =
            |seconds| Report { summary: meter.broken_off(seconds), ..Report::default() };
        match or_signal(sync.run(), &cancel, broken_off).await {
            Ok(report) => {
                outcome.note(|| sentences(&report, self.dry_run));
                outcome.add(Ok(report.summary))?;
            }
            Err(error) => outcome.add(Err(error))?,
        }
        Ok(outcome.finish())
    }

    fn options(&self) -> Result<SyncOptions> {
        let mut filter = self.patterns.filter()?;
        filter.size_min = self.min_size;
        filter.size_max = self.max_size;
        filter.age_max = self.max_age;
        Ok(SyncOptions {
            basis: match (self.checksum, self.size_only) {
                (true, _) => Basis::Checksum,
                (false, true) => Basis::Size,
                (false, false) => Basis::SizeAndTime,
            },
            update: self.update,
            delete: self.delete,
            force_delete: self.force_delete,
            delete_max: self.max_delete,
            delete_excluded: self.delete_excluded,
            dry_run: self.dry_run,
            filter,
            transfer_max: self.max_transfer,
            hard_links: self.hard_links,
            owner: self.owner,
            group: self.group,
            numeric_ids: self.numeric_ids,
            xattrs: self.xattrs,
        })
    }
}

/// Both places as they were typed; one of them must be on a server.
pub fn places(source: &OsString, target: &OsString) -> Result<(Place, Place)> {
    let places = (Place::parse(bytes_of(source))?, Place::parse(bytes_of(target))?);
    if let (Place::Local(_), Place::Local(path)) = &places {
        let name = display_name(path.as_os_str().as_encoded_bytes());
        return Err(Failure::usage(name, "neither place is on a server")
            .hint("a place on a server is [user@]host:path or sftp://[user@]host[:port]/path"));
    }
    Ok(places)
}

/// The tree of a place; its server is connected to.
pub async fn tree(remotes: &mut Remotes, place: Place) -> Result<Tree> {
    match place {
        Place::Local(path) => Ok(Tree::Local(path)),
        Place::Remote(place) => remote_tree(remotes, &place).await,
    }
}

async fn remote_tree(remotes: &mut Remotes, place: &Destination) -> Result<Tree> {
    let remote = remotes.to(place).await?;
    Ok(Tree::Remote {
        sftp: remote.sftp,
        session: Some(remote.session),
        reconnect: Some(remote.connector),
        path: place.path().to_vec(),
    })
}

/// What the summary of the transfers does not say.
fn sentences(report: &Report, dry_run: bool) -> Vec<String> {
    let counts = [
        (report.deleted, "deleted"),
        (report.dirs_made, "directories made"),
        (report.links_made, "links made"),
        (report.hard_links_made, "hard links made"),
        (report.attributes_set, "attributes set"),
        (report.unchanged, "unchanged"),
    ];
    let said = counts.iter().filter(|(count, _)| *count > 0);
    let said: Vec<_> = said.map(|(count, what)| format!("{count} {what}")).collect();
    let mut sentences = Vec::new();
    if dry_run {
        sentences.push(format!("{} changes planned, none made", report.planned + report.dirs_made));
    } else if !said.is_empty() {
        sentences.push(said.join(", "));
    }
    for (what, count) in &report.not_kept {
        sentences.push(not_kept(what, *count));
    }
    if report.read_back > 0 {
        let bytes = bytes_human(report.read_back);
        sentences.push(format!("{bytes} were read only to compare: a server computes no digests"));
    }
    sentences
}

/// One sentence for each kind of what the target has otherwise than the source.
fn not_kept(what: &str, count: u64) -> String {
    match what {
        USER_NAME | GROUP_NAME => format!(
            "not kept: {what} ({count} of them): the name or its number is not known on both sides, the \
             number was kept"
        ),
        TIMES => {
            "not kept: times, although the server said so: use --checksum or --size-only".to_owned()
        }
        _ => format!("not kept: {what} ({count} times): the server does not allow it"),
    }
}

fn parse_delete_max(text: &str) -> std::result::Result<DeleteMax, String> {
    let wrong = || "write a number, or a part such as 10%".to_owned();
    match text.strip_suffix('%') {
        Some(percent) => match percent.parse() {
            Ok(percent @ 0..=100) => Ok(DeleteMax::Percent(percent)),
            _ => Err(wrong()),
        },
        None => text.parse().map(DeleteMax::Count).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_on_deleting_is_a_number_or_a_part() {
        assert_eq!(parse_delete_max("0"), Ok(DeleteMax::Count(0)));
        assert_eq!(parse_delete_max("10%"), Ok(DeleteMax::Percent(10)));
        assert!(parse_delete_max("101%").is_err() && parse_delete_max("ten").is_err());
    }

    #[test]
    fn what_could_not_be_kept_is_said_in_every_case() {
        let not_kept = vec![("owner", 3), (USER_NAME, 2), (TIMES, 1)];
        let report = Report { not_kept, ..Report::default() };

        for dry_run in [false, true] {
            let said = sentences(&report, dry_run);
            for part in ["owner (3 times)", "user by name (2 of them)", "--checksum or --size-only"]
            {
                assert!(said.iter().any(|sentence| sentence.contains(part)), "{part}: {said:?}");
            }
        }
    }
}
