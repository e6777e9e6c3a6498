//! A command line of the sftp shell cut into words, with the quoting rules of OpenSSH's sftp.
//!
//! Blanks separate words. A backslash makes the next byte plain. Between `'…'` or `"…"` everything
//! is plain but the closing quote, a backslash before it, and `\\`. A `#` outside of quotes begins
//! a comment. Only unquoted `*`, `?` and `[` are patterns later.

use crate::glob::{self, PatternByte};

/// A line longer than this is refused (bytes): a path is at most 4 KiB on any system we know.
pub const LINE_LEN_MAX: usize = 64 * 1024;

/// One word: its bytes, and which of them may be special in a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Word(pub Vec<PatternByte>);

impl Word {
    /// The word as a plain name.
    pub fn plain(&self) -> Vec<u8> {
        glob::plain(&self.0)
    }

    /// The word as text for options and numbers; names are never read this way.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.plain()).into_owned()
    }

    pub fn has_magic(&self) -> bool {
        glob::has_magic(&self.0)
    }

    fn push(&mut self, byte: u8, special: bool) {
        self.0.push(PatternByte { byte, special });
    }
}

/// Where the cut stands.
#[derive(Clone, Copy)]
enum State {
    Between,
    Bare,
    /// Inside of quotes; holds the quote that ends it.
    Quoted(u8),
}

/// Cuts a line into words.
///
/// # Errors
/// If the line is too long or a quote is not closed.
pub fn split(line: &[u8]) -> Result<Vec<Word>, &'static str> {
    if line.len() > LINE_LEN_MAX {
        return Err("the line is too long");
    }
    let Cut { mut words, last } = cut(line);
    match last {
        Last::Word { quote: Some(_), .. } => return Err("a quote is not closed"),
        Last::Word { word, .. } => words.push(word),
        Last::Blank | Last::Comment => {}
    }
    Ok(words)
}

/// The word at the end of a line that is still being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The words before it.
    pub before: Vec<Word>,
    /// The byte of the line at which it begins; the line's end if it has not begun.
    pub start: usize,
    /// What there is of it.
    pub word: Word,
    /// The quote that is not closed.
    pub quote: Option<u8>,
}

/// The word in which a line ends; `None` in a comment.
pub fn unfinished(line: &[u8]) -> Option<Unfinished> {
    let Cut { words: before, last } = cut(line);
    match last {
        Last::Word { start, word, quote } => Some(Unfinished { before, start, word, quote }),
        Last::Blank => {
            Some(Unfinished { before, start: line.len(), word: Word::default(), quote: None })
        }
        Last::Comment => None,
    }
}

/// Words that are surely over, and what the line ends in.
struct Cut {
    words: Vec<Word>,
    last: Last,
}

enum Last {
    Blank,
    Comment,
    Word { start: usize, word: Word, quote: Option<u8> },
}

fn cut(line: &[u8]) -> Cut {
    let mut words: Vec<Word> = Vec::new();
    let mut word = Word::default();
    let mut start = 0;
    let mut state = State::Between;
    let mut bytes = line.iter().copied().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        if matches!(state, State::Between) {
            start = at;
        }
        state = match (state, byte) {
            (State::Quoted(quote), _) if byte == quote => State::Bare,
            (State::Quoted(quote), b'\\') => {
                match bytes.next_if(|&(_, next)| next == quote || next == b'\\') {
                    Some((_, next)) => word.push(next, false),
                    None => word.push(b'\\', false),
                }
                State::Quoted(quote)
            }
            (State::Quoted(quote), _) => {
                word.push(byte, false);
                State::Quoted(quote)
            }
            (State::Between, b' ' | b'\t' | b'\r' | b'\n') => State::Between,
            (State::Bare, b' ' | b'\t' | b'\r' | b'\n') => {
                words.push(std::mem::take(&mut word));
                State::Between
            }
            (State::Between, b'#') => return Cut { words, last: Last::Comment },
            (State::Bare, b'#') => {
                words.push(word);
                return Cut { words, last: Last::Comment };
            }
            (State::Between | State::Bare, b'\'' | b'"') => State::Quoted(byte),
            (State::Between | State::Bare, b'\\') => {
                word.push(bytes.next().map_or(b'\\', |(_, next)| next), false);
                State::Bare
            }
            (State::Between | State::Bare, _) => {
                word.push(byte, true);
                State::Bare
            }
        };
    }
    let last = match state {
        State::Between => Last::Blank,
        State::Bare => Last::Word { start, word, quote: None },
        State::Quoted(quote) => Last::Word { start, word, quote: Some(quote) },
    };
    Cut { words, last }
}

/// `name` as it is typed so that [`split`] reads it back: behind an open `quote`, or bare.
pub fn quoted(name: &str, quote: Option<u8>) -> String {
    let must = |c: char| match quote {
        Some(quote) => c == char::from(quote) || c == '\\',
        None => c.is_ascii_whitespace() || "\\'\"#*?[".contains(c),
    };
    let mut out: String = quote.map(char::from).into_iter().collect();
    for c in name.chars() {
        if must(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(line: &str) -> Vec<String> {
        split(line.as_bytes()).unwrap().iter().map(Word::text).collect()
    }

    #[test]
    fn words_end_at_blanks_and_quotes_hold_them_together() {
        assert_eq!(plain("  get  \"a b\" 'c d'\t e\\ f "), ["get", "a b", "c d", "e f"]);
        assert_eq!(plain("put a'b c'\"d e\""), ["put", "ab cd e"]);
        assert_eq!(plain("ls \"\""), ["ls", ""]);
        assert!(plain("   ").is_empty());
    }

    #[test]
    fn a_comment_ends_the_line_unless_quoted() {
        assert_eq!(plain("ls a # b"), ["ls", "a"]);
        assert_eq!(plain("ls a#b"), ["ls", "a"]);
        assert_eq!(plain("ls 'a#b' a\\#b"), ["ls", "a#b", "a#b"]);
        assert!(plain("# nothing").is_empty());
    }

    #[test]
    fn a_backslash_in_quotes_escapes_the_quote_and_itself_only() {
        assert_eq!(plain(r#"ls "a\"b" "c\d" 'e\'f' "g\\""#), ["ls", "a\"b", r"c\d", "e'f", "g\\"]);
    }

    #[test]
    fn only_unquoted_stars_are_patterns() {
        let words = split(br#"* '*' "*" \* a\*b* [x] \[x]"#).unwrap();

        let magic: Vec<_> = words.iter().map(Word::has_magic).collect();

        assert_eq!(magic, [true, false, false, false, true, true, false]);
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        assert_eq!(split(b"get \xff\xfe").unwrap()[1].plain(), b"\xff\xfe");
    }

    #[test]
    fn what_is_quoted_is_read_back_as_it_was() {
        for name in
            ["plain", "a b", "it's", "say \"hi\"", "back\\slash", "#*?[x]", "tab\tname", "ü"]
        {
            for quote in [None, Some(b'\''), Some(b'"')] {
                let closing: String = quote.map(char::from).into_iter().collect();
                let typed = format!("get {}{closing}", quoted(name, quote));

                let words = split(typed.as_bytes()).unwrap();

                assert_eq!(words[1].text(), name, "{typed}");
                assert!(words.len() == 2 && !words[1].has_magic(), "{typed}");
            }
        }
    }

    #[test]
    fn the_word_being_typed_is_the_last_one() {
        let at = |line: &str| {
            unfinished(line.as_bytes()).map(|u| (u.before.len(), u.start, u.word.text(), u.quote))
        };
        assert_eq!(at(""), Some((0, 0, "".into(), None)));
        assert_eq!(at("get "), Some((1, 4, "".into(), None)));
        assert_eq!(at("get a\\ b"), Some((1, 4, "a b".into(), None)));
        assert_eq!(at("get 'a b"), Some((1, 4, "a b".into(), Some(b'\''))));
        assert_eq!(at("get 'a'\"b"), Some((1, 4, "ab".into(), Some(b'"'))));
        assert_eq!(at("ls # x"), None);
    }

    #[test]
    fn an_open_quote_or_endless_line_is_refused() {
        assert!(split(b"get \"a").is_err());
        assert!(split(b"get 'a").is_err());
        assert!(split(&vec![b'a'; LINE_LEN_MAX + 1]).is_err());
    }
}
