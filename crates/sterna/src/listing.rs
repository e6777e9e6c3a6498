//! Lists of remote files: names, long lines, order, columns. Shared by `sterna ls` and the shell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use sterna_client::{Attrs, Entry, FileKind, Sftp};

use crate::{
    failure::Result,
    output::{LongLine, Object, Output, bytes_human, columns, display_name, long_line, time_text},
};

/// Width of the terminal if it does not say (columns).
const WIDTH_DEFAULT: usize = 80;

/// What is shown of each file, and in which order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub long: bool,
    pub one_per_line: bool,
    pub human: bool,
    /// Numbers instead of the names of users and groups.
    pub numeric: bool,
    pub order: Order,
    pub reverse: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Name,
    /// Largest first.
    Size,
    /// Newest first.
    Time,
    /// As the server sends them.
    None,
}

/// A file as it is listed: under the name that the user will recognise.
#[derive(Clone, Debug)]
pub struct Item {
    /// A name in a directory, or a path as it was typed.
    pub name: Vec<u8>,
    /// The whole path, for programs.
    pub path: Vec<u8>,
    pub kind: FileKind,
    pub attrs: Attrs,
    /// The text of a symbolic link, if it was asked for.
    pub link: Option<Vec<u8>>,
}

impl Item {
    /// An entry of the directory `parent`.
    pub fn entry(parent: &[u8], entry: Entry) -> Self {
        let kind = entry.kind();
        let path = crate::remote_glob::join(parent, &entry.name);
        Self { name: entry.name, path, kind, attrs: entry.attrs, link: None }
    }

    /// A path that was named.
    pub fn named(path: &[u8], attrs: Attrs) -> Self {
        let kind = FileKind::of(&attrs);
        Self { name: path.to_vec(), path: path.to_vec(), kind, attrs, link: None }
    }

    /// The line of `--json`.
    pub fn object(&self) -> Object {
        let attrs = &self.attrs;
        Object::new()
            .with_name("name", &self.name)
            .with_name("path", &self.path)
            .with("type", kind_word(self.kind))
            .with_some("size", attrs.size)
            .with_some("mode", attrs.permissions.map(|mode| format!("{:04o}", mode & 0o7777)))
            .with_some("uid", attrs.owner.map(|owner| owner.uid))
            .with_some("gid", attrs.owner.map(|owner| owner.gid))
            .with_some("atime", attrs.times.map(|times| times.accessed))
            .with_some("mtime", attrs.times.map(|times| times.modified))
    }
}

/// The word for a kind of file in `--json` and `stat`.
pub fn kind_word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Dir => "directory",
        FileKind::Symlink => "symlink",
        FileKind::Other => "other",
        FileKind::Unknown => "unknown",
    }
}

/// Puts items into the order of the style.
pub fn sort(items: &mut [Item], style: &Style) {
    let size = |item: &Item| std::cmp::Reverse(item.attrs.size.unwrap_or(0));
    let time = |item: &Item| std::cmp::Reverse(item.attrs.times.map_or(0, |t| t.modified));
    match style.order {
        Order::None => return,
        Order::Name => items.sort_by(|a, b| a.name.cmp(&b.name)),
        Order::Size => {
            items.sort_by(|a, b| size(a).cmp(&size(b)).then_with(|| a.name.cmp(&b.name)))
        }
        Order::Time => {
            items.sort_by(|a, b| time(a).cmp(&time(b)).then_with(|| a.name.cmp(&b.name)))
        }
    }
    if style.reverse {
        items.reverse();
    }
}

/// Prints items that are already in order.
///
/// # Errors
/// If stdout does not take them.
pub async fn print(sftp: &Sftp, output: &Output, items: &[Item], style: &Style) -> Result<()> {
    if output.json {
        return items.iter().try_for_each(|item| output.object(item.object()));
    }
    if style.long {
        let owners = Owners::ask(sftp, items, style.numeric).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        for item in items {
            let mut line = owners.long_line(item, style, now).into_bytes();
            line.extend(colored(output, item));
            if let Some(link) = &item.link {
                line.extend_from_slice(b" -> ");
                line.extend_from_slice(&output.name(link));
            }
            output.line(line)?;
        }
        return Ok(());
    }
    if output.terminal && !style.one_per_line {
        let cells: Vec<_> = items
            .iter()
            .map(|item| {
                let width = display_name(&item.name).chars().count();
                (String::from_utf8_lossy(&colored(output, item)).into_owned(), width)
            })
            .collect();
        let rows = columns(&cells, terminal_width());
        return rows.iter().try_for_each(|row| output.line(row));
    }
    items.iter().try_for_each(|item| output.line(colored(output, item)))
}

/// Names of users and groups by number.
struct Owners {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Owners {
    /// Asks the server once for all of them. Numbers stay where it does not say.
    async fn ask(sftp: &Sftp, items: &[Item], numeric: bool) -> Self {
        let mut known = Self { users: BTreeMap::new(), groups: BTreeMap::new() };
        if numeric {
            return known;
        }
        let owners = || items.iter().filter_map(|item| item.attrs.owner);
        let uids: Vec<u32> = owners().map(|o| o.uid).collect::<BTreeSet<_>>().into_iter().collect();
        let gids: Vec<u32> = owners().map(|o| o.gid).collect::<BTreeSet<_>>().into_iter().collect();
        if let Ok((users, groups)) = sftp.users_groups(&uids, &gids).await {
            known.users = named(&uids, users);
            known.groups = named(&gids, groups);
        }
        known
    }

    fn long_line(&self, item: &Item, style: &Style, now: i64) -> String {
        let attrs = &item.attrs;
        let name = |names: &BTreeMap<u32, String>, id: Option<u32>| match id {
            Some(id) => names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
            None => "?".to_owned(),
        };
        let size = match attrs.size {
            Some(size) if style.human => bytes_human(size),
            Some(size) => size.to_string(),
            None => "?".to_owned(),
        };
        long_line(&LongLine {
            st_mode: attrs.permissions.unwrap_or(0),
            // Version 3 does not tell how many names a file has.
            links: None,
            owner: &name(&self.users, attrs.owner.map(|o| o.uid)),
            group: &name(&self.groups, attrs.owner.map(|o| o.gid)),
            size: &size,
            time: &attrs
                .times
                .map_or_else(|| "?".to_owned(), |t| time_text(t.modified.into(), now)),
        })
    }
}

fn named(ids: &[u32], names: Vec<Vec<u8>>) -> BTreeMap<u32, String> {
    let pairs = ids.iter().zip(names).filter(|(_, name)| !name.is_empty());
    pairs.map(|(id, name)| (*id, display_name(&name))).collect()
}

/// The name as stdout should get it, coloured by its kind if colours are wanted.
fn colored(output: &Output, item: &Item) -> Vec<u8> {
    let name = output.name(&item.name);
    let executable = item.attrs.permissions.is_some_and(|mode| mode & 0o111 != 0);
    let code = match item.kind {
        FileKind::Dir => "1;34",
        FileKind::Symlink => "1;36",
        FileKind::Other => "33",
        FileKind::File if executable => "1;32",
        FileKind::File | FileKind::Unknown => "",
    };
    if !output.color || code.is_empty() {
        return name.into_owned();
    }
    [format!("\x1b[{code}m").as_bytes(), &name, b"\x1b[0m"].concat()
}

fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&w| w > 0).unwrap_or(WIDTH_DEFAULT)
}

#[cfg(test)]
mod tests {
    use sterna_sftp_proto::Times;

    use super::*;

    fn item(name: &str, size: u64, modified: u32) -> Item {
        let times = Some(Times { accessed: 0, modified });
        let attrs = Attrs { size: Some(size), times, ..Attrs::default() };
        Item::named(name.as_bytes(), attrs)
    }

    fn sorted(order: Order, reverse: bool) -> Vec<String> {
        let mut items = vec![item("b", 1, 30), item("a", 3, 10), item("c", 1, 20)];
        sort(&mut items, &Style { order, reverse, ..Style::default() });
        items.into_iter().map(|item| String::from_utf8(item.name).unwrap()).collect()
    }

    #[test]
    fn orders_are_those_of_ls_and_ties_go_by_name() {
        assert_eq!(sorted(Order::Name, false), ["a", "b", "c"]);
        assert_eq!(sorted(Order::Size, false), ["a", "b", "c"]);
        assert_eq!(sorted(Order::Time, false), ["b", "c", "a"]);
        assert_eq!(sorted(Order::Time, true), ["a", "c", "b"]);
        assert_eq!(sorted(Order::None, true), ["b", "a", "c"]);
    }

    #[test]
    fn json_leaves_out_what_the_server_did_not_say() {
        let line = Item::named(b"x", Attrs::default()).object().into_line();

        assert_eq!(line, r#"{"name":"x","path":"x","type":"unknown"}"#);
    }
}
