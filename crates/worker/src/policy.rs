//! Which users of the machine may log in, and how: set when the monitor starts, and nothing that the network process
//! says changes it.

use std::path::PathBuf;

/// Where passwords are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// By PAM, whose library is loaded then.
    Pam,
    /// By the hashes of the shadow file, which may come from elsewhere by NSS.
    Shadow,
    /// Nowhere: no password lets anybody in.
    Off,
}

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Numbers below belong to the system. Root never logs in, whatever this says.
    pub min_uid: u32,
    /// Only members of one of these; empty: everybody.
    pub groups_allowed: Vec<String>,
    /// What a user sees as `/`; `%u` is the name, `%h` the home.
    pub root: String,
    pub password: PasswordSource,
    /// The name of the service in PAM's settings.
    pub pam_service: String,
    /// Permission bits taken off new files.
    pub umask: u32,
    /// The file of a user's keys, with `%u` and `%h`.
    pub authorized_keys_file: String,
    /// Nothing may be changed; the kernel holds it.
    pub read_only: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_uid: 1000,
            groups_allowed: Vec::new(),
            root: "/".to_owned(),
            password: PasswordSource::Off,
            pam_service: "sterna".to_owned(),
            umask: 0o022,
            authorized_keys_file: "%h/.ssh/authorized_keys".to_owned(),
            read_only: false,
        }
    }
}

impl PasswordSource {
    pub const ALL: [Self; 3] = [Self::Pam, Self::Shadow, Self::Off];

    /// As the settings write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pam => "pam",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

impl Policy {
    /// As arguments of a helper process.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = vec![
            self.min_uid.to_string(),
            self.root.clone(),
            self.password.name().to_owned(),
            self.pam_service.clone(),
            format!("{:o}", self.umask),
            self.authorized_keys_file.clone(),
            self.read_only.to_string(),
        ];
        args.extend(self.groups_allowed.iter().cloned());
        args
    }

    /// What [`to_args`](Self::to_args) wrote.
    pub fn from_args(args: &[String]) -> Option<Self> {
        let [min_uid, root, password, pam_service, umask, keys, read_only, groups @ ..] = args
        else {
            return None;
        };
        Some(Self {
            min_uid: min_uid.parse().ok()?,
            groups_allowed: groups.to_vec(),
            root: root.clone(),
            password: PasswordSource::ALL.into_iter().find(|source| source.name() == password)?,
            pam_service: pam_service.clone(),
            umask: u32::from_str_radix(umask, 8).ok()?,
            authorized_keys_file: keys.clone(),
            read_only: read_only.parse().ok()?,
        })
    }
}

/// Puts name and home in the place of `%u` and `%h`; `%%` is a percent sign.
pub(crate) fn expand(pattern: &str, user: &str, home: &str) -> PathBuf {
    let mut text = String::new();
    let mut parts = pattern.chars();
    while let Some(c) = parts.next() {
        match (c, c == '%') {
            (_, true) => match parts.next() {
                Some('u') => text.push_str(user),
                Some('h') => text.push_str(home),
                Some(other) => text.push(other),
                None => text.push('%'),
            },
            (c, false) => text.push(c),
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_comes_back_as_it_was() {
        let policy = Policy {
            groups_allowed: vec!["sftp".into(), "a b".into()],
            password: PasswordSource::Shadow,
            umask: 0o027,
            ..Policy::default()
        };
        assert_eq!(Policy::from_args(&policy.to_args()), Some(policy.clone()));
        assert_eq!(Policy::from_args(&policy.to_args()[..6]), None);
    }

    #[test]
    fn percent_signs_stand_for_name_and_home() {
        assert_eq!(expand("/srv/%u/x%%", "ann", "/home/ann"), PathBuf::from("/srv/ann/x%"));
        assert_eq!(expand("%h/.ssh%", "ann", "/home/ann"), PathBuf::from("/home/ann/.ssh%"));
    }
}
