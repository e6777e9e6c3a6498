//! A value to be written, and its text.

use toml_edit::Value;

/// Items of a list that stand on one line; more get a line each.
const ONE_LINE_LEN_MAX: usize = 88;

/// What the commands write: everything else in a file is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    Text(String),
    Flag(bool),
    List(Vec<String>),
}

/// How the text around looks.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'t> {
    /// In front of the line in which the value begins.
    pub indent: &'t str,
    pub newline: &'t str,
    /// Within an inline table: on one line, whatever its length.
    pub inline: bool,
}

impl Setting {
    /// The value as TOML. `key_len`: what stands before it in its line.
    pub fn toml(&self, key_len: usize, layout: Layout<'_>) -> String {
        let Layout { indent, newline, inline } = layout;
        match self {
            Self::Text(text) => quoted(text),
            Self::Flag(flag) => flag.to_string(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
                let line = format!("[{}]", items.join(", "));
                if inline || items.len() < 2 || key_len + line.len() <= ONE_LINE_LEN_MAX {
                    return line;
                }
                let items = items.iter().map(|item| format!("{newline}{indent}    {item},"));
                format!("[{}{newline}{indent}]", items.collect::<String>())
            }
        }
    }
}

/// A string as TOML, in the quotes that need the fewest escapes.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout<'_> = Layout { indent: "  ", newline: "\n", inline: false };

    #[test]
    fn values_read_as_what_they_were() {
        for text in ["plain", "a \"quoted\" 'one'", "back\\slash", "tab\tand é", "a\nb", ""] {
            let toml = format!("x = {}", Setting::Text(text.to_owned()).toml(3, LAYOUT));
            let read: toml::Table = toml.parse().unwrap();
            assert_eq!(read["x"].as_str(), Some(text), "{toml}");
        }
        assert_eq!(Setting::Flag(false).toml(3, LAYOUT), "false");
    }

    #[test]
    fn only_long_lists_get_a_line_for_each_item() {
        let list = |items: &[&str]| Setting::List(items.iter().map(|i| (*i).to_owned()).collect());
        let long = "x".repeat(60);

        assert_eq!(list(&["a", "b"]).toml(5, LAYOUT), "[\"a\", \"b\"]");
        assert_eq!(list(&[&long]).toml(80, LAYOUT), format!("[\"{long}\"]"));
        assert_eq!(
            list(&[&long, &long]).toml(5, LAYOUT),
            format!("[\n      \"{long}\",\n      \"{long}\",\n  ]")
        );
        let inline = Layout { inline: true, ..LAYOUT };
        assert!(!list(&[&long, &long]).toml(5, inline).contains('\n'));
    }
}
