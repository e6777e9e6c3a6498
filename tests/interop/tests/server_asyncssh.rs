//! AsyncSSH's client, which asks for SFTP version 6 where it can, against our server.

use sterna_interop::client::PythonClient;
use sterna_interop::server::Server;
use sterna_interop::{every_scenario, server};

every_scenario!(server::sterna(), |server: &Server| PythonClient::asyncssh(server, 6));
