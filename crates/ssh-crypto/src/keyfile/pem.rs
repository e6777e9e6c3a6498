//! PEM armour (RFC 7468), lenient about line lengths because old tools wrap differently.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::KeyFileError;

/// OpenSSH's line length.
const LINE_LEN: usize = 70;

/// The first armoured block of a text.
pub(super) struct Armour<'t> {
    pub(super) label: &'t str,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

pub(super) fn decode(text: &str) -> Result<Armour<'_>, KeyFileError> {
    let mut lines = text.lines().map(str::trim);
    let label = lines
        .find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .ok_or(KeyFileError::Malformed("no BEGIN line"))?;
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    for line in lines {
        if let Some(end) = line.strip_prefix("-----END ") {
            if end.strip_suffix("-----") != Some(label) {
                break;
            }
            // Room for what the encoded text may hold at most, so that no copy is left behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(body.len()));
            STANDARD
                .decode_vec(body.as_bytes(), &mut bytes)
                .map_err(|_| KeyFileError::Malformed("base64 is damaged"))?;
            return Ok(Armour { label, bytes });
        }
        // RFC 1421 headers: only the old, weak encryption of PEM itself has them.
        if line.contains(':') {
            return Err(KeyFileError::Unsupported("PEM with headers (old encryption) is"));
        }
        body.push_str(line);
    }
    Err(KeyFileError::Malformed("no END line"))
}

pub(super) fn encode(label: &str, bytes: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(bytes));
    let mut text =
        Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE_LEN + 2 * LINE_LEN));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, left) = rest.split_at(rest.len().min(LINE_LEN));
        text.push_str(line);
        text.push('\n');
        rest = left;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
