//! Our client against AsyncSSH's server: by `get`, `put` and the other commands, and by `sftp -b`.

use sterna_interop::{client, every_scenario, server};

mod commands {
    use super::*;
    every_scenario!(server::asyncssh(), client::sterna);
}

mod batch {
    use super::*;
    every_scenario!(server::asyncssh(), client::Sftp::sterna);
}
