//! Exit codes: what a script may conclude from how `sterna` ended. A bare number appears nowhere else.

use std::process::ExitCode;

/// How the program ends. The numbers are a contract with scripts and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// Something of it was not; each such thing was named on stderr.
    Incomplete = 1,
    /// The command line or the settings make no sense; nothing was tried.
    Usage = 2,
    /// No connection: name not found, refused, timed out, or the peer does not speak SSH.
    NoConnection = 3,
    /// The server's host key is unknown, changed or revoked.
    HostKey = 4,
    /// The server did not accept any login.
    Authentication = 5,
    /// The copy differs from the original.
    Verification = 6,
    /// Interrupted; the same command again goes on where this one stopped.
    Interrupted = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The exit code with this number; an unknown number means that something was not done.
    pub fn from_status(status: u8) -> Self {
        match status {
            0 => Self::Done,
            2 => Self::Usage,
            3 => Self::NoConnection,
            4 => Self::HostKey,
            5 => Self::Authentication,
            6 => Self::Verification,
            7 => Self::Interrupted,
            _ => Self::Incomplete,
        }
    }

    /// What to report when several things went wrong: an interrupted run outranks a differing copy
    /// (running again settles both), which outranks a refusal. Ends of a whole connection outrank
    /// all of them.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Verification => 2,
            Self::Interrupted => 3,
            Self::Usage => 4,
            Self::NoConnection => 5,
            Self::Authentication => 6,
            Self::HostKey => 7,
        }
    }
}

/// The one map from a failure of the client library.
impl From<&sterna_client::Error> for Exit {
    fn from(error: &sterna_client::Error) -> Self {
        Self::from_status(error.exit_code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_differing_copy_is_never_hidden_by_a_lesser_failure() {
        let several = [Exit::Incomplete, Exit::Verification, Exit::Incomplete, Exit::Done];

        let reported = several.into_iter().fold(Exit::Done, Exit::worst);

        assert_eq!(reported, Exit::Verification);
    }

    #[test]
    fn the_numbers_are_the_contract() {
        let numbers = [
            (Exit::Done, 0),
            (Exit::Incomplete, 1),
            (Exit::Usage, 2),
            (Exit::NoConnection, 3),
            (Exit::HostKey, 4),
            (Exit::Authentication, 5),
            (Exit::Verification, 6),
            (Exit::Interrupted, 7),
        ];

        for (exit, number) in numbers {
            assert_eq!(exit as u8, number);
            assert_eq!(Exit::from_status(number), exit);
        }
    }
}
