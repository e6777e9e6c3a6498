//! Where uploads are published on close: the folder with the longest path decides.

use crate::Backend;

/// A directory, with everything in it, and how uploads there are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Absolute, as the user sees it.
    pub path: Vec<u8>,
    /// Whether uploads become visible when they are closed; otherwise while they grow.
    pub on_close: bool,
}

/// The folders by canonical paths, the longest first.
pub(super) struct Folders(Vec<Folder>);

impl Folders {
    /// Links in the paths are followed now, so that files are found by where they really are. A folder
    /// that is not there yet is taken by its name.
    pub fn new(below: &dyn Backend, folders: &[Folder]) -> Self {
        let mut all: Vec<Folder> = folders
            .iter()
            .map(|folder| Folder {
                path: below.realpath(&folder.path).unwrap_or_else(|_| without_slash(&folder.path)),
                on_close: folder.on_close,
            })
            .collect();
        // Of two with the same path the first one decides: the sort is stable.
        all.sort_by_key(|folder| std::cmp::Reverse(folder.path.len()));
        Self(all)
    }

    /// The folder on whose close a file at this canonical path is published; `None` if it is written
    /// directly.
    pub fn of(&self, path: &[u8]) -> Option<&[u8]> {
        let folder = self.0.iter().find(|folder| holds(&folder.path, path))?;
        folder.on_close.then_some(&folder.path)
    }

    /// Whether there can be parts at all.
    pub fn any(&self) -> bool {
        self.0.iter().any(|folder| folder.on_close)
    }

    /// Those with parts.
    pub fn on_close(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(|folder| folder.on_close).map(|folder| folder.path.as_slice())
    }
}

/// Whether `path` is below the directory `folder`.
fn holds(folder: &[u8], path: &[u8]) -> bool {
    folder == b"/" || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

fn without_slash(path: &[u8]) -> Vec<u8> {
    let kept = path.iter().rposition(|byte| *byte != b'/').map_or(1, |at| at + 1);
    path[..kept.min(path.len())].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn the_longest_folder_that_holds_a_file_decides() {
        let below = Memory::new();
        below.mkdir(b"/real", None).unwrap();
        below.symlink(b"real", b"/link").unwrap();
        let folder = |path: &str, on_close| Folder { path: path.into(), on_close };
        let folders = Folders::new(
            &below,
            &[
                folder("/", true),
                folder("/in/", true),
                folder("/in/direct", false),
                folder("/link", false),
            ],
        );

        assert_eq!(folders.of(b"/f"), Some(&b"/"[..]));
        assert_eq!(folders.of(b"/in/f"), Some(&b"/in"[..]));
        assert_eq!(folders.of(b"/in"), Some(&b"/"[..]));
        assert_eq!(folders.of(b"/inside/f"), Some(&b"/"[..]));
        assert_eq!(folders.of(b"/in/direct/x/f"), None);
        assert_eq!(folders.of(b"/real/f"), None, "the link was followed");
        assert_eq!(Folders::new(&below, &[]).of(b"/f"), None);
        assert_eq!(folders.on_close().collect::<Vec<_>>(), [&b"/in"[..], b"/"]);
    }
}
