//! Items of an array: one more, or one fewer, in the manner in which the array is written.

use std::ops::Range;

use toml_edit::Array;

use super::splice::{
    Splice, comma_behind, indent, line_content_end, line_end, line_start, newline,
};

/// Further in than the line of the bracket.
const STEP: &str = "    ";

/// Puts `item`, already TOML, behind all others. `None` if the array stands nowhere in `text`.
pub fn push(text: &str, array: &Array, item: &str) -> Option<Vec<Splice>> {
    let span = array.span()?;
    let several_lines = text[span.clone()].contains('\n');
    let nl = newline(text);
    let Some(last) = array.iter().last() else {
        if !several_lines {
            return Some(vec![Splice { at: span, with: format!("[{item}]") }]);
        }
        let inner = format!("{}{STEP}", indent(text, span.start));
        return Some(vec![Splice::insert(span.start + 1, format!("{nl}{inner}{item},"))]);
    };
    let last = last.span()?;
    if !several_lines {
        return Some(vec![Splice::insert(last.end, format!(", {item}"))]);
    }
    let inner = match line_start(text, last.start) == line_start(text, span.start) {
        true => format!("{}{STEP}", indent(text, span.start)),
        false => indent(text, last.start).to_owned(),
    };
    let comma = comma_behind(text, last.end);
    let behind = comma.map_or(last.end, |comma| comma + 1);
    // Behind a comment on the same line, but before the closing bracket.
    let at = match line_end(text, behind) < span.end {
        true => line_content_end(text, behind),
        false => behind,
    };
    let trailing = if comma.is_some() { "," } else { "" };
    let item = Splice::insert(at, format!("{nl}{inner}{item}{trailing}"));
    Some(match comma {
        Some(_) => vec![item],
        None if at == last.end => vec![Splice { with: format!(",{}", item.with), ..item }],
        None => vec![Splice::insert(last.end, ","), item],
    })
}

/// Takes out the item at `index`, with its line if it has one of its own. `None` if there is none.
pub fn remove(text: &str, array: &Array, index: usize) -> Option<Splice> {
    let span = array.span()?;
    let item = array.get(index)?.span()?;
    let comma = comma_behind(text, item.end);
    let behind = comma.map_or(item.end, |comma| comma + 1);
    if let Some(lines) = own_lines(text, &span, item.start..behind) {
        return Some(Splice::remove(lines));
    }
    if comma.is_some() {
        let rest = &text[behind..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        return Some(Splice::remove(item.start..behind + blanks));
    }
    let before = index.checked_sub(1).and_then(|index| array.get(index)?.span());
    let start = before.and_then(|before| comma_behind(text, before.end)).unwrap_or(item.start);
    Some(Splice::remove(start..item.end))
}

/// The lines of `item` (with its comma) and the comment behind, if nothing else stands on them.
fn own_lines(text: &str, array: &Range<usize>, item: Range<usize>) -> Option<Range<usize>> {
    let (start, end) = (line_start(text, item.start), line_end(text, item.end));
    let behind = text[item.end..end].trim_start();
    let alone = start > array.start
        && end < array.end
        && text[start..item.start].trim().is_empty()
        && (behind.is_empty() || behind.starts_with('#'));
    alone.then_some(start..end)
}

#[cfg(test)]
mod tests {
    use toml_edit::Document;

    use super::{super::splice::apply, *};

    /// What `x = array` becomes, and that it says what it should.
    fn edited(array: &str, edit: impl Fn(&str, &Array) -> Vec<Splice>, items: &[&str]) -> String {
        let text = format!("x = {array} # end\ny = 1\n");
        let document = Document::parse(text.as_str()).unwrap();
        let array = document.as_table()["x"].as_array().unwrap();
        let edited = apply(&text, edit(&text, array));
        let read: toml::Table = edited.parse().unwrap_or_else(|error| panic!("{edited}: {error}"));
        let read: Vec<_> = read["x"].as_array().unwrap().iter().map(|v| v.as_str()).collect();
        assert_eq!(read, items.iter().map(|i| Some(*i)).collect::<Vec<_>>(), "{edited}");
        let value = edited.strip_prefix("x = ").unwrap();
        value.strip_suffix(" # end\ny = 1\n").unwrap().to_owned()
    }

    fn pushed(array: &str, items: &[&str]) -> String {
        edited(array, |text, array| push(text, array, "'n'").unwrap(), items)
    }

    fn removed(array: &str, index: usize, items: &[&str]) -> String {
        edited(array, |text, array| vec![remove(text, array, index).unwrap()], items)
    }

    #[test]
    fn an_item_joins_in_the_manner_of_the_array() {
        assert_eq!(pushed("[]", &["n"]), "['n']");
        assert_eq!(pushed("[ ]", &["n"]), "['n']");
        assert_eq!(pushed("['a']", &["a", "n"]), "['a', 'n']");
        assert_eq!(pushed("[ 'a', ]", &["a", "n"]), "[ 'a', 'n', ]");
        assert_eq!(pushed("[\n  'a'\n]", &["a", "n"]), "[\n  'a',\n  'n'\n]");
        assert_eq!(pushed("[\n\t'a',\n]", &["a", "n"]), "[\n\t'a',\n\t'n',\n]");
        assert_eq!(pushed("[\n # none\n]", &["n"]), "[\n    'n',\n # none\n]");
        assert_eq!(pushed("['a',\n 'b']", &["a", "b", "n"]), "['a',\n 'b',\n 'n']");
        assert_eq!(pushed("['a'\n]", &["a", "n"]), "['a',\n    'n'\n]");
    }

    #[test]
    fn comments_stay_with_the_items_that_they_are_about() {
        assert_eq!(
            pushed("[\n  # first\n  'a', # a, b\n  # last\n]", &["a", "n"]),
            "[\n  # first\n  'a', # a, b\n  'n',\n  # last\n]"
        );
        assert_eq!(pushed("[\n  'a' # a\n]", &["a", "n"]), "[\n  'a', # a\n  'n'\n]");
        assert_eq!(pushed("[\r\n  'a', # a\r\n]", &["a", "n"]), "[\r\n  'a', # a\r\n  'n',\r\n]",);
        let three = "[\n  'a', # one\n  # about b\n  'b', # two\n  'c' # three\n]";
        assert_eq!(
            removed(three, 1, &["a", "c"]),
            "[\n  'a', # one\n  # about b\n  'c' # three\n]"
        );
        assert_eq!(removed(three, 2, &["a", "b"]), "[\n  'a', # one\n  # about b\n  'b', # two\n]");
    }

    #[test]
    fn an_item_leaves_with_its_comma() {
        assert_eq!(removed("['a']", 0, &[]), "[]");
        assert_eq!(removed("['a', 'b']", 0, &["b"]), "['b']");
        assert_eq!(removed("['a', 'b']", 1, &["a"]), "['a']");
        assert_eq!(removed("[ 'a', 'b', ]", 1, &["a"]), "[ 'a', ]");
        assert_eq!(removed("['a', 'b',\n 'c']", 2, &["a", "b"]), "['a', 'b']");
        assert_eq!(removed("['a',\n 'b']", 0, &["b"]), "[\n 'b']");
    }

    #[test]
    fn what_is_not_there_cannot_be_removed() {
        let text = "x = ['a']";
        let document = Document::parse(text).unwrap();

        assert_eq!(remove(text, document.as_table()["x"].as_array().unwrap(), 1), None);
        assert_eq!(push(text, &Array::new(), "'n'"), None);
    }
}
