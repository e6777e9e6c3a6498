//! Diffie-Hellman over finite fields: the fixed groups and the group exchange (RFC 4253 §8, RFC 8268,
//! RFC 4419).

use std::borrow::Cow;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use zeroize::Zeroizing;

use super::{ClientExchange, KexError, SharedSecret, primes};
use crate::{DH_BITS_MAX, DH_BITS_MIN, DH_EXPONENT_BITS, Random};

/// A group: prime and generator as big-endian magnitudes without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhGroup {
    p: Cow<'static, [u8]>,
    g: Cow<'static, [u8]>,
}

pub(super) static GROUP14: DhGroup = fixed(&primes::GROUP14);
pub(super) static GROUP16: DhGroup = fixed(&primes::GROUP16);
pub(super) static GROUP18: DhGroup = fixed(&primes::GROUP18);

const fn fixed(p: &'static [u8]) -> DhGroup {
    DhGroup { p: Cow::Borrowed(p), g: Cow::Borrowed(&[2]) }
}

/// Bits that a public value must have set at least, as OpenSSH demands: fewer would be a chosen power
/// of the generator, not a random one.
const PUBLIC_BITS_SET_MIN: u32 = 4;

impl DhGroup {
    /// The server's choice in a group exchange: the smallest of ours that has at least `n` bits, else
    /// the largest, among those from `min` to `max` bits. None if the request allows none of ours.
    ///
    /// A `min` below 2048 is raised (RFC 8270).
    pub fn choose(min: u32, n: u32, max: u32) -> Option<&'static Self> {
        let min = min.max(DH_BITS_MIN);
        let mut allowed = [&GROUP14, &GROUP16, &GROUP18]
            .into_iter()
            .filter(|group| (min..=max).contains(&group.bits()));
        let largest = allowed.clone().next_back();
        allowed.find(|group| group.bits() >= n).or(largest)
    }

    /// The client's checks of a group that the server named, against what the client asked for.
    ///
    /// Whether `p` is a prime is not tested, as in OpenSSH: the server's signature over the group
    /// vouches for it.
    ///
    /// # Errors
    /// [`KexError::PeerGroup`] for a prime outside `min..=max` or our own bounds, an even one, or a
    /// generator outside `2..=p-2`.
    pub fn from_wire(p: &[u8], g: &[u8], min: u32, max: u32) -> Result<Self, KexError> {
        let group = Self { p: trimmed(p).to_vec().into(), g: trimmed(g).to_vec().into() };
        if group.bits() < min.max(DH_BITS_MIN) {
            return Err(KexError::PeerGroup("prime is shorter than we asked for"));
        }
        if group.bits() > max.min(DH_BITS_MAX) {
            return Err(KexError::PeerGroup("prime is longer than we asked for"));
        }
        if group.p.last().is_none_or(|last| last % 2 == 0) {
            return Err(KexError::PeerGroup("prime is even"));
        }
        if !group.holds(&group.g) {
            return Err(KexError::PeerGroup("generator is out of range"));
        }
        Ok(group)
    }

    /// The prime's magnitude.
    pub fn p(&self) -> &[u8] {
        &self.p
    }

    /// The generator's magnitude.
    pub fn g(&self) -> &[u8] {
        &self.g
    }

    /// Length of the prime in bits.
    pub fn bits(&self) -> u32 {
        bits(&self.p)
    }

    /// The client's half in this group; public values are magnitudes.
    ///
    /// # Errors
    /// [`KexError::Internal`] if the group is not usable; never for one that passed `from_wire`.
    pub fn client_start(
        &self,
        random: &mut dyn Random,
    ) -> Result<Box<dyn ClientExchange>, KexError> {
        Ok(Box::new(KeyPair::generate(self, random)?))
    }

    /// The server's half in this group; public values are magnitudes.
    ///
    /// # Errors
    /// [`KexError::PeerValue`] or [`KexError::WeakSecret`].
    pub fn server_reply(
        &self,
        client_public: &[u8],
        random: &mut dyn Random,
    ) -> Result<(Vec<u8>, SharedSecret), KexError> {
        // Before the exponentiation that a bad value is not worth.
        self.check_public(client_public)?;
        let pair = KeyPair::generate(self, random)?;
        let secret = pair.agree(client_public)?;
        Ok((pair.public, secret))
    }

    /// 1 < e < p-1, and enough bits set (KEX-4).
    fn check_public(&self, value: &[u8]) -> Result<(), KexError> {
        let value = trimmed(value);
        let bits_set: u32 = value.iter().map(|byte| byte.count_ones()).sum();
        if self.holds(value) && bits_set >= PUBLIC_BITS_SET_MIN {
            Ok(())
        } else {
            Err(KexError::PeerValue)
        }
    }

    /// 1 < value < p-1, for magnitudes without leading zeros and an odd p.
    fn holds(&self, value: &[u8]) -> bool {
        let above_one = !matches!(value, [] | [1]);
        let below_p = (value.len(), value) < (self.p.len(), &*self.p);
        // p is odd: p-1 differs from it in the last bit only.
        let is_p_minus_1 = match (value.split_last(), self.p.split_last()) {
            (Some((last, rest)), Some((p_last, p_rest))) => rest == p_rest && *last == p_last ^ 1,
            _ => false,
        };
        above_one && below_p && !is_p_minus_1
    }

    /// `base ^ exponent mod p`, in time that depends on the lengths only. May have leading zeros.
    fn power(&self, base: &[u8], exponent: &BoxedUint) -> Result<Zeroizing<Vec<u8>>, KexError> {
        let precision = u32::try_from(self.p.len() * 8).map_err(|_| KexError::Internal)?;
        let number =
            |bytes| BoxedUint::from_be_slice(bytes, precision).map_err(|_| KexError::Internal);
        let modulus: Option<Odd<BoxedUint>> = number(&self.p)?.into_odd().into();
        // The modulus is public; only the exponent must not show in the timing.
        let params = BoxedMontyParams::new_vartime(modulus.ok_or(KexError::Internal)?);
        let power = BoxedMontyForm::new(number(base)?, &params)
            .pow_bounded_exp(exponent, exponent.bits_precision());
        let power = Zeroizing::new(power.retrieve());
        Ok(Zeroizing::new(power.to_be_bytes().into_vec()))
    }
}

struct KeyPair {
    group: DhGroup,
    exponent: Zeroizing<BoxedUint>,
    public: Vec<u8>,
}

impl KeyPair {
    fn generate(group: &DhGroup, random: &mut dyn Random) -> Result<Self, KexError> {
        let mut bytes = Zeroizing::new([0; DH_EXPONENT_BITS as usize / 8]);
        random.fill(&mut *bytes);
        // Full length, so that no exponent is a small one by chance.
        bytes[0] |= 0x80;
        let exponent = BoxedUint::from_be_slice(&*bytes, DH_EXPONENT_BITS)
            .map(Zeroizing::new)
            .map_err(|_| KexError::Internal)?;
        let public = trimmed(&group.power(&group.g, &exponent)?).to_vec();
        Ok(Self { group: group.clone(), exponent, public })
    }

    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, KexError> {
        self.group.check_public(peer)?;
        let secret = self.group.power(trimmed(peer), &self.exponent)?;
        if !self.group.holds(trimmed(&secret)) {
            return Err(KexError::WeakSecret);
        }
        Ok(SharedSecret::from_number(&secret))
    }
}

impl ClientExchange for KeyPair {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn finish(self: Box<Self>, server_public: &[u8]) -> Result<SharedSecret, KexError> {
        self.agree(server_public)
    }
}

fn trimmed(magnitude: &[u8]) -> &[u8] {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    &magnitude[zeros..]
}

/// Bits of a magnitude without leading zeros.
fn bits(magnitude: &[u8]) -> u32 {
    let len_bits = u32::try_from(magnitude.len()).unwrap_or(u32::MAX).saturating_mul(8);
    len_bits - magnitude.first().map_or(0, |first| first.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 is a square modulo each of these primes, so `2^((p-1)/2) = 1`: one wrong digit breaks it.
    #[test]
    fn our_primes_pass_eulers_criterion() {
        for (group, bits) in [(&GROUP14, 2048), (&GROUP16, 4096), (&GROUP18, 8192)] {
            assert_eq!(group.bits(), bits);
            let p = BoxedUint::from_be_slice(group.p(), bits).unwrap();
            let power = group.power(&[2], &p.shr(1)).unwrap();
            assert_eq!(trimmed(&power), [1], "{bits} bits");
        }
    }

    /// Small enough to check by hand: 5^6 mod 23 = 8.
    #[test]
    fn powers_are_right() {
        let group = DhGroup { p: vec![23].into(), g: vec![5].into() };
        let exponent = BoxedUint::from_be_slice(&[6], 64).unwrap();
        assert_eq!(trimmed(&group.power(&[5], &exponent).unwrap()), [8]);
    }
}
