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
    let mut words: Vec<Word> = Vec::new();
    let mut word = Word::default();
    let mut state = State::Between;
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        state = match (state, byte) {
            (State::Quoted(quote), _) if byte == quote => State::Bare,
            (State::Quoted(quote), b'\\') => {
                match bytes.next_if(|&next| next == quote || next == b'\\') {
                    Some(next) => word.push(next, false),
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
            (State::Between, b'#') => break,
            (State::Bare, b'#') => {
                words.push(std::mem::take(&mut word));
                state = State::Between;
                break;
            }
            (State::Between | State::Bare, b'\'' | b'"') => State::Quoted(byte),
            (State::Between | State::Bare, b'\\') => {
                word.push(bytes.next().unwrap_or(b'\\'), false);
                State::Bare
            }
            (State::Between | State::Bare, _) => {
                word.push(byte, true);
                State::Bare
            }
        };
    }
    match state {
        State::Quoted(_) => Err("a quote is not closed"),
        State::Bare => {
            words.push(word);
            Ok(words)
        }
        State::Between => Ok(words),
    }
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
    fn an_open_quote_or_endless_line_is_refused() {
        assert!(split(b"get \"a").is_err());
        assert!(split(b"get 'a").is_err());
        assert!(split(&vec![b'a'; LINE_LEN_MAX + 1]).is_err());
    }
}
