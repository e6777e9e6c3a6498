//! `known_hosts`: who hosts are, said by lines of names and keys (sshd(8), "SSH_KNOWN_HOSTS FILE
//! FORMAT"; HKV-1 to HKV-4).
//!
//! The first line for a name is not the answer: a `@revoked` line anywhere wins over all others, for
//! the keys of hosts and of authorities alike. So all files are taken in before a question is put.
//!
//! Every question names the host by one or several names, as [`record_name`] makes them; a line is
//! about the host if one of them is in its list. Give only names that are proven or that a person
//! typed: an address is not a name.
//!
//! Not here: files on disk and who may write them (the client and the server do that).

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sterna_ssh_crypto::{PublicKey, names};
use sterna_sshwire::{NAME_LEN_MAX, Reader};

use crate::Place;
use crate::limits::{FileTooLong, KNOWN_HOSTS_LEN_MAX, KNOWN_HOSTS_LINE_LEN_MAX};
use crate::pattern::pattern_list_matches;

/// Bytes of the salt of a hashed name, and of the hash (SHA-1).
pub const HASHED_NAME_SALT_LEN: usize = 20;

/// The name under which a host is recorded: `host` on port 22, else `[host]:port`; lower case.
pub fn record_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// What the files say about a host and one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This key is recorded for this host.
    Known(Place),
    /// Another key of the same type is recorded here: somebody changed the key, or is in between.
    Changed(Place),
    /// The key is marked as never to be trusted.
    Revoked(Place),
    /// The host is recorded with keys of other types only.
    OtherTypesOnly(Place),
    /// Nothing is recorded for the host.
    Unknown,
}

/// A line that names the host literally: no wildcards. Lines with markers are never among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactLine {
    pub place: Place,
    /// The key as a blob, perhaps of a type that we do not speak.
    pub key_blob: Vec<u8>,
    /// The line names other hosts, too: removing it would forget them.
    pub names_others: bool,
}

/// The name would mean something else in a line: it holds blanks, commas, wildcards, or begins like a
/// marker, a comment or a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnrecordableName;

impl fmt::Display for UnrecordableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host of this name cannot be recorded")
    }
}

impl std::error::Error for UnrecordableName {}

/// The lines of all files that were added.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    CertAuthority,
}

#[derive(Clone, Debug)]
struct Line {
    place: Place,
    marker: Marker,
    names: Names,
    key_type: String,
    key_blob: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Names {
    Patterns(String),
    Hashed { salt: [u8; HASHED_NAME_SALT_LEN], hash: [u8; HASHED_NAME_SALT_LEN] },
}

impl KnownHosts {
    /// Adds the lines of a file. Lines that do not read are skipped, as OpenSSH does: they can only
    /// make a host unknown, never trusted.
    ///
    /// # Errors
    /// [`FileTooLong`]; nothing was added then. A part of the file might miss `@revoked` lines.
    pub fn add_text(&mut self, file: impl AsRef<Path>, text: &[u8]) -> Result<(), FileTooLong> {
        if text.len() > KNOWN_HOSTS_LEN_MAX {
            return Err(FileTooLong { len_max: KNOWN_HOSTS_LEN_MAX });
        }
        let file: Arc<Path> = file.as_ref().into();
        for (index, line) in text.split(|b| *b == b'\n').enumerate() {
            let place = || Place { file: file.clone(), line: index + 1 };
            self.lines.extend(parse_line(line, place));
        }
        Ok(())
    }

    /// What is known about `key`, which the host shows by itself and not inside a certificate.
    pub fn lookup(&self, host: &[&str], key: &PublicKey) -> Lookup {
        if let Some(place) = self.is_revoked(host, key) {
            return Lookup::Revoked(place);
        }
        let (key_type, blob) = (key.key_type(), key.to_wire());
        let mut answer = Lookup::Unknown;
        for line in self.about(host, Marker::None) {
            let place = line.place.clone();
            match &answer {
                _ if line.key_blob == blob => return Lookup::Known(place),
                Lookup::Unknown if line.key_type != key_type => {
                    answer = Lookup::OtherTypesOnly(place);
                }
                Lookup::Unknown | Lookup::OtherTypesOnly(_) if line.key_type == key_type => {
                    answer = Lookup::Changed(place);
                }
                _ => {}
            }
        }
        answer
    }

    /// The line that says: `ca` signs the certificates of this host. None for a revoked `ca`.
    ///
    /// The caller still has to check the certificate, and with [`is_revoked`](Self::is_revoked) the
    /// key inside it.
    pub fn certificate_authority(&self, host: &[&str], ca: &PublicKey) -> Option<Place> {
        if self.is_revoked(host, ca).is_some() {
            return None;
        }
        let blob = ca.to_wire();
        let mut authorities = self.about(host, Marker::CertAuthority);
        Some(authorities.find(|line| line.key_blob == blob)?.place.clone())
    }

    /// The line that says: never trust `key` for this host, be it the host's or an authority's.
    pub fn is_revoked(&self, host: &[&str], key: &PublicKey) -> Option<Place> {
        let blob = key.to_wire();
        let mut revoked = self.about(host, Marker::Revoked);
        Some(revoked.find(|line| line.key_blob == blob)?.place.clone())
    }

    /// Whether the key stands, without a marker, in a line that names the host literally (ROT-2).
    pub fn records_exactly(&self, host: &str, key_blob: &[u8]) -> bool {
        self.exact_lines(host).any(|line| line.key_blob == key_blob)
    }

    /// The lines without a marker that name the host literally, in the order of the files: those that
    /// may be replaced when the host announces new keys.
    pub fn exact_lines_for(&self, host: &str) -> Vec<ExactLine> {
        let lines = self.exact_lines(host).map(|line| ExactLine {
            place: line.place.clone(),
            key_blob: line.key_blob.clone(),
            names_others: matches!(&line.names, Names::Patterns(names) if names.contains(',')),
        });
        lines.collect()
    }

    /// Types of the keys that are recorded for the host, for example `ssh-rsa`; each once.
    pub fn recorded_key_types<'k>(&'k self, host: &[&str]) -> Vec<&'k str> {
        let mut types = Vec::new();
        for line in self.about(host, Marker::None) {
            if !types.contains(&line.key_type.as_str()) {
                types.push(line.key_type.as_str());
            }
        }
        types
    }

    /// Whether an authority is recorded for the host.
    pub fn has_certificate_authority(&self, host: &[&str]) -> bool {
        self.about(host, Marker::CertAuthority).next().is_some()
    }

    /// Puts those host key algorithms first by which we can know the host (NEG-4): those of recorded
    /// keys, and those of certificates if an authority is recorded. Otherwise the order stays.
    pub fn lead_with_recorded(&self, host: &[&str], algorithms: &mut [String]) {
        let recorded = self.recorded_key_types(host);
        let authority = self.has_certificate_authority(host);
        algorithms.sort_by_key(|algorithm| {
            let certificate = names::is_certificate(algorithm);
            !((certificate && authority) || recorded.contains(&plain_key_type(algorithm)))
        });
    }

    fn about<'k>(
        &'k self,
        host: &[&str],
        marker: Marker,
    ) -> impl Iterator<Item = &'k Line> + use<'k> {
        let host: Vec<String> = host.iter().map(|name| name.to_ascii_lowercase()).collect();
        self.lines.iter().filter(move |line| {
            line.marker == marker && host.iter().any(|name| line.names.contain(name))
        })
    }

    fn exact_lines<'k>(&'k self, host: &str) -> impl Iterator<Item = &'k Line> + use<'k> {
        let host = host.to_ascii_lowercase();
        let plain = self.lines.iter().filter(|line| line.marker == Marker::None);
        plain.filter(move |line| line.names.name_exactly(&host))
    }
}

/// A line for `host` (see [`record_name`]), without a line end. With a salt the name is hashed; the
/// salt must be fresh random bytes.
///
/// # Errors
/// [`UnrecordableName`], if the name is to stand there as it is.
pub fn line_for(
    host: &str,
    key: &PublicKey,
    salt: Option<&[u8; HASHED_NAME_SALT_LEN]>,
) -> Result<String, UnrecordableName> {
    let host = host.to_ascii_lowercase();
    let name = match salt {
        Some(salt) => hashed_name(&host, salt),
        None if is_recordable(&host) => host,
        None => return Err(UnrecordableName),
    };
    Ok(format!("{name} {}", key.to_openssh("")))
}

impl Names {
    fn contain(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => pattern_list_matches(patterns.split(','), name),
            Self::Hashed { salt, hash } => hash_of(name, salt).as_ref() == hash,
        }
    }

    fn name_exactly(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                !patterns.contains(['*', '?', '!'])
                    && patterns.split(',').any(|pattern| pattern.eq_ignore_ascii_case(name))
            }
            Self::Hashed { .. } => self.contain(name),
        }
    }
}

/// The type of key that a host key algorithm needs, be it shown plain or inside a certificate.
fn plain_key_type(algorithm: &str) -> &str {
    match names::signature_algorithm(algorithm) {
        names::RSA_SHA2_512 | names::RSA_SHA2_256 => names::SSH_RSA,
        other => other,
    }
}

fn parse_line(line: &[u8], place: impl FnOnce() -> Place) -> Option<Line> {
    if line.len() > KNOWN_HOSTS_LINE_LEN_MAX {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let mut word = words.next()?;
    let marker = match word {
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::CertAuthority,
        _ if word.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        word = words.next()?;
        // One marker a line.
        if word.starts_with('@') {
            return None;
        }
    }
    let names = match word.strip_prefix("|1|") {
        Some(rest) => {
            let (salt, hash) = rest.split_once('|')?;
            Names::Hashed { salt: decode_20(salt)?, hash: decode_20(hash)? }
        }
        None => Names::Patterns(word.to_owned()),
    };
    let key_type = words.next()?.to_owned();
    let key_blob = BASE64_STANDARD.decode(words.next()?).ok()?;
    // The key may be of a type that we do not speak: still the host is recorded with it.
    let type_inside = Reader::new(&key_blob).string("key type", NAME_LEN_MAX).ok()?;
    if type_inside != key_type.as_bytes() {
        return None;
    }
    Some(Line { place: place(), marker, names, key_type, key_blob })
}

fn decode_20(text: &str) -> Option<[u8; HASHED_NAME_SALT_LEN]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

fn is_recordable(name: &str) -> bool {
    let speaks =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | '*' | '?' | '!');
    !name.is_empty() && !name.starts_with(['@', '#', '|']) && !name.contains(speaks)
}

/// `|1|salt|HMAC-SHA1(salt, name)`.
fn hashed_name(name: &str, salt: &[u8; HASHED_NAME_SALT_LEN]) -> String {
    let hash = hash_of(name, salt);
    format!("|1|{}|{}", BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(hash))
}

fn hash_of(name: &str, salt: &[u8; HASHED_NAME_SALT_LEN]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
    hmac::sign(&key, name.as_bytes())
}
