//! A service that is asked by `POST`: one request, one answer, nothing followed and nothing kept.
//!
//! Each question has a connection of its own: no login fails because a connection that was kept had
//! been closed meanwhile. Proxies that the environment names are not used: a password goes to the host
//! in the settings or nowhere.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ureq::http::{HeaderValue, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use crate::HookError;
use crate::limits::{CA_FILE_LEN_MAX, HEADERS_LEN_MAX, TOKEN_LEN_MAX, URL_LEN_MAX};

/// Permissions that a file with a token must not give: to write for group and others, to read for
/// others.
const TOKEN_MODE_REFUSED: u32 = 0o026;

#[derive(Debug)]
pub(crate) struct Service {
    url: String,
    token_file: Option<PathBuf>,
    agent: ureq::Agent,
}

impl Service {
    pub(crate) fn new(
        url: &str,
        token_file: Option<PathBuf>,
        ca_file: Option<&Path>,
        allow_plain_http: bool,
    ) -> Result<Self, HookError> {
        let encrypted = check_url(url, allow_plain_http)?;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent("sterna")
            .accept("application/json")
            .max_response_header_size(HEADERS_LEN_MAX)
            .max_idle_connections(0);
        if encrypted {
            let authorities = match ca_file {
                Some(path) => authorities_of(path)?,
                None => authorities_of_system()?,
            };
            let tls = TlsConfig::builder()
                .root_certs(RootCerts::Specific(Arc::new(authorities)))
                .unversioned_rustls_crypto_provider(Arc::new(
                    rustls::crypto::ring::default_provider(),
                ));
            config = config.tls_config(tls.build());
        }
        Ok(Self { url: url.to_owned(), token_file, agent: config.build().new_agent() })
    }

    /// Whether the files that it needs are there.
    pub(crate) fn check(&self) -> Result<(), HookError> {
        self.token().map(drop)
    }

    /// Sends `body` and gives back the body of the answer.
    ///
    /// # Errors
    /// [`HookError::TimedOut`]; [`HookError::Failed`] also for every status but 200;
    /// [`HookError::Answer`] if the answer is longer than `len_max` bytes.
    pub(crate) fn post(
        &self,
        body: &[u8],
        len_max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, HookError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(HookError::TimedOut);
        }
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(token) = self.token()? {
            request = request.header(header::AUTHORIZATION, token);
        }
        let failed = |error| match error {
            ureq::Error::Timeout(_) => HookError::TimedOut,
            ureq::Error::BodyExceedsLimit(_) => {
                HookError::answer(format_args!("longer than {len_max} bytes"))
            }
            other => HookError::failed(&self.url, other),
        };
        let mut response =
            request.config().timeout_global(Some(left)).build().send(body).map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(HookError::failed(
                &self.url,
                format_args!("status {}", response.status().as_u16()),
            ));
        }
        let len_max = u64::try_from(len_max).unwrap_or(u64::MAX);
        response.body_mut().with_config().limit(len_max).read_to_vec().map_err(failed)
    }

    /// The header line that proves who asks, if there is a token.
    fn token(&self) -> Result<Option<HeaderValue>, HookError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let failed = |e| HookError::failed(format_args!("read {}", path.display()), e);
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & TOKEN_MODE_REFUSED != 0 {
            return Err(HookError::Untrusted {
                path: path.clone(),
                why: "a token must be for its owner and group only, and written by its owner",
            });
        }
        let text = read_bounded(file, path, TOKEN_LEN_MAX)?;
        let text = text.trim_ascii();
        if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
            return Err(HookError::Setting(format!("{}: is no token", path.display())));
        }
        let mut line = Zeroizing::new(Vec::with_capacity("Bearer ".len() + text.len()));
        line.extend_from_slice(b"Bearer ");
        line.extend_from_slice(text);
        let mut value = HeaderValue::from_bytes(&line)
            .map_err(|_| HookError::Setting(format!("{}: is no token", path.display())))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// `true` if the connection is to be encrypted.
fn check_url(url: &str, allow_plain_http: bool) -> Result<bool, HookError> {
    let refused = |why: &str| Err(HookError::Setting(format!("url of a hook: {why}")));
    if url.len() > URL_LEN_MAX {
        return refused("too long");
    }
    let Ok(uri) = url.parse::<Uri>() else { return refused("does not read") };
    let Some(authority) = uri.authority() else { return refused("names no host") };
    if authority.as_str().contains('@') {
        return refused("a name and password do not belong there, take token_file");
    }
    // An address of IPv6 stands in brackets.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return refused("names no host");
    }
    let local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(true),
        Some("http") if local || allow_plain_http => Ok(false),
        Some("http") => refused("http:// would show passwords to others, take https://"),
        _ => refused("is neither https:// nor http://"),
    }
}

fn authorities_of(path: &Path) -> Result<Vec<Certificate<'static>>, HookError> {
    let failed = |e| HookError::failed(format_args!("read {}", path.display()), e);
    let text = read_bounded(File::open(path).map_err(failed)?, path, CA_FILE_LEN_MAX)?;
    let setting = |why| HookError::Setting(format!("{}: {why}", path.display()));
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(setting("is no PEM file")),
        }
    }
    if found.is_empty() {
        return Err(setting("holds no certificate"));
    }
    Ok(found)
}

fn authorities_of_system() -> Result<Vec<Certificate<'static>>, HookError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "an authority of the system was not read");
    }
    if found.certs.is_empty() {
        return Err(HookError::Setting(
            "the system has no certificates of authorities, set ca_file".into(),
        ));
    }
    Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

fn read_bounded(file: File, path: &Path, len_max: usize) -> Result<Zeroizing<Vec<u8>>, HookError> {
    // Room for all of it beforehand: a secret that moved would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(len_max + 1));
    let limit = u64::try_from(len_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit)
        .read_to_end(&mut text)
        .map_err(|e| HookError::failed(format_args!("read {}", path.display()), e))?;
    if text.len() > len_max {
        return Err(HookError::Setting(format!("{}: longer than {len_max} bytes", path.display())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_leave_this_machine_encrypted_unless_settings_say_otherwise() {
        for (url, allow_plain, expected) in [
            ("https://hooks.example.com/login", false, Some(true)),
            ("https://hooks.example.com:8443/", false, Some(true)),
            ("http://127.0.0.1:8080/login", false, Some(false)),
            ("http://127.8.9.1/", false, Some(false)),
            ("http://[::1]:8080/", false, Some(false)),
            ("http://LocalHost/", false, Some(false)),
            ("http://hooks.example.com/", false, None),
            ("http://localhost.example.com/", false, None),
            ("http://10.0.0.1/", false, None),
            ("http://[::2]/", false, None),
            ("http://hooks.example.com/", true, Some(false)),
            ("https://user:secret@hooks.example.com/", false, None),
            ("http://127.0.0.1@hooks.example.com/", false, None),
            ("ftp://127.0.0.1/", true, None),
            ("/login", true, None),
            ("hooks.example.com", true, None),
            ("", true, None),
        ] {
            assert_eq!(check_url(url, allow_plain).ok(), expected, "{url}");
        }
        let long = format!("https://h/{}", "x".repeat(URL_LEN_MAX));
        assert!(check_url(&long, false).is_err());
    }

    #[test]
    fn a_token_is_sent_only_from_a_file_that_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let service = Service::new("http://127.0.0.1/", Some(path.clone()), None, false).unwrap();
        assert!(matches!(service.check(), Err(HookError::Failed(_))));

        for (text, mode, expected) in [
            ("abc.def-_~+/=\n", 0o600, Some("Bearer abc.def-_~+/=")),
            ("abc", 0o640, Some("Bearer abc")),
            ("abc", 0o644, None),
            ("abc", 0o620, None),
            ("", 0o600, None),
            ("a b", 0o600, None),
            ("a\nX-Other: 1", 0o600, None),
            ("größe", 0o600, None),
            (&"x".repeat(TOKEN_LEN_MAX + 1), 0o600, None),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let token = service.token().ok().flatten();
            assert_eq!(token.as_ref().map(|t| t.to_str().unwrap()), expected, "{text:?} {mode:o}");
            assert!(token.is_none_or(|t| t.is_sensitive()));
        }
    }

    #[test]
    fn authorities_come_from_the_file_that_the_settings_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Service::new("https://127.0.0.1/", None, Some(&path), false).map(drop)
        };

        assert!(with(include_str!("../tests/data/ca.pem")).is_ok());
        assert!(matches!(with("no certificate"), Err(HookError::Setting(_))));
        assert!(matches!(
            with("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            Err(HookError::Setting(_))
        ));
    }
}
