//! `sterna df`: how full the server's file systems are.

use clap::{ArgAction, Args};
use sterna_client::{Sftp, StatVfs};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::Result,
    output::{Object, Output, bytes_human, display_name},
    remote::Remotes,
};

const EXAMPLES: &str = "\
Examples:
  sterna df -h alice@nas:
  sterna df --json alice@nas:/backup | jq .available";

/// Show the space of file systems
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub struct DfArgs {
    /// Sizes such as 1.5G instead of KiB
    #[arg(short = 'h', long)]
    pub human_readable: bool,
    /// Count inodes instead of bytes
    #[arg(long, conflicts_with = "json")]
    pub inodes: bool,
    /// One JSON object for each place, sizes in bytes
    #[arg(long)]
    pub json: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Paths on the file systems to look at
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl DfArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let output = Output::new(global, self.json);
        let mut remotes = Remotes::new(&self.client, global)?;
        let mut headed = self.json;
        remotes
            .each(&self.places, async |target| {
                let usage = ask(target.sftp(), target.path()).await?;
                if self.json {
                    return output.object(usage.object(target.path()));
                }
                if !headed {
                    headed = true;
                    output.line(heading(self.inodes))?;
                }
                output.line(usage.line(target.path(), self.human_readable, self.inodes))
            })
            .await
    }
}

/// Sizes in bytes; inodes where the server tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub size: u64,
    pub used: u64,
    /// For this user.
    pub available: u64,
    pub inodes: Option<Inodes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inodes {
    pub total: u64,
    pub used: u64,
    pub free: u64,
}

/// Asks for the file system of `path`.
///
/// # Errors
/// If the server cannot tell.
pub async fn ask(sftp: &Sftp, path: &[u8]) -> std::result::Result<Usage, sterna_client::Error> {
    match sftp.statvfs(path).await {
        Ok(reply) => Ok(Usage::from(reply)),
        Err(error @ sterna_client::Error::Unsupported { .. }) => {
            let Ok(space) = sftp.space_available(path).await else { return Err(error) };
            Ok(Usage {
                size: space.bytes_on_device,
                used: space.bytes_on_device.saturating_sub(space.unused_bytes_on_device),
                available: space.bytes_available_to_user,
                inodes: None,
            })
        }
        Err(error) => Err(error),
    }
}

impl From<StatVfs> for Usage {
    fn from(reply: StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(reply.fragment_len);
        Self {
            size: bytes(reply.blocks),
            used: bytes(reply.blocks.saturating_sub(reply.blocks_free)),
            available: bytes(reply.blocks_available),
            inodes: Some(Inodes {
                total: reply.files,
                used: reply.files.saturating_sub(reply.files_free),
                free: reply.files_available,
            }),
        }
    }
}

impl Usage {
    /// One line under [`heading`]; sizes in KiB unless `human`.
    pub fn line(&self, path: &[u8], human: bool, inodes: bool) -> String {
        let path = if path.is_empty() { ".".to_owned() } else { display_name(path) };
        if inodes {
            let count =
                |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |c| c.to_string());
            let (used, free) = (self.inodes.map(|i| i.used), self.inodes.map(|i| i.free));
            return format!(
                "{:>12} {:>12} {:>12} {:>4} {path}",
                count(self.inodes.map(|i| i.total)),
                count(used),
                count(free),
                percent(used.unwrap_or(0), free.unwrap_or(0)),
            );
        }
        let size = |bytes: u64| if human { bytes_human(bytes) } else { (bytes / 1024).to_string() };
        format!(
            "{:>12} {:>12} {:>12} {:>4} {path}",
            size(self.size),
            size(self.used),
            size(self.available),
            percent(self.used, self.available),
        )
    }

    fn object(&self, path: &[u8]) -> Object {
        Object::new()
            .with_name("path", path)
            .with("size", self.size)
            .with("used", self.used)
            .with("available", self.available)
            .with_some("inodes", self.inodes.map(|inodes| inodes.total))
            .with_some("inodes_used", self.inodes.map(|inodes| inodes.used))
            .with_some("inodes_free", self.inodes.map(|inodes| inodes.free))
    }
}

/// What stands above the lines.
pub fn heading(inodes: bool) -> String {
    let [total, free] = if inodes { ["Inodes", "Free"] } else { ["Size", "Available"] };
    format!("{total:>12} {:>12} {free:>12} {:>4} Path", "Used", "Use")
}

/// Used of what this user could use, rounded up, as df(1) counts it.
fn percent(used: u64, available: u64) -> String {
    let total = u128::from(used) + u128::from(available);
    if total == 0 {
        return "-".to_owned();
    }
    format!("{}%", (u128::from(used) * 100).div_ceil(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage { size: 10 << 30, used: 4 << 30, available: 5 << 30, inodes: None };

    #[test]
    fn sizes_are_kib_or_readable() {
        assert_eq!(USAGE.line(b"", false, false), "    10485760      4194304      5242880  45% .");
        assert_eq!(
            USAGE.line(b"/x", true, false),
            "         10G         4.0G         5.0G  45% /x"
        );
    }

    #[test]
    fn absurd_numbers_of_a_server_do_not_overflow() {
        let reply = StatVfs { fragment_len: u64::MAX, blocks: u64::MAX, ..StatVfs::default() };
        let usage = Usage::from(reply);

        assert_eq!(usage.size, u64::MAX);
        assert_eq!(percent(u64::MAX, u64::MAX), "50%");
        assert_eq!(percent(0, 0), "-");
    }
}
