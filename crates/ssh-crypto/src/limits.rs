//! Every bound of this crate, with the reason for its number.

/// Smallest RSA modulus accepted, in bits (RFC 9142 asks for 2048; OpenSSH's floor is 1024).
pub const RSA_BITS_MIN: usize = 2048;

/// Largest RSA modulus accepted, in bits: as OpenSSH does. Larger keys are a cheap way to make us
/// work before login (CVE-2026-39829).
pub const RSA_BITS_MAX: usize = 16384;

/// Longest RSA public exponent, in bits: AWS-LC's own bound; every key in use has 65537 or less.
pub const RSA_EXPONENT_BITS_MAX: usize = 33;

/// Longest key blob, in bytes: an RSA key of [`RSA_BITS_MAX`] needs 2.1 KiB; a security key may carry
/// an application name.
pub const KEY_BLOB_LEN_MAX: usize = 16 * 1024;

/// Longest `application` of a security key, in bytes. It is `ssh:` and a few words in practice.
pub const SK_APPLICATION_LEN_MAX: usize = 1024;

/// Longest signature blob, in bytes: an RSA signature of [`RSA_BITS_MAX`] needs 2.1 KiB.
pub const SIGNATURE_BLOB_LEN_MAX: usize = 8 * 1024;

/// Smallest and largest prime for a Diffie-Hellman group, in bits (RFC 8270; RFC 4419 §3).
pub const DH_BITS_MIN: u32 = 2048;
/// See [`DH_BITS_MIN`].
pub const DH_BITS_MAX: u32 = 8192;

/// Private exponents of finite-field groups, in bits. Twice the strength of the 8192-bit group, which
/// is about 200 bits (NIST SP 800-57), with room; shorter groups need less and lose little.
pub const DH_EXPONENT_BITS: u32 = 512;

/// Longest private key file, in bytes: an RSA key of 16384 bits takes 13 KiB.
pub const KEY_FILE_LEN_MAX: usize = 64 * 1024;

/// Most bcrypt rounds taken from a key file. ssh-keygen writes 16 or 24; this many take seconds, and a
/// file may ask for 2^32-1 (KEY-1).
pub const BCRYPT_ROUNDS_MAX: u32 = 1024;
