//! `.shosts` files, which users write themselves, asked about any host and user.

use sterna_ssh_files::{Shosts, ShostsVerdict};

/// Input: lines with host, client user and server user, then the file.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(4, |b| *b == b'\n');
    let mut text = || std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let (host, client_user, server_user) = (text(), text(), text());
    let file = parts.next().unwrap_or_default();
    let shosts = Shosts::parse("file", file).expect("short");
    let verdict = shosts.verdict(host, [192, 0, 2, 7].into(), client_user, server_user);
    if let ShostsVerdict::Allowed(place) = verdict {
        // Who comes in stands in the file, or has one name on both sides.
        let line = file.split(|b| *b == b'\n').nth(place.line - 1).expect("a line of the file");
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        assert!(line.contains(&host.to_ascii_lowercase()) || line.contains("192.0.2.7"));
        assert!(client_user == server_user || line.contains(&client_user.to_ascii_lowercase()));
    }
}
