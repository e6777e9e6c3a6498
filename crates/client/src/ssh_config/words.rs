//! Splits lines of ssh_config into a keyword and words, with OpenSSH's quoting.

/// The keyword and what follows it: `KEY VALUE`, `KEY=VALUE` or `KEY = VALUE`. The rest may be empty.
pub(super) fn split_line(line: &str) -> (&str, &str) {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    (key, rest.strip_prefix('=').unwrap_or(rest).trim_start())
}

/// Words of a value. Quotes of both kinds join; `\"`, `\'`, `\\` and, outside of quotes, `\ ` stand
/// for the second character; `#` where a word would begin starts a comment.
///
/// # Errors
/// A quote that is not closed.
pub(super) fn words(value: &str) -> Result<Vec<String>, &'static str> {
    let mut out = Vec::new();
    let mut chars = value.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none_or(|c| *c == '#') {
            return Ok(out);
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_ascii_whitespace()) {
            let escaped = |next: &char| match next {
                '"' | '\'' | '\\' => true,
                ' ' => quote.is_none(),
                _ => false,
            };
            match c {
                '\\' => word.push(chars.next_if(escaped).unwrap_or('\\')),
                '"' | '\'' if quote == Some(c) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(c),
                _ => word.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        out.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_at_white_space_or_one_equals_sign() {
        for (line, key, rest) in [
            ("Port 22", "Port", "22"),
            (" Port=22 ", "Port", "22"),
            ("Port = 22", "Port", "22"),
            ("Port\t=22", "Port", "22"),
            ("Port ==22", "Port", "=22"),
            ("SetEnv A=b", "SetEnv", "A=b"),
            ("Port", "Port", ""),
            ("=", "", ""),
        ] {
            assert_eq!(split_line(line), (key, rest), "{line}");
        }
    }

    #[test]
    fn words_are_quoted_escaped_and_commented_as_openssh_does() {
        for (value, expected) in [
            ("a  b\tc", vec!["a", "b", "c"]),
            ("\"a b\" 'c d'", vec!["a b", "c d"]),
            ("a\" b\"c", vec!["a bc"]),
            ("'it\"s' \"it's\"", vec!["it\"s", "it's"]),
            (r#"a\ b "c\"d" 'e\'f' \\ \n"#, vec!["a b", "c\"d", "e'f", "\\", "\\n"]),
            (r#""a\ b""#, vec!["a\\ b"]),
            ("a #b c", vec!["a"]),
            ("a#b", vec!["a#b"]),
            ("\"\" x", vec!["", "x"]),
            ("", vec![]),
        ] {
            assert_eq!(words(value).unwrap(), expected, "{value}");
        }
        assert!(words("a \"b").is_err());
        assert!(words("it's").is_err());
    }
}
