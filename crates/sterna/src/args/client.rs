//! Options of all commands that talk to a server, with the letters and meanings of OpenSSH.

use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf};

use clap::{
    Args, Command,
    builder::{TypedValueParser, ValueParserFactory},
    error::ErrorKind,
};
use sterna_client::{Destination, Place};

/// How to reach the server and log in.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct ClientArgs {
    /// Port of the server
    #[arg(short = 'P', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Private key to log in with (may be repeated)
    #[arg(short, long, value_name = "KEY")]
    pub identity: Vec<PathBuf>,
    /// Servers to go through, separated by commas: [user@]host[:port]
    #[arg(short = 'J', long, value_name = "HOST,…")]
    pub jump: Option<String>,
    /// ssh configuration to use instead of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "SSH_CONFIG")]
    pub ssh_config: Option<PathBuf>,
    /// Option as in ssh_config(5) (may be repeated)
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// A place on a server; a text that names none is refused while the command line is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePath(pub Destination);

impl ValueParserFactory for RemotePath {
    type Parser = RemotePathParser;

    fn value_parser() -> Self::Parser {
        RemotePathParser
    }
}

/// Reads a [`RemotePath`].
#[derive(Clone, Debug)]
pub struct RemotePathParser;

impl TypedValueParser for RemotePathParser {
    type Value = RemotePath;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<RemotePath, clap::Error> {
        let text = String::from_utf8_lossy(value.as_bytes()).escape_debug().to_string();
        let refuse = |why: String| {
            clap::Error::raw(ErrorKind::ValueValidation, format!("{text}: {why}\n"))
                .with_cmd(command)
        };
        match Place::parse(value.as_bytes()) {
            Ok(Place::Remote(destination)) => Ok(RemotePath(destination)),
            Ok(Place::Local(_)) => Err(refuse(
                "names no server; a place is [user@]host:path or sftp://[user@]host[:port]/path"
                    .to_owned(),
            )),
            Err(error) => Err(refuse(error.to_string())),
        }
    }
}

/// What the client library wants: bytes of a file name typed here.
pub fn bytes_of(text: &OsString) -> &[u8] {
    text.as_os_str().as_bytes()
}
