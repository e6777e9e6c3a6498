//! The recipes of a document: fenced blocks whose opening line says what they are.
//!
//! `sh recipe=NAME` holds commands, with `needs=PROGRAM,…` where a machine may lack something, or
//! `needs=root`; `LANGUAGE file=NAME` holds a file for the recipe that follows. Other blocks are
//! examples for people.

use std::mem;

/// The name of the commands that come before those of each recipe.
const START: &str = "start";

/// Commands and the files that they find.
#[derive(Debug, Default)]
pub struct Recipe {
    pub name: String,
    /// Programs, or `root`.
    pub needs: Vec<String>,
    /// Name and content.
    pub files: Vec<(String, String)>,
    pub commands: String,
}

/// What a document tells to do.
#[derive(Debug, Default)]
pub struct Document {
    pub start: String,
    pub recipes: Vec<Recipe>,
}

impl Document {
    /// # Panics
    /// If a block is not what its opening line promises, so that nothing is left out in silence.
    pub fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut files = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(opening) = line.strip_prefix("```") else { continue };
            let content: String = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .map(|l| format!("{l}\n"))
                .collect();
            let mut words = opening.split_whitespace();
            let language = words.next().unwrap_or_default();
            let mut recipe = Recipe { commands: content, ..Recipe::default() };
            for word in words {
                match word.split_once('=') {
                    Some(("recipe", name)) if language == "sh" => name.clone_into(&mut recipe.name),
                    Some(("needs", all)) => {
                        recipe.needs = all.split(',').map(str::to_owned).collect()
                    }
                    Some(("file", name)) => {
                        files.push((name.to_owned(), mem::take(&mut recipe.commands)));
                    }
                    _ => panic!("{opening:?} opens a block with the unknown word {word:?}"),
                }
            }
            if recipe.name == START {
                document.start = recipe.commands;
            } else if !recipe.name.is_empty() {
                recipe.files = mem::take(&mut files);
                document.recipes.push(recipe);
            }
        }
        assert!(files.is_empty(), "files without a recipe: {files:?}");
        document
    }
}
