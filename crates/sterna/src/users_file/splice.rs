//! Cuts in a text, and how the lines around a place look.

use std::ops::Range;

/// One cut: what stands at `at` becomes `with`.
#[derive(Debug, PartialEq, Eq)]
pub struct Splice {
    pub at: Range<usize>,
    pub with: String,
}

impl Splice {
    pub fn insert(at: usize, with: impl Into<String>) -> Self {
        Self { at: at..at, with: with.into() }
    }

    pub fn remove(at: Range<usize>) -> Self {
        Self { at, with: String::new() }
    }
}

/// Makes all cuts; their places count in the text as it was, and none overlaps another.
pub fn apply(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| splice.at.start);
    let mut out = String::with_capacity(text.len() + 256);
    let mut done = 0;
    for Splice { at, with } in splices {
        out.push_str(&text[done..at.start]);
        out.push_str(&with);
        done = at.end;
    }
    out.push_str(&text[done..]);
    out
}

/// Where the line of `at` begins. A byte order mark belongs to no line.
pub fn line_start(text: &str, at: usize) -> usize {
    match text[..at].rfind('\n') {
        Some(end) => end + 1,
        None => text_start(text).min(at),
    }
}

/// Where the text begins, behind a byte order mark.
pub fn text_start(text: &str) -> usize {
    if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// Where the next line begins; the end of the text on the last one.
pub fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |len| at + len + 1)
}

/// The same without the line feed, and the carriage return before it.
pub fn line_content_end(text: &str, at: usize) -> usize {
    let line = &text[at..line_end(text, at)];
    at + line.trim_end_matches(['\r', '\n']).len()
}

/// The blanks in front of the line of `at`.
pub fn indent(text: &str, at: usize) -> &str {
    let line = &text[line_start(text, at)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// How the lines of this text end.
pub fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// The comma that comes next behind `at`, over blanks, line ends and comments.
pub fn comma_behind(text: &str, at: usize) -> Option<usize> {
    let mut at = at;
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        match text[at..].bytes().next()? {
            b'#' => at = line_end(text, at),
            b',' => return Some(at),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_made_in_the_text_as_it_was() {
        let cuts = vec![
            Splice::insert(4, "X"),
            Splice::remove(0..2),
            Splice { at: 3..4, with: "Y".into() },
        ];

        assert_eq!(apply("abcdef", cuts), "cYXef");
    }

    #[test]
    fn lines_are_found_with_either_end_and_without() {
        let text = "\u{feff}a\r\n  b\r\nc";

        assert_eq!((line_start(text, 3), line_end(text, 3)), (3, 6));
        assert_eq!((line_start(text, 8), line_end(text, 8)), (6, 11));
        assert_eq!(line_content_end(text, 8), 9);
        assert_eq!(indent(text, 8), "  ");
        assert_eq!(line_end(text, 11), text.len());
        assert_eq!(newline(text), "\r\n");
        assert_eq!(newline("a"), "\n");
    }

    #[test]
    fn a_comma_is_found_behind_comments_only() {
        assert_eq!(comma_behind("a # no, \n ,", 1), Some(10));
        assert_eq!(comma_behind("a ]", 1), None);
        assert_eq!(comma_behind("a", 1), None);
    }
}
