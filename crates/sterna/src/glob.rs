//! Name patterns over bytes: `*`, `?`, `[a-z]`, `[!x]`, and a backslash that makes the next byte plain.
//!
//! File names need not be UTF-8, and a hostile pattern or name must not cost exponential time: a
//! mismatch goes back to the last `*` only, so a match takes at most pattern × name steps.

/// What one position of a pattern accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// One character: a whole UTF-8 sequence, or one byte where the name is not UTF-8.
    AnyOne,
    AnyMany,
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

/// A pattern for one component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
}

/// A byte of a pattern and whether it may be special. Quoting on a command line takes the
/// specialness away without touching the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternByte {
    pub byte: u8,
    pub special: bool,
}

impl Pattern {
    /// Reads a pattern; every byte sequence is one. A `[` without its `]` is a plain `[`.
    pub fn new(pattern: &[PatternByte]) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut at = 0;
        while let Some(&PatternByte { byte, special }) = pattern.get(at) {
            at += 1;
            let token = match byte {
                b'*' if special => Token::AnyMany,
                b'?' if special => Token::AnyOne,
                b'[' if special => match parse_class(&pattern[at..]) {
                    Some((class, len)) => {
                        at += len;
                        class
                    }
                    None => Token::Byte(b'['),
                },
                _ => Token::Byte(byte),
            };
            if token != Token::AnyMany || tokens.last() != Some(&Token::AnyMany) {
                tokens.push(token);
            }
        }
        Self { tokens }
    }

    /// Whether `name` is wholly covered. A leading dot of a name must be written in the pattern, as
    /// in a shell.
    pub fn matches(&self, name: &[u8]) -> bool {
        if name.first() == Some(&b'.') && self.tokens.first() != Some(&Token::Byte(b'.')) {
            return false;
        }
        let (mut token, mut at) = (0, 0);
        // Where to go on when what follows the last `*` does not fit: it swallows one byte more.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let stepped = match self.tokens.get(token) {
                Some(Token::AnyMany) => {
                    retry = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(one) => one.step(&name[at..]),
                None if at == name.len() => return true,
                None => None,
            };
            match (stepped, &mut retry) {
                (Some(len), _) => {
                    token += 1;
                    at += len;
                }
                (None, Some((star, from))) if *from < name.len() => {
                    *from += 1;
                    token = *star + 1;
                    at = *from;
                }
                (None, _) => return false,
            }
        }
    }
}

/// Whether any byte would be special in a [`Pattern`].
pub fn has_magic(pattern: &[PatternByte]) -> bool {
    pattern.iter().any(|p| p.special && matches!(p.byte, b'*' | b'?' | b'['))
}

/// A text in which a backslash takes the specialness of the byte after it, as in a shell.
pub fn with_escapes(text: &[u8]) -> Vec<PatternByte> {
    let mut pattern = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        pattern.push(match byte {
            b'\\' => PatternByte { byte: bytes.next().unwrap_or(b'\\'), special: false },
            _ => PatternByte { byte, special: true },
        });
    }
    pattern
}

/// The bytes of a pattern, read as a plain name.
pub fn plain(pattern: &[PatternByte]) -> Vec<u8> {
    pattern.iter().map(|p| p.byte).collect()
}

impl Token {
    /// How many bytes at the start of `rest` this token takes; `None` if it does not fit.
    fn step(&self, rest: &[u8]) -> Option<usize> {
        let &first = rest.first()?;
        match self {
            Self::Byte(byte) => (*byte == first).then_some(1),
            Self::AnyOne => Some(character_len(rest)),
            Self::Class { negated, ranges } => {
                let len = character_len(rest);
                let inside = len == 1 && ranges.iter().any(|r| (r.0..=r.1).contains(&first));
                (inside != *negated).then_some(len)
            }
            // `matches` handles it before it comes here; it takes nothing by itself.
            Self::AnyMany => Some(0),
        }
    }
}

/// Bytes of the UTF-8 character with which `rest` (not empty) begins; 1 if it begins with none.
fn character_len(rest: &[u8]) -> usize {
    let len = match rest[0] {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    match rest.get(..len) {
        Some(bytes) if std::str::from_utf8(bytes).is_ok() => len,
        _ => 1,
    }
}

/// Reads a class after its `[`. Returns it and the bytes it took, its `]` included.
fn parse_class(text: &[PatternByte]) -> Option<(Token, usize)> {
    let is = |at: usize, wanted: u8| text.get(at).is_some_and(|p| p.special && p.byte == wanted);
    let negated = is(0, b'!') || is(0, b'^');
    let start = usize::from(negated);
    let mut at = start;
    let mut ranges = Vec::new();
    // A `]` that comes first is a member.
    while !is(at, b']') || at == start {
        let low = text.get(at)?.byte;
        let high = match text.get(at + 2) {
            Some(high) if is(at + 1, b'-') && !is(at + 2, b']') => {
                at += 2;
                high.byte
            }
            _ => low,
        };
        ranges.push((low, high));
        at += 1;
    }
    Some((Token::Class { negated, ranges }, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &[u8], name: &[u8]) -> bool {
        Pattern::new(&with_escapes(pattern)).matches(name)
    }

    #[test]
    fn patterns_cover_the_whole_name() {
        for (pattern, name, expected) in [
            (&b"*.txt"[..], &b"a.txt"[..], true),
            (b"*.txt", b"a.txt.gz", false),
            (b"a*b*c", b"aXbYbZc", true),
            (b"a*b*c", b"aXbYbZ", false),
            (b"?", b"\xc3\xa4", true),
            (b"?", b"\xff", true),
            (b"?", b"ab", false),
            (b"[a-c]x", b"bx", true),
            (b"[!a-c]x", b"bx", false),
            (b"[^a-c]x", b"\xc3\xa4x", true),
            (b"[]x]", b"]", true),
            (b"[a-]", b"-", true),
            (b"[x", b"[x", true),
            (b"\\*", b"*", true),
            (b"\\*", b"a", false),
            (b"*", b"", true),
            (b"", b"", true),
            (b"", b"a", false),
            (b"\xff*", b"\xff\xfe", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn hidden_names_need_a_written_dot() {
        assert!(!matches(b"*", b".profile"));
        assert!(!matches(b"?profile", b".profile"));
        assert!(!matches(b"[.]profile", b".profile"));
        assert!(matches(b".p*", b".profile"));
    }

    /// Goal: no pattern costs exponential time.
    /// Method: one that would, with naive backtracking, need longer than anybody waits.
    #[test]
    fn many_stars_end_soon() {
        let pattern = b"*a".repeat(200);
        let name = [&b"a".repeat(5_000)[..], b"b"].concat();

        assert!(!matches(&pattern, &name));
    }

    #[test]
    fn quoted_bytes_are_not_magic() {
        assert!(has_magic(&with_escapes(b"a*")));
        assert!(!has_magic(&with_escapes(b"a\\*")));
        assert_eq!(plain(&with_escapes(b"a\\*\\")), b"a*\\");
    }
}
