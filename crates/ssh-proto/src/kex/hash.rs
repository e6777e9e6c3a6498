//! The exchange hash H, fed field by field (RFC 4253 §8, RFC 4419 §3).

use sterna_ssh_crypto::{DhGroup, HashAlgorithm, SharedSecret};
use sterna_sshwire::{put_mpint, put_string};

use crate::messages::kex::{GexRequest, put_public};

/// What was negotiated over: the same for every method.
pub(crate) struct Transcript<'a> {
    pub client_version: &'a [u8],
    pub server_version: &'a [u8],
    /// Whole payloads, beginning with the message number.
    pub client_kexinit: &'a [u8],
    pub server_kexinit: &'a [u8],
    pub host_key: &'a [u8],
}

/// What was exchanged: the public values, and with a chosen group how it was chosen.
pub(crate) struct Values<'a> {
    pub client_public: &'a [u8],
    pub server_public: &'a [u8],
    pub as_mpint: bool,
    pub group: Option<(&'a GexRequest, &'a DhGroup)>,
}

impl Transcript<'_> {
    /// `HASH(V_C || V_S || I_C || I_S || K_S || values || K)`.
    pub fn hash(
        &self,
        algorithm: HashAlgorithm,
        values: &Values<'_>,
        secret: &SharedSecret,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 * 1024);
        for field in [
            self.client_version,
            self.server_version,
            self.client_kexinit,
            self.server_kexinit,
            self.host_key,
        ] {
            put_string(&mut out, field);
        }
        if let Some((request, group)) = values.group {
            request.put_fields(&mut out);
            put_mpint(&mut out, group.p());
            put_mpint(&mut out, group.g());
        }
        put_public(&mut out, values.client_public, values.as_mpint);
        put_public(&mut out, values.server_public, values.as_mpint);
        // The secret goes in by itself: it is never copied to memory that is not wiped.
        algorithm.digest(&[&out, secret.encoded()])
    }
}

#[cfg(test)]
mod tests;
