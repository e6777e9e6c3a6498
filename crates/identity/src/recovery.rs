//! Recovery codes: what a user types once each when the authenticator is lost.
//!
//! A code holds 80 random bits, so its plain SHA-256 is enough to store: there is nothing to guess.
//! They are written in Crockford's base32, whose reading forgives the letters that look like digits.
//! That a code is used *once* is the caller's part: [`RecoveryHash::id`] is what to remember.

use std::fmt;

use sterna_ssh_crypto::{HashAlgorithm, Random};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::limits::RECOVERY_CODE_TEXT_LEN_MAX;

/// Characters of a code; five bits each.
const CODE_LEN: usize = 16;

/// Characters between two dashes of a shown code.
const GROUP_LEN: usize = 4;

/// Crockford's base32: without i, l, o and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Before the digits of a stored hash.
const PREFIX: &str = "sha256:";

/// A new code: to be shown once, and its hash kept.
pub struct RecoveryCode {
    text: Zeroizing<String>,
}

impl RecoveryCode {
    /// Makes a code of 80 bits.
    pub fn make(random: &mut dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0; CODE_LEN]);
        random.fill(&mut *bytes);
        // Five bits of each byte: every character is equally likely.
        let text = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
        Self { text: Zeroizing::new(text) }
    }

    /// The code in groups: `k3xw-71mz-…`.
    pub fn shown(&self) -> Zeroizing<String> {
        let mut shown = Zeroizing::new(String::with_capacity(CODE_LEN + CODE_LEN / GROUP_LEN));
        for (at, character) in self.text.chars().enumerate() {
            if at > 0 && at % GROUP_LEN == 0 {
                shown.push('-');
            }
            shown.push(character);
        }
        shown
    }

    /// What is stored of it.
    pub fn hash(&self) -> RecoveryHash {
        RecoveryHash::of(&self.text)
    }
}

/// Shows nothing of the code.
impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

/// A code as it is stored, `sha256:HEX`: enough to recognise it, not to know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecoveryHash([u8; 32]);

/// A text that is not `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryHashError;

impl fmt::Display for RecoveryHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recovery code: not sha256: and 64 hexadecimal digits")
    }
}

impl std::error::Error for RecoveryHashError {}

impl RecoveryHash {
    /// Reads `sha256:HEX` as the settings hold it.
    ///
    /// # Errors
    /// [`RecoveryHashError`] for anything else; a code itself, for example.
    pub fn parse(text: &str) -> Result<Self, RecoveryHashError> {
        let digits = text.strip_prefix(PREFIX).ok_or(RecoveryHashError)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| RecoveryHashError)?;
        Ok(Self(hash))
    }

    /// Whether `text` is the code, as a person typed it: with or without dashes and blanks, in
    /// either case, `o` for zero, `i` and `l` for one. The comparison is constant-time.
    pub fn verify(&self, text: &str) -> bool {
        match normalised(text) {
            Some(code) => Self::of(&code).0.ct_eq(&self.0).into(),
            None => false,
        }
    }

    /// What tells this code from every other, to remember that it was used.
    pub fn id(&self) -> [u8; 32] {
        self.0
    }

    fn of(code: &str) -> Self {
        let digest = HashAlgorithm::Sha256.digest(&[code.as_bytes()]);
        let mut hash = [0; 32];
        // Both are 32 bytes.
        hash.copy_from_slice(&digest);
        Self(hash)
    }
}

impl fmt::Display for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(self.0))
    }
}

/// Shows its first digits: enough to find the line in the settings.
impl fmt::Debug for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryHash({}..)", hex::encode(&self.0[..4]))
    }
}

/// The code that was meant; `None` if it cannot be one.
fn normalised(text: &str) -> Option<Zeroizing<String>> {
    if text.len() > RECOVERY_CODE_TEXT_LEN_MAX {
        return None;
    }
    let mut code = Zeroizing::new(String::with_capacity(RECOVERY_CODE_TEXT_LEN_MAX));
    for character in text.chars() {
        match character.to_ascii_lowercase() {
            '-' | ' ' | '\t' | '\r' | '\n' => {}
            'o' => code.push('0'),
            'i' | 'l' => code.push('1'),
            other => code.push(other),
        }
    }
    let whole = code.len() == CODE_LEN && code.bytes().all(|byte| ALPHABET.contains(&byte));
    whole.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sterna_ssh_crypto::SystemRandom;

    /// Gives 0, 1, 2, …
    struct Count(u8);

    impl Random for Count {
        fn fill(&mut self, out: &mut [u8]) {
            for byte in out {
                *byte = self.0;
                self.0 = self.0.wrapping_add(1);
            }
        }
    }

    #[test]
    fn a_code_is_four_groups_and_its_stored_form_never_changes() {
        let code = RecoveryCode::make(&mut Count(0));

        assert_eq!(code.shown().as_str(), "0123-4567-89ab-cdef");
        // printf 0123456789abcdef | sha256sum
        let stored = "sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        assert_eq!(code.hash().to_string(), stored);
        assert_eq!(RecoveryHash::parse(stored), Ok(code.hash()));
        assert_eq!(hex::encode(code.hash().id()), stored["sha256:".len()..]);
    }

    #[test]
    fn every_character_can_come_and_codes_differ() {
        let codes: Vec<_> = (0..200).map(|_| RecoveryCode::make(&mut SystemRandom)).collect();

        let mut seen: Vec<char> = codes.iter().flat_map(|code| code.text.chars()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 32, "a character lacks among 3200 by chance once in 10^42 runs");
        let mut ids: Vec<_> = codes.iter().map(|code| code.hash().id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 200);
    }

    #[test]
    fn a_code_is_recognised_as_people_type_it() {
        let hash = RecoveryCode::make(&mut Count(0)).hash();
        for typed in [
            "0123-4567-89ab-cdef",
            "0123456789abcdef",
            " 0123 4567 89AB CDEF\n",
            "oI23-4567-89ab-cdef",
            "Ol23-4567-89ab-cdef",
        ] {
            assert!(hash.verify(typed), "{typed}");
        }
    }

    #[test]
    fn other_texts_are_not_the_code() {
        let hash = RecoveryCode::make(&mut Count(0)).hash();
        for typed in [
            "",
            "0123-4567-89ab-cdeg",
            "0123-4567-89ab-cde",
            "0123-4567-89ab-cdef0",
            "0123-4567-89ab-cde\u{e9}",
            &hash.to_string(),
            &"0123-4567-89ab-cdef".repeat(100_000),
        ] {
            assert!(!hash.verify(typed), "{typed:.40}");
        }
    }

    #[test]
    fn only_the_stored_form_is_read() {
        let good = RecoveryCode::make(&mut Count(0)).hash().to_string();
        for text in ["", "sha256:", "0123-4567-89ab-cdef", &good[7..], &good[..good.len() - 1]] {
            assert_eq!(RecoveryHash::parse(text), Err(RecoveryHashError), "{text}");
        }
        assert_eq!(RecoveryHash::parse(&format!("{good}0")), Err(RecoveryHashError));
        assert_eq!(RecoveryHash::parse(&good.replace('9', "g")), Err(RecoveryHashError));
    }

    #[test]
    fn a_code_is_not_printed_by_accident() {
        let code = RecoveryCode::make(&mut Count(0));

        assert_eq!(format!("{code:?}"), "RecoveryCode(..)");
        assert_eq!(format!("{:?}", code.hash()), "RecoveryHash(9f9f5111..)");
    }
}
