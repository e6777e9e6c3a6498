//! Whether words can be the value of a keyword, before it is known whether they are needed.

use super::values::{
    add_keys_to_agent, duration, number, port, rekey_limit, strictness, time_or_none, yes_no,
};

/// # Errors
/// What is wrong with them.
pub(super) fn value(name: &str, words: &[String]) -> Result<(), &'static str> {
    let word = words.first().map(String::as_str).ok_or("a value is missing")?;
    let several = match name {
        "UserKnownHostsFile" | "GlobalKnownHostsFile" | "CanonicalDomains" => usize::MAX,
        "RekeyLimit" | "AddKeysToAgent" => 2,
        _ => 1,
    };
    if words.len() > several {
        return Err("more words than this keyword takes");
    }
    match name {
        "AddKeysToAgent" => add_keys_to_agent(words).map(drop),
        "AddressFamily" => one_of(word, &["any", "inet", "inet6"]),
        "BatchMode"
        | "CanonicalizeFallbackLocal"
        | "CheckHostIP"
        | "Compression"
        | "EnableSSHKeysign"
        | "HashKnownHosts"
        | "HostbasedAuthentication"
        | "IdentitiesOnly"
        | "KbdInteractiveAuthentication"
        | "NoHostAuthenticationForLocalhost"
        | "PasswordAuthentication"
        | "TCPKeepAlive" => yes_no(word).map(drop),
        "CanonicalizeHostname" => yes_no(word).map(drop).or_else(|_| one_of(word, &["always"])),
        "CanonicalizeMaxDots"
        | "NumberOfPasswordPrompts"
        | "RequiredRSASize"
        | "ServerAliveCountMax" => number(word).map(drop),
        "ConnectionAttempts" => number(word)?.checked_sub(1).map(drop).ok_or("at least one"),
        "ConnectTimeout" | "ServerAliveInterval" if word.eq_ignore_ascii_case("none") => Ok(()),
        "ConnectTimeout" => duration(word).map(drop),
        "ServerAliveInterval" => time_or_none(word).map(drop),
        "IdentityAgent" => agent_variable(word),
        "Port" => port(word).map(drop),
        "PubkeyAuthentication" => {
            yes_no(word).map(drop).or_else(|_| one_of(word, &["unbound", "host-bound"]))
        }
        "RekeyLimit" => rekey_limit(words).map(drop),
        "StrictHostKeyChecking" => strictness(word).map(drop),
        "UpdateHostKeys" => yes_no(word).map(drop).or_else(|_| one_of(word, &["ask"])),
        "UserKnownHostsFile" | "GlobalKnownHostsFile" | "CanonicalDomains"
            if words.len() > 1 && words.iter().any(|word| word.eq_ignore_ascii_case("none")) =>
        {
            Err("none stands alone")
        }
        _ if word.is_empty() => Err("an empty value"),
        _ => Ok(()),
    }
}

fn one_of(word: &str, values: &[&str]) -> Result<(), &'static str> {
    let known = values.iter().any(|value| value.eq_ignore_ascii_case(word));
    known.then_some(()).ok_or("not a value for this keyword")
}

/// `$NAME` must name a variable.
fn agent_variable(word: &str) -> Result<(), &'static str> {
    let Some(name) = word.strip_prefix('$').filter(|name| !name.starts_with('{')) else {
        return Ok(());
    };
    let fine = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    fine.then_some(()).ok_or("not the name of a variable")
}
