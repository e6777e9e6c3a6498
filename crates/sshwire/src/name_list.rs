//! Comma-separated name lists (RFC 4251 §5, §6) and the rule "first of mine that is also theirs".

/// Longest algorithm, method or request name that RFC 4251 §6 allows.
pub const NAME_LEN_MAX: usize = 64;

/// A received `name-list`, borrowed. Names that break RFC 4251 §6 are skipped, not fatal: real
/// peers send empty elements and over-long names, and they can never match one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameList<'a> {
    raw: &'a [u8],
}

impl<'a> NameList<'a> {
    pub fn new(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// The well-formed names, in the sender's order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.raw.split(|b| *b == b',').filter_map(well_formed)
    }

    /// The literal first element, well-formed or not (RFC 4253 §7 guesses by it).
    pub fn literal_first(&self) -> &'a [u8] {
        self.raw.split(|b| *b == b',').next().unwrap_or_default()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|n| n == name)
    }
}

fn well_formed(name: &[u8]) -> Option<&str> {
    let printable = name.iter().all(|b| (0x21..0x7f).contains(b));
    if name.is_empty() || name.len() > NAME_LEN_MAX || !printable {
        return None;
    }
    std::str::from_utf8(name).ok()
}

/// The first of `preferred` that `available` holds (RFC 4253 §7.1).
pub fn first_common<'p>(
    preferred: impl IntoIterator<Item = &'p str>,
    available: impl Fn(&str) -> bool,
) -> Option<&'p str> {
    preferred.into_iter().find(|name| available(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_elements_are_skipped_and_the_known_names_stay() {
        let long = "x".repeat(200);
        let raw = format!("a,,b,{long},h\u{e9},c d,z,");

        let names: Vec<_> = NameList::new(raw.as_bytes()).iter().collect();

        assert_eq!(names, ["a", "b", "z"]);
    }

    #[test]
    fn the_literal_first_element_may_be_unknown() {
        assert_eq!(NameList::new(b"guess@x,curve").literal_first(), b"guess@x");
        assert_eq!(NameList::new(b"").literal_first(), b"");
    }

    #[test]
    fn the_first_preferred_name_wins() {
        let theirs = NameList::new(b"b,a");
        assert_eq!(first_common(["a", "b"], |n| theirs.contains(n)), Some("a"));
        assert_eq!(first_common(["q"], |n| theirs.contains(n)), None);
    }
}
