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

/// Longest certificate blob, in bytes: two keys, [`CERTIFICATE_PRINCIPALS_MAX`] names and options.
pub const CERTIFICATE_BLOB_LEN_MAX: usize = 64 * 1024;

/// Longest nonce of a certificate, in bytes; authorities use 16 or 32.
pub const CERTIFICATE_NONCE_LEN_MAX: usize = 1024;

/// Names in one certificate, as OpenSSH has it.
pub const CERTIFICATE_PRINCIPALS_MAX: usize = 256;

/// Critical options, and extensions, of one certificate; there are about ten in use.
pub const CERTIFICATE_OPTIONS_MAX: usize = 64;

/// Most PBKDF2 iterations taken from a key file. OpenSSL writes 2048, careful people up to a million;
/// this many take seconds.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

/// Most memory that scrypt may take for a key file (`128 N r`), in bytes. OpenSSL writes 16 MiB and
/// takes 32 MiB itself.
pub const SCRYPT_MEMORY_MAX: u64 = 256 * 1024 * 1024;

/// Most memory that scrypt may walk for a key file (`128 N r p`), in bytes: seconds.
pub const SCRYPT_WORK_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Most memory that Argon2 may take for a PuTTY key file, in KiB. PuTTYgen writes 8192.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;

/// Most memory times passes of Argon2 for a PuTTY key file, in KiB: some ten seconds. PuTTYgen chooses
/// passes for a tenth of a second, about 300 MiB.
pub const ARGON2_WORK_KIB_MAX: u64 = 16 * 1024 * 1024;

/// Most lanes of Argon2 in a PuTTY key file. PuTTYgen writes 1.
pub const ARGON2_LANES_MAX: u32 = 64;

/// Longest Argon2 salt in a PuTTY key file, in bytes. PuTTYgen writes 16.
pub const ARGON2_SALT_LEN_MAX: usize = 256;
