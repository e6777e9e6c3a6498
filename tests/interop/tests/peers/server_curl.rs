//! curl, and with it libssh2, against our server.

use sterna_interop::binary::has_peer;
use sterna_interop::{client, every_scenario, server};

every_scenario!(has_peer("curl").then(server::sterna), client::Curl::new);
