//! `authorized_keys` files, which users write themselves.

use sterna_ssh_files::parse_authorized_keys;

pub fn run(data: &[u8]) {
    let (keys, refused) = parse_authorized_keys(data);
    let lines = 1 + data.iter().filter(|b| **b == b'\n').count();
    assert!(keys.len() + refused.len() <= lines);
    for key in keys {
        assert!(key.options.principals.is_none() || key.options.cert_authority);
        if let Some(from) = key.options.from {
            let _ = from.allows([192, 0, 2, 7].into(), Some("h.example.org"));
        }
    }
}
