//! rclone against our server.

use sterna_interop::binary::has_peer;
use sterna_interop::{client, every_scenario, server};

every_scenario!(has_peer("rclone").then(server::sterna), client::Rclone::new);
