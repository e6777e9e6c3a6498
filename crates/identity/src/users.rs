//! All users at one moment: looked up by name, checked as a whole, replaced as a whole.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::limits::{CHAINS_MAX, USER_KEYS_MAX, USER_NAME_LEN_MAX};
use crate::{Method, PasswordHash, User};

/// A decoy for directories in which nobody has a password: argon2id with the parameters of
/// [`PasswordHash::make`], of a password that was thrown away.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c3Rlcm5hLWRlY295LTE$\
                     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The users of a server. Never changed: a reload makes a new one.
#[derive(Debug)]
pub struct Directory {
    users: HashMap<String, Arc<User>>,
    /// What is checked for names that have no password: real hashes of other users, so that their
    /// mixture of costs is the same.
    decoys: Vec<PasswordHash>,
    /// Gives an unknown name the same decoy each time, and nobody outside can tell which.
    seed: RandomState,
    offered: Vec<Method>,
}

/// Users that do not fit together; the whole directory is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryError {
    pub user: String,
    pub why: UserError,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserError {
    /// Empty, longer than [`USER_NAME_LEN_MAX`], dots, or with a slash or control character: names
    /// end up in paths and logs.
    Name,
    Twice,
    /// A chain asks for a method that the user has nothing for.
    Lacks(Method),
    /// A chain wants more different keys than the user has.
    LacksKeys,
    TooManyChains,
    TooManyKeys,
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {:?}: ", self.user)?;
        match self.why {
            UserError::Name => f.write_str("not a usable name"),
            UserError::Twice => f.write_str("is there twice"),
            UserError::Lacks(method) => {
                write!(f, "methods ask for {}, but the user has none", method.name())
            }
            UserError::LacksKeys => f.write_str("methods ask for more keys than the user has"),
            UserError::TooManyChains => write!(f, "more than {CHAINS_MAX} chains of methods"),
            UserError::TooManyKeys => write!(f, "more than {USER_KEYS_MAX} keys"),
        }
    }
}

impl std::error::Error for DirectoryError {}

impl Directory {
    /// Takes the users if all of them make sense.
    ///
    /// # Errors
    /// The first user that does not, and why.
    pub fn new(users: impl IntoIterator<Item = User>) -> Result<Self, DirectoryError> {
        let mut all: HashMap<String, Arc<User>> = HashMap::new();
        for user in users {
            let fail = |why| DirectoryError { user: user.name.clone(), why };
            check(&user).map_err(fail)?;
            if all.contains_key(&user.name) {
                return Err(fail(UserError::Twice));
            }
            all.insert(user.name.clone(), Arc::new(user));
        }
        let mut decoys: Vec<_> = all.values().filter_map(|user| user.password.clone()).collect();
        if decoys.is_empty() {
            decoys.extend(DECOY.parse());
        }
        let first_steps: BTreeSet<Method> = all
            .values()
            .flat_map(|user| user.chains())
            .filter_map(|chain| chain.steps().first().copied())
            .collect();
        Ok(Self {
            users: all,
            decoys,
            seed: RandomState::new(),
            offered: first_steps.into_iter().collect(),
        })
    }

    /// The user of that name.
    pub fn user(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.users.get(std::str::from_utf8(name).ok()?)
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// Methods to offer to whoever has proven nothing yet: the same for every name, known or not.
    pub fn offered(&self) -> &[Method] {
        &self.offered
    }

    /// Checks a password against the user's hash, or against a decoy if there is none. Both cost
    /// the same.
    pub(crate) fn verify_password(&self, name: &[u8], password: &[u8]) -> bool {
        match self.user(name).and_then(|user| user.password.as_ref()) {
            Some(hash) => hash.verify(password),
            None => {
                let at = self.seed.hash_one(name) as usize % self.decoys.len().max(1);
                if let Some(decoy) = self.decoys.get(at) {
                    // Never an answer: it may be somebody else's password.
                    std::hint::black_box(decoy.verify(password));
                }
                false
            }
        }
    }
}

fn check(user: &User) -> Result<(), UserError> {
    let name = user.name.as_str();
    let bad = name.is_empty()
        || name.len() > USER_NAME_LEN_MAX
        || matches!(name, "." | "..")
        || name.chars().any(|c| c == '/' || c.is_control());
    if bad {
        return Err(UserError::Name);
    }
    if user.methods.len() > CHAINS_MAX {
        return Err(UserError::TooManyChains);
    }
    if user.authorized_keys.len() > USER_KEYS_MAX {
        return Err(UserError::TooManyKeys);
    }
    for chain in &user.methods {
        if let Some(&lacking) = chain.steps().iter().find(|step| !user.has(**step)) {
            return Err(UserError::Lacks(lacking));
        }
        let keys = chain.steps().iter().filter(|step| **step == Method::PublicKey).count();
        if keys > user.authorized_keys.len() {
            return Err(UserError::LacksKeys);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it an unknown name would cost nothing where nobody has a password.
    #[test]
    fn the_fixed_decoy_costs_what_a_made_hash_costs() {
        let decoy: PasswordHash = DECOY.parse().unwrap();
        let made = PasswordHash::make(b"x", &mut sterna_ssh_crypto::SystemRandom).unwrap();

        let params = |hash: &PasswordHash| hash.as_str().split('$').nth(3).map(str::to_owned);
        assert_eq!(params(&decoy), params(&made));
        assert_eq!(Directory::new([]).unwrap().decoys, [decoy]);
    }

    #[test]
    fn names_without_a_password_are_checked_against_hashes_of_others() {
        let hash: PasswordHash = bcrypt::hash("pass", 4).unwrap().parse().unwrap();
        let user = User { password: Some(hash.clone()), ..User::new("a", "/srv") };

        let directory = Directory::new([user, User::new("b", "/srv")]).unwrap();

        assert_eq!(directory.decoys, [hash]);
        assert!(directory.verify_password(b"a", b"pass"));
        assert!(!directory.verify_password(b"b", b"pass"));
        assert!(!directory.verify_password(b"\xff", b"pass"));
    }
}
