//! `sterna config show`: what the settings come to, and where each value stands.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value as Json};

use crate::{
    args::GlobalArgs,
    commands::user::{refused, shown},
    exit::Exit,
    failure::Result,
    output::{Object, Output},
    settings::{self, Effective, Places},
};

const EXAMPLES: &str = "\
Examples:
  sterna config show
  sterna config show --all | grep max_startups
  sterna config show --json | jq '.settings.user[] | select(.read_only)'

Users stand in one place with what their groups say; paths are absolute; behind each value is the file
and line that says so. Without one it is the default.";

/// Show the settings as the server understands them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Show every key, with its default where nothing is said
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object with `settings` and `places`
    #[arg(long)]
    pub json: bool,
}

impl ShowArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let file = settings::file_or_default(self.file);
        let effective = Effective::load(&file, self.all).map_err(|errors| refused(&errors))?;
        let places = Places::of(&file);
        let output = Output::new(global, self.json);
        if !self.json {
            let toml = effective.to_toml(&places);
            toml.lines().try_for_each(|line| output.line(line))?;
            return Ok(Exit::Done);
        }
        let said: Map<String, Json> = places
            .iter()
            .map(|(key, place)| {
                (key.join("."), format!("{}:{}", shown(&place.file), place.line).into())
            })
            .collect();
        // A date has no JSON form but its text.
        let settings = json(&toml::Value::Table(effective.table().clone()));
        output.object(Object::new().with("settings", settings).with("places", said))?;
        Ok(Exit::Done)
    }
}

fn json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(is) => (*is).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        toml::Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| (key.clone(), json(value)));
            pairs.collect::<Map<_, _>>().into()
        }
    }
}
