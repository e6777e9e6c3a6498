//! Commands of `Match exec`: run by the person's shell, in bounded time.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::io_reason;
use crate::limits::CONFIG_EXEC_TIME_MAX;

/// Time between two looks at a command that runs.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// The shell that runs commands of the configuration: `$SHELL`, else `/bin/sh`, as OpenSSH.
pub(crate) fn shell() -> OsString {
    std::env::var_os("SHELL").filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/sh".into())
}

/// Whether `command` ends with status 0.
///
/// # Errors
/// If it cannot be started or is still running after [`CONFIG_EXEC_TIME_MAX`].
pub(super) fn succeeds(command: &str) -> Result<bool, String> {
    let mut child = Command::new(shell())
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| io_reason(&error))?;
    let deadline = Instant::now() + CONFIG_EXEC_TIME_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_PERIOD),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                let seconds = CONFIG_EXEC_TIME_MAX.as_secs();
                return Err(format!("did not end within {seconds} seconds"));
            }
            Err(error) => return Err(io_reason(&error)),
        }
    }
}
