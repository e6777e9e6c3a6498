//! Test vectors by name, from `testdata/vectors.txt`.

/// The text behind `name = `.
pub(crate) fn text(name: &str) -> &'static str {
    include_str!("../testdata/vectors.txt")
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
        .unwrap_or_else(|| panic!("no vector {name}"))
        .trim_matches('"')
}

/// The bytes behind `name = `.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    hex::decode(text(name)).unwrap()
}
