//! Certificates made as wanted, right and wrong ones.

use sterna_ssh_crypto::{Certificate, CertificateKind, PrivateKey, PublicKey};
use sterna_sshwire::{put_string, put_u32, put_u64};

/// What stands in a certificate. The default is for user `alice`, for ever, without options.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    pub kind: CertificateKind,
    pub serial: u64,
    pub key_id: &'static str,
    pub principals: Vec<&'static str>,
    pub valid_after: u64,
    pub valid_before: u64,
    /// Name, and the value if it has one; in ascending order of names.
    pub critical_options: Vec<(&'static str, Option<&'static str>)>,
    pub extensions: Vec<&'static str>,
}

impl Default for CertificateSpec {
    fn default() -> Self {
        Self {
            kind: CertificateKind::User,
            serial: 1,
            key_id: "test",
            principals: vec!["alice"],
            valid_after: 0,
            valid_before: u64::MAX,
            critical_options: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

impl CertificateSpec {
    /// A certificate of `key`, signed by `ca`.
    ///
    /// # Panics
    /// If the specification does not make a readable certificate.
    pub fn sign(&self, ca: &PrivateKey, key: &PublicKey) -> Certificate {
        let key_type = key.key_type();
        let name = match key_type.strip_suffix("@openssh.com") {
            Some(plain) => format!("{plain}-cert-v01@openssh.com"),
            None => format!("{key_type}-cert-v01@openssh.com"),
        };
        let mut out = Vec::new();
        put_string(&mut out, name.as_bytes());
        put_string(&mut out, &[7; 32]);
        // The fields of a key blob stand behind its type.
        out.extend_from_slice(&key.to_wire()[4 + key_type.len()..]);
        put_u64(&mut out, self.serial);
        put_u32(
            &mut out,
            match self.kind {
                CertificateKind::User => 1,
                CertificateKind::Host => 2,
            },
        );
        put_string(&mut out, self.key_id.as_bytes());
        put_string(&mut out, &packed(self.principals.iter().map(|p| (*p, None, false))));
        put_u64(&mut out, self.valid_after);
        put_u64(&mut out, self.valid_before);
        put_string(&mut out, &packed(self.critical_options.iter().map(|(n, v)| (*n, *v, true))));
        put_string(&mut out, &packed(self.extensions.iter().map(|n| (*n, None, true))));
        put_string(&mut out, b"");
        put_string(&mut out, &ca.public().to_wire());
        let algorithm = ca.public().signature_algorithms()[0];
        let signature = ca.sign(algorithm, &out).expect("authorities can sign");
        put_string(&mut out, &signature);
        Certificate::from_wire(&out).expect("a readable certificate")
    }
}

/// Strings one behind the other; options have a second one, which wraps their value.
fn packed(items: impl Iterator<Item = (&'static str, Option<&'static str>, bool)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value, is_option) in items {
        put_string(&mut out, name.as_bytes());
        if is_option {
            let mut data = Vec::new();
            value.iter().for_each(|value| put_string(&mut data, value.as_bytes()));
            put_string(&mut out, &data);
        }
    }
    out
}
