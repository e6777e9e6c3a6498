//! Encrypted PKCS#8 (RFC 5958 §3) with PBES2 (RFC 8018 §6.2): PBKDF2 or scrypt, then AES or triple DES.
//!
//! The file says how much work its key derivation is: that is judged before a passphrase is asked for.

use pkcs5::EncryptionScheme;
use pkcs5::pbes2::{Kdf, ScryptParams};
use zeroize::Zeroizing;

use super::{KeyFileError, der};
use crate::{PBKDF2_ITERATIONS_MAX, SCRYPT_MEMORY_MAX, SCRYPT_WORK_MAX};

/// The plain PKCS#8 inside, not parsed yet.
pub(super) fn decrypt(
    der: &[u8],
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let (algorithm, data) =
        der::encrypted_key_info(der).ok_or(KeyFileError::Malformed("encrypted PKCS#8"))?;
    let Ok(EncryptionScheme::Pbes2(scheme)) = EncryptionScheme::try_from(algorithm) else {
        return Err(KeyFileError::Unsupported("its encryption (openssl pkcs8 can change it) is"));
    };
    if !affordable(&scheme.kdf) {
        return Err(KeyFileError::Unsupported("the cost of its key derivation is"));
    }

    let passphrase = passphrase.ok_or(KeyFileError::Encrypted)?;
    let mut buffer = Zeroizing::new(data.to_vec());
    match scheme.decrypt_in_place(passphrase, &mut buffer) {
        Ok(clear) => {
            let len = clear.len();
            buffer.truncate(len);
            Ok(buffer)
        }
        Err(pkcs5::Error::DecryptFailed) => Err(KeyFileError::WrongPassphrase),
        Err(_) => Err(KeyFileError::Unsupported("its encryption (openssl pkcs8 can change it) is")),
    }
}

/// True if the derivation takes neither minutes nor gigabytes, and its numbers are sound.
fn affordable(kdf: &Kdf) -> bool {
    match kdf {
        Kdf::Pbkdf2(params) => (1..=PBKDF2_ITERATIONS_MAX).contains(&params.iteration_count),
        Kdf::Scrypt(params) => scrypt_is_affordable(params),
        _ => false,
    }
}

fn scrypt_is_affordable(params: &ScryptParams) -> bool {
    let (r, p) = (u64::from(params.block_size), u64::from(params.parallelization));
    // Neither product can overflow: 7 + 16 + 16 bits.
    let memory = params.cost_parameter.checked_mul(128 * r);
    let work = params.cost_parameter.checked_mul(128 * r * p);
    // The library counts on N being a power of two above 1 (RFC 7914 §6) and panics on 0.
    params.cost_parameter > 1
        && params.cost_parameter.is_power_of_two()
        && r > 0
        && p > 0
        && memory.is_some_and(|memory| memory <= SCRYPT_MEMORY_MAX)
        && work.is_some_and(|work| work <= SCRYPT_WORK_MAX)
}
