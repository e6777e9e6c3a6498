//! `authorized_keys` files, which users write themselves.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sterna_identity::parse_authorized_keys;

fuzz_target!(|data: &[u8]| {
    let (keys, refused) = parse_authorized_keys(data);
    let lines = 1 + data.iter().filter(|b| **b == b'\n').count();
    assert!(keys.len() + refused.len() <= lines);
});
