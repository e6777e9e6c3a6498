//! `sterna sftp-server` as the SFTP subsystem of OpenSSH's `sshd`, used by OpenSSH's `sftp`.

use sterna_interop::{client, every_scenario, server};

every_scenario!(server::openssh_with_our_sftp_server(), client::Sftp::openssh);
