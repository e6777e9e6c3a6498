//! `sterna sftp-server`: SFTP on stdin and stdout, for the `Subsystem` line of another SSH server.
//!
//! The options are those of OpenSSH's sftp-server, because they stand in many configurations.

use std::{
    collections::BTreeSet,
    env, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use sterna_server::{
    sftp::{Names, ROWS, Resources, SessionPolicy, SftpSession, SystemNames},
    stdio,
};
use sterna_storage::Local;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    output::display_name,
};

const EXAMPLES: &str = "\
Example, in sshd_config:
  Subsystem sftp /usr/bin/sterna sftp-server
  Subsystem sftp /usr/bin/sterna sftp-server -R -d /srv/public";

/// Serve SFTP on stdin and stdout, for sshd's Subsystem line
///
/// Serves all files that the user running it can reach, as OpenSSH's sftp-server does.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SftpServerArgs {
    /// Refuse everything that would change something
    #[arg(short = 'R')]
    pub read_only: bool,
    /// Where relative paths begin; %d is the home directory, %u the user (default: here)
    #[arg(short = 'd', value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Permission bits taken off new files, octal
    #[arg(short = 'u', value_name = "UMASK", value_parser = parse_umask)]
    pub umask: Option<u32>,
    /// Requests that are refused, by name, joined by commas
    #[arg(short = 'P', value_name = "REQUESTS", value_delimiter = ',')]
    pub denied: Vec<String>,
    /// The only requests that are served, by name, joined by commas
    #[arg(short = 'p', value_name = "REQUESTS", value_delimiter = ',')]
    pub allowed: Vec<String>,
    /// Log to stderr (always done; for compatibility)
    #[arg(short = 'e')]
    pub log_stderr: bool,
    /// Log facility (nothing is sent to syslog; for compatibility)
    #[arg(short = 'f', value_name = "FACILITY")]
    pub log_facility: Option<String>,
    /// Log level ($RUST_LOG decides; for compatibility)
    #[arg(short = 'l', value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl SftpServerArgs {
    pub fn run(self) -> Result<Exit> {
        if let Some(umask) = self.umask {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        }
        let names = SystemNames::load();
        let uid = rustix::process::geteuid().as_raw();
        let user = names.user(uid).unwrap_or_else(|| uid.to_string());
        let home = env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        let here = env::current_dir().map_err(|error| Failure::io("current directory", &error))?;
        let start = match &self.directory {
            Some(dir) => {
                let expanded =
                    expand(dir.as_os_str().as_bytes(), &user, home.as_os_str().as_bytes());
                here.join(std::ffi::OsString::from_vec(expanded))
            }
            None => here,
        };
        if !start.is_dir() {
            let name = display_name(start.as_os_str().as_bytes());
            return Err(Failure::usage(name, "not a directory"));
        }
        let policy = SessionPolicy {
            user: user.into_bytes(),
            read_only: self.read_only,
            denied: self.denied_rows()?,
            home: home.into_os_string().into_vec(),
            start_dir: start.into_os_string().into_vec(),
            names: Arc::new(names),
            ..SessionPolicy::default()
        };
        let backend =
            Local::open("/").map_err(|error| Failure::incomplete("/", error.to_string()))?;
        // It needs no network and starts nothing. Files are the user's business here; the SSH server may have walls of
        // its own, under which another one may not be had.
        if let Err(error) = sterna_sandbox::Calls::of_file_server_on_streams().restrict() {
            tracing::debug!(%error, "no filter of system calls");
        }
        let session = SftpSession::new(Arc::new(backend), policy, &Resources::default());
        let status = stdio::serve(session, io::stdin(), io::stdout().lock());
        match status.map_err(|error| crate::failure::output_failed(&error))? {
            0 => Ok(Exit::Done),
            _ => Err(Failure::reported(Exit::Incomplete)),
        }
    }

    /// The rows of the operation table that are refused.
    fn denied_rows(&self) -> Result<BTreeSet<String>> {
        let mut denied = BTreeSet::new();
        for request in &self.denied {
            denied.insert(row_named(request)?.to_owned());
        }
        if !self.allowed.is_empty() {
            let allowed: Vec<_> =
                self.allowed.iter().map(|r| row_named(r)).collect::<Result<_>>()?;
            let others = ROWS.iter().map(|row| row.name).filter(|name| !allowed.contains(name));
            denied.extend(others.map(str::to_owned));
        }
        Ok(denied)
    }
}

/// Finds a request by its name; OpenSSH leaves the part behind the `@` out.
fn row_named(request: &str) -> Result<&'static str> {
    let is = |name: &str| name == request || name.split('@').next() == Some(request);
    let row = ROWS.iter().map(|row| row.name).find(|name| is(name));
    row.ok_or_else(|| {
        // A denied request that is not understood must not be served.
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        Failure::usage(request.escape_debug().to_string(), "no such request")
            .hint(format!("known are {}", names.join(", ")))
    })
}

/// Replaces `%d` by the home directory, `%u` by the user, `%%` by a percent sign.
fn expand(text: &[u8], user: &str, home: &[u8]) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match bytes.next() {
                Some(b'd' | b'h') => expanded.extend_from_slice(home),
                Some(b'u') => expanded.extend_from_slice(user.as_bytes()),
                Some(other) => expanded.push(other),
                None => expanded.push(b'%'),
            },
            _ => expanded.push(byte),
        }
    }
    expanded
}

fn parse_umask(text: &str) -> std::result::Result<u32, String> {
    let umask = u32::from_str_radix(text, 8).ok().filter(|umask| *umask <= 0o777);
    umask.ok_or_else(|| "not an octal number up to 777".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_stand_for_home_and_user() {
        assert_eq!(expand(b"/srv/%u/x%%y", "alice", b"/home/a"), b"/srv/alice/x%y");
        assert_eq!(expand(b"%d/in%", "alice", b"/home/a"), b"/home/a/in%");
    }

    #[test]
    fn requests_are_found_by_openssh_s_short_names() {
        assert_eq!(row_named("remove").unwrap(), "remove");
        assert_eq!(row_named("posix-rename").unwrap(), "posix-rename@openssh.com");
        assert!(row_named("format-disk").is_err());
    }
}
