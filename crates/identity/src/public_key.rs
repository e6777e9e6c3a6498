//! Whether a key or certificate may log in a user: revocation, the user's keys with their options, and
//! authorities (CRT-3, PUB-4, AUT-7).

use sterna_ssh_crypto::{Certificate, CertificateKind, OfferedKey, PublicKey};

use crate::authenticate::Context;
use crate::certificate::{self, UserOptions};
use crate::progress::{Progress, Proof};
use crate::{
    Authority, KeyOptions, Method, Reason, Refusal, Restrictions, Signature, User, UserKey,
};

/// What a key that may log in demands.
pub(crate) struct Grant {
    restrictions: Restrictions,
    verify_required: bool,
    touch_required: bool,
    detail: String,
}

/// What can be said about the key itself, whoever the user is; it costs the same for every name.
pub(crate) fn check_key(cx: &Context<'_>, key: &OfferedKey) -> Result<(), Refusal> {
    if let Some(revoked) = &cx.directory.rules().revoked
        && let Some(entry) = revoked.keys.revocation(key)
    {
        let refusal = Refusal::new(Reason::KeyRevoked, entry.to_string());
        return Err(refusal.at(revoked.place.as_ref()));
    }
    match key.certificate() {
        Some(certificate) => certificate::check_signed(cx, certificate, CertificateKind::User),
        None => Ok(()),
    }
}

/// Whether `key` may log in `user`, and under what conditions.
pub(crate) fn grant(
    cx: &mut Context<'_>,
    user: &User,
    progress: &Progress,
    key: &OfferedKey,
) -> Result<Grant, Refusal> {
    let grant = match key {
        OfferedKey::Plain(plain) => plain_key(cx, user, key, plain)?,
        OfferedKey::Certified(certificate) => certified_key(cx, user, key, certificate)?,
    };
    check_unused(progress, key)?;
    Ok(grant)
}

/// The conditions of a key of which a program outside says that it may log in the user. What a
/// certificate demands holds all the same: its authority said so (CRT-4).
pub(crate) fn vouched(
    cx: &Context<'_>,
    progress: &Progress,
    key: &OfferedKey,
) -> Result<Grant, Refusal> {
    check_unused(progress, key)?;
    let detail = format!("{} {}, vouched for from outside", key.type_name(), key.fingerprint());
    let (restrictions, verify_required) = match key.certificate() {
        None => (Restrictions::default(), false),
        Some(certificate) => {
            let options = certificate::check_user_options(cx, certificate)?;
            (options.restrictions, options.verify_required)
        }
    };
    Ok(Grant { restrictions, verify_required, touch_required: true, detail })
}

/// A key is good for one step of a chain (AUT-5).
fn check_unused(progress: &Progress, key: &OfferedKey) -> Result<(), Refusal> {
    let used = |proof: &Proof| proof.key.as_ref() == Some(key.key());
    match progress.proofs.iter().any(used) {
        true => Err(Reason::KeyAlreadyUsed.into()),
        false => Ok(()),
    }
}

/// The proof, if the signature is good and made as the key's owner demands.
pub(crate) fn prove(
    cx: &mut Context<'_>,
    grant: Grant,
    key: &OfferedKey,
    signature: Signature,
) -> Result<(Proof, Restrictions), Refusal> {
    match signature {
        Signature::Invalid => return Err(Reason::BadSignature.into()),
        Signature::Valid => {}
        Signature::ByToken(token) => {
            if grant.touch_required && !token.touched {
                return Err(Reason::NotTouched.into());
            }
            if grant.verify_required && !token.user_verified {
                return Err(Reason::UserNotVerified.into());
            }
            match cx.world.advance_counter(&key.fingerprint(), token.counter) {
                Ok(true) => {}
                Ok(false) => return Err(Reason::CounterWentBack.into()),
                Err(why) => return Err(Refusal::new(Reason::StateFailed, why)),
            }
        }
    }
    let mut proof = Proof::new(Method::PublicKey, grant.detail);
    proof.key = Some(key.key().clone());
    Ok((proof, grant.restrictions))
}

fn plain_key(
    cx: &mut Context<'_>,
    user: &User,
    offered: &OfferedKey,
    key: &PublicKey,
) -> Result<Grant, Refusal> {
    let is_it = |line: &UserKey| !line.key.options.cert_authority && line.key.key == *key;
    first_good(cx, user, offered, is_it, |cx, line| {
        let mut restrictions = Restrictions::default();
        check_options(cx, line, &mut restrictions)?;
        let options = &line.key.options;
        cx.trace.passed("authorized_keys", line.place.as_ref(), || {
            format!("{} is authorized", key.fingerprint())
        });
        Ok(Grant {
            restrictions,
            verify_required: options.verify_required,
            touch_required: !options.no_touch_required,
            detail: format!("{} {}", key.key_type(), key.fingerprint()),
        })
    })
}

fn certified_key(
    cx: &mut Context<'_>,
    user: &User,
    offered: &OfferedKey,
    certificate: &Certificate,
) -> Result<Grant, Refusal> {
    let rules = cx.directory.rules();
    let trusted = rules.user_authorities.iter().find(|ca| ca.key == certificate.ca);
    // As OpenSSH: what the authority for everybody does not let in, a line of the user still may.
    let not_trusted = match trusted.map(|ca| by_authority(cx, user, certificate, ca)) {
        Some(Ok(grant)) => return Ok(grant),
        Some(Err(why)) => why,
        None => Refusal::new(Reason::AuthorityUnknown, certificate.ca.fingerprint()),
    };
    let is_it = |line: &UserKey| line.key.options.cert_authority && line.key.key == certificate.ca;
    let found = first_good(cx, user, offered, is_it, |cx, line| {
        let wanted = match &line.key.options.principals {
            Some(list) => list.iter().map(String::as_str).collect(),
            None => user.certificate_principals(),
        };
        let principal = check_principals(certificate, &wanted)?;
        let mut options = certificate::check_user_options(cx, certificate)?;
        check_options(cx, line, &mut options.restrictions)?;
        let KeyOptions { verify_required, no_touch_required, .. } = line.key.options;
        options.verify_required |= verify_required;
        options.no_touch_required &= no_touch_required;
        let detail = format!("{} principal {principal}", certificate::described(certificate));
        cx.trace.passed("authorized_keys", line.place.as_ref(), || detail.clone());
        Ok(certified(options, detail))
    });
    found.map_err(|refusal| match refusal.reason {
        Reason::KeyNotAuthorized => not_trusted,
        _ => refusal,
    })
}

/// Whether `certificate`, by an authority for everybody, is for `user`.
fn by_authority(
    cx: &mut Context<'_>,
    user: &User,
    certificate: &Certificate,
    authority: &Authority,
) -> Result<Grant, Refusal> {
    let principal = check_principals(certificate, &user.certificate_principals())
        .map_err(|refusal| refusal.at(user.place.as_ref()))?;
    let options = certificate::check_user_options(cx, certificate)?;
    let detail = format!("{} principal {principal}", certificate::described(certificate));
    cx.trace.passed("certificate.authority", authority.place.as_ref(), || detail.clone());
    Ok(certified(options, detail))
}

fn certified(options: UserOptions, detail: String) -> Grant {
    Grant {
        restrictions: options.restrictions,
        verify_required: options.verify_required,
        touch_required: !options.no_touch_required,
        detail,
    }
}

/// The first line about this key whose conditions are all met; lines of an outside program come last.
/// If there is none, the refusal of the last line that was about the key.
fn first_good(
    cx: &mut Context<'_>,
    user: &User,
    offered: &OfferedKey,
    is_it: impl Fn(&UserKey) -> bool,
    mut check: impl FnMut(&mut Context<'_>, &UserKey) -> Result<Grant, Refusal>,
) -> Result<Grant, Refusal> {
    let mut refusal = None;
    for line in user.authorized_keys.iter().filter(|line| is_it(line)) {
        match check(cx, line) {
            Ok(grant) => return Ok(grant),
            Err(why) => refusal = Some(why.at(line.place.as_ref())),
        }
    }
    if let Some(lookup) = &cx.directory.rules().key_lookup {
        let lines = lookup
            .keys(&user.name, offered)
            .map_err(|why| Refusal::new(Reason::HookFailed, why))?;
        for line in lines.into_iter().map(UserKey::from).filter(|line| is_it(line)) {
            match check(cx, &line) {
                Ok(grant) => return Ok(grant),
                Err(why) => refusal = Some(why),
            }
        }
    }
    let unknown = || Refusal::new(Reason::KeyNotAuthorized, offered.fingerprint());
    Err(refusal.unwrap_or_else(unknown))
}

/// The options that every line may have.
fn check_options(
    cx: &Context<'_>,
    line: &UserKey,
    restrictions: &mut Restrictions,
) -> Result<(), Refusal> {
    let options = &line.key.options;
    if let Some(from) = &options.from
        && !from.allows(cx.attempt.source, None)
    {
        return Err(Refusal::new(Reason::KeyFrom, cx.attempt.source.to_string()));
    }
    if options.is_expired_at(cx.attempt.now) {
        return Err(Reason::KeyExpired.into());
    }
    if let Some(command) = &options.command {
        restrictions
            .force(command)
            .map_err(|error| Refusal::new(Reason::KeyCommand, error.to_string()))?;
    }
    Ok(())
}

/// A name of the certificate that is among `wanted`. Whole strings only; none at all is for nobody.
fn check_principals(certificate: &Certificate, wanted: &[&str]) -> Result<String, Refusal> {
    let names = |name: &&&str| certificate.principals.iter().any(|p| p == name.as_bytes());
    match wanted.iter().find(names) {
        Some(name) => Ok((*name).to_owned()),
        None => {
            let held: Vec<String> =
                certificate.principals.iter().map(|p| p.escape_ascii().to_string()).collect();
            let detail = format!("it names {:?}, wanted is one of {wanted:?}", held.join(","));
            Err(Refusal::new(Reason::CertificatePrincipal, detail))
        }
    }
}
