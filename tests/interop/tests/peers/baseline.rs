//! The harness itself: OpenSSH on both sides gets through every scenario.

use sterna_interop::{client, every_scenario, server};

every_scenario!(server::openssh(), client::Sftp::openssh);
