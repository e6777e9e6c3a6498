//! Names that differ in case or composition and are one name at the target, as macOS, Windows and FAT take
//! them: what looks like two files there is one, and deleting "the other" would delete what was just sent.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization as _;

use super::entry::Entry;
use super::plan::sorted;

/// Gives entries of the target the name that the source has for them, where both are one name to the
/// target. `looks_up` says whether the target finds something under a name of the source that it did not
/// list. It is asked only about names that differ in nothing else.
pub(crate) async fn under_one_name<F>(
    source: &[Entry],
    mut target: Vec<Entry>,
    looks_up: impl Fn(Box<[u8]>) -> F,
) -> Vec<Entry>
where
    F: Future<Output = bool>,
{
    let ours: HashSet<&[u8]> = source.iter().map(|entry| &*entry.name).collect();
    let mut only_there: HashMap<String, usize> = HashMap::new();
    for (index, entry) in target.iter().enumerate() {
        if !ours.contains(&*entry.name) {
            only_there.insert(folded(&entry.name), index);
        }
    }
    if only_there.is_empty() {
        return target;
    }
    let theirs: HashSet<Box<[u8]>> = target.iter().map(|entry| entry.name.clone()).collect();
    let mut renamed = false;
    for entry in source.iter().filter(|entry| !theirs.contains(&entry.name)) {
        if let Some(index) = only_there.remove(&folded(&entry.name))
            && looks_up(entry.name.clone()).await
        {
            target[index].name = entry.name.clone();
            renamed = true;
        }
    }
    if renamed { sorted(target) } else { target }
}

fn folded(name: &[u8]) -> String {
    String::from_utf8_lossy(name).nfc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn entries(names: &[&str]) -> Vec<Entry> {
        sorted(names.iter().map(|name| Entry::of_file(name.as_bytes())).collect())
    }

    /// The names of the target afterwards, and what it was asked to look up; it finds it or not.
    async fn after(source: &[&str], target: &[&str], finds: bool) -> (Vec<String>, Vec<String>) {
        let asked = Mutex::new(Vec::new());
        let looks_up = |name: Box<[u8]>| {
            asked.lock().unwrap().push(String::from_utf8(name.into()).unwrap());
            async move { finds }
        };
        let target = under_one_name(&entries(source), entries(target), looks_up).await;
        let names = target.iter().map(|e| String::from_utf8(e.name.to_vec()).unwrap()).collect();
        (names, asked.into_inner().unwrap())
    }

    #[tokio::test]
    async fn a_name_in_another_case_is_the_same_file_where_the_target_says_so() {
        let (names, asked) = after(&["a", "photo.jpg"], &["Photo.JPG", "a", "z"], true).await;
        assert_eq!(
            (names, asked),
            (vec!["a".into(), "photo.jpg".into(), "z".into()], vec!["photo.jpg".into()])
        );

        let (names, _) = after(&["photo.jpg"], &["Photo.JPG"], false).await;
        assert_eq!(names, ["Photo.JPG"]);
    }

    #[tokio::test]
    async fn an_umlaut_of_two_characters_is_the_one_of_one() {
        let (names, _) = after(&["\u{fc}"], &["u\u{308}"], true).await;

        assert_eq!(names, ["\u{fc}"]);
    }

    #[tokio::test]
    async fn a_target_that_lists_both_names_has_two_files() {
        let (names, asked) = after(&["a"], &["A", "a"], true).await;

        assert_eq!((names, asked), (vec!["A".to_owned(), "a".to_owned()], vec![]));
    }
}
