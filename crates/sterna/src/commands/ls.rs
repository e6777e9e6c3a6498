//! `sterna ls`: lists remote directories.

use clap::{ArgAction, Args};
use sterna_client::{FileKind, Sftp};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::{Failure, Result},
    listing::{self, Item, Order, Style},
    output::{Output, display_name},
    remote::{Remotes, Target, report},
};

const EXAMPLES: &str = "\
Examples:
  sterna ls alice@nas:
  sterna ls -lht alice@nas:in/
  sterna ls -R --json alice@nas:photos | jq -r .path
  sterna ls --json alice@nas:'*.csv' | jq .size";

/// Directories above the deepest that is listed: a tree without end is a fault of the server.
const DEPTH_MAX: usize = 512;

/// List directories
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub struct LsArgs {
    /// One long line for each file
    #[arg(short, long)]
    pub long: bool,
    /// One name a line
    #[arg(short = '1')]
    pub one_per_line: bool,
    /// Show names that begin with a dot
    #[arg(short, long)]
    pub all: bool,
    /// List directories in directories too; links are not followed
    #[arg(short = 'R', long, conflicts_with = "directory")]
    pub recursive: bool,
    /// Show a directory itself, not what is in it
    #[arg(short, long)]
    pub directory: bool,
    /// Sizes such as 1.5G
    #[arg(short = 'h', long)]
    pub human_readable: bool,
    /// Numbers instead of user and group names (implies -l)
    #[arg(short, long)]
    pub numeric: bool,
    /// Largest first
    #[arg(short = 'S')]
    pub by_size: bool,
    /// Newest first
    #[arg(short = 't')]
    pub by_time: bool,
    /// As the server sends them, with bounded memory
    #[arg(short = 'U')]
    pub unsorted: bool,
    /// The other way round
    #[arg(short, long)]
    pub reverse: bool,
    /// One JSON object for each file; the bytes of a name that is not UTF-8 stand in name_base64
    #[arg(long)]
    pub json: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Directories and files to list
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl LsArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let output = Output::new(global, self.json);
        let mut remotes = Remotes::new(&self.client, global)?;
        let mut worst = Exit::Done;
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        for RemotePath(place) in &self.places {
            let targets = match remotes.targets(place).await {
                Ok(targets) => targets,
                Err(failure) => {
                    worst = worst.worst(report(failure)?);
                    continue;
                }
            };
            for target in targets {
                match self.look_at(&target).await {
                    Ok(item) if item.kind == FileKind::Dir && !self.directory => {
                        directories.push((place.host().to_owned(), target));
                    }
                    Ok(item) => files.push((target, item)),
                    Err(failure) => worst = worst.worst(report(failure)?),
                }
            }
        }
        let headings = (files.len() + directories.len() > 1 || self.recursive) && !self.json;
        if let Some((target, _)) = files.first() {
            let sftp = target.sftp().clone();
            let mut items: Vec<Item> = files.into_iter().map(|(_, item)| item).collect();
            listing::sort(&mut items, &self.style());
            listing::print(&sftp, &output, &items, &self.style()).await?;
            if headings && !directories.is_empty() {
                output.line("")?;
            }
        }
        let mut first = true;
        for (host, target) in directories {
            // Each with the number of directories above it.
            let mut waiting = vec![(target.path().to_vec(), 0)];
            while let Some((path, depth)) = waiting.pop() {
                if headings {
                    let gap = if first { "" } else { "\n" };
                    output.line(format!("{gap}{host}:{}:", display_name(&path)))?;
                }
                first = false;
                match self.list(target.sftp(), &path, &output).await {
                    Ok(below) if depth == DEPTH_MAX && !below.is_empty() => {
                        let what = format!("list \"{}\"", display_name(&path));
                        let failure = Failure::incomplete(what, "nested too deeply");
                        worst = worst.worst(report(failure)?);
                    }
                    Ok(below) => {
                        waiting.extend(below.into_iter().rev().map(|path| (path, depth + 1)));
                    }
                    Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
                    Err(failure) => worst = worst.worst(report(failure)?),
                }
            }
        }
        Ok(worst)
    }

    /// What a named path is. A link to a directory is that directory, unless details are wanted.
    async fn look_at(&self, target: &Target) -> Result<Item> {
        let attrs = target.sftp().lstat(target.path()).await?;
        let mut item = Item::named(target.path(), attrs);
        if item.kind != FileKind::Symlink {
            return Ok(item);
        }
        if self.long || self.numeric || self.directory {
            item.link = target.sftp().read_link(target.path()).await.ok();
            return Ok(item);
        }
        if let Ok(attrs) = target.sftp().stat(target.path()).await
            && FileKind::of(&attrs) == FileKind::Dir
        {
            item = Item::named(target.path(), attrs);
        }
        Ok(item)
    }

    /// Lists a directory; returns the directories in it that are to be listed as well, in their order.
    async fn list(&self, sftp: &Sftp, path: &[u8], output: &Output) -> Result<Vec<Vec<u8>>> {
        let style = self.style();
        let mut dir = sftp.open_dir(path).await?;
        let (mut items, mut below) = (Vec::new(), Vec::new());
        let mut note = |items: &[Item]| {
            let dirs = items.iter().filter(|item| self.recursive && item.kind == FileKind::Dir);
            below.extend(dirs.map(|item| item.path.clone()));
        };
        while let Some(batch) = dir.next_batch().await? {
            let shown = batch.into_iter().filter(|e| self.all || !e.name.starts_with(b"."));
            items.extend(shown.map(|entry| Item::entry(path, entry)));
            if style.order == Order::None {
                note(&items);
                self.print(sftp, output, &mut items).await?;
                items.clear();
            }
        }
        listing::sort(&mut items, &style);
        note(&items);
        self.print(sftp, output, &mut items).await?;
        Ok(below)
    }

    async fn print(&self, sftp: &Sftp, output: &Output, items: &mut [Item]) -> Result<()> {
        let style = self.style();
        if style.long && !output.json {
            for item in items.iter_mut().filter(|item| item.kind == FileKind::Symlink) {
                item.link = sftp.read_link(&item.path).await.ok();
            }
        }
        listing::print(sftp, output, items, &style).await
    }

    fn style(&self) -> Style {
        let order = match (self.unsorted, self.by_time, self.by_size) {
            (true, ..) => Order::None,
            (_, true, _) => Order::Time,
            (_, _, true) => Order::Size,
            _ => Order::Name,
        };
        Style {
            long: self.long || self.numeric,
            one_per_line: self.one_per_line,
            human: self.human_readable,
            numeric: self.numeric,
            order,
            reverse: self.reverse,
        }
    }
}
