//! `sterna sftp`: the sftp shell, with the options of OpenSSH's.

use std::{ffi::OsString, path::PathBuf, process::Stdio};

use clap::Args;
use sterna_client::{Destination, Sftp, SftpOptions};

use crate::{
    args::{ClientArgs, GlobalArgs, bytes_of},
    exit::Exit,
    failure::{Failure, Result},
    output::Output,
    remote::Remotes,
    shell::{Defaults, Next, Shell, input},
};

const EXAMPLES: &str = "\
Examples:
  sterna sftp alice@nas                         type `help` there
  sterna sftp -b nightly.txt alice@nas          run a batch; ends at the first failure
  echo 'get big.iso' | sterna sftp -b - alice@nas
  sterna sftp alice@nas:in/a.csv                fetch one file

In a batch a leading - excuses a failure, a leading @ does not show the line, # begins a comment.";

/// Work on a server interactively, or run a batch
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SftpArgs {
    /// Commands to run, one a line; - for stdin
    #[arg(short, value_name = "BATCH")]
    pub batch: Option<PathBuf>,
    /// Use IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6')]
    pub ipv6: bool,
    /// Go on with interrupted transfers (always done; for compatibility)
    #[arg(short)]
    pub append: bool,
    /// Ask for compression
    #[arg(short = 'C')]
    pub compress: bool,
    /// Ciphers to offer
    #[arg(short, value_name = "CIPHERS")]
    pub ciphers: Option<String>,
    /// Sync files to disk (always done; for compatibility)
    #[arg(short = 'f')]
    pub sync: bool,
    /// Keep modes and times
    #[arg(short)]
    pub preserve: bool,
    /// Transfer directories with everything in them
    #[arg(short)]
    pub recursive: bool,
    /// Not quiet in a batch (never is; for compatibility)
    #[arg(short = 'N')]
    pub not_quiet: bool,
    /// Request size (tuned by itself; for compatibility)
    #[arg(short = 'B', value_name = "BYTES")]
    pub buffer: Option<u32>,
    /// Requests under way (tuned by itself; for compatibility)
    #[arg(short = 'R', value_name = "NUMBER")]
    pub requests: Option<u32>,
    /// Tuning, nrequests=NUMBER or buffer=BYTES (tuned by itself; for compatibility)
    #[arg(short = 'X', value_name = "OPTION", value_parser = parse_tuning)]
    pub tuning: Vec<String>,
    /// Subsystem to use; only sftp is possible
    #[arg(short = 's', value_name = "SUBSYSTEM")]
    pub subsystem: Option<String>,
    /// Limit the bandwidth, in Kbit/s (refused)
    #[arg(short = 'l', value_name = "LIMIT", hide = true)]
    pub limit: Option<String>,
    /// Forward the agent (refused)
    #[arg(short = 'A', hide = true)]
    pub forward_agent: bool,
    /// Program to connect with (refused)
    #[arg(short = 'S', value_name = "PROGRAM", hide = true)]
    pub program: Option<OsString>,
    /// Talk to this program instead of a server
    #[arg(short = 'D', value_name = "COMMAND")]
    pub direct: Option<String>,
    /// [user@]host[:path] or sftp://[user@]host[:port][/path]
    #[arg(value_name = "DESTINATION", required_unless_present = "direct")]
    pub destination: Option<OsString>,
    /// Where to fetch the file that the destination names
    #[arg(value_name = "LOCAL")]
    pub local: Option<PathBuf>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl SftpArgs {
    pub async fn run(mut self, global: &GlobalArgs) -> Result<Exit> {
        self.refuse_what_cannot_be()?;
        let output = Output::new(global, false);
        let destination = self.destination.as_ref().map(bytes_of).map(Destination::parse);
        let destination = destination.transpose()?;
        let mut connector = None;
        let (sftp, session) = match (&self.direct, &destination) {
            (Some(command), _) => (start_program(command).await?, None),
            (None, Some(place)) => {
                self.translate_options();
                let remote = Remotes::new(&self.client, global)?.to(place).await?;
                connector = Some(remote.connector);
                (remote.sftp, Some(remote.session))
            }
            (None, None) => return Err(Failure::usage("sftp", "needs a destination")),
        };
        let defaults = Defaults { preserve: self.preserve, recursive: self.recursive };
        let mut shell = Shell::start(sftp, session, output, defaults, global.verbose > 0).await?;
        if let Some(place) = &destination
            && !place.path().is_empty()
            && shell.enter(place.path(), self.local.as_deref()).await? == Next::End
        {
            return Ok(Exit::Done);
        }
        match &self.batch {
            Some(batch) => input::batch(&mut shell, &output, batch).await,
            None if input::is_interactive() => {
                if let Some(connector) = connector {
                    shell.connect_again_by(connector);
                }
                input::interact(&mut shell).await
            }
            None => input::pipe(&mut shell, &output).await,
        }
    }

    /// Options of OpenSSH's sftp that would be ignored otherwise, and then do harm.
    fn refuse_what_cannot_be(&self) -> Result<()> {
        let refuse = |option: &str, why: &str| Err(Failure::usage(option, why));
        match self.subsystem.as_deref() {
            None | Some("sftp") => {}
            Some(_) => return refuse("-s", "only the subsystem `sftp` can be used"),
        }
        if self.limit.is_some() {
            return refuse("-l", "the bandwidth of the shell cannot be limited");
        }
        if self.forward_agent {
            return refuse("-A", "nothing runs at the server that could use an agent");
        }
        if self.program.is_some() {
            return refuse(
                "-S",
                "sterna is its own ssh; use -o ProxyCommand= for another way there",
            );
        }
        Ok(())
    }

    /// Short options that are long ones of ssh_config. What `-o` says comes first, and so wins.
    fn translate_options(&mut self) {
        let ciphers = self.ciphers.as_ref().map(|ciphers| format!("Ciphers={ciphers}"));
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Some("AddressFamily=inet".to_owned()),
            (_, true) => Some("AddressFamily=inet6".to_owned()),
            _ => None,
        };
        let compress = self.compress.then(|| "Compression=yes".to_owned());
        // Nobody sits in front of a batch.
        let batch = self.batch.is_some().then(|| "BatchMode=yes".to_owned());
        self.client.options.extend([ciphers, family, compress, batch].into_iter().flatten());
    }
}

fn parse_tuning(text: &str) -> std::result::Result<String, String> {
    let known = text.split_once('=').is_some_and(|(key, value)| {
        matches!(key, "nrequests" | "buffer") && value.parse::<u32>().is_ok()
    });
    known.then(|| text.to_owned()).ok_or_else(|| "not nrequests=NUMBER or buffer=BYTES".to_owned())
}

/// Runs a program that speaks SFTP on its stdin and stdout. It ends when its stdin does.
async fn start_program(command: &str) -> Result<Sftp> {
    let words =
        shell_words::split(command).map_err(|error| Failure::usage("-D", error.to_string()))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("-D", "names no program"));
    };
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::io(crate::output::display_name(program.as_bytes()), &error))?;
    let (Some(stdin), Some(stdout)) = (child.stdin, child.stdout) else {
        return Err(Failure::incomplete(program, "has no pipes"));
    };
    Ok(Sftp::over(tokio::io::join(stdout, stdin), SftpOptions::default()).await?)
}
