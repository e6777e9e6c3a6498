//! Bytes and texts from a peer made safe for a terminal (ENC-5, CLT-11).

use crate::limits::PEER_TEXT_LEN_MAX;

/// A file name or path as one printable line: control characters, bidirectional overrides and
/// bytes that are not UTF-8 appear as `\n`, `\u{202e}`, `\xff`.
pub fn display_name(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_visible(&mut out, c));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A peer's sentence (status text, banner line), cut at a bound and made visible.
pub(crate) fn display_text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(PEER_TEXT_LEN_MAX) {
        push_visible(&mut out, c);
    }
    out
}

fn push_visible(out: &mut String, c: char) {
    if c == '\\' {
        out.push('\\');
    } else if c.is_control() || is_formatting(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// Characters that change how the text around them is shown (Unicode class Cf, the harmful part).
fn is_formatting(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_turns_the_text_gets_through() {
        assert_eq!(display_name(b"a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(display_name("x\u{202e}txt.exe".as_bytes()), "x\\u{202e}txt.exe");
        assert_eq!(display_name(b"\xffraw"), "\\xffraw");
        assert_eq!(display_name("naïve – ok".as_bytes()), "naïve – ok");
    }

    #[test]
    fn a_long_peer_text_is_cut() {
        assert_eq!(display_text(&"x".repeat(1 << 20)).len(), PEER_TEXT_LEN_MAX);
    }
}
