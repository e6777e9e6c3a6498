//! Where each value of the settings stands: file and line, for people who look for it.

use std::{collections::HashMap, path::Path};

use sterna_identity::Place;
use toml::de::{DeTable, DeValue};

use super::{check::USERS_MAX, files::Files, source::Source};

/// Keys from the outermost to the value's own; users and groups by their names, folders by their
/// paths.
pub type KeyPath = Vec<String>;

/// The place of every value that is written down.
#[derive(Debug, Default)]
pub struct Places(HashMap<KeyPath, Place>);

impl Places {
    /// Reads the settings file and those of its users again. What does not read has no place.
    pub fn of(path: &Path) -> Self {
        let mut places = Self::default();
        let files = Files::on_disk();
        let Ok(source) = Source::read(path, &files) else { return places };
        let Some(table) = source.tables(&mut Vec::new()) else { return places };
        places.add(&source, &table, &[]);
        let Some(DeValue::String(dir)) = table.get("users_dir").map(|dir| dir.get_ref()) else {
            return places;
        };
        let dir = source.resolve(Path::new(dir.as_ref()));
        for file in files.users_in(&dir, USERS_MAX).unwrap_or_default() {
            let Ok(source) = Source::read(&file, &files) else { continue };
            let Some(table) = source.tables(&mut Vec::new()) else { continue };
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = name_of(&table).unwrap_or(stem);
            places.add(&source, &table, &["user".to_owned(), name]);
        }
        places
    }

    pub fn get(&self, path: &[String]) -> Option<&Place> {
        self.0.get(path)
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyPath, &Place)> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort();
        all.into_iter()
    }

    fn add(&mut self, source: &Source, table: &DeTable<'_>, above: &[String]) {
        for (key, value) in table {
            let path = [above, &[key.get_ref().to_string()]].concat();
            match value.get_ref() {
                DeValue::Table(inner) => self.add(source, inner, &path),
                DeValue::Array(items) if items.iter().any(|item| is_table(item.get_ref())) => {
                    for item in items {
                        if let DeValue::Table(inner) = item.get_ref() {
                            let name = name_of(inner)
                                .or_else(|| text_of(inner, "path"))
                                .or_else(|| text_of(inner, "address"));
                            let name = name.unwrap_or_default();
                            self.add(source, inner, &[&path[..], &[name]].concat());
                        }
                    }
                }
                _ => {
                    self.0.insert(path, source.place(&key.span()));
                }
            }
        }
    }
}

fn is_table(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Table(_))
}

fn name_of(table: &DeTable<'_>) -> Option<String> {
    text_of(table, "name")
}

fn text_of(table: &DeTable<'_>, key: &str) -> Option<String> {
    match table.get(key)?.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}
