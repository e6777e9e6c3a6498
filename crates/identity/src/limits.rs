//! Every bound of this crate, with its reason.

pub use sterna_ssh_files::AUTHORIZED_KEYS_LEN_MAX;

/// Bytes of a password. Hashing cost grows with it and anybody may send one; people type less.
pub const PASSWORD_LEN_MAX: usize = 1024;

/// Bytes of a password hash as text; the longest that we read is below 200.
pub const PASSWORD_HASH_LEN_MAX: usize = 512;

/// KiB of memory that one Argon2 check may take (256 MiB): each parallel login takes it again.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 << 10;

/// KiB that one Argon2 check may go through in all passes (2 GiB, about two seconds of one core).
pub const ARGON2_WORK_KIB_MAX: u64 = 2 << 20;

/// Lanes of Argon2; more than machines have cores is a mistake.
pub const ARGON2_LANES_MAX: u32 = 64;

/// Cost of bcrypt as a power of two: 15 takes about two seconds.
pub const BCRYPT_COST_MAX: u32 = 15;

/// Rounds of sha256-crypt and sha512-crypt; the largest usual default (passlib's) is 656000.
pub const SHA_CRYPT_ROUNDS_MAX: u32 = 1_000_000;

/// Bytes of memory that one yescrypt check may take (256 MiB): crypt(3)'s costs 1 to 9, where 5 is the
/// default (16 MiB) and 9 takes about a second.
pub const YESCRYPT_MEMORY_LEN_MAX: u64 = 256 << 20;

/// Keys of one user: each login looks at all of them.
pub const USER_KEYS_MAX: usize = 4096;

/// Bytes of a user's name.
pub const USER_NAME_LEN_MAX: usize = 255;

/// Alternative chains of login methods of one user.
pub const CHAINS_MAX: usize = 16;

/// Methods in one chain: nobody has more to prove.
pub const CHAIN_LEN_MAX: usize = 4;

/// Bytes of a shared secret for one-time codes at least (80 bits): shorter ones can be found from a
/// few codes. RFC 4226 §4 wants 128, but 80 bits are what many systems handed out.
pub const TOTP_SECRET_LEN_MIN: usize = 10;

/// Bytes of such a secret at most: HMAC gains nothing beyond its block.
pub const TOTP_SECRET_LEN_MAX: usize = 128;

/// Bytes of its text: base32 with a blank after every character.
pub const TOTP_SECRET_TEXT_LEN_MAX: usize = TOTP_SECRET_LEN_MAX * 8 / 5 * 2 + 16;

/// Bytes of a one-time code as it was typed: six digits, blanks between.
pub const TOTP_CODE_LEN_MAX: usize = 16;

/// Bytes of a recovery code as it was typed: 16 characters, blanks or dashes between.
pub const RECOVERY_CODE_TEXT_LEN_MAX: usize = 64;

/// Principals of one user.
pub const USER_PRINCIPALS_MAX: usize = 256;

/// `host:user` pairs of one user.
pub const HOST_USERS_MAX: usize = 4096;

/// Spans of hours of one user.
pub const HOURS_MAX: usize = 32;

/// Recovery codes of one user.
pub const RECOVERY_CODES_MAX: usize = 64;

/// Bytes of a host name that a client may claim: what DNS allows.
pub const HOST_NAME_LEN_MAX: usize = 255;

/// Least bytes of a new password. Length is what counts (NIST SP 800-63B asks for 8).
pub const NEW_PASSWORD_LEN_MIN: usize = 8;

/// Times that a new password is asked for in one dialogue.
pub const NEW_PASSWORD_TRIES_MAX: u32 = 3;
