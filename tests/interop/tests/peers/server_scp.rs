//! OpenSSH's `scp`, which speaks SFTP, against our server.

use sterna_interop::{client, every_scenario, server};

every_scenario!(server::sterna(), client::Scp::new);
