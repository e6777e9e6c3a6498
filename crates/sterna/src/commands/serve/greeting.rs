//! What a server says on standard output when it serves: how to reach it.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use super::shown;
use crate::output::display_name;

/// What is worth saying about a single shared directory.
pub struct Share {
    pub root: PathBuf,
    pub user: String,
    pub made_password: Option<String>,
    pub read_only: bool,
}

/// Says on stdout how to reach the server; the last lines are for programs that wait for them.
pub fn greet(
    share: Option<&Share>,
    fingerprints: &[(String, String)],
    addresses: &[SocketAddr],
) -> io::Result<()> {
    let mut text = String::new();
    if let Some(share) = share {
        let how = if share.read_only { ", read-only" } else { "" };
        text += &format!("sharing {} as user {}{how}\n", shown(&share.root), share.user);
        if let Some(password) = &share.made_password {
            text += &format!("password: {password}\n");
        }
    }
    for (key_type, fingerprint) in fingerprints {
        text += &format!("host key: {fingerprint} ({key_type})\n");
    }
    if let (Some(share), Some(address)) = (share, addresses.first()) {
        let (host, port) = (host_for(*address), address.port());
        // In brackets where the colons of an address would end the host.
        let place = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        text += &format!(
            "connect with:\n  sterna ls -P {port} {user}@{place}:\n  sftp -P {port} {user}@{place}\n",
            user = share.user
        );
    }
    for address in addresses {
        text += &format!("listening on {address}\n");
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The name under which others reach this machine at `address`.
fn host_for(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.ip().to_string();
    }
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    if name.is_empty() { "localhost".to_owned() } else { display_name(name.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_everybody_is_reached_by_name() {
        assert_eq!(host_for("192.0.2.1:22".parse().unwrap()), "192.0.2.1");
        assert_ne!(host_for("[::]:22".parse().unwrap()), "::");
    }
}
