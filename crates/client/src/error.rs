//! Why something failed, divided by what the caller can do about it, and the exit status of each.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use crate::display::{display_name, display_text};

/// One variant for each thing a caller can do next.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Error {
    /// What was asked for cannot be meant: a bad destination, an unknown option. Exit status 2.
    Usage(String),
    /// No connection to the server, or it ended before the login was done. Exit status 3.
    Connect { host: String, why: String },
    /// The host key is unknown, changed or revoked; nothing secret was sent. Exit status 4.
    HostKey { host: String, why: String },
    /// The server took none of what we could offer. Exit status 5.
    Auth { user: String, host: String, why: String },
    /// The server refused. The same request will be refused again. Exit status 1.
    Refused { doing: &'static str, path: Vec<u8>, refusal: Refusal },
    /// What stands at a path does not allow it; seen from here, not said by the server. Exit status 1.
    Unsuitable { doing: &'static str, path: Vec<u8>, why: &'static str },
    /// The server lacks the extension that this needs. Exit status 1.
    Unsupported { doing: &'static str, extension: &'static str },
    /// The link broke or fell silent. Transfers resume when run again. Exit status 7.
    Interrupted { doing: &'static str, why: String },
    /// The peer broke the protocol; the SFTP channel is closed. Exit status 1.
    Peer { why: String },
    /// Something at the server printed this, its first line, where SFTP must begin. Exit status 1.
    NotSftp { printed: String },
    /// This machine's file system said no. Exit status 1.
    Local { doing: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// Content of source and target differ, or could not be compared although that was required.
    /// Exit status 6.
    VerificationFailed { path: Vec<u8>, why: String },
    /// The source changed while it was being transferred. Exit status 1.
    SourceChanged { path: Vec<u8> },
    /// A guard kept everything that would have been deleted. Exit status 1.
    NotDeleted { path: Vec<u8>, why: String },
    /// The caller asked to stop. What is there can be resumed. Exit status 7.
    Cancelled,
}

/// What a STATUS reply said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `SSH_FX_*` number as it came.
    pub code: u32,
    /// The server's own words, not yet made safe to print.
    pub text: String,
}

impl Refusal {
    /// `SSH_FX_EOF`.
    pub const EOF: u32 = 1;
    pub const NO_SUCH_FILE: u32 = 2;
    pub const PERMISSION_DENIED: u32 = 3;
    pub const FAILURE: u32 = 4;
    pub const OP_UNSUPPORTED: u32 = 8;
    /// Version 6's `FILE_ALREADY_EXISTS`, which some servers send in version 3 too.
    pub const FILE_ALREADY_EXISTS: u32 = 11;
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = match self.code {
            1 => "end of file",
            2 => "no such file or directory",
            3 => "permission denied",
            4 => "failure",
            5 => "bad message",
            6 => "no connection",
            7 => "connection lost",
            8 => "operation not supported by the server",
            11 => "file already exists",
            14 => "no space on the server",
            15 => "quota exceeded",
            _ => "",
        };
        let said = display_text(&self.text);
        match (known, said.is_empty()) {
            ("", _) => write!(f, "status {}: {said}", self.code),
            (known, true) => f.write_str(known),
            // Servers repeat the standard words; only other words add something.
            (known, false) if says_nothing_new(&said, known) => f.write_str(known),
            (known, false) => write!(f, "{known} (server: {said})"),
        }
    }
}

/// Whether a server's words are the standard ones, perhaps after the name of what failed
/// (`open: No such file`).
fn says_nothing_new(said: &str, known: &str) -> bool {
    let said = said.trim_end_matches('.').to_ascii_lowercase();
    let words = said.rsplit(": ").next().unwrap_or(&said);
    !words.is_empty() && known.starts_with(words)
}

/// The text of an operating system's error without the number that Rust appends.
pub(crate) fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl Error {
    /// The exit status of a command that ends with this error (design contract of the CLI).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Connect { .. } => 3,
            Self::HostKey { .. } => 4,
            Self::Auth { .. } => 5,
            Self::VerificationFailed { .. } => 6,
            Self::Interrupted { .. } | Self::Cancelled => 7,
            Self::Refused { .. }
            | Self::Unsuitable { .. }
            | Self::Unsupported { .. }
            | Self::Peer { .. }
            | Self::NotSftp { .. }
            | Self::Local { .. }
            | Self::NotDeleted { .. }
            | Self::SourceChanged { .. } => 1,
        }
    }

    /// The `SSH_FX_*` code of a refusal, if it is one.
    pub fn refusal_code(&self) -> Option<u32> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.code),
            _ => None,
        }
    }

    /// Whether the server said that the path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.refusal_code() == Some(Refusal::NO_SUCH_FILE)
    }

    /// Whether no further request on this SFTP channel can succeed.
    pub fn ends_channel(&self) -> bool {
        matches!(
            self,
            Self::Interrupted { .. } | Self::Peer { .. } | Self::NotSftp { .. } | Self::Cancelled
        )
    }

    /// What a person can do about it, if there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Interrupted { .. } | Self::Cancelled => {
                Some("run the same command again to continue where it stopped")
            }
            Self::VerificationFailed { .. } => {
                Some("run the command again, or use --verify=off if you know why they differ")
            }
            Self::Unsuitable { why, .. } if *why == Self::IS_DIRECTORY => {
                Some("use -r to transfer it with everything in it")
            }
            Self::SourceChanged { .. } => Some("run the command again when the file is at rest"),
            Self::NotSftp { .. } => Some(
                "a login script there (.bashrc, .profile, …) must print nothing when no terminal is there; \
                 `ssh HOST true` shows what it prints",
            ),
            _ => None,
        }
    }

    /// Why a directory is not transferred as if it were a file.
    pub(crate) const IS_DIRECTORY: &'static str = "is a directory";

    pub(crate) fn unsuitable(doing: &'static str, path: &[u8], why: &'static str) -> Self {
        Self::Unsuitable { doing, path: path.to_vec(), why }
    }

    pub(crate) fn local(
        doing: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Local { doing, path: path.into(), source: Arc::new(source.into()) }
    }

    pub(crate) fn peer(why: impl Into<String>) -> Self {
        Self::Peer { why: why.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => f.write_str(why),
            Self::Connect { host, why } => write!(f, "connect to {host}: {why}"),
            Self::HostKey { host, why } => write!(f, "host key of {host}: {why}"),
            Self::Auth { user, host, why } => write!(f, "log in as {user}@{host}: {why}"),
            Self::Refused { doing, path, refusal } if path.is_empty() => {
                write!(f, "{doing}: {refusal}")
            }
            Self::Refused { doing, path, refusal } => {
                write!(f, "{doing} \"{}\": {refusal}", display_name(path))
            }
            Self::Unsuitable { doing, path, why } => {
                write!(f, "{doing} \"{}\": {why}", display_name(path))
            }
            Self::Unsupported { doing, extension } => {
                write!(f, "{doing}: the server does not offer {extension}")
            }
            Self::Interrupted { doing, why } => write!(f, "{doing}: interrupted: {why}"),
            Self::Peer { why } => write!(f, "the server broke the protocol: {why}"),
            Self::NotSftp { printed } => {
                let printed = display_text(printed);
                write!(f, "start SFTP: the server printed \"{printed}\" instead of speaking SFTP")
            }
            Self::Local { doing, path, source } => {
                write!(
                    f,
                    "{doing} \"{}\": {}",
                    display_name(path.as_os_str().as_encoded_bytes()),
                    io_reason(source)
                )
            }
            Self::VerificationFailed { path, why } => {
                write!(f, "verify \"{}\": {why}", display_name(path))
            }
            Self::SourceChanged { path } => {
                write!(f, "transfer \"{}\": the source changed meanwhile", display_name(path))
            }
            Self::NotDeleted { path, why } => {
                write!(f, "nothing was deleted in \"{}\": {why}", display_name(path))
            }
            Self::Cancelled => f.write_str("stopped on request"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Local { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u32, text: &str) -> String {
        Refusal { code, text: text.into() }.to_string()
    }

    #[test]
    fn a_servers_words_are_shown_only_if_they_say_more() {
        let missing = "no such file or directory";

        assert_eq!(refused(2, "No such file"), missing);
        assert_eq!(refused(2, "stat: no such file or directory"), missing);
        assert_eq!(refused(3, "Permission denied."), "permission denied");
        assert_eq!(refused(4, "Failure"), "failure");
        assert_eq!(refused(4, "rmdir: not empty"), "failure (server: rmdir: not empty)");
        assert_eq!(
            refused(2, "rmdir: not a directory"),
            format!("{missing} (server: rmdir: not a directory)")
        );
    }

    #[test]
    fn a_local_error_shows_no_number() {
        let error = Error::local("open", "x", io::Error::from_raw_os_error(2));

        assert_eq!(error.to_string(), "open \"x\": no such file or directory");
    }
}
