//! One-time codes from a shared secret and the time (TOTP, RFC 6238): the second factor that
//! authenticator apps show.
//!
//! Six digits, SHA-1, steps of 30 seconds: what every app understands without being told. A code is
//! good for its own step and one on each side, for clocks that differ. That a code is used *once* is
//! the caller's part: [`TotpSecret::verify`] says which step it belongs to.

use std::fmt;

use sterna_ssh_crypto::Random;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::limits::{TOTP_SECRET_LEN_MAX, TOTP_SECRET_LEN_MIN, TOTP_SECRET_TEXT_LEN_MAX};

/// Seconds for which one code is shown (RFC 6238 §5.2 recommends 30).
pub const TOTP_STEP_S: u64 = 30;

/// Bytes of the secrets that we make: the length of a SHA-1 digest (RFC 4226 §4).
const SECRET_LEN: usize = 20;

/// Steps on each side of the present one whose codes are taken (RFC 6238 §5.2 allows one for delay;
/// the one ahead is for clocks that are fast).
const STEPS_BESIDE: u64 = 1;

/// What server and authenticator app share. Wiped when dropped.
#[derive(Clone)]
pub struct TotpSecret(Totp);

/// Why a text is no secret that we take. The text itself is never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TotpError {
    /// Not base32 (RFC 4648 §6).
    Malformed,
    /// Below [`TOTP_SECRET_LEN_MIN`] bytes: it could be guessed from codes that were seen.
    TooShort,
    /// Above [`TOTP_SECRET_LEN_MAX`] bytes.
    TooLong,
}

impl fmt::Display for TotpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("TOTP secret: not base32"),
            Self::TooShort => {
                write!(f, "TOTP secret: shorter than {} bits", TOTP_SECRET_LEN_MIN * 8)
            }
            Self::TooLong => write!(f, "TOTP secret: longer than {} bits", TOTP_SECRET_LEN_MAX * 8),
        }
    }
}

impl std::error::Error for TotpError {}

impl TotpSecret {
    /// Makes a secret of 160 bits.
    pub fn make(random: &mut dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_LEN]);
        random.fill(&mut *bytes);
        Self::from_secret(Secret::new_stack(*bytes))
    }

    /// Reads base32 as apps and settings show it: blanks and dashes between groups, lower case and
    /// padding are accepted.
    ///
    /// # Errors
    /// [`TotpError`]; for example below 80 bits, or with a character that is not base32.
    pub fn from_base32(text: &str) -> Result<Self, TotpError> {
        if text.len() > TOTP_SECRET_TEXT_LEN_MAX {
            return Err(TotpError::TooLong);
        }
        let plain: Zeroizing<String> = Zeroizing::new(
            text.trim_end_matches('=')
                .chars()
                .filter(|c| !matches!(c, ' ' | '-'))
                .map(|c| c.to_ascii_uppercase())
                .collect(),
        );
        let secret = Secret::try_from_base32(plain.as_str()).map_err(|_| TotpError::Malformed)?;
        match secret.as_bytes().len() {
            ..TOTP_SECRET_LEN_MIN => Err(TotpError::TooShort),
            TOTP_SECRET_LEN_MIN..=TOTP_SECRET_LEN_MAX => Ok(Self::from_secret(secret)),
            _ => Err(TotpError::TooLong),
        }
    }

    fn from_secret(secret: Secret) -> Self {
        // Not `build`: it wants 128 bits, and secrets of 80 bits are common in imports. The window
        // is ours, so that every step of it is looked at.
        let builder = Builder::new().with_secret(secret).with_digits(6).with_skew(0);
        Self(builder.with_step_duration(TOTP_STEP_S).build_noncompliant())
    }

    /// The secret as base32 without padding, for the settings.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.secret().to_base32())
    }

    /// Whether `code` is one of `now_unix` (seconds since 1970), of the step before it or of the one
    /// after it. Returns the step that it belongs to, counted from 1970: a code is to be refused
    /// whose step is not later than the last one accepted for the same user (RFC 6238 §5.2). Blanks
    /// in the code are overlooked. Takes the same time whichever step fits, or none.
    pub fn verify(&self, code: &str, now_unix: u64) -> Option<u64> {
        if code.len() > crate::limits::TOTP_CODE_LEN_MAX {
            return None;
        }
        let code: Zeroizing<String> =
            Zeroizing::new(code.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        let now = now_unix / TOTP_STEP_S;
        let mut found = None;
        for step in now.saturating_sub(STEPS_BESIDE)..=now.saturating_add(STEPS_BESIDE) {
            // Each comparison is constant-time; none is skipped.
            found = self.0.check(&code, step.saturating_mul(TOTP_STEP_S)).or(found);
        }
        found
    }

    /// The `otpauth://` address that authenticator apps read from a QR code. It holds the secret.
    /// Colons would end the issuer and become dots.
    pub fn otpauth_uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let plain = |text: &str| match text.replace(':', ".") {
            empty if empty.is_empty() => "sterna".to_owned(),
            plain => plain,
        };
        let totp = Builder::new()
            .with_secret(self.0.secret().clone())
            .with_issuer(Some(plain(issuer)))
            .with_account_name(plain(account))
            .build_noncompliant();
        // It fails for names that are empty or hold colons, and these do not.
        Zeroizing::new(totp.to_url().unwrap_or_default())
    }
}

/// Shows nothing of the secret.
impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sterna_ssh_crypto::SystemRandom;

    /// `12345678901234567890`, the SHA-1 key of RFC 6238 Appendix B.
    const RFC_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn the_codes_of_rfc_6238_are_right() {
        let secret = TotpSecret::from_base32(RFC_SECRET).unwrap();
        // Its table has eight digits; six digits are their end (RFC 4226 §5.3).
        for (time, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(secret.verify(&code[2..], time), Some(time / 30), "{time}");
            assert_eq!(secret.verify(code, time), None, "{time}");
        }
    }

    #[test]
    fn a_code_is_good_for_its_step_and_one_on_each_side() {
        let secret = TotpSecret::from_base32(RFC_SECRET).unwrap();
        let step = 1_111_111_109 / 30;
        let at = |now: u64| secret.verify("081804", now);

        assert_eq!(at((step - 1) * 30), Some(step), "the first second of the step before");
        assert_eq!(at((step + 2) * 30 - 1), Some(step), "the last second of the step after");
        assert_eq!(at((step - 1) * 30 - 1), None);
        assert_eq!(at((step + 2) * 30), None);
    }

    #[test]
    fn times_at_the_ends_do_no_harm() {
        let secret = TotpSecret::from_base32(RFC_SECRET).unwrap();

        // RFC 4226 Appendix D: counter 0 and 1.
        assert_eq!(secret.verify("755224", 0), Some(0));
        assert_eq!(secret.verify("287082", 0), Some(1));
        assert_eq!(secret.verify("000000", u64::MAX), None);
    }

    #[test]
    fn only_six_digits_are_a_code() {
        let secret = TotpSecret::from_base32(RFC_SECRET).unwrap();

        assert_eq!(secret.verify(" 287 082\n", 59), Some(1));
        for code in ["", "28708", "+87082", "2870829", "２８７０８２", &"2".repeat(1 << 20)] {
            assert_eq!(secret.verify(code, 59), None, "{code:.20}");
        }
    }

    #[test]
    fn base32_is_read_as_people_copy_it() {
        let secret = TotpSecret::from_base32(RFC_SECRET).unwrap();
        for text in [
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            "GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ====",
        ] {
            let read = TotpSecret::from_base32(text).unwrap();
            assert_eq!(*read.to_base32(), *secret.to_base32(), "{text}");
        }
        // 80 bits are the least.
        assert!(TotpSecret::from_base32("JBSWY3DPEHPK3PXP").is_ok());
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let of = |text: &str| TotpSecret::from_base32(text).err();

        assert_eq!(of(""), Some(TotpError::TooShort));
        assert_eq!(of("JBSWY3DPEHPK3P"), Some(TotpError::TooShort));
        assert_eq!(of("JBSWY3DPEHPK3PX1"), Some(TotpError::Malformed));
        assert_eq!(of("JBSWY3DPEHPK3PX\u{e9}"), Some(TotpError::Malformed));
        assert_eq!(of(&"A".repeat(TOTP_SECRET_LEN_MAX * 8 / 5 + 8)), Some(TotpError::TooLong));
        assert_eq!(of(&"A".repeat(1 << 20)), Some(TotpError::TooLong));
    }

    #[test]
    fn made_secrets_have_160_bits_and_differ() {
        let (a, b) = (TotpSecret::make(&mut SystemRandom), TotpSecret::make(&mut SystemRandom));

        assert_eq!(a.to_base32().len(), 32);
        assert_ne!(*a.to_base32(), *b.to_base32());
        let again = TotpSecret::from_base32(&a.to_base32()).unwrap();
        assert_eq!(*again.to_base32(), *a.to_base32());
    }

    #[test]
    fn the_address_for_apps_is_quoted_and_has_no_needless_parts() {
        let secret = TotpSecret::from_base32(RFC_SECRET).unwrap();

        assert_eq!(
            secret.otpauth_uri("files & co", "al:ice").as_str(),
            "otpauth://totp/files%20%26%20co:al.ice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=files%20%26%20co"
        );
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let secret = TotpSecret::from_base32(RFC_SECRET).unwrap();

        assert_eq!(format!("{secret:?}"), "TotpSecret(..)");
    }
}
