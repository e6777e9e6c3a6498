//! THE table of keywords of ssh_config(5): which have an effect here, and why the others have none.

/// What a keyword does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// As ssh_config(5) says.
    Honoured,
    /// Nothing, because of this: it is about things that file transfer does not have, or that are so
    /// anyway.
    NoMeaning(&'static str),
    /// Nothing although it could matter, because of this. Listed in
    /// [`HostSettings::not_honoured`](super::HostSettings::not_honoured) where a file sets it.
    NotHonoured(&'static str),
}

/// One keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyword {
    /// As ssh_config(5) writes it; files may write it in any case.
    pub name: &'static str,
    pub effect: Effect,
}

use Effect::{Honoured, NoMeaning, NotHonoured};

const SHELL: &str = "no shell or terminal is asked for";
const FORWARDING: &str = "nothing is forwarded";
const X11: &str = "there is no X11";
const SHARING: &str = "each command makes its own connection";
const GSSAPI: &str = "there is no GSSAPI; other methods are tried";
const VARIABLES: &str = "servers of files use no variables";
const SAYING: &str = "sterna's -v and --quiet say how much is told";
const LOCAL_COMMANDS: &str = "no command is run after the login";
const TOKENS_OF_HARDWARE: &str = "keys on hardware are used through the agent";
const GONE: &str = "OpenSSH has given it up, too";

/// Every keyword that is known, by name. All others are errors unless `IgnoreUnknown` names them.
pub const KEYWORDS: &[Keyword] = &[
    k("AddKeysToAgent", Honoured),
    k("AddressFamily", Honoured),
    k("AFSTokenPassing", NoMeaning(GONE)),
    k("BatchMode", Honoured),
    k("BindAddress", Honoured),
    k("BindInterface", Honoured),
    k("CanonicalDomains", Honoured),
    k("CanonicalizeFallbackLocal", Honoured),
    k("CanonicalizeHostname", Honoured),
    k("CanonicalizeMaxDots", Honoured),
    k("CanonicalizePermittedCNAMEs", NotHonoured("aliases of the DNS are not followed")),
    k("CASignatureAlgorithms", Honoured),
    k("CertificateFile", Honoured),
    k("ChannelTimeout", NoMeaning("transfers have time limits of their own")),
    k("CheckHostIP", Honoured),
    k("Cipher", NoMeaning(GONE)),
    k("Ciphers", Honoured),
    k("ClearAllForwardings", NoMeaning(FORWARDING)),
    k("Compression", Honoured),
    k("CompressionLevel", NoMeaning(GONE)),
    k("ConnectionAttempts", Honoured),
    k("ConnectTimeout", Honoured),
    k("ControlMaster", NoMeaning(SHARING)),
    k("ControlPath", NoMeaning(SHARING)),
    k("ControlPersist", NoMeaning(SHARING)),
    k("DynamicForward", NoMeaning(FORWARDING)),
    k("EnableEscapeCommandline", NoMeaning(SHELL)),
    k("EnableSSHKeysign", Honoured),
    k("EscapeChar", NoMeaning(SHELL)),
    k("ExitOnForwardFailure", NoMeaning(FORWARDING)),
    k("FallbackToRsh", NoMeaning(GONE)),
    k("FingerprintHash", NotHonoured("fingerprints are always SHA256")),
    k("ForkAfterAuthentication", NoMeaning(SHELL)),
    k("ForwardAgent", NoMeaning("the agent is never forwarded to a server of files")),
    k("ForwardX11", NoMeaning(X11)),
    k("ForwardX11Timeout", NoMeaning(X11)),
    k("ForwardX11Trusted", NoMeaning(X11)),
    k("GatewayPorts", NoMeaning(FORWARDING)),
    k("GlobalKnownHostsFile", Honoured),
    k("GlobalKnownHostsFile2", NoMeaning(GONE)),
    k("GSSAPIAuthentication", NoMeaning(GSSAPI)),
    k("GSSAPIClientIdentity", NoMeaning(GSSAPI)),
    k("GSSAPIDelegateCredentials", NoMeaning(GSSAPI)),
    k("GSSAPIKexAlgorithms", NoMeaning(GSSAPI)),
    k("GSSAPIKeyExchange", NoMeaning(GSSAPI)),
    k("GSSAPIRenewalForcesRekey", NoMeaning(GSSAPI)),
    k("GSSAPIServerIdentity", NoMeaning(GSSAPI)),
    k("GSSAPITrustDns", NoMeaning(GSSAPI)),
    k("HashKnownHosts", Honoured),
    k("Host", Honoured),
    k("HostbasedAcceptedAlgorithms", Honoured),
    k("HostbasedAuthentication", Honoured),
    k("HostKeyAlgorithms", Honoured),
    k("HostKeyAlias", Honoured),
    k("HostName", Honoured),
    k("IdentitiesOnly", Honoured),
    k("IdentityAgent", Honoured),
    k("IdentityFile", Honoured),
    k("IgnoreUnknown", Honoured),
    k("Include", Honoured),
    k("IPQoS", NotHonoured("the system's default is used")),
    k("KbdInteractiveAuthentication", Honoured),
    k("KbdInteractiveDevices", Honoured),
    k("KerberosAuthentication", NoMeaning(GONE)),
    k("KerberosTgtPassing", NoMeaning(GONE)),
    k("KexAlgorithms", Honoured),
    k("KnownHostsCommand", NotHonoured("host keys come from files only")),
    k("LocalCommand", NoMeaning(LOCAL_COMMANDS)),
    k("LocalForward", NoMeaning(FORWARDING)),
    k("LogLevel", NoMeaning(SAYING)),
    k("LogVerbose", NoMeaning(SAYING)),
    k("MACs", Honoured),
    k("Match", Honoured),
    k("NoHostAuthenticationForLocalhost", Honoured),
    k("NumberOfPasswordPrompts", Honoured),
    k("ObscureKeystrokeTiming", NoMeaning(SHELL)),
    k("PasswordAuthentication", Honoured),
    k("PermitLocalCommand", NoMeaning(LOCAL_COMMANDS)),
    k("PermitRemoteOpen", NoMeaning(FORWARDING)),
    k("PKCS11Provider", NotHonoured(TOKENS_OF_HARDWARE)),
    k("Port", Honoured),
    k("PreferredAuthentications", Honoured),
    k("Protocol", NoMeaning(GONE)),
    k("ProxyCommand", Honoured),
    k("ProxyJump", Honoured),
    k("ProxyUseFdpass", NotHonoured("a ProxyCommand has to carry the bytes itself")),
    k("PubkeyAcceptedAlgorithms", Honoured),
    k("PubkeyAuthentication", Honoured),
    k("RefuseConnection", Honoured),
    k("RekeyLimit", Honoured),
    k("RemoteCommand", NoMeaning(SHELL)),
    k("RemoteForward", NoMeaning(FORWARDING)),
    k("RequestTTY", NoMeaning(SHELL)),
    k("RequiredRSASize", Honoured),
    k("RevokedHostKeys", Honoured),
    k("RhostsAuthentication", NoMeaning(GONE)),
    k("RhostsRSAAuthentication", NoMeaning(GONE)),
    k("RSAAuthentication", NoMeaning(GONE)),
    k("SecurityKeyProvider", NotHonoured(TOKENS_OF_HARDWARE)),
    k("SendEnv", NoMeaning(VARIABLES)),
    k("ServerAliveCountMax", Honoured),
    k("ServerAliveInterval", Honoured),
    k("SessionType", NoMeaning("it is always the subsystem sftp")),
    k("SetEnv", NoMeaning(VARIABLES)),
    k("SmartcardDevice", NotHonoured(TOKENS_OF_HARDWARE)),
    k("StdinNull", NoMeaning(SHELL)),
    k("StreamLocalBindMask", NoMeaning(FORWARDING)),
    k("StreamLocalBindUnlink", NoMeaning(FORWARDING)),
    k("StrictHostKeyChecking", Honoured),
    k("SyslogFacility", NoMeaning(SAYING)),
    k("Tag", Honoured),
    k("TCPKeepAlive", Honoured),
    k("Tunnel", NoMeaning(FORWARDING)),
    k("TunnelDevice", NoMeaning(FORWARDING)),
    k("UpdateHostKeys", Honoured),
    k("UseKeychain", NoMeaning("passphrases are not kept")),
    k("UsePrivilegedPort", NoMeaning(GONE)),
    k("User", Honoured),
    k("UserKnownHostsFile", Honoured),
    k("UserKnownHostsFile2", NoMeaning(GONE)),
    k("UseRoaming", NoMeaning(GONE)),
    k("UseRsh", NoMeaning(GONE)),
    k("VerifyHostKeyDNS", NotHonoured("the DNS is not asked for host keys")),
    k("VersionAddendum", NoMeaning("nothing is added to the version that the server sees")),
    k("VisualHostKey", NoMeaning("fingerprints are shown as text")),
    k("WarnWeakCrypto", NoMeaning("weak algorithms are not used")),
    k("XAuthLocation", NoMeaning(X11)),
];

/// Other names of keywords, in lower case: old ones, and Debian's.
const ALIASES: &[(&str, &str)] = &[
    ("challengeresponseauthentication", "kbdinteractiveauthentication"),
    ("dsaauthentication", "pubkeyauthentication"),
    ("hostbasedkeytypes", "hostbasedacceptedalgorithms"),
    ("identityfile2", "identityfile"),
    ("keepalive", "tcpkeepalive"),
    ("protocolkeepalives", "serveraliveinterval"),
    ("pubkeyacceptedkeytypes", "pubkeyacceptedalgorithms"),
    ("setuptimeout", "serveraliveinterval"),
    ("skeyauthentication", "kbdinteractiveauthentication"),
    ("tisauthentication", "kbdinteractiveauthentication"),
];

const fn k(name: &'static str, effect: Effect) -> Keyword {
    Keyword { name, effect }
}

/// The row of a keyword, which may be written in any case or by an older name.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    let name = alias.map_or(name, |(_, name)| name);
    KEYWORDS.iter().find(|keyword| keyword.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_stands_once_in_order_and_is_found_in_any_case() {
        let lower: Vec<String> = KEYWORDS.iter().map(|k| k.name.to_ascii_lowercase()).collect();
        assert!(lower.is_sorted_by(|a, b| a < b), "{lower:?}");
        for keyword in KEYWORDS {
            assert_eq!(find(&keyword.name.to_ascii_uppercase()), Some(keyword));
        }
        for (alias, name) in ALIASES {
            assert!(find(alias).unwrap().name.eq_ignore_ascii_case(name), "{alias}");
        }
        assert!(find("NoSuchKeyword").is_none());
    }
}
