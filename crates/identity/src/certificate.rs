//! The checks that user and host certificates have in common, and the options of user certificates
//! (OpenSSH PROTOCOL.certkeys; CRT-3 to CRT-6).

use sterna_ssh_crypto::{Certificate, CertificateKind};
use sterna_ssh_files::NetworkList;

use crate::authenticate::Context;
use crate::{Reason, Refusal, Restrictions};

/// Whether the authority signed this, for this kind, and it is valid. Costs a verification: call it
/// before anything is looked up, for every name.
pub(crate) fn check_signed(
    cx: &Context<'_>,
    certificate: &Certificate,
    kind: CertificateKind,
) -> Result<(), Refusal> {
    let algorithms: Vec<&str> =
        cx.directory.rules().ca_signature_algorithms.iter().map(String::as_str).collect();
    certificate
        .verify_ca(&algorithms)
        .map_err(|error| Refusal::new(Reason::AuthoritySignature, error.to_string()))?;
    if certificate.kind != kind {
        return Err(Refusal::new(Reason::CertificateKind, format!("wanted {kind:?}")));
    }
    if !certificate.is_valid_at(cx.attempt.now) {
        let (after, before) = (certificate.valid_after, certificate.valid_before);
        let detail = format!("valid from {} to {}", utc(after), utc(before));
        return Err(Refusal::new(Reason::CertificateTime, detail));
    }
    Ok(())
}

/// What a user certificate demands and grants.
pub(crate) struct UserOptions {
    pub(crate) restrictions: Restrictions,
    pub(crate) verify_required: bool,
    pub(crate) no_touch_required: bool,
}

/// Reads and enforces critical options and extensions; one that is not understood refuses (CRT-4).
pub(crate) fn check_user_options(
    cx: &Context<'_>,
    certificate: &Certificate,
) -> Result<UserOptions, Refusal> {
    let mut options = UserOptions {
        restrictions: Restrictions::default(),
        verify_required: false,
        no_touch_required: certificate.extensions.iter().any(|e| e.name == b"no-touch-required"),
    };
    for option in &certificate.critical_options {
        let bad =
            |_| Refusal::new(Reason::CertificateOption, option.name.escape_ascii().to_string());
        match &option.name[..] {
            b"force-command" => {
                let command = option.value().map_err(bad)?;
                options
                    .restrictions
                    .force(command)
                    .map_err(|error| Refusal::new(Reason::CertificateCommand, error.to_string()))?;
            }
            b"source-address" => {
                let list = NetworkList::from_bytes(option.value().map_err(bad)?)
                    .map_err(|error| Refusal::new(Reason::CertificateSource, error.to_string()))?;
                if !list.contains(cx.attempt.source) {
                    let source = cx.attempt.source.to_string();
                    return Err(Refusal::new(Reason::CertificateSource, source));
                }
            }
            b"verify-required" if option.data.is_empty() => options.verify_required = true,
            _ => {
                let name = option.name.escape_ascii().to_string();
                return Err(Refusal::new(Reason::CertificateOption, name));
            }
        }
    }
    Ok(options)
}

/// `ID "…" serial N CA SHA256:…`, as OpenSSH logs it.
pub(crate) fn described(certificate: &Certificate) -> String {
    format!(
        "{} certificate ID \"{}\" serial {} CA {}",
        certificate.key.fingerprint(),
        certificate.key_id.escape_ascii(),
        certificate.serial,
        certificate.ca.fingerprint()
    )
}

/// A time of a certificate for people.
fn utc(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    time.map_or_else(|| "ever".to_owned(), |time| time.to_string())
}
