//! Values of `Ciphers`, `MACs`, `KexAlgorithms` and their kind.

use sterna_ssh_files::pattern::wildcard_match;

use crate::Error;

/// A value of `Ciphers`, `MACs`, `KexAlgorithms`, …: a list, or a change of the default list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlgorithmChange {
    /// Exactly these.
    Only(Vec<String>),
    /// `+list`: these behind the default.
    Append(Vec<String>),
    /// `-list`: the default without what these patterns match.
    Remove(Vec<String>),
    /// `^list`: these in front of the default.
    Prepend(Vec<String>),
}

impl AlgorithmChange {
    /// Reads a value as ssh_config(5) writes it.
    pub fn parse(value: &str) -> Self {
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
        };
        match value.as_bytes().first() {
            Some(b'+') => Self::Append(list(&value[1..])),
            Some(b'-') => Self::Remove(list(&value[1..])),
            Some(b'^') => Self::Prepend(list(&value[1..])),
            _ => Self::Only(list(value)),
        }
    }

    /// Applies the change to `default`. Names outside of `known` are dropped; a pattern stands for the
    /// names of `default` that it matches.
    ///
    /// # Errors
    /// [`Error::Usage`] if nothing is left: we would have to guess what is safe.
    pub fn apply(
        &self,
        keyword: &str,
        default: &[String],
        known: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let usable = |names: &[String]| -> Vec<String> {
            let mut out: Vec<String> = Vec::new();
            for name in names {
                let pattern = name.contains(['*', '?']);
                let meant: &mut dyn Iterator<Item = &String> = if pattern {
                    &mut default.iter().filter(|n| matches(name, n))
                } else {
                    &mut std::iter::once(name).filter(|n| known(n))
                };
                for name in meant {
                    if !out.contains(name) {
                        out.push(name.clone());
                    }
                }
            }
            out
        };
        let chosen = match self {
            Self::Only(names) => usable(names),
            Self::Append(names) => usable(&[default, names].concat()),
            Self::Prepend(names) => usable(&[names, default].concat()),
            Self::Remove(patterns) => {
                let gone = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
                default.iter().filter(|n| !gone(n)).cloned().collect()
            }
        };
        if chosen.is_empty() {
            return Err(Error::Usage(format!("{keyword}: none of these algorithms is known here")));
        }
        Ok(chosen)
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    wildcard_match(pattern.as_bytes(), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_replace_append_remove_and_go_first() {
        let default: Vec<String> = ["a1", "a2", "b"].map(str::to_owned).to_vec();
        let known = |n: &str| n != "unknown";
        let apply = |text: &str| AlgorithmChange::parse(text).apply("Ciphers", &default, known);

        assert_eq!(apply("b,unknown").unwrap(), ["b"]);
        assert_eq!(apply("+c,a1").unwrap(), ["a1", "a2", "b", "c"]);
        assert_eq!(apply("-a*").unwrap(), ["b"]);
        assert_eq!(apply("^b,c").unwrap(), ["b", "c", "a1", "a2"]);
        assert_eq!(apply("^a?").unwrap(), ["a1", "a2", "b"]);
        assert_eq!(apply("c,a*").unwrap(), ["c", "a1", "a2"]);
        assert!(apply("unknown").is_err());
        assert!(apply("-*").is_err());
        assert!(apply("x*").is_err());
    }
}
