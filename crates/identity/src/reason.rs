//! Why an attempt was refused: a rule with a name that stays, the place where it stands, and words.

use std::fmt;

use sterna_ssh_files::Place;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $rule:literal $text:literal,)*) => {
        /// Why an attempt was refused. For the log and `explain`; outside every refusal looks the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name of the rule, the same in logs, `explain` and the documentation.
            pub fn rule(self) -> &'static str {
                match self {
                    $(Self::$variant => $rule,)*
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}

reasons! {
    UnknownUser "user" "unknown user",
    UserDisabled "user.enabled" "user is disabled",
    ListenerGroups "listener.groups" "the listener takes users of other groups only",
    UserExpired "user.expires" "the account has expired",
    SourceNotAllowed "user.allow_from" "address is not allowed for this user",
    OutsideHours "user.hours" "outside the user's hours",
    /// Nothing was offered; how clients ask for the methods.
    NothingOffered "none" "nothing offered",
    /// Not a method of ours.
    UnknownMethod "method" "method is not supported",
    /// Not what the user's chains want now.
    MethodNotNext "user.methods" "method is not wanted now",
    PasswordTooLong "password" "password is too long",
    WrongPassword "password" "wrong password",
    PasswordNotChanged "password.change" "the new password was not taken",
    KeyRevoked "revoked_keys_file" "key or certificate is revoked",
    KeyNotAuthorized "authorized_keys" "key is not authorized",
    KeyFrom "authorized_keys.from" "address is not allowed for this key",
    KeyExpired "authorized_keys.expiry-time" "key has expired",
    KeyCommand "authorized_keys.command" "the key's command is not file transfer",
    BadSignature "signature" "signature does not verify",
    /// The key has already proven an earlier step.
    KeyAlreadyUsed "user.methods" "key was already used for an earlier step",
    NotTouched "authorized_keys.touch" "the security key was not touched",
    UserNotVerified "authorized_keys.verify-required" "the security key did not verify its user",
    CounterWentBack "key.counter" "the security key's counter went back: it may have been cloned",
    AuthorityUnknown "certificate.authority" "certificate authority is not trusted",
    AuthoritySignature "certificate.signature" "the authority's signature does not verify",
    CertificateKind "certificate.kind" "certificate is not of this kind",
    CertificateTime "certificate.validity" "certificate is not valid at this time",
    CertificatePrincipal "certificate.principals" "certificate does not name this user or host",
    CertificateSource "certificate.source-address" "address is not allowed by the certificate",
    CertificateOption "certificate.critical-options" "certificate has an option that is not understood",
    CertificateCommand "certificate.force-command" "the certificate's command is not file transfer",
    HostName "host_based.name" "not a usable host name",
    HostAddress "host_based.check_address" "the host name does not belong to this address",
    HostUserNotListed "user.host_based" "this user of this host is not listed",
    HostKeyUnknown "host_based.known_hosts_file" "host key is not listed for this host",
    HostKeyRevoked "host_based.known_hosts_file" "host key is revoked for this host",
    NoDialogue "keyboard-interactive" "answer without a question",
    WrongCode "totp" "wrong code",
    CodeUsed "totp.replay" "code was used before",
    HookDenied "hook" "the external program said no",
    HookFailed "hook" "the external program failed",
    StateFailed "state" "the state directory cannot be used",
}

/// A refusal: the rule, where it stands if it stands in a file, and what was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub place: Option<Place>,
    /// More words, or empty. May quote the peer: escaped.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, place: None, detail: detail.into() }
    }

    pub(crate) fn at(mut self, place: Option<&Place>) -> Self {
        self.place = place.cloned();
        self
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, place: None, detail: String::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_rule_words_and_place() {
        let place = Place { file: std::path::Path::new("sterna.toml").into(), line: 7 };
        let refusal = Refusal::new(Reason::SourceNotAllowed, "192.0.2.1").at(Some(&place));

        assert_eq!(refusal.reason.rule(), "user.allow_from");
        assert_eq!(
            refusal.to_string(),
            "address is not allowed for this user: 192.0.2.1 (sterna.toml:7)"
        );
    }
}
