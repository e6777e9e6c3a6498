//! Test vectors by name, from `testdata/vectors.txt`.

/// The bytes behind `name = `.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let text = include_str!("../testdata/vectors.txt")
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
        .unwrap_or_else(|| panic!("no vector {name}"));
    hex::decode(text).unwrap()
}
