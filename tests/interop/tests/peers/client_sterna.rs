//! Our client against our server: by `get`, `put` and the other commands, and by `sftp -b`.

use sterna_interop::{client, every_scenario, server};

mod commands {
    use super::*;
    every_scenario!(server::sterna(), client::sterna);
}

mod batch {
    use super::*;
    every_scenario!(server::sterna(), client::Sftp::sterna);
}
