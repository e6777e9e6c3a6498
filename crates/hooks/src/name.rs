//! Names of users that may be handed to somebody else.

use sterna_identity::limits::USER_NAME_LEN_MAX;

/// The name as text, unless it is empty, too long, no UTF-8 or holds control characters: nobody has
/// such a name, and whoever is asked must not stumble over it.
pub(crate) fn usable(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let fits =
        !name.is_empty() && name.len() <= USER_NAME_LEN_MAX && !name.chars().any(char::is_control);
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_without_control_characters() {
        for name in ["alice", "größe", "a b", "-x", &"x".repeat(USER_NAME_LEN_MAX)] {
            assert_eq!(usable(name.as_bytes()), Some(name));
        }
        for name in [
            &b""[..],
            b"a\0",
            b"a\nb",
            b"a\x7f",
            "a\u{85}".as_bytes(),
            b"gr\xf6\xdfe",
            &[b'x'; USER_NAME_LEN_MAX + 1],
        ] {
            assert_eq!(usable(name), None, "{}", name.escape_ascii());
        }
    }
}
