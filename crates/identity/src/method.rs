//! Login methods, and chains of them: `publickey,password` means first the one, then the other.

use std::fmt;
use std::str::FromStr;

use crate::limits::CHAIN_LEN_MAX;

/// A way to prove who one is (RFC 4252 and its companions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Method {
    PublicKey,
    HostBased,
    KeyboardInteractive,
    Password,
}

impl Method {
    /// In the order in which they are offered, which is that of OpenSSH.
    pub const ALL: &[Self] =
        &[Self::PublicKey, Self::HostBased, Self::KeyboardInteractive, Self::Password];

    /// The name in messages and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::PublicKey => "publickey",
            Self::HostBased => "hostbased",
            Self::KeyboardInteractive => "keyboard-interactive",
            Self::Password => "password",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.name() == name)
    }
}

/// Methods that must all succeed, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain(Vec<Method>);

impl Chain {
    pub fn one(method: Method) -> Self {
        Self(vec![method])
    }

    /// The steps; at least one.
    pub fn steps(&self) -> &[Method] {
        &self.0
    }
}

/// A chain that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainError {
    Empty,
    /// More than [`CHAIN_LEN_MAX`] methods.
    TooLong,
    /// Not a method, or one that this server does not have.
    Unknown(String),
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("login methods: empty"),
            Self::TooLong => write!(f, "login methods: more than {CHAIN_LEN_MAX} in a chain"),
            Self::Unknown(name) => write!(f, "login methods: {name:?} is not supported"),
        }
    }
}

impl std::error::Error for ChainError {}

impl FromStr for Chain {
    type Err = ChainError;

    /// Reads `method,method,…`.
    fn from_str(text: &str) -> Result<Self, ChainError> {
        if text.trim().is_empty() {
            return Err(ChainError::Empty);
        }
        let mut steps = Vec::new();
        for name in text.split(',').map(str::trim) {
            if steps.len() == CHAIN_LEN_MAX {
                return Err(ChainError::TooLong);
            }
            let unknown = || ChainError::Unknown(name.to_owned());
            steps.push(Method::from_name(name).ok_or_else(unknown)?);
        }
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_in_order_and_bad_ones_refused() {
        let chain: Chain = "publickey, password".parse().unwrap();
        assert_eq!(chain.steps(), [Method::PublicKey, Method::Password]);

        assert_eq!("".parse::<Chain>(), Err(ChainError::Empty));
        assert_eq!("password,".parse::<Chain>(), Err(ChainError::Unknown(String::new())));
        assert_eq!("none".parse::<Chain>(), Err(ChainError::Unknown("none".into())));
        let long = ["password"; CHAIN_LEN_MAX + 1].join(",");
        assert_eq!(long.parse::<Chain>(), Err(ChainError::TooLong));
    }
}
