//! Every algorithm name that we speak, and our default orders of preference.
//!
//! Strength comes first, then measured speed. Names that are in no default list (`LEGACY_…`) work
//! only where the settings bring them back for an old partner.

use crate::cipher::has_aes_instructions;

pub const KEX_MLKEM768_X25519: &str = "mlkem768x25519-sha256";
pub const KEX_SNTRUP761_X25519: &str = "sntrup761x25519-sha512";
/// The name before its standardization; OpenSSH 8.5 to 9.8 know only this one.
pub const KEX_SNTRUP761_X25519_OPENSSH: &str = "sntrup761x25519-sha512@openssh.com";
pub const KEX_CURVE25519: &str = "curve25519-sha256";
pub const KEX_CURVE25519_LIBSSH: &str = "curve25519-sha256@libssh.org";
pub const KEX_ECDH_P256: &str = "ecdh-sha2-nistp256";
pub const KEX_ECDH_P384: &str = "ecdh-sha2-nistp384";
pub const KEX_ECDH_P521: &str = "ecdh-sha2-nistp521";
pub const KEX_DH_GROUP14_SHA256: &str = "diffie-hellman-group14-sha256";
pub const KEX_DH_GROUP16_SHA512: &str = "diffie-hellman-group16-sha512";
pub const KEX_DH_GROUP18_SHA512: &str = "diffie-hellman-group18-sha512";
pub const KEX_DH_EXCHANGE_SHA256: &str = "diffie-hellman-group-exchange-sha256";
pub const KEX_DH_GROUP14_SHA1: &str = "diffie-hellman-group14-sha1";

pub const SSH_ED25519: &str = "ssh-ed25519";
pub const ECDSA_P256: &str = "ecdsa-sha2-nistp256";
pub const ECDSA_P384: &str = "ecdsa-sha2-nistp384";
pub const ECDSA_P521: &str = "ecdsa-sha2-nistp521";
pub const RSA_SHA2_256: &str = "rsa-sha2-256";
pub const RSA_SHA2_512: &str = "rsa-sha2-512";
/// The *key type* of every RSA key, and the legacy SHA-1 signature algorithm (RFC 8332 §3).
pub const SSH_RSA: &str = "ssh-rsa";
pub const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
pub const SK_ECDSA_P256: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

pub const SSH_ED25519_CERT: &str = "ssh-ed25519-cert-v01@openssh.com";
pub const ECDSA_P256_CERT: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com";
pub const ECDSA_P384_CERT: &str = "ecdsa-sha2-nistp384-cert-v01@openssh.com";
pub const ECDSA_P521_CERT: &str = "ecdsa-sha2-nistp521-cert-v01@openssh.com";
pub const RSA_SHA2_256_CERT: &str = "rsa-sha2-256-cert-v01@openssh.com";
pub const RSA_SHA2_512_CERT: &str = "rsa-sha2-512-cert-v01@openssh.com";
/// The *type* inside every certificate of an RSA key.
pub const SSH_RSA_CERT: &str = "ssh-rsa-cert-v01@openssh.com";
pub const SK_ED25519_CERT: &str = "sk-ssh-ed25519-cert-v01@openssh.com";
pub const SK_ECDSA_P256_CERT: &str = "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com";

pub const CIPHER_AES256_GCM: &str = "aes256-gcm@openssh.com";
pub const CIPHER_AES128_GCM: &str = "aes128-gcm@openssh.com";
pub const CIPHER_CHACHA20_POLY1305: &str = "chacha20-poly1305@openssh.com";
pub const CIPHER_AES256_CTR: &str = "aes256-ctr";
pub const CIPHER_AES192_CTR: &str = "aes192-ctr";
pub const CIPHER_AES128_CTR: &str = "aes128-ctr";

pub const MAC_SHA2_256_ETM: &str = "hmac-sha2-256-etm@openssh.com";
pub const MAC_SHA2_512_ETM: &str = "hmac-sha2-512-etm@openssh.com";
pub const MAC_SHA2_256: &str = "hmac-sha2-256";
pub const MAC_SHA2_512: &str = "hmac-sha2-512";

/// Key exchange methods that we offer.
pub const KEX_DEFAULT: &[&str] = &[
    KEX_MLKEM768_X25519,
    KEX_SNTRUP761_X25519,
    KEX_SNTRUP761_X25519_OPENSSH,
    KEX_CURVE25519,
    KEX_CURVE25519_LIBSSH,
    KEX_ECDH_P256,
    KEX_ECDH_P384,
    KEX_ECDH_P521,
    KEX_DH_GROUP16_SHA512,
    KEX_DH_GROUP18_SHA512,
    KEX_DH_GROUP14_SHA256,
    KEX_DH_EXCHANGE_SHA256,
];

/// Host key algorithms that we offer or accept, certificates first.
pub const HOST_KEY_DEFAULT: &[&str] = &[
    SSH_ED25519_CERT,
    ECDSA_P256_CERT,
    ECDSA_P384_CERT,
    ECDSA_P521_CERT,
    RSA_SHA2_512_CERT,
    RSA_SHA2_256_CERT,
    SSH_ED25519,
    ECDSA_P256,
    ECDSA_P384,
    ECDSA_P521,
    RSA_SHA2_512,
    RSA_SHA2_256,
];

/// Algorithms of public-key logins that a server takes (`server-sig-algs`, RFC 8308 §3.1).
pub const USER_KEY_DEFAULT: &[&str] = &[
    SSH_ED25519_CERT,
    SK_ED25519_CERT,
    ECDSA_P256_CERT,
    ECDSA_P384_CERT,
    ECDSA_P521_CERT,
    SK_ECDSA_P256_CERT,
    RSA_SHA2_512_CERT,
    RSA_SHA2_256_CERT,
    SSH_ED25519,
    SK_ED25519,
    ECDSA_P256,
    ECDSA_P384,
    ECDSA_P521,
    SK_ECDSA_P256,
    RSA_SHA2_512,
    RSA_SHA2_256,
];

/// Signature algorithms that a certificate authority may have used (OpenSSH's
/// `CASignatureAlgorithms`).
pub const CA_SIGNATURE_DEFAULT: &[&str] = &[
    SSH_ED25519,
    ECDSA_P256,
    ECDSA_P384,
    ECDSA_P521,
    SK_ED25519,
    SK_ECDSA_P256,
    RSA_SHA2_512,
    RSA_SHA2_256,
];

/// Every certificate algorithm with the signature algorithm under it and the type inside its blob.
const CERTIFICATES: &[(&str, &str, &str)] = &[
    (SSH_ED25519_CERT, SSH_ED25519, SSH_ED25519_CERT),
    (ECDSA_P256_CERT, ECDSA_P256, ECDSA_P256_CERT),
    (ECDSA_P384_CERT, ECDSA_P384, ECDSA_P384_CERT),
    (ECDSA_P521_CERT, ECDSA_P521, ECDSA_P521_CERT),
    (RSA_SHA2_512_CERT, RSA_SHA2_512, SSH_RSA_CERT),
    (RSA_SHA2_256_CERT, RSA_SHA2_256, SSH_RSA_CERT),
    (SSH_RSA_CERT, SSH_RSA, SSH_RSA_CERT),
    (SK_ED25519_CERT, SK_ED25519, SK_ED25519_CERT),
    (SK_ECDSA_P256_CERT, SK_ECDSA_P256, SK_ECDSA_P256_CERT),
];

/// What a signature blob names when `algorithm` was agreed: for a certificate's algorithm the one of
/// the key inside (CRT-7), for a plain one itself.
pub fn signature_algorithm(algorithm: &str) -> &str {
    CERTIFICATES.iter().find(|row| row.0 == algorithm).map_or(algorithm, |row| row.1)
}

/// Whether `algorithm` is one of certificates.
pub fn is_certificate(algorithm: &str) -> bool {
    CERTIFICATES.iter().any(|row| row.0 == algorithm)
}

/// The key type in a certificate whose blob begins with `certificate_type`.
pub(crate) fn certified_key_type(certificate_type: &str) -> Option<&'static str> {
    // RSA has three algorithms for one blob: only the type inside the blob counts.
    CERTIFICATES
        .iter()
        .find(|row| row.0 == certificate_type && row.2 == certificate_type)
        .map(|row| row.1)
}

/// The type inside a certificate's blob for a key of `key_type`.
pub(crate) fn certificate_type(key_type: &str) -> &'static str {
    let row = CERTIFICATES.iter().find(|row| row.1 == key_type && row.0 == row.2);
    // Every key type that we read has a row; a test goes through them.
    row.map_or(SSH_ED25519_CERT, |row| row.2)
}

/// Ciphers where the processor has AES instructions.
pub const CIPHER_DEFAULT: &[&str] = &[
    CIPHER_AES256_GCM,
    CIPHER_AES128_GCM,
    CIPHER_CHACHA20_POLY1305,
    CIPHER_AES256_CTR,
    CIPHER_AES192_CTR,
    CIPHER_AES128_CTR,
];

/// Ciphers where AES would run in software.
pub const CIPHER_DEFAULT_NO_AES: &[&str] = &[
    CIPHER_CHACHA20_POLY1305,
    CIPHER_AES256_GCM,
    CIPHER_AES128_GCM,
    CIPHER_AES256_CTR,
    CIPHER_AES192_CTR,
    CIPHER_AES128_CTR,
];

/// MACs for the ciphers that need one. Those over the ciphertext (`-etm`) come first: with them no
/// byte is decrypted before it is authenticated.
pub const MAC_DEFAULT: &[&str] = &[MAC_SHA2_256_ETM, MAC_SHA2_512_ETM, MAC_SHA2_256, MAC_SHA2_512];

/// What is left under strict settings: nothing that is only safe as long as there are no quantum computers, no curve or
/// mode that an auditor has doubts about (`ssh-audit` finds nothing). OpenSSH 8.5 and later have these.
pub const KEX_STRICT: &[&str] =
    &[KEX_MLKEM768_X25519, KEX_SNTRUP761_X25519, KEX_SNTRUP761_X25519_OPENSSH];

/// Host key algorithms under strict settings.
pub const HOST_KEY_STRICT: &[&str] = &[
    SSH_ED25519_CERT,
    RSA_SHA2_512_CERT,
    RSA_SHA2_256_CERT,
    SSH_ED25519,
    RSA_SHA2_512,
    RSA_SHA2_256,
];

/// MACs under strict settings.
pub const MAC_STRICT: &[&str] = &[MAC_SHA2_256_ETM, MAC_SHA2_512_ETM];

/// Key exchange methods for old partners only.
pub const LEGACY_KEX: &[&str] = &[KEX_DH_GROUP14_SHA1];

/// Host key and signature algorithms for old partners only; verified, never produced.
pub const LEGACY_SIGNATURE: &[&str] = &[SSH_RSA];

/// Our ciphers in the order that suits this processor.
pub fn ciphers_default() -> &'static [&'static str] {
    if has_aes_instructions() { CIPHER_DEFAULT } else { CIPHER_DEFAULT_NO_AES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cipher, kex, mac};

    #[test]
    fn every_name_we_offer_has_a_row() {
        assert!(KEX_DEFAULT.iter().chain(LEGACY_KEX).all(|name| kex(name).is_some()));
        assert!(CIPHER_DEFAULT.iter().all(|name| cipher(name).is_some()));
        assert!(CIPHER_DEFAULT_NO_AES.iter().all(|name| cipher(name).is_some()));
        assert!(MAC_DEFAULT.iter().all(|name| mac(name).is_some()));
    }

    #[test]
    fn nothing_weak_is_offered_by_default() {
        let offered = [
            KEX_DEFAULT,
            HOST_KEY_DEFAULT,
            USER_KEY_DEFAULT,
            CIPHER_DEFAULT,
            MAC_DEFAULT,
            CA_SIGNATURE_DEFAULT,
        ];
        for name in offered.concat() {
            assert!(!name.contains("sha1") && !name.contains("cbc") && !name.contains("none"));
            assert!(!name.starts_with("ssh-rsa") && name != "ssh-dss", "{name}");
        }
    }
}
