//! Lists of addresses: who may come from where.
//!
//! Two forms: [`AddressList`] is what people write (`from=`, `Match address`, allowed networks of a
//! user): networks, patterns over the text of an address or over a host name, `!` for "not".
//! [`NetworkList`] is what an authority writes into a certificate: networks only, nothing negated.
//! In both a mistake is an error of the whole list, because a part of it would say something else.
//!
//! IPv4 addresses in IPv6 clothes (`::ffff:192.0.2.1`) count as what they are, on both sides.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::limits::ADDRESS_LIST_LEN_MAX;
use crate::pattern::wildcard_match;

/// Why a list of addresses does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing between two commas, or no list at all.
    Empty,
    /// Longer than [`ADDRESS_LIST_LEN_MAX`].
    TooLong,
    /// Neither an address nor `address/bits`; in an [`AddressList`] also no pattern.
    Entry(String),
    /// The address has bits beyond its mask, such as `192.0.2.1/24`: one of both is a mistake.
    BitsBeyondMask(String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an entry of the address list is empty"),
            Self::TooLong => f.write_str("the address list is too long"),
            Self::Entry(text) => write!(f, "{text:?} is no address and no network"),
            Self::BitsBeyondMask(text) => write!(f, "{text:?} has bits beyond its mask"),
        }
    }
}

impl std::error::Error for AddressError {}

/// Networks, address patterns and host name patterns, some of them negated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    negated: bool,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Network(IpNet),
    /// Lower case.
    Pattern(String),
}

impl AddressList {
    /// Reads entries that already stand apart, as in a settings file.
    ///
    /// # Errors
    /// As [`FromStr`]; an empty list too, which would let nobody in and be meant otherwise.
    pub fn from_entries<'e>(
        entries: impl IntoIterator<Item = &'e str>,
    ) -> Result<Self, AddressError> {
        let mut len = 0;
        let mut list = Self { entries: Vec::new() };
        for text in entries {
            len += text.len() + 1;
            if len > ADDRESS_LIST_LEN_MAX + 1 {
                return Err(AddressError::TooLong);
            }
            list.entries.push(text.parse()?);
        }
        if list.entries.is_empty() {
            return Err(AddressError::Empty);
        }
        Ok(list)
    }

    /// Whether a peer may come from `address`. `host` is its name, only if that was verified.
    ///
    /// Some entry must match and no negated one. A "name" that reads as an address is not looked at:
    /// whoever owns an address may write any name for it into the DNS.
    pub fn allows(&self, address: IpAddr, host: Option<&str>) -> bool {
        let address = address.to_canonical();
        let address_text = address.to_string();
        let host = host.filter(|name| name.parse::<IpAddr>().is_err());
        let host = host.map(str::to_ascii_lowercase);
        let mut found = false;
        for entry in &self.entries {
            let matches = match &entry.what {
                What::Network(network) => network.contains(&address),
                What::Pattern(pattern) => {
                    let pattern = pattern.as_bytes();
                    wildcard_match(pattern, address_text.as_bytes())
                        || host.as_ref().is_some_and(|h| wildcard_match(pattern, h.as_bytes()))
                }
            };
            match (matches, entry.negated) {
                (true, true) => return false,
                (true, false) => found = true,
                (false, _) => {}
            }
        }
        found
    }
}

impl FromStr for AddressList {
    type Err = AddressError;

    /// Reads a list with commas, as in `from="10.0.0.0/8,!10.9.*,*.example.org"`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_LIST_LEN_MAX {
            return Err(AddressError::TooLong);
        }
        Self::from_entries(text.split(','))
    }
}

impl FromStr for Entry {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (negated, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let what = match network(text) {
            Ok(network) => What::Network(network),
            // No name and no address holds any of these, so such a pattern would never match.
            Err(AddressError::Entry(_))
                if !text.contains(['/', '!', '"', ','])
                    && !text.contains(|c: char| c.is_whitespace() || c.is_control()) =>
            {
                What::Pattern(text.to_ascii_lowercase())
            }
            Err(why) => return Err(why),
        };
        Ok(Self { negated, what })
    }
}

/// Networks and addresses only: the `source-address` of a certificate (CRT-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkList {
    networks: Vec<IpNet>,
}

impl NetworkList {
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Reads the value as a certificate carries it.
    ///
    /// # Errors
    /// As [`FromStr`]; the certificate is then worth nothing.
    pub fn from_bytes(value: &[u8]) -> Result<Self, AddressError> {
        let text = std::str::from_utf8(value);
        text.map_err(|_| AddressError::Entry(String::from_utf8_lossy(value).into_owned()))?.parse()
    }
}

impl FromStr for NetworkList {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_LIST_LEN_MAX {
            return Err(AddressError::TooLong);
        }
        let networks: Result<_, _> = text.split(',').map(network).collect();
        Ok(Self { networks: networks? })
    }
}

/// One address or `address/bits`.
fn network(text: &str) -> Result<IpNet, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    let entry = || AddressError::Entry(text.to_owned());
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| entry())?;
    if network.trunc() != network {
        return Err(AddressError::BitsBeyondMask(text.to_owned()));
    }
    Ok(match (network.addr().to_canonical(), network) {
        (IpAddr::V4(mapped), IpNet::V6(_)) if network.prefix_len() >= 96 => {
            Ipv4Net::new(mapped, network.prefix_len() - 96).map_err(|_| entry())?.into()
        }
        _ => network,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(list: &str, address: &str, host: Option<&str>) -> bool {
        list.parse::<AddressList>().unwrap().allows(address.parse().unwrap(), host)
    }

    #[test]
    fn networks_patterns_and_names_let_in_and_keep_out() {
        for (list, address, host, expected) in [
            ("192.0.2.0/24", "192.0.2.9", None, true),
            ("192.0.2.0/24", "192.0.3.9", None, false),
            ("192.0.2.7", "192.0.2.7", None, true),
            ("192.0.2.7", "192.0.2.70", None, false),
            ("192.0.2.?", "192.0.2.7", None, true),
            ("192.0.2.?", "192.0.2.70", None, false),
            ("*,!192.0.2.7", "192.0.2.7", None, false),
            ("!192.0.2.0/24,*", "192.0.2.7", None, false),
            ("*,!192.0.2.7", "192.0.2.8", None, true),
            ("!192.0.2.7", "192.0.2.8", None, false),
            ("2001:db8::/32", "2001:DB8:1::1", None, true),
            ("2001:db8:*", "2001:db8:1::1", None, true),
            ("2001:db8::/32", "2001:db9::1", None, false),
            ("0.0.0.0/0", "::1", None, false),
            ("*.example.org", "192.0.2.7", Some("H.Example.ORG"), true),
            ("*.example.org", "192.0.2.7", None, false),
            ("192.0.2.0/24,!bad.org", "192.0.2.7", Some("bad.org"), false),
            ("*.org,!192.0.2.7", "192.0.2.7", Some("good.org"), false),
            // The owner of an address chose this name to look like another address.
            ("10.*", "192.0.2.7", Some("10.0.0.1"), false),
        ] {
            assert_eq!(allows(list, address, host), expected, "{list} {address} {host:?}");
        }
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_addresses_they_carry() {
        for list in ["192.0.2.0/24", "::ffff:192.0.2.0/120", "192.0.2.*", "::ffff:192.0.2.7"] {
            assert!(allows(list, "::ffff:192.0.2.7", None), "{list}");
            assert!(allows(list, "192.0.2.7", None), "{list}");
            assert!(!allows(&format!("*,!{list}"), "::ffff:192.0.2.7", None), "{list}");
        }
        assert!(!allows("::/0", "::ffff:192.0.2.7", None));
    }

    #[test]
    fn a_mistake_in_the_list_is_an_error_of_the_list() {
        for bad in
            ["", "a,,b", "!", "192.0.2.1/24", "192.0.2.0/33", "2001:db8::1/32", "x/8", "a, b"]
        {
            assert!(bad.parse::<AddressList>().is_err(), "{bad}");
            assert!(bad.parse::<NetworkList>().is_err(), "{bad}");
        }
        assert!(AddressList::from_entries([]).is_err());
        assert_eq!("a,".repeat(9000).parse::<AddressList>(), Err(AddressError::TooLong));
        assert_eq!("a,".repeat(9000).parse::<NetworkList>(), Err(AddressError::TooLong));
        assert_eq!(AddressList::from_entries(["a"; 9000]), Err(AddressError::TooLong));
    }

    #[test]
    fn a_certificate_may_hold_networks_only() {
        let list = NetworkList::from_bytes(b"192.0.2.0/24,2001:db8::/32,198.51.100.1").unwrap();
        for (address, expected) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("198.51.100.1", true),
            ("198.51.100.2", false),
            ("2001:db8:9::", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), expected, "{address}");
        }
        for bad in ["*", "192.0.2.*", "!192.0.2.0/24", "example.org", " 192.0.2.1", "192.0.2.1,"] {
            assert!(NetworkList::from_bytes(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(NetworkList::from_bytes(b"\xff").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_list_panic(text in ".{0,40}", address: u128) {
            let address = IpAddr::V6(address.into());
            if let Ok(list) = text.parse::<AddressList>() {
                let _ = list.allows(address, Some(&text));
            }
            if let Ok(list) = text.parse::<NetworkList>() {
                prop_assert_eq!(list.contains(address), list.contains(address.to_canonical()));
            }
        }
    }
}
