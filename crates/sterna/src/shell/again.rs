//! Connecting again for a person: the next command, or the transfer that was cut, does it for all later
//! ones.
//!
//! A command that was cut is repeated only if that does no harm: whether the server had carried it out is
//! not known. A batch is not repeated at all, as in OpenSSH: who wrote it reckons with its end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use sterna_client::{Connection, Error, Reconnect};

use super::{Shell, line::ShellCommand};
use crate::failure::{Failure, Result};

/// A way to connect again, which remembers the connection that was made last.
pub struct Again {
    way: Arc<dyn Reconnect>,
    newest: Mutex<Option<Connection>>,
}

impl Again {
    pub fn new(way: Arc<dyn Reconnect>) -> Arc<Self> {
        Arc::new(Self { way, newest: Mutex::new(None) })
    }

    fn take(&self) -> Option<Connection> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Reconnect for Again {
    fn reconnect(
        &self,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<Connection, Error>> + Send + '_>> {
        Box::pin(async move {
            let connection = self.way.reconnect().await?;
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            *newest = Some(connection.clone());
            Ok(connection)
        })
    }

    fn connect_beside(
        &self,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<Connection, Error>> + Send + '_>> {
        self.way.connect_beside()
    }
}

impl Shell {
    /// Lets this shell connect again.
    pub fn connect_again_by(&mut self, way: Arc<dyn Reconnect>) {
        self.again = Some(Again::new(way));
    }

    pub fn can_connect_again(&self) -> bool {
        self.again.is_some()
    }

    /// Whether the connection that the last command used is gone.
    pub fn is_cut(&self) -> bool {
        self.sftp.is_closed()
    }

    /// Connects again if the connection is lost and a command needs one. The directory stays.
    ///
    /// # Errors
    /// If that is not possible now. A later command tries again.
    pub async fn connect_if_cut(&mut self, command: &ShellCommand) -> Result<()> {
        let Some(again) = self.again.clone() else { return Ok(()) };
        if !self.is_cut() || command.is_local() {
            return Ok(());
        }
        // A transfer may have done so by itself.
        let made = again.take().filter(|made| !made.sftp.is_closed());
        if made.is_none() && !self.output.quiet {
            eprintln!("sterna: the connection was lost; connecting again");
        }
        let Connection { sftp, session } = match made {
            Some(made) => made,
            None => again.way.reconnect().await?,
        };
        (self.sftp, self.session) = (sftp, session);
        Ok(())
    }
}

impl ShellCommand {
    /// Whether the server has nothing to do with it.
    fn is_local(&self) -> bool {
        match self {
            Self::Bye
            | Self::Help
            | Self::Version
            | Self::Progress
            | Self::Pwd
            | Self::Lpwd
            | Self::Lcd { .. }
            | Self::Lls { .. }
            | Self::Lmkdir { .. }
            | Self::Lumask { .. }
            | Self::Local { .. } => true,
            Self::Cd { .. }
            | Self::Ls { .. }
            | Self::Get { .. }
            | Self::Put { .. }
            | Self::Mkdir { .. }
            | Self::Rm { .. }
            | Self::Rmdir { .. }
            | Self::Rename { .. }
            | Self::Ln { .. }
            | Self::Cp { .. }
            | Self::Chmod { .. }
            | Self::Chown { .. }
            | Self::Chgrp { .. }
            | Self::Df { .. } => false,
        }
    }

    /// Whether it may be carried out twice. Transfers prove what is there already and go on with it.
    pub fn may_be_repeated(&self) -> bool {
        matches!(
            self,
            Self::Cd { .. }
                | Self::Ls { .. }
                | Self::Df { .. }
                | Self::Get { .. }
                | Self::Put { .. }
        )
    }
}

/// A command that was cut and is not repeated.
pub fn not_repeated(failure: Failure) -> Failure {
    let hint = "whether it was done is not known; the next command connects again";
    failure.no_hint().hint(hint)
}
