//! The patterns of ssh_config and known_hosts: `*`, `?`, and lists with `!` for "not".

/// Whether `text` as a whole matches `pattern`. Linear in memory, at most quadratic in time.
pub(crate) fn wildcard_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go back to: behind the last `*`, and the text that it has swallowed so far.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((behind, swallowed)) => {
                    retry = Some((behind, swallowed + 1));
                    (p, t) = (behind, swallowed + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Whether `name` is in the list: some pattern matches and no `!pattern` does.
pub(crate) fn pattern_list_matches<'p>(
    patterns: impl Iterator<Item = &'p str>,
    name: &str,
) -> bool {
    let name = name.to_ascii_lowercase();
    let mut found = false;
    for pattern in patterns {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        if wildcard_match(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_names() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*.example.org", "h.example.org", true),
            ("*.example.org", "example.org", false),
            ("**a**", "bab", true),
        ] {
            assert_eq!(
                wildcard_match(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_negated_match_wins_over_every_other() {
        assert!(pattern_list_matches(["*.org", "!bad.org"].into_iter(), "good.ORG"));
        assert!(!pattern_list_matches(["*.org", "!bad.org"].into_iter(), "bad.org"));
        assert!(!pattern_list_matches(["!bad.org"].into_iter(), "good.org"));
    }
}
