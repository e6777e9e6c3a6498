//! All users at one moment: looked up by name, checked as a whole, replaced as a whole.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use sterna_ssh_files::KnownHosts;

use crate::limits::{
    CHAINS_MAX, HOST_USERS_MAX, RECOVERY_CODES_MAX, USER_KEYS_MAX, USER_NAME_LEN_MAX,
    USER_PRINCIPALS_MAX,
};
use crate::world::World;
use crate::{Chain, LoginRules, Method, PasswordHash, User};

/// A decoy for directories in which nobody has a password: argon2id with the parameters of
/// [`PasswordHash::make`], of a password that was thrown away.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c3Rlcm5hLWRlY295LTE$\
                     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The users of a server. Never changed: a reload makes a new one.
#[derive(Debug)]
pub struct Directory {
    users: HashMap<String, Arc<User>>,
    rules: LoginRules,
    /// What is checked for names that have no password: real hashes of other users, so that their
    /// mixture of costs is the same.
    decoys: Vec<PasswordHash>,
    /// Gives an unknown name the same decoy each time, and nobody outside can tell which.
    seed: RandomState,
    offered: Vec<Method>,
    host_key_lists: Vec<Arc<KnownHosts>>,
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
    /// A chain begins with keyboard-interactive and the user has no password: a code alone would do.
    CodeAlone,
    TooManyChains,
    TooManyKeys,
    TooManyPrincipals,
    TooManyHostUsers,
    TooManyRecoveryCodes,
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
            UserError::CodeAlone => f.write_str(
                "methods begin with keyboard-interactive, but there is no password: a code alone would do",
            ),
            UserError::TooManyPrincipals => {
                write!(f, "more than {USER_PRINCIPALS_MAX} principals")
            }
            UserError::TooManyHostUsers => {
                write!(f, "more than {HOST_USERS_MAX} users of other hosts")
            }
            UserError::TooManyRecoveryCodes => {
                write!(f, "more than {RECOVERY_CODES_MAX} recovery codes")
            }
            UserError::TooManyChains => write!(f, "more than {CHAINS_MAX} chains of methods"),
            UserError::TooManyKeys => write!(f, "more than {USER_KEYS_MAX} keys"),
        }
    }
}

impl std::error::Error for DirectoryError {}

impl Directory {
    /// Takes the users if all of them make sense, with nothing that holds for all of them.
    ///
    /// # Errors
    /// The first user that does not, and why.
    pub fn new(users: impl IntoIterator<Item = User>) -> Result<Self, DirectoryError> {
        Self::with_rules(users, LoginRules::default())
    }

    /// As [`new`](Self::new), with rules for all users.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_rules(
        users: impl IntoIterator<Item = User>,
        rules: LoginRules,
    ) -> Result<Self, DirectoryError> {
        let mut all: HashMap<String, Arc<User>> = HashMap::new();
        for user in users {
            let fail = |why| DirectoryError { user: user.name.clone(), why };
            check(&user, &rules).map_err(fail)?;
            if all.contains_key(&user.name) {
                return Err(fail(UserError::Twice));
            }
            all.insert(user.name.clone(), Arc::new(user));
        }
        let mut decoys: Vec<_> = all.values().filter_map(|user| user.password.clone()).collect();
        if decoys.is_empty() {
            decoys.extend(DECOY.parse());
        }
        let own_lists = all.values().filter_map(|user| user.known_hosts.clone());
        let common = rules.host_based.iter().map(|rules| Arc::clone(&rules.known_hosts));
        let mut host_key_lists: Vec<_> = common.chain(own_lists).collect();
        host_key_lists.sort_by_key(Arc::as_ptr);
        host_key_lists.dedup_by_key(|list| Arc::as_ptr(list));
        let mut directory = Self {
            users: all,
            rules,
            decoys,
            seed: RandomState::new(),
            offered: Vec::new(),
            host_key_lists,
        };
        let chains = directory.users.values().flat_map(|user| directory.chains(user));
        let mut first: BTreeSet<Method> =
            chains.filter_map(|chain| chain.steps().first().copied()).collect();
        if directory.rules.external.is_some() {
            // Nobody knows yet what its users have.
            first.extend([Method::PublicKey, Method::KeyboardInteractive, Method::Password]);
        }
        directory.offered = first.into_iter().collect();
        Ok(directory)
    }

    /// Every list of host keys that speaks for some user, each once.
    pub(crate) fn host_key_lists(&self) -> impl Iterator<Item = &KnownHosts> {
        self.host_key_lists.iter().map(|list| &**list)
    }

    /// What holds for the logins of all users.
    pub fn rules(&self) -> &LoginRules {
        &self.rules
    }

    /// The chains of which `user` must complete one. Where the user's settings name none, each method
    /// that there is something for is one; but a password alone is not enough beside a second factor.
    pub fn chains(&self, user: &User) -> Vec<Chain> {
        if !user.methods.is_empty() {
            return user.methods.clone();
        }
        let is_enough = |method: &Method| match method {
            Method::PublicKey | Method::HostBased => self.rules.supply(user, *method),
            Method::Password => user.password.is_some() && user.totp.is_none(),
            Method::KeyboardInteractive => {
                (user.password.is_some() && user.totp.is_some()) || self.rules.questioner.is_some()
            }
        };
        Method::ALL.iter().copied().filter(is_enough).map(Chain::one).collect()
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

    /// Checks a password against `hash`, or against a decoy if there is none. Both cost the same.
    pub(crate) fn verify_password(
        &self,
        world: &dyn World,
        name: &[u8],
        hash: Option<&PasswordHash>,
        password: &[u8],
    ) -> bool {
        match hash {
            Some(hash) => world.verify_password(hash, password),
            None => {
                let at = self.seed.hash_one(name) as usize % self.decoys.len().max(1);
                if let Some(decoy) = self.decoys.get(at) {
                    // Never an answer: it may be somebody else's password.
                    std::hint::black_box(world.verify_password(decoy, password));
                }
                false
            }
        }
    }
}

fn check(user: &User, rules: &LoginRules) -> Result<(), UserError> {
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
    for (len, max, error) in [
        (user.principals.len(), USER_PRINCIPALS_MAX, UserError::TooManyPrincipals),
        (user.host_based.len(), HOST_USERS_MAX, UserError::TooManyHostUsers),
        (user.recovery_codes.len(), RECOVERY_CODES_MAX, UserError::TooManyRecoveryCodes),
    ] {
        if len > max {
            return Err(error);
        }
    }
    for chain in &user.methods {
        let steps = chain.steps();
        if let Some(&lacking) = steps.iter().find(|step| !rules.supply(user, **step)) {
            return Err(UserError::Lacks(lacking));
        }
        let keys = steps.iter().filter(|step| **step == Method::PublicKey).count();
        let own_keys_only = rules.user_authorities.is_empty() && rules.key_lookup.is_none();
        if own_keys_only && keys > user.authorized_keys.len() {
            return Err(UserError::LacksKeys);
        }
        let mut before_questions = steps.iter().take_while(|s| **s != Method::KeyboardInteractive);
        let asks_for_a_code = steps.contains(&Method::KeyboardInteractive)
            && before_questions.any(|step| *step == Method::Password);
        let has_codes = user.totp.is_some() || !user.recovery_codes.is_empty();
        if asks_for_a_code && !has_codes && rules.questioner.is_none() {
            return Err(UserError::Lacks(Method::KeyboardInteractive));
        }
        let begins_with_questions = steps.first() == Some(&Method::KeyboardInteractive);
        if begins_with_questions && user.password.is_none() && rules.questioner.is_none() {
            return Err(UserError::CodeAlone);
        }
    }
    Ok(())
}

impl LoginRules {
    /// Whether the user's settings, or what holds for everybody, have what `method` needs.
    fn supply(&self, user: &User, method: Method) -> bool {
        match method {
            Method::PublicKey => {
                user.has(method) || !self.user_authorities.is_empty() || self.key_lookup.is_some()
            }
            Method::HostBased => user.has(method) && self.host_based.is_some(),
            Method::Password => user.has(method),
            Method::KeyboardInteractive => user.has(method) || self.questioner.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmptyWorld;

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
        let verify = |name: &[u8]| {
            let own = directory.user(name).and_then(|user| user.password.as_ref());
            directory.verify_password(&EmptyWorld, name, own, b"pass")
        };
        assert!(verify(b"a"));
        assert!(!verify(b"b"));
        assert!(!verify(b"\xff"));
    }
}
