//! A world in which every proof is right, nothing is used up, and nobody outside is asked.

use std::{
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
};

use sterna_identity::{
    Attempt, AuthorizedKey, Directory, DirectoryError, LoginRules, PasswordHash, RecoveryCode,
    User, World,
    hook::{ExternalAnswer, ExternalIdentity, KeyLookup, Questioner, Questions},
};
use sterna_ssh_crypto::{OfferedKey, SystemRandom};
use zeroize::Zeroizing;

/// See the file's head.
pub struct Assumed {
    /// What every name of a host stands for; empty: the system is asked.
    pub addresses: Vec<IpAddr>,
}

impl World for Assumed {
    fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        if !self.addresses.is_empty() {
            return self.addresses.clone();
        }
        let found = (host, 0).to_socket_addrs();
        found.map_or_else(|_| Vec::new(), |all| all.map(|address| address.ip()).collect())
    }

    fn verify_password(&self, _: &PasswordHash, _: &[u8]) -> bool {
        true
    }

    fn claim_totp_step(&self, _: &str, _: u64) -> Result<bool, String> {
        Ok(true)
    }

    fn claim_recovery_code(&self, _: &str, _: &[u8; 32]) -> Result<bool, String> {
        Ok(true)
    }

    fn advance_counter(&self, _: &str, _: u32) -> Result<bool, String> {
        Ok(true)
    }

    fn change_password(&self, _: &User, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// The same users and rules, with programs and services that are not asked; and a code that is right
/// for everybody who has a second factor.
pub fn assumed(directory: &Directory) -> Result<(Directory, Zeroizing<String>), DirectoryError> {
    let code = RecoveryCode::make(&mut SystemRandom);
    let users = directory.users().map(|user| {
        let mut user = (**user).clone();
        if user.totp.is_some() {
            user.recovery_codes = vec![code.hash()];
        }
        user
    });
    let rules = directory.rules();
    let external = NotAsked("external_identity");
    let key_lookup = NotAsked("authorized_keys_command");
    let questioner = NotAsked("keyboard_interactive");
    let rules = LoginRules {
        external: rules.external.as_ref().map(|_| Arc::new(external) as _),
        key_lookup: rules.key_lookup.as_ref().map(|_| Arc::new(key_lookup) as _),
        questioner: rules.questioner.as_ref().map(|_| Arc::new(questioner) as _),
        ..rules.clone()
    };
    Ok((Directory::with_rules(users, rules)?, code.shown()))
}

/// Stands where the settings name a program or service; holds its key.
struct NotAsked(&'static str);

impl NotAsked {
    fn refuse<T>(&self) -> Result<T, String> {
        Err(format!("{} would be asked, and is not asked here", self.0))
    }
}

impl ExternalIdentity for NotAsked {
    fn ask(&self, _: &Attempt<'_>) -> Result<ExternalAnswer, String> {
        self.refuse()
    }
}

impl KeyLookup for NotAsked {
    fn keys(&self, _: &str, _: &OfferedKey) -> Result<Vec<AuthorizedKey>, String> {
        self.refuse()
    }
}

impl Questioner for NotAsked {
    fn begin(&self, _: &str, _: bool, _: IpAddr, _: &[u8]) -> Result<Box<dyn Questions>, String> {
        self.refuse()
    }
}
