//! Keys from the shared secret (RFC 4253 §7.2).

use aws_lc_rs::digest::MAX_OUTPUT_LEN;
use zeroize::{Zeroize, Zeroizing};

use crate::{HashAlgorithm, SharedSecret};

/// Derives `len` bytes: `K1 = HASH(K || H || letter || session_id)`, `Kn = HASH(K || H || K1 || …)`.
///
/// `letter` is `b'A'`..`b'F'`. `exchange_hash` and `session_id` go in raw, the secret in its wire
/// encoding. `hash` is that of the exchange that just ended, `session_id` that of the first one.
pub fn derive_key(
    hash: HashAlgorithm,
    secret: &SharedSecret,
    exchange_hash: &[u8],
    letter: u8,
    session_id: &[u8],
    len: usize,
) -> Zeroizing<Vec<u8>> {
    // Room for one digest more than asked, so that growing never leaves a copy behind.
    let mut key = Zeroizing::new(Vec::with_capacity(len + MAX_OUTPUT_LEN));
    while key.len() < len {
        let mut block = if key.is_empty() {
            hash.digest(&[secret.encoded(), exchange_hash, &[letter], session_id])
        } else {
            hash.digest(&[secret.encoded(), exchange_hash, &key])
        };
        key.extend_from_slice(&block);
        block.zeroize();
    }
    key.truncate(len);
    key
}
