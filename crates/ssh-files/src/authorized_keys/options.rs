//! The options in front of a key: `from="…",restrict,…`.

use crate::AddressList;

use super::LineError;
use super::expiry::expiry_time;

/// What the owner of a key wrote in front of it. Each field narrows what the key may do, except
/// `no_touch_required`; the default narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyOptions {
    /// The key is not for logging in: it signs certificates that are.
    pub cert_authority: bool,
    /// Names of which a certificate must hold one, compared as a whole; `None` leaves the login name
    /// as the only one. Only with `cert_authority`. Empty lets nobody in.
    pub principals: Option<Vec<String>>,
    /// Where the peer must come from.
    pub from: Option<AddressList>,
    /// The last second at which the key is good, since 1970.
    pub expiry_time: Option<u64>,
    /// Everything that is not file transfer is forbidden; it is for every key here.
    pub restrict: bool,
    /// A security key must have verified its user, by PIN or fingerprint.
    pub verify_required: bool,
    /// A security key need not have been touched.
    pub no_touch_required: bool,
    /// What runs instead of whatever the client asks for; quotes are taken off.
    pub command: Option<Vec<u8>>,
}

impl KeyOptions {
    /// Whether `now`, in seconds since 1970, is past the last good second.
    pub fn is_expired_at(&self, now: u64) -> bool {
        self.expiry_time.is_some_and(|last| last < now)
    }
}

/// Flags about things that this server never does (terminals, forwarding, shells): granted or denied,
/// they change nothing.
const FLAGS_WITHOUT_EFFECT: &[&str] = &[
    "agent-forwarding",
    "no-agent-forwarding",
    "port-forwarding",
    "no-port-forwarding",
    "pty",
    "no-pty",
    "user-rc",
    "no-user-rc",
    "x11-forwarding",
    "no-x11-forwarding",
];

/// The same, with values.
const VALUES_WITHOUT_EFFECT: &[&str] = &["permitlisten", "permitopen"];

/// Options that we would have to enforce and cannot: what they ask for does not exist here.
const NOT_ENFORCED: &[&str] = &["environment", "tunnel"];

/// Reads the options at the start of a line; gives back what stands behind them.
pub(super) fn parse(mut rest: &[u8]) -> Result<(KeyOptions, &[u8]), LineError> {
    let mut options = KeyOptions::default();
    loop {
        let ends_name = |b: &u8| matches!(b, b'=' | b',' | b' ' | b'\t');
        let name_len = rest.iter().position(ends_name).ok_or(LineError::Options)?;
        let (name, behind) = rest.split_at(name_len);
        let name = std::str::from_utf8(name).map_err(|_| LineError::Options)?;
        if name.is_empty() {
            return Err(LineError::Options);
        }
        rest = match behind.strip_prefix(b"=") {
            Some(value) => {
                let (value, behind) = dequote(value)?;
                options.set_value(name, value)?;
                behind
            }
            None => {
                options.set_flag(name)?;
                behind
            }
        };
        match rest {
            [b',', next @ ..] => rest = next,
            [b' ' | b'\t', key @ ..] => {
                if options.principals.is_some() && !options.cert_authority {
                    return Err(LineError::PrincipalsWithoutAuthority);
                }
                return Ok((options, key.trim_ascii_start()));
            }
            _ => return Err(LineError::Options),
        }
    }
}

impl KeyOptions {
    fn set_flag(&mut self, name: &str) -> Result<(), LineError> {
        match name.to_ascii_lowercase().as_str() {
            "cert-authority" => self.cert_authority = true,
            "restrict" => self.restrict = true,
            "verify-required" => self.verify_required = true,
            "no-verify-required" => self.verify_required = false,
            "no-touch-required" => self.no_touch_required = true,
            "touch-required" => self.no_touch_required = false,
            lower if FLAGS_WITHOUT_EFFECT.contains(&lower) => {}
            lower => return Err(misplaced(name, lower)),
        }
        Ok(())
    }

    fn set_value(&mut self, name: &str, value: Vec<u8>) -> Result<(), LineError> {
        match name.to_ascii_lowercase().as_str() {
            "command" => once("command", &mut self.command, value)?,
            "from" => {
                let list = text(value)?.parse().map_err(LineError::From)?;
                once("from", &mut self.from, list)?;
            }
            "principals" => {
                let names = text(value)?;
                let names = names.split(',').filter(|name| !name.is_empty());
                once("principals", &mut self.principals, names.map(str::to_owned).collect())?;
            }
            "expiry-time" => {
                let value = text(value)?;
                let last = expiry_time(&value).ok_or(LineError::ExpiryTime(value))?;
                // The earliest of several counts, as in OpenSSH.
                self.expiry_time = Some(self.expiry_time.map_or(last, |before| before.min(last)));
            }
            lower if VALUES_WITHOUT_EFFECT.contains(&lower) => {}
            lower => return Err(misplaced(name, lower)),
        }
        Ok(())
    }
}

fn once<T>(name: &'static str, field: &mut Option<T>, value: T) -> Result<(), LineError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(LineError::Twice(name)),
    }
}

fn text(value: Vec<u8>) -> Result<String, LineError> {
    String::from_utf8(value).map_err(|_| LineError::Options)
}

/// Why an option that was not taken is refused: we cannot enforce it, it lacks its value or has one
/// too many, or nobody knows it.
fn misplaced(name: &str, lower: &str) -> LineError {
    if let Some(known) = NOT_ENFORCED.iter().find(|known| **known == lower) {
        return LineError::NotEnforced(known);
    }
    LineError::UnknownOption(name.to_owned())
}

/// Takes the quotes off `"value"`, and gives back what stands behind it. Inside, `\"` is a quote; any
/// other backslash is itself.
fn dequote(text: &[u8]) -> Result<(Vec<u8>, &[u8]), LineError> {
    let mut rest = text.strip_prefix(b"\"").ok_or(LineError::Options)?;
    let mut value = Vec::new();
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Ok((value, behind)),
            [b'\\', b'"', behind @ ..] => {
                value.push(b'"');
                behind
            }
            [byte, behind @ ..] => {
                value.push(*byte);
                behind
            }
            [] => return Err(LineError::Options),
        };
    }
}
