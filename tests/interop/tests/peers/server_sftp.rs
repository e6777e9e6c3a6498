//! OpenSSH's `sftp` against our server.

use sterna_interop::{client, every_scenario, server};

every_scenario!(server::sterna(), client::Sftp::openssh);
