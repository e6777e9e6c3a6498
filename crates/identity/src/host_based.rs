//! Whether a client's host may speak for its user (RFC 4252 §9; HBA-2): name, signature, host key, address,
//! user, in this order, and all of them; the key once more, for this user.

use sterna_ssh_crypto::{Certificate, CertificateKind, OfferedKey};
use sterna_ssh_files::pattern::wildcard_match;
use sterna_ssh_files::{KnownHosts, Lookup, Place, ShostsVerdict};

use crate::attempt::HostClaim;
use crate::authenticate::Context;
use crate::limits::HOST_NAME_LEN_MAX;
use crate::progress::Proof;
use crate::rules::HostBasedRules;
use crate::{Method, Reason, Refusal, User, certificate};

/// What can be said about the claim whoever the user is; it costs the same for every name.
pub(crate) fn check_claim(cx: &mut Context<'_>, claim: &HostClaim<'_>) -> Result<String, Refusal> {
    let host = host_name(claim.client_host)?;
    if let Some(revoked) = &cx.directory.rules().revoked
        && let Some(entry) = revoked.keys.revocation(claim.key)
    {
        let refusal = Refusal::new(Reason::KeyRevoked, entry.to_string());
        return Err(refusal.at(revoked.place.as_ref()));
    }
    if let Some(certificate) = claim.key.certificate() {
        certificate::check_signed(cx, certificate, CertificateKind::Host)?;
    }
    if let Some(rules) = &cx.directory.rules().host_based {
        // Here already: asking for names takes time, and it must not show who exists. It is asked for hosts
        // only whose key somebody has listed: strangers do not choose what we look up.
        if !claim.signature_valid {
            return Err(Reason::BadSignature.into());
        }
        let lists: Vec<&KnownHosts> = cx.directory.host_key_lists().collect();
        if listed(&lists, claim.key, &host)?.is_none() {
            refuse_revoked(&lists, claim.key, &host)?;
            return Err(unknown_key(claim.key, &host));
        }
        check_address(cx, rules, &host)?;
    }
    Ok(host)
}

/// The proof that `user` logs in from `host`.
pub(crate) fn prove(
    cx: &mut Context<'_>,
    user: &User,
    rules: &HostBasedRules,
    claim: &HostClaim<'_>,
    host: &str,
) -> Result<Proof, Refusal> {
    check_user(cx, user, claim, host)?;
    check_host_key(cx, user, rules, claim.key, host)?;
    let key = match claim.key.certificate() {
        Some(certificate) => certificate::described(certificate),
        None => format!("{} {}", claim.key.type_name(), claim.key.fingerprint()),
    };
    let client_user = claim.client_user.escape_ascii();
    Ok(Proof::new(Method::HostBased, format!("{client_user}@{host} host key {key}")))
}

/// The claimed name without the dot at its end, in lower case. Names that would be read as patterns,
/// lists or ports elsewhere are none.
fn host_name(claimed: &[u8]) -> Result<String, Refusal> {
    let bad = || Refusal::new(Reason::HostName, claimed.escape_ascii().to_string());
    let name = claimed.strip_suffix(b".").unwrap_or(claimed);
    let usable = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if name.is_empty() || name.len() > HOST_NAME_LEN_MAX || !name.iter().all(usable) {
        return Err(bad());
    }
    Ok(String::from_utf8_lossy(name).to_ascii_lowercase())
}

fn check_address(cx: &mut Context<'_>, rules: &HostBasedRules, host: &str) -> Result<(), Refusal> {
    if !rules.check_address {
        cx.trace.passed("host_based.check_address", None, || "switched off".to_owned());
        return Ok(());
    }
    let source = cx.attempt.source.to_canonical();
    let addresses = cx.world.addresses_of(host);
    if !addresses.iter().any(|address| address.to_canonical() == source) {
        let detail = match &addresses[..] {
            [] => format!("{host} has no address"),
            _ => format!("{host} is {addresses:?}, the peer {source}"),
        };
        return Err(Refusal::new(Reason::HostAddress, detail));
    }
    cx.trace.passed("host_based.check_address", None, || format!("{host} is {source}"));
    Ok(())
}

fn check_user(
    cx: &mut Context<'_>,
    user: &User,
    claim: &HostClaim<'_>,
    host: &str,
) -> Result<(), Refusal> {
    let listed =
        |pair: &&crate::HostUser| pair.host == host && pair.user.as_bytes() == claim.client_user;
    let client_user = claim.client_user.escape_ascii().to_string();
    let place = match user.host_based.iter().find(listed) {
        Some(pair) => pair.place.clone(),
        None => {
            let verdict = match (&user.shosts, std::str::from_utf8(claim.client_user)) {
                (Some(shosts), Ok(name)) => {
                    shosts.verdict(host, cx.attempt.source.to_canonical(), name, &user.name)
                }
                _ => ShostsVerdict::Silent,
            };
            let refuse = |place| {
                let detail = format!("{host}:{client_user}");
                Err(Refusal::new(Reason::HostUserNotListed, detail).at(place))
            };
            match verdict {
                ShostsVerdict::Allowed(place) => Some(place),
                ShostsVerdict::Denied(place) => return refuse(Some(&place)),
                ShostsVerdict::Silent => return refuse(user.place.as_ref()),
            }
        }
    };
    cx.trace
        .passed("user.host_based", place.as_ref(), || format!("{host}:{client_user} is listed"));
    Ok(())
}

/// The key must be listed for exactly this host, in the server's list or the user's.
fn check_host_key(
    cx: &mut Context<'_>,
    user: &User,
    rules: &HostBasedRules,
    key: &OfferedKey,
    host: &str,
) -> Result<(), Refusal> {
    let lists: Vec<&KnownHosts> =
        user.known_hosts.iter().map(|own| &**own).chain([&*rules.known_hosts]).collect();
    refuse_revoked(&lists, key, host)?;
    let place = listed(&lists, key, host)?.ok_or_else(|| unknown_key(key, host))?;
    cx.trace.passed("host_based.known_hosts_file", Some(&place), || {
        format!("{} is listed for {host}", key.fingerprint())
    });
    Ok(())
}

/// The key, and the authority that certifies it, must not be revoked for this host.
fn refuse_revoked(lists: &[&KnownHosts], key: &OfferedKey, host: &str) -> Result<(), Refusal> {
    let authority = key.certificate().map(|certificate| &certificate.ca);
    for key in [Some(key.key()), authority].into_iter().flatten() {
        if let Some(place) = lists.iter().find_map(|list| list.is_revoked(&[host], key)) {
            return Err(Refusal::from(Reason::HostKeyRevoked).at(Some(&place)));
        }
    }
    Ok(())
}

/// The line that lists the key, or its authority, for this host.
fn listed(lists: &[&KnownHosts], key: &OfferedKey, host: &str) -> Result<Option<Place>, Refusal> {
    match key {
        OfferedKey::Plain(plain) => {
            Ok(lists.iter().find_map(|list| match list.lookup(&[host], plain) {
                Lookup::Known(place) => Some(place),
                _ => None,
            }))
        }
        OfferedKey::Certified(certificate) => authority_of(lists, certificate, host),
    }
}

fn unknown_key(key: &OfferedKey, host: &str) -> Refusal {
    Refusal::new(Reason::HostKeyUnknown, format!("{host} {}", key.fingerprint()))
}

/// The line whose authority certifies this host; the certificate must name it (CRT-6).
fn authority_of(
    lists: &[&KnownHosts],
    certificate: &Certificate,
    host: &str,
) -> Result<Option<Place>, Refusal> {
    let find = |list: &&KnownHosts| list.certificate_authority(&[host], &certificate.ca);
    let Some(place) = lists.iter().find_map(find) else { return Ok(None) };
    let named = |p: &Vec<u8>| wildcard_match(&p.to_ascii_lowercase(), host.as_bytes());
    if !certificate.principals.iter().any(named) {
        return Err(Refusal::new(Reason::CertificatePrincipal, host).at(Some(&place)));
    }
    if let Some(option) = certificate.critical_options.first() {
        let name = option.name.escape_ascii().to_string();
        return Err(Refusal::new(Reason::CertificateOption, name));
    }
    Ok(Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_lose_one_dot_and_their_capitals_and_hold_nothing_strange() {
        assert_eq!(host_name(b"Batch.Example.COM.").unwrap(), "batch.example.com");
        assert_eq!(host_name(b"::1").unwrap(), "::1");
        for bad in [&b""[..], b".", b"a,b", b"*.example.com", b"[a]:22", b"a b", b"a\0", b"\xff"] {
            assert!(host_name(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(host_name(&[b'a'; HOST_NAME_LEN_MAX + 1]).is_err());
    }
}
