//! PEM armour (RFC 7468), lenient about line lengths because old tools wrap differently.
//!
//! Not here: undoing the encryption that its headers speak of (`dek.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::KeyFileError;

/// OpenSSH's line length.
const LINE_LEN: usize = 70;

/// What every private key's label ends with; other blocks (`EC PARAMETERS`, certificates) may stand in
/// front.
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// The first armoured private key of a text.
pub(super) struct Armour<'t> {
    pub(super) label: &'t str,
    /// The value of `DEK-Info`: the block is encrypted (RFC 1421 §4.6.1.3).
    pub(super) dek_info: Option<&'t str>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

pub(super) fn decode(text: &str) -> Result<Armour<'_>, KeyFileError> {
    let mut lines = text.lines().map(str::trim);
    let mut begins =
        lines.by_ref().filter_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let first = begins.next().ok_or(KeyFileError::Malformed("no BEGIN line"))?;
    let label = std::iter::once(first)
        .chain(begins)
        .find(|label| label.ends_with(PRIVATE_KEY))
        .ok_or(KeyFileError::Unsupported("this kind of PEM block is"))?;

    let (mut encrypted, mut dek_info) = (false, None);
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    for line in lines {
        if let Some(end) = line.strip_prefix("-----END ") {
            if end.strip_suffix("-----") != Some(label) {
                break;
            }
            if encrypted != dek_info.is_some() {
                return Err(KeyFileError::Malformed("only half of the encryption headers"));
            }
            // Room for what the encoded text may hold at most, so that no copy is left behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(body.len()));
            STANDARD
                .decode_vec(body.as_bytes(), &mut bytes)
                .map_err(|_| KeyFileError::Malformed("base64 is damaged"))?;
            return Ok(Armour { label, dek_info, bytes });
        }
        match line.split_once(':').map(|(name, value)| (name, value.trim())) {
            None => body.push_str(line),
            Some(("Proc-Type", "4,ENCRYPTED")) => encrypted = true,
            Some(("DEK-Info", value)) => dek_info = Some(value),
            Some(_) => return Err(KeyFileError::Unsupported("PEM with other headers is")),
        }
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
