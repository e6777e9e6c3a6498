//! Paramiko against our server.

use sterna_interop::{client, every_scenario, server};

every_scenario!(server::sterna(), client::PythonClient::paramiko);
