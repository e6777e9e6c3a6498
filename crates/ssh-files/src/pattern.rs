//! OpenSSH's patterns: `*` and `?`, and lists of them with `!` for "not" (ssh_config(5), "PATTERNS").

/// What a list says about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListMatch {
    /// No pattern matches.
    Unmatched,
    /// Some pattern matches and no negated one does.
    Matched,
    /// A negated pattern matches: that wins over every other.
    Negated,
}

impl ListMatch {
    pub fn is_match(self) -> bool {
        self == Self::Matched
    }
}

/// Whether `text` as a whole matches `pattern`, byte by byte.
///
/// Needs no memory; time grows with the pattern and the square of the text at most.
pub fn wildcard_match(pattern: &[u8], text: &[u8]) -> bool {
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

/// What a list of patterns says about `text`, which is compared as it is: for user names.
pub fn match_list<'p>(patterns: impl IntoIterator<Item = &'p str>, text: &str) -> ListMatch {
    judge(patterns, |pattern| wildcard_match(pattern.as_bytes(), text.as_bytes()))
}

/// The same without regard to ASCII case: for host names.
pub fn match_host_list<'p>(patterns: impl IntoIterator<Item = &'p str>, host: &str) -> ListMatch {
    let host = host.to_ascii_lowercase();
    judge(patterns, |pattern| {
        wildcard_match(pattern.to_ascii_lowercase().as_bytes(), host.as_bytes())
    })
}

/// Whether `name` is in a list of host patterns: some pattern matches and no `!pattern` does.
pub fn pattern_list_matches<'p>(patterns: impl IntoIterator<Item = &'p str>, name: &str) -> bool {
    match_host_list(patterns, name).is_match()
}

fn judge<'p>(
    patterns: impl IntoIterator<Item = &'p str>,
    matches: impl Fn(&str) -> bool,
) -> ListMatch {
    let mut found = ListMatch::Unmatched;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated) => return ListMatch::Negated,
            None if matches(pattern) => found = ListMatch::Matched,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_match_whole_names() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "aBBc", false),
            ("*.example.org", "h.example.org", true),
            ("*.example.org", "example.org", false),
            ("**a**", "bab", true),
            ("*ab*ab", "abxabab", true),
            ("[h]:22??", "[h]:2222", true),
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
        use ListMatch::{Matched, Negated, Unmatched};
        for (list, host, expected) in [
            ("*.org,!bad.org", "good.ORG", Matched),
            ("*.org,!bad.org", "bad.org", Negated),
            ("!BAD.org,*.org", "bad.org", Negated),
            ("!bad.org", "good.org", Unmatched),
            ("a,,b", "b", Matched),
            ("", "b", Unmatched),
        ] {
            assert_eq!(match_host_list(list.split(','), host), expected, "{list} {host}");
            assert_eq!(pattern_list_matches(list.split(','), host), expected == Matched);
        }
    }

    #[test]
    fn only_host_lists_ignore_case() {
        assert_eq!(match_list(["Bob"], "bob"), ListMatch::Unmatched);
        assert_eq!(match_list(["bo?", "!Bob"], "bob"), ListMatch::Matched);
        assert_eq!(match_host_list(["Bob"], "bob"), ListMatch::Matched);
    }

    /// The same question, answered by trying everything.
    fn by_trying(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|n| by_trying(rest, &text[n..])),
            Some((c, rest)) => text
                .split_first()
                .is_some_and(|(t, text)| (*c == b'?' || c == t) && by_trying(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_trying_everything(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(
                wildcard_match(pattern.as_bytes(), text.as_bytes()),
                by_trying(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
