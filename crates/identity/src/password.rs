//! Stored passwords: Argon2 of our own, and what other systems left behind (bcrypt, crypt(3)).
//!
//! A hash is judged when it is *read*: what costs more than `limits.rs` allows is refused there, so
//! that a login costs a bounded time whatever stands in the settings.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use sha_crypt::{PasswordHash as CryptHash, ShaCrypt};
use sterna_ssh_crypto::Random;
use yescrypt::Yescrypt;

use crate::limits::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_WORK_KIB_MAX, BCRYPT_COST_MAX,
    PASSWORD_HASH_LEN_MAX, PASSWORD_LEN_MAX, SHA_CRYPT_ROUNDS_MAX, YESCRYPT_MEMORY_LEN_MAX,
};

/// Bytes of salt in the hashes that we make (RFC 9106 §3.1 recommends 16).
const SALT_LEN: usize = 16;

/// Characters of a bcrypt hash, always.
const BCRYPT_LEN: usize = 60;

/// Rounds of crypt(3) SHA hashes that name none, and the fewest they may name (its specification).
const SHA_CRYPT_ROUNDS_DEFAULT: u32 = 5000;
const SHA_CRYPT_ROUNDS_MIN: u32 = 1000;

/// Characters of a crypt(3) SHA salt at most, and of the two digests.
const SHA_CRYPT_SALT_LEN_MAX: usize = 16;
const SHA256_CRYPT_DIGEST_LEN: usize = 43;
const SHA512_CRYPT_DIGEST_LEN: usize = 86;

/// Characters of a yescrypt digest (32 bytes), and of its salt at most, as crypt(5) has them.
const YESCRYPT_DIGEST_LEN: usize = 43;
const YESCRYPT_SALT_LEN_MAX: usize = 86;

/// Characters of yescrypt's parameters as crypt(3) makes them: flavour, memory, block size. More would be
/// parallelism, time and ROM.
const YESCRYPT_PARAMS_LEN: usize = 3;

/// A password as it is stored: enough to recognise it, not to know it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Argon2,
    Bcrypt,
    ShaCrypt,
    Yescrypt,
}

/// Why a text is no password hash that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordError {
    /// None of argon2id, argon2i, argon2d, bcrypt (`$2a$ $2b$ $2y$`), `$5$`, `$6$` and `$y$`.
    UnknownScheme,
    /// The scheme is known, the rest does not read.
    Malformed,
    /// A check would cost more than `limits.rs` allows.
    TooCostly,
    /// A new password is longer than [`PASSWORD_LEN_MAX`].
    TooLong,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownScheme => "password hash: scheme is not supported",
            Self::Malformed => "password hash: malformed",
            Self::TooCostly => "password hash: cost parameters are too large",
            Self::TooLong => "password: too long",
        })
    }
}

impl std::error::Error for PasswordError {}

impl PasswordHash {
    /// Hashes `password` with argon2id (19 MiB, 2 passes, 1 lane) and a fresh salt.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`] above [`PASSWORD_LEN_MAX`] bytes.
    pub fn make(password: &[u8], random: &mut dyn Random) -> Result<Self, PasswordError> {
        Self::make_with(password, random, Params::default())
    }

    fn make_with(
        password: &[u8],
        random: &mut dyn Random,
        params: Params,
    ) -> Result<Self, PasswordError> {
        if password.len() > PASSWORD_LEN_MAX {
            return Err(PasswordError::TooLong);
        }
        let mut salt = [0; SALT_LEN];
        random.fill(&mut salt);
        let hash: phc::PasswordHash = Argon2::from(params)
            .hash_password_with_salt(password, &salt)
            .map_err(|_| PasswordError::Malformed)?;
        Ok(Self { kind: Kind::Argon2, text: hash.to_string() })
    }

    /// Whether `password` is the one. Takes as long as the hash wants (tens of milliseconds and
    /// megabytes): not for a thread that serves connections. Longer than [`PASSWORD_LEN_MAX`] is
    /// never right and costs nothing.
    pub fn verify(&self, password: &[u8]) -> bool {
        if password.len() > PASSWORD_LEN_MAX {
            return false;
        }
        match self.kind {
            Kind::Argon2 => phc::PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::ShaCrypt => CryptHash::new(self.text.as_str())
                .is_ok_and(|hash| ShaCrypt::default().verify_password(password, &hash).is_ok()),
            Kind::Yescrypt => {
                Yescrypt::default().verify_password(password, self.text.as_str()).is_ok()
            }
        }
    }

    /// The text that [`FromStr`] reads: for the settings file, not for logs.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Shows the scheme alone: a hash in a log can be guessed against.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.kind)
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        if text.len() > PASSWORD_HASH_LEN_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PasswordError::Malformed);
        }
        let scheme = text.strip_prefix('$').and_then(|rest| rest.split('$').next());
        let kind = match scheme.unwrap_or_default() {
            "argon2id" | "argon2i" | "argon2d" => {
                check_argon2(text)?;
                Kind::Argon2
            }
            // `2x` marks hashes of a broken implementation.
            "2a" | "2b" | "2y" => {
                check_bcrypt(text)?;
                Kind::Bcrypt
            }
            "5" => {
                check_sha_crypt(text, SHA256_CRYPT_DIGEST_LEN)?;
                Kind::ShaCrypt
            }
            "6" => {
                check_sha_crypt(text, SHA512_CRYPT_DIGEST_LEN)?;
                Kind::ShaCrypt
            }
            "y" => {
                check_yescrypt(text)?;
                Kind::Yescrypt
            }
            _ => return Err(PasswordError::UnknownScheme),
        };
        Ok(Self { kind, text: text.to_owned() })
    }
}

fn check_argon2(text: &str) -> Result<(), PasswordError> {
    let hash = phc::PasswordHash::new(text).map_err(|_| PasswordError::Malformed)?;
    let params = Params::try_from(&hash).map_err(|_| PasswordError::Malformed)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(PasswordError::Malformed);
    }
    let memory = params.m_cost();
    let work = u64::from(memory) * u64::from(params.t_cost());
    if memory > ARGON2_MEMORY_KIB_MAX
        || work > ARGON2_WORK_KIB_MAX
        || params.p_cost() > ARGON2_LANES_MAX
    {
        return Err(PasswordError::TooCostly);
    }
    Ok(())
}

fn check_bcrypt(text: &str) -> Result<(), PasswordError> {
    if text.len() != BCRYPT_LEN {
        return Err(PasswordError::Malformed);
    }
    let parts: bcrypt::HashParts = text.parse().map_err(|_| PasswordError::Malformed)?;
    match parts.get_cost() {
        cost if cost > BCRYPT_COST_MAX => Err(PasswordError::TooCostly),
        cost if cost < 4 => Err(PasswordError::Malformed),
        _ => Ok(()),
    }
}

/// `text` is `$5$` or `$6$`, then `[rounds=N$]salt$digest`.
fn check_sha_crypt(text: &str, digest_len: usize) -> Result<(), PasswordError> {
    let rest = text.get(3..).ok_or(PasswordError::Malformed)?;
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        None => (SHA_CRYPT_ROUNDS_DEFAULT, rest),
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(PasswordError::Malformed)?;
            (rounds.parse().map_err(|_| PasswordError::Malformed)?, rest)
        }
    };
    if rounds > SHA_CRYPT_ROUNDS_MAX {
        return Err(PasswordError::TooCostly);
    }
    let (salt, digest) = rest.split_once('$').ok_or(PasswordError::Malformed)?;
    let good = rounds >= SHA_CRYPT_ROUNDS_MIN
        && salt.len() <= SHA_CRYPT_SALT_LEN_MAX
        && digest.len() == digest_len
        && digest.bytes().all(is_crypt64);
    if good { Ok(()) } else { Err(PasswordError::Malformed) }
}

/// `text` is `$y$params$salt$digest`.
fn check_yescrypt(text: &str) -> Result<(), PasswordError> {
    let fields: Vec<&str> = text.split('$').skip(2).collect();
    let [params, salt, digest] = fields[..] else { return Err(PasswordError::Malformed) };
    let good = params.len() == YESCRYPT_PARAMS_LEN
        && params.starts_with('j')
        && (1..=YESCRYPT_SALT_LEN_MAX).contains(&salt.len())
        && digest.len() == YESCRYPT_DIGEST_LEN
        && [salt, digest].iter().all(|field| field.bytes().all(is_crypt64));
    if !good {
        return Err(PasswordError::Malformed);
    }
    let params: yescrypt::Params = params.parse().map_err(|_| PasswordError::Malformed)?;
    let memory = params.n().checked_mul(u64::from(params.r())).and_then(|len| len.checked_mul(128));
    match memory {
        Some(..=YESCRYPT_MEMORY_LEN_MAX) => Ok(()),
        _ => Err(PasswordError::TooCostly),
    }
}

/// The digits of crypt(3).
fn is_crypt64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/'
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::SystemRandom;

    use super::*;

    /// Made by other programs: openssl passwd, crypt(3) of libxcrypt, and the Argon2 reference tool.
    const SHA512: &str = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJue\
                          sI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    const SHA256: &str = "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.op\
                          qey6IcA";
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuufznL8bkzdtHwLhca4To/v9Lo9bA7fR6";
    const ARGON2I: &str = "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTma\
                           aJObG";
    const YESCRYPT: &str =
        "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$39o5wp7xduX2w8qG2IzHqokdj9pOGk73sLyLgG3S/nA";

    #[test]
    fn a_made_hash_knows_its_password_only() {
        let hash = PasswordHash::make("gruß".as_bytes(), &mut SystemRandom).unwrap();
        let again = PasswordHash::make("gruß".as_bytes(), &mut SystemRandom).unwrap();

        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(hash, again, "salts differ");
        let read: PasswordHash = hash.as_str().parse().unwrap();
        assert!(read.verify("gruß".as_bytes()));
        assert!(!read.verify(b"gruss"));
        assert!(!read.verify(b""));
    }

    #[test]
    fn hashes_of_other_programs_are_understood() {
        let sha512: PasswordHash = SHA512.parse().unwrap();
        let sha256: PasswordHash = SHA256.parse().unwrap();
        let bcrypt: PasswordHash = BCRYPT.parse().unwrap();
        let argon2i: PasswordHash = ARGON2I.parse().unwrap();

        assert!(sha512.verify(b"Hello world!"));
        assert!(!sha512.verify(b"Hello world"));
        assert!(sha256.verify(b"Hello world!"));
        assert!(!sha256.verify(b"hello world!"));
        assert!(bcrypt.verify(b"pass"));
        assert!(!bcrypt.verify(b"Pass"));
        assert!(argon2i.verify(b"password"));
        assert!(!argon2i.verify(b"passwore"));
    }

    /// Made by crypt(3) of libxcrypt with its costs 1, 3 and 5, and an odd salt.
    #[test]
    fn yescrypt_of_several_costs_is_understood() {
        for (hash, password) in [
            (YESCRYPT, "Hello world!"),
            (
                "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$U714.Qb8scG3K4QGg/xKCyJYcAYtgz2YQfZyHILKld1",
                "Hello world!",
            ),
            (
                "$y$j7T$k2XAnEHBqQ1Ct2aMXFKNa/$1BO0XrIR2no/mkxrvE1yOguCBaBfehplx26rtuuXMr8",
                "paßword",
            ),
            ("$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$EK2xW1oGRTS8QhuBaGBu09AtA6psATyEI2R7c0yZ3W2", ""),
            ("$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04", "x"),
        ] {
            let read: PasswordHash = hash.parse().unwrap();

            assert!(read.verify(password.as_bytes()), "{hash}");
            assert!(!read.verify(b"hello world!"), "{hash}");
            assert_eq!(read.as_str(), hash);
        }
    }

    #[test]
    fn absurd_costs_are_refused_before_they_are_paid() {
        let tail = "c2FsdHNhbHRzYWx0$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let of = |params: &str| format!("$argon2id$v=19${params}${tail}").parse::<PasswordHash>();

        assert!(of("m=65536,t=3,p=4").is_ok());
        assert_eq!(of("m=4194304,t=1,p=1"), Err(PasswordError::TooCostly));
        assert_eq!(of("m=65536,t=4000000,p=1"), Err(PasswordError::TooCostly));
        assert_eq!(of("m=65536,t=1,p=1000"), Err(PasswordError::TooCostly));
        let costly = BCRYPT.replacen("$04$", "$31$", 1);
        assert_eq!(costly.parse::<PasswordHash>(), Err(PasswordError::TooCostly));
        let rounds = SHA256.replacen("10000", "999999999", 1);
        assert_eq!(rounds.parse::<PasswordHash>(), Err(PasswordError::TooCostly));
        let memory = |params| YESCRYPT.replacen("j9T", params, 1).parse::<PasswordHash>();
        assert!(memory("jDT").is_ok(), "256 MiB");
        assert_eq!(memory("jET"), Err(PasswordError::TooCostly));
        assert_eq!(memory("jjT"), Err(PasswordError::TooCostly));
    }

    #[test]
    fn other_texts_are_no_hashes() {
        use PasswordError::{Malformed, UnknownScheme};
        for (text, error) in [
            ("", UnknownScheme),
            ("plain text", Malformed),
            ("plaintext", UnknownScheme),
            ("$1$md5$abcdefghijklmnopqrstuv", UnknownScheme),
            ("$2x$04$abcdefghijklmnopqrstuv", UnknownScheme),
            ("$2b$04$short", Malformed),
            ("$argon2id$", Malformed),
            ("$argon2id$v=19$m=65536,t=3,p=4", Malformed),
            ("$6$salt", Malformed),
            ("$6$salt$short", Malformed),
            ("$6", Malformed),
            ("$5", Malformed),
            ("$6$rounds=x$salt$y", Malformed),
            ("$y$j9T$salt", Malformed),
            ("$y$j9T$salt$short", Malformed),
            ("$y$j9T$sa_lt$39o5wp7xduX2w8qG2IzHqokdj9pOGk73sLyLgG3S/nA", Malformed),
            // Parallelism, and another flavour: crypt(3) makes neither.
            ("$y$j9T./$salt$39o5wp7xduX2w8qG2IzHqokdj9pOGk73sLyLgG3S/nA", Malformed),
            ("$y$.9T$salt$39o5wp7xduX2w8qG2IzHqokdj9pOGk73sLyLgG3S/nA", Malformed),
            ("$y$j.T$salt$39o5wp7xduX2w8qG2IzHqokdj9pOGk73sLyLgG3S/nA$", Malformed),
            ("$gy$j9T$salt$39o5wp7xduX2w8qG2IzHqokdj9pOGk73sLyLgG3S/nA", UnknownScheme),
        ] {
            assert_eq!(text.parse::<PasswordHash>(), Err(error), "{text}");
        }
    }

    #[test]
    fn long_passwords_are_refused_and_hashes_print_nothing() {
        let long = [b'x'; PASSWORD_LEN_MAX + 1];
        let made = PasswordHash::make(&long, &mut SystemRandom);
        assert_eq!(made, Err(PasswordError::TooLong));
        let hash: PasswordHash = SHA512.parse().unwrap();
        assert!(!hash.verify(&long));
        assert_eq!(format!("{hash:?}"), "PasswordHash(ShaCrypt)");
    }
}
