//! `sterna stat`: everything that the server says about a file.

use clap::Args;
use jiff::Timestamp;
use sterna_client::FileKind;

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::Result,
    listing::{Item, kind_word},
    output::{Output, display_name, mode_text},
    remote::{Remotes, Target},
};

const EXAMPLES: &str = "\
Examples:
  sterna stat alice@nas:big.iso
  sterna stat --json alice@nas:in alice@nas:out";

/// Show the attributes of files
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatArgs {
    /// Show what a link leads to, not the link
    #[arg(short = 'L', long)]
    pub dereference: bool,
    /// One JSON object for each file; the bytes of a name that is not UTF-8 stand in name_base64
    #[arg(long)]
    pub json: bool,
    /// Files to look at
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl StatArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let output = Output::new(global, self.json);
        let mut remotes = Remotes::new(&self.client, global)?;
        remotes
            .each(&self.places, async |target| {
                let item = self.look_at(target).await?;
                if output.json {
                    let object = item.object();
                    return output.object(match &item.link {
                        Some(link) => object.with_name("link", link),
                        None => object,
                    });
                }
                output.line(describe(&item))
            })
            .await
    }

    async fn look_at(&self, target: &Target) -> Result<Item> {
        let sftp = target.sftp();
        let attrs = match self.dereference {
            true => sftp.stat(target.path()).await?,
            false => sftp.lstat(target.path()).await?,
        };
        let mut item = Item::named(target.path(), attrs);
        if item.kind == FileKind::Symlink {
            item.link = sftp.read_link(target.path()).await.ok();
        }
        Ok(item)
    }
}

/// The lines for a person; what the server did not say is left out.
fn describe(item: &Item) -> String {
    let attrs = &item.attrs;
    let mut lines = vec![format!("    File: {}", display_name(&item.name))];
    if let Some(link) = &item.link {
        lines.push(format!("    Link: {}", display_name(link)));
    }
    lines.push(format!("    Type: {}", kind_word(item.kind)));
    if let Some(size) = attrs.size {
        lines.push(format!("    Size: {size}"));
    }
    if let Some(mode) = attrs.permissions {
        lines.push(format!("    Mode: {:04o} ({})", mode & 0o7777, mode_text(mode)));
    }
    if let Some(owner) = attrs.owner {
        lines.push(format!("   Owner: {} (group {})", owner.uid, owner.gid));
    }
    if let Some(times) = attrs.times {
        lines.push(format!("Accessed: {}", utc(times.accessed)));
        lines.push(format!("Modified: {}", utc(times.modified)));
    }
    lines.join("\n")
}

fn utc(seconds: u32) -> String {
    // Every u32 is a time that can be shown.
    Timestamp::from_second(seconds.into()).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use sterna_client::Attrs;
    use sterna_sftp_proto::Times;

    use super::*;

    #[test]
    fn times_are_shown_in_utc_and_the_unsaid_is_left_out() {
        let times = Some(Times { accessed: 0, modified: 1_000_000_000 });
        let item = Item::named(b"f", Attrs { size: Some(3), times, ..Attrs::default() });

        assert_eq!(
            describe(&item),
            "    File: f\n    Type: unknown\n    Size: 3\n\
             Accessed: 1970-01-01T00:00:00Z\nModified: 2001-09-09T01:46:40Z"
        );
    }
}
