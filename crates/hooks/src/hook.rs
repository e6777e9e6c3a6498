//! What the settings say about a hook, and whether that fits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::HookError;
use crate::gate::Gate;
use crate::http::Service;
use crate::limits::{ANSWER_LEN_MAX, CACHE_MAX, TIMEOUT_MAX};
use crate::process::Running;
use crate::program::Program;

/// Whom to ask, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub transport: Transport,
    /// For one question, from the wait for a free place to the end of the answer.
    pub timeout: Duration,
    /// How long a positive answer of an external identity holds; zero: not at all.
    pub cache: Duration,
}

/// How to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A program and its arguments; no shell reads them.
    Exec {
        /// The first is an absolute path.
        command: Vec<String>,
    },
    /// `POST` to a service.
    Http {
        /// `https://…`, or `http://…` of this machine.
        url: String,
        /// A file with a bearer token, read anew for each question.
        token_file: Option<PathBuf>,
        /// The authorities for the service's certificate, as PEM; `None`: those of the system.
        ca_file: Option<PathBuf>,
        /// Passwords may travel unencrypted, also to other machines.
        allow_plain_http: bool,
    },
}

impl Hook {
    /// Time-out if the settings say none.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
    /// Life of a positive answer if the settings say none.
    pub const CACHE_DEFAULT: Duration = Duration::from_secs(30);

    /// Whether this could be asked: looks at the settings and the files they name, and asks nobody.
    ///
    /// # Errors
    /// [`HookError::Setting`] and [`HookError::Untrusted`], for example for a program that others may
    /// write.
    pub fn check(&self) -> Result<(), HookError> {
        match Asked::new(self)? {
            Asked::Program(program) => program.check(),
            Asked::Service(service) => service.check(),
        }
    }
}

/// A hook that was looked at and can be asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Program(Program),
    Service(Service),
}

impl Asked {
    pub(crate) fn new(hook: &Hook) -> Result<Self, HookError> {
        check_timeout(hook.timeout)?;
        if hook.cache > CACHE_MAX {
            return Err(HookError::Setting(format!(
                "cache of a hook: at most {} seconds",
                CACHE_MAX.as_secs()
            )));
        }
        match &hook.transport {
            Transport::Exec { command } => Ok(Self::Program(Program::new(command)?)),
            Transport::Http { url, token_file, ca_file, allow_plain_http } => Ok(Self::Service(
                Service::new(url, token_file.clone(), ca_file.as_deref(), *allow_plain_http)?,
            )),
        }
    }

    /// Asks one question, and gives back the whole answer.
    pub(crate) fn ask(
        &self,
        line: &[u8],
        gate: &Arc<Gate>,
        deadline: Instant,
    ) -> Result<Vec<u8>, HookError> {
        let permit = gate.enter(deadline)?;
        match self {
            Self::Program(program) => Running::start(program, &program.args, permit)?.finish(
                line,
                ANSWER_LEN_MAX,
                deadline,
            ),
            Self::Service(service) => service.post(line, ANSWER_LEN_MAX, deadline),
        }
    }
}

/// Whether this time-out is one.
pub(crate) fn check_timeout(timeout: Duration) -> Result<(), HookError> {
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(HookError::Setting(format!(
            "time-out of a hook: more than 0 and at most {} seconds",
            TIMEOUT_MAX.as_secs()
        )));
    }
    Ok(())
}
