//! One settings file as text, and the users in it.

use std::{fmt, ops::Range};

use serde_json::{Map, Value as Json};
use toml_edit::{Document, Item, Table, TableLike, TomlError, Value};

use super::{
    array,
    setting::{Layout, Setting, quoted},
    splice::{Splice, apply, comma_behind, indent, line_end, line_start, newline, text_start},
};

/// How users stand in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Among other settings, each a `[[user]]`.
    Listed,
    /// The file is one user, whose name is this unless the file says another.
    Own(String),
}

/// Why a text was not edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The text is not TOML.
    Syntax {
        line: Option<usize>,
        why: String,
    },
    NoSuchUser,
    /// The key stands there as something that cannot be replaced: a table, or no array where items
    /// are meant.
    Shape {
        key: String,
    },
    /// The array has no such item.
    NoSuchItem,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { why, .. } => f.write_str(why),
            Self::NoSuchUser => f.write_str("no such user"),
            Self::Shape { key } => write!(f, "{key} is written in a way that cannot be edited"),
            Self::NoSuchItem => f.write_str("no such item"),
        }
    }
}

/// A settings file with users.
#[derive(Clone, Debug)]
pub struct UserText {
    form: Form,
    text: String,
}

/// A user as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct UserView {
    /// Empty if a `[[user]]` says none.
    pub name: String,
    /// Where the user begins, counted from 1.
    pub line: usize,
    /// Everything that is said about the user but the name.
    pub values: Map<String, Json>,
}

impl UserText {
    pub fn new(form: Form, text: String) -> Self {
        Self { form, text }
    }

    /// A file of its own for a new user.
    pub fn own(name: &str, values: &[(&str, Setting)]) -> Self {
        let layout = Layout { indent: "", newline: "\n", inline: false };
        Self { form: Form::Own(name.to_owned()), text: lines(values, layout) }
    }

    pub fn form(&self) -> &Form {
        &self.form
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The users in the order of the file.
    ///
    /// # Errors
    /// [`EditError::Syntax`].
    pub fn users(&self) -> Result<Vec<UserView>, EditError> {
        let document = self.parse()?;
        let views = self.find_all(&document).into_iter().map(|found| {
            let values = found.table.iter().map(|(key, item)| (key.to_owned(), json(item)));
            UserView {
                name: found.name.to_owned(),
                line: line_of(&self.text, found.start()),
                values: values.filter(|(key, _)| key != "name").collect(),
            }
        });
        Ok(views.collect())
    }

    /// A text at the top of the file, outside of all tables.
    ///
    /// # Errors
    /// [`EditError::Syntax`].
    pub fn top_level(&self, key: &str) -> Result<Option<String>, EditError> {
        Ok(self.parse()?.as_table().get(key).and_then(Item::as_str).map(str::to_owned))
    }

    /// Gives `key` of a user a value: in place of the old one, else in a line behind the user's
    /// others.
    ///
    /// # Errors
    /// [`EditError`]; nothing was changed then.
    pub fn set(&mut self, user: &str, key: &str, value: &Setting) -> Result<(), EditError> {
        self.edit(user, |text, found| {
            let (at, old) = match found.table.get(key) {
                Some(item) => {
                    let span = item.as_value().and_then(Value::span);
                    let span = span.ok_or_else(|| EditError::Shape { key: key.to_owned() })?;
                    (span.start, Some(span))
                }
                None => (last_pair(found.table).map_or(found.start(), |pair| pair.start), None),
            };
            let layout = Layout {
                indent: indent(text, at),
                newline: newline(text),
                inline: matches!(found.place, Place::Inline(_)),
            };
            let toml = value.toml(key.len() + " = ".len(), layout);
            Ok(vec![match old {
                Some(span) => Splice { at: span, with: toml },
                None => found.insert(text, &format!("{key} = {toml}"), layout),
            }])
        })
    }

    /// Takes `key` of a user out, with the comment behind it. Whether it was there.
    ///
    /// # Errors
    /// [`EditError`]; nothing was changed then.
    pub fn remove(&mut self, user: &str, key: &str) -> Result<bool, EditError> {
        let before = self.text.len();
        self.edit(user, |text, found| {
            let Some((name, item)) = found.table.get_key_value(key) else { return Ok(Vec::new()) };
            let shape = || EditError::Shape { key: key.to_owned() };
            let name = name.span().ok_or_else(shape)?;
            let value = item.as_value().and_then(Value::span).ok_or_else(shape)?;
            Ok(vec![Splice::remove(found.extent(text, name.start..value.end))])
        })?;
        Ok(self.text.len() != before)
    }

    /// Puts one more text into an array of a user, which is made if it is not there.
    ///
    /// # Errors
    /// [`EditError`]; nothing was changed then.
    pub fn push(&mut self, user: &str, key: &str, item: &str) -> Result<(), EditError> {
        let mut missing = false;
        self.edit(user, |text, found| {
            let Some(items) = found.table.get(key) else {
                missing = true;
                return Ok(Vec::new());
            };
            let splices =
                items.as_array().and_then(|items| array::push(text, items, &quoted(item)));
            splices.ok_or_else(|| EditError::Shape { key: key.to_owned() })
        })?;
        match missing {
            true => self.set(user, key, &Setting::List(vec![item.to_owned()])),
            false => Ok(()),
        }
    }

    /// Takes the item at `index` out of an array of a user.
    ///
    /// # Errors
    /// [`EditError`]; nothing was changed then.
    pub fn remove_item(&mut self, user: &str, key: &str, index: usize) -> Result<(), EditError> {
        self.edit(user, |text, found| {
            let items = found.table.get(key).and_then(Item::as_array);
            let items = items.ok_or_else(|| EditError::Shape { key: key.to_owned() })?;
            Ok(vec![array::remove(text, items, index).ok_or(EditError::NoSuchItem)?])
        })
    }

    /// Puts a new `[[user]]` at the end.
    ///
    /// # Errors
    /// [`EditError`]; nothing was changed then.
    pub fn add_user(&mut self, name: &str, values: &[(&str, Setting)]) -> Result<(), EditError> {
        let document = self.parse()?;
        let name = [("name", Setting::Text(name.to_owned()))];
        let values: Vec<_> = name.iter().chain(values).cloned().collect();
        let nl = newline(&self.text);
        let splices = match document.as_table().get("user") {
            // `user = [{ … }]`: tables cannot follow an array of the same name.
            Some(Item::Value(users)) => {
                let layout = Layout { indent: "", newline: nl, inline: true };
                let values = values.iter().map(|(key, value)| line(key, value, layout));
                let user = format!("{{ {} }}", values.collect::<Vec<_>>().join(", "));
                let splices = users.as_array().and_then(|u| array::push(&self.text, u, &user));
                splices.ok_or_else(|| EditError::Shape { key: "user".to_owned() })?
            }
            _ => {
                let layout = Layout { indent: "", newline: nl, inline: false };
                let end = self.text.len();
                let mut table = String::new();
                let begun = end > text_start(&self.text);
                if begun && !self.text.ends_with('\n') {
                    table.push_str(nl);
                }
                if begun && !ends_in_blank_line(&self.text) {
                    table.push_str(nl);
                }
                table.push_str(&format!("[[user]]{nl}{}", lines(&values, layout)));
                vec![Splice::insert(end, table)]
            }
        };
        self.text = apply(&self.text, splices);
        Ok(())
    }

    /// Takes a `[[user]]` out: its lines from the header to the last key, and those of its tables.
    /// Comments around them stay.
    ///
    /// # Errors
    /// [`EditError`]; nothing was changed then.
    pub fn remove_user(&mut self, user: &str) -> Result<(), EditError> {
        let document = self.parse()?;
        let index = self.find_all(&document).iter().position(|found| found.name == user);
        let index = index.ok_or(EditError::NoSuchUser)?;
        let shape = || EditError::Shape { key: "user".to_owned() };
        let splices = match document.as_table().get("user") {
            Some(Item::Value(users)) => {
                let users = users.as_array().ok_or_else(shape)?;
                vec![array::remove(&self.text, users, index).ok_or_else(shape)?]
            }
            _ => blocks_of(&document, index, &self.text),
        };
        self.text = apply(&self.text, splices);
        Ok(())
    }

    fn parse(&self) -> Result<Document<&str>, EditError> {
        Document::parse(self.text.as_str()).map_err(|error| self.syntax(&error))
    }

    fn syntax(&self, error: &TomlError) -> EditError {
        let line = error.span().map(|span| line_of(&self.text, span.start));
        let why = error.message().lines().next().unwrap_or("unreadable").to_owned();
        EditError::Syntax { line, why }
    }

    fn find_all<'d>(&'d self, document: &'d Document<&str>) -> Vec<Found<'d>> {
        let root = document.as_table();
        let name_of = |table: &'d dyn TableLike| table.get("name").and_then(Item::as_str);
        match (&self.form, root.get("user")) {
            (Form::Own(default), _) => {
                let name = name_of(root).unwrap_or(default);
                vec![Found { name, table: root, place: Place::File(text_start(&self.text)) }]
            }
            (Form::Listed, Some(Item::ArrayOfTables(tables))) => {
                let found = tables.iter().map(|table| Found {
                    name: name_of(table).unwrap_or_default(),
                    table,
                    place: Place::Header(table.span().unwrap_or_default()),
                });
                found.collect()
            }
            (Form::Listed, Some(Item::Value(Value::Array(items)))) => {
                let tables = items.iter().filter_map(Value::as_inline_table);
                let found = tables.map(|table| Found {
                    name: name_of(table).unwrap_or_default(),
                    table,
                    place: Place::Inline(table.span().unwrap_or_default()),
                });
                found.collect()
            }
            (Form::Listed, _) => Vec::new(),
        }
    }

    /// Makes the cuts that `plan` wants for a user.
    fn edit(
        &mut self,
        user: &str,
        plan: impl FnOnce(&str, &Found<'_>) -> Result<Vec<Splice>, EditError>,
    ) -> Result<(), EditError> {
        let document = self.parse()?;
        let all = self.find_all(&document);
        let found = all.iter().find(|found| found.name == user).ok_or(EditError::NoSuchUser)?;
        let splices = plan(&self.text, found)?;
        self.text = apply(&self.text, splices);
        Ok(())
    }
}

/// A user within a parsed text.
struct Found<'d> {
    name: &'d str,
    table: &'d dyn TableLike,
    place: Place,
}

/// Where a user stands.
enum Place {
    /// Below a `[[user]]`, which is here.
    Header(Range<usize>),
    /// A table in braces, with them.
    Inline(Range<usize>),
    /// The whole file, which begins here.
    File(usize),
}

impl Found<'_> {
    fn start(&self) -> usize {
        match &self.place {
            Place::Header(span) | Place::Inline(span) => span.start,
            Place::File(start) => *start,
        }
    }

    /// The cut that adds `line` behind the user's last value.
    fn insert(&self, text: &str, line: &str, layout: Layout<'_>) -> Splice {
        let Layout { indent, newline, .. } = layout;
        let last = last_pair(self.table);
        let behind = match (&self.place, last) {
            (Place::Inline(_), Some(last)) => {
                return Splice::insert(last.end, format!(", {line}"));
            }
            (Place::Inline(span), None) => {
                return Splice { at: span.clone(), with: format!("{{ {line} }}") };
            }
            (_, Some(last)) => last.end,
            (Place::Header(span), None) => span.end,
            (Place::File(start), None) => {
                return Splice::insert(*start, format!("{line}{newline}"));
            }
        };
        let at = line_end(text, behind);
        // The last line of a file may not end.
        let before = if text[..at].ends_with('\n') { "" } else { newline };
        Splice::insert(at, format!("{before}{indent}{line}{newline}"))
    }

    /// What goes when the pair at `pair` goes: its lines, or in braces its comma.
    fn extent(&self, text: &str, pair: Range<usize>) -> Range<usize> {
        let Place::Inline(_) = self.place else {
            return line_start(text, pair.start)..line_end(text, pair.end);
        };
        if let Some(comma) = comma_behind(text, pair.end) {
            let rest = &text[comma + 1..];
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            return pair.start..comma + 1 + blanks;
        }
        let ends = self.table.get_values().into_iter().filter_map(|(_, value)| value.span());
        let before = ends.map(|span| span.end).filter(|end| *end <= pair.start).max();
        let comma = before.and_then(|end| comma_behind(text, end));
        comma.unwrap_or(pair.start)..pair.end
    }
}

/// From the key to the end of the value, of a table's last own pair: tables with headers of their
/// own do not count.
fn last_pair(table: &dyn TableLike) -> Option<Range<usize>> {
    let pairs = table.get_values().into_iter().filter_map(|(keys, value)| {
        // Of a dotted key the last part: it stands in the same line.
        Some(keys.last()?.span()?.start..value.span()?.end)
    });
    pairs.max_by_key(|pair| pair.end)
}

/// A header and the lines of its own values.
struct Block {
    header: Range<usize>,
    /// Behind the line of the last value.
    end: usize,
    /// Belongs to the user who is to go.
    goes: bool,
}

/// The cuts that take out the user at `index`, wherever its tables stand.
fn blocks_of(document: &Document<&str>, index: usize, text: &str) -> Vec<Splice> {
    let mut blocks = Vec::new();
    for (key, item) in document.as_table() {
        let goes = |at: usize| key == "user" && at == index;
        match item {
            Item::ArrayOfTables(tables) => {
                for (at, table) in tables.iter().enumerate() {
                    collect_blocks(table, goes(at), text, &mut blocks);
                }
            }
            Item::Table(table) => collect_blocks(table, false, text, &mut blocks),
            _ => {}
        }
    }
    blocks.sort_by_key(|block| block.header.start);
    let runs =
        blocks.chunk_by(|a, b| a.goes == b.goes).filter(|run| run.iter().all(|block| block.goes));
    runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        let start = line_start(text, first.header.start);
        Some(Splice::remove(with_blank_lines(text, start..last.end)))
    })
    .collect()
}

/// The parser bounds the depth.
fn collect_blocks(table: &Table, goes: bool, text: &str, blocks: &mut Vec<Block>) {
    if let (Some(header), false, false) = (table.span(), table.is_implicit(), table.is_dotted()) {
        let last = last_pair(table).map_or(header.end, |pair| pair.end);
        blocks.push(Block { end: line_end(text, last), header, goes });
    }
    for (_, item) in table {
        match item {
            Item::Table(table) => collect_blocks(table, goes, text, blocks),
            Item::ArrayOfTables(tables) => {
                tables.iter().for_each(|table| collect_blocks(table, goes, text, blocks));
            }
            _ => {}
        }
    }
}

/// Lines that go, with the blank ones that would be too many then: those behind, or at the end of
/// the file those before.
fn with_blank_lines(text: &str, lines: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = lines;
    let blank = |at: usize| text[at..line_end(text, at)].trim().is_empty();
    let top = text_start(text);
    if start == top || ends_in_blank_line(&text[top..start]) {
        while end < text.len() && blank(end) {
            end = line_end(text, end);
        }
    }
    if end == text.len() {
        while start > top && blank(line_start(text, start - 1)) {
            start = line_start(text, start - 1);
        }
    }
    start..end
}

fn ends_in_blank_line(text: &str) -> bool {
    text.ends_with('\n') && text.lines().next_back().is_some_and(|line| line.trim().is_empty())
}

fn line(key: &str, value: &Setting, layout: Layout<'_>) -> String {
    format!("{key} = {}", value.toml(key.len() + " = ".len(), layout))
}

fn lines(values: &[(&str, Setting)], layout: Layout<'_>) -> String {
    let lines = values.iter().map(|(key, value)| line(key, value, layout) + layout.newline);
    lines.collect()
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// What an item says. The parser bounds the depth.
fn json(item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Value(value) => json_value(value),
        Item::Table(table) => table.iter().map(|(k, v)| (k.to_owned(), json(v))).collect(),
        Item::ArrayOfTables(tables) => {
            let tables = tables
                .iter()
                .map(|table| table.iter().map(|(k, v)| (k.to_owned(), json(v))).collect::<Json>());
            tables.collect()
        }
    }
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => (*number.value()).into(),
        Value::Boolean(flag) => (*flag.value()).into(),
        Value::Datetime(time) => time.value().to_string().into(),
        Value::Array(items) => items.iter().map(json_value).collect(),
        Value::InlineTable(table) => {
            table.iter().map(|(k, v)| (k.to_owned(), json_value(v))).collect()
        }
    }
}

#[cfg(test)]
mod tests;
