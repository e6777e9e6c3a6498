//! `sterna user show`: everything about one user but the secrets.

use clap::Args;
use serde_json::{Map, Value as Json};

use super::{
    Context,
    files::{Located, UserFiles, shown, shown_name},
    keys::{KeyPlace, UserKey, keys_of, shown_key},
};
use crate::{
    exit::Exit,
    failure::Result,
    output::{Object, Output},
};

const EXAMPLES: &str = "\
Examples:
  sterna user show alice
  sterna user show alice --json";

/// Keys of the settings that have a line of their own, or hold a secret.
const SAID_ELSEWHERE: &[&str] =
    &["root", "enabled", "methods", "password", "authorized_keys", "totp_secret", "recovery_codes"];

/// Show everything about a user but the secrets
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl ShowArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        let files = UserFiles::read(&context.config)?;
        let user = files.find(&self.name)?;
        let keys = keys_of(user);
        let exit = match &keys {
            Ok(_) => Exit::Done,
            Err(failure) => {
                failure.report();
                failure.exit()
            }
        };
        let keys = keys.unwrap_or_default();
        let output = Output::new(context.global, self.json);
        match self.json {
            true => output.object(object(user, &keys))?,
            false => text(user, &keys).iter().try_for_each(|line| output.line(line))?,
        }
        Ok(exit)
    }
}

fn object(user: Located<'_>, keys: &[UserKey]) -> Object {
    let root = user.text("root").map(|root| user.resolve(root)).unwrap_or_default();
    let methods: Vec<Json> = user.list("methods").into_iter().map(Json::from).collect();
    let keys: Vec<Json> = keys.iter().map(|key| key_object(key).into()).collect();
    Object::new()
        .with("name", user.view.name.as_str())
        .with_name("file", user.file.path.as_os_str().as_encoded_bytes())
        .with("line", user.view.line)
        .with_name("root", root.as_os_str().as_encoded_bytes())
        .with("enabled", user.enabled())
        .with("password", user.text("password").map(password_kind))
        .with("methods", methods)
        .with("keys", keys)
        .with("totp", user.view.values.contains_key("totp_secret"))
        .with("recovery_codes", recovery_codes(user))
        .with("settings", others(user))
}

fn key_object(key: &UserKey) -> Object {
    let object = Object::new().with("number", key.number);
    let object = match &key.key {
        Ok(key) => object
            .with("type", key.key.key_type())
            .with("fingerprint", key.key.fingerprint())
            .with("comment", key.comment.as_str()),
        Err(why) => object.with("refused", why.as_str()),
    };
    match &key.place {
        KeyPlace::Array(_) => object,
        KeyPlace::File(path, line) => {
            object.with_name("file", path.as_os_str().as_encoded_bytes()).with("line", *line)
        }
    }
}

fn text(user: Located<'_>, keys: &[UserKey]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |what: &str, is: String| lines.push(format!("{what:<16} {is}"));
    say("user", shown_name(&user.view.name));
    say("defined at", user.place());
    let root = user.text("root").map(|root| shown(&user.resolve(root)));
    say("root", root.unwrap_or_else(|| "-".to_owned()));
    say("enabled", if user.enabled() { "yes" } else { "no" }.to_owned());
    say("password", user.text("password").map_or("-", password_kind).to_owned());
    let methods = user.list("methods").join(" or ");
    say("methods", if methods.is_empty() { "any".to_owned() } else { shown_name(&methods) });
    for key in keys {
        let what = match &key.key {
            Ok(key) => shown_key(key),
            Err(why) => format!("refused: {}", shown_name(why)),
        };
        let place = match &key.place {
            KeyPlace::Array(_) => String::new(),
            KeyPlace::File(path, line) => format!("  ({}:{line})", shown(path)),
        };
        say(&format!("key {}", key.number), format!("{what}{place}"));
    }
    let codes = recovery_codes(user);
    say(
        "second factor",
        match user.view.values.contains_key("totp_secret") {
            true => format!("totp, {codes} recovery codes"),
            false => "-".to_owned(),
        },
    );
    for (key, value) in others(user) {
        let value = match &value {
            Json::String(text) => text.clone(),
            Json::Array(items) => {
                let items = items.iter().map(|item| match item {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                });
                items.collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        say(&key, shown_name(&value));
    }
    lines
}

/// What kind of hash a stored password is, by its prefix.
pub fn password_kind(hash: &str) -> &'static str {
    match hash.strip_prefix('$').and_then(|rest| rest.split('$').next()) {
        Some("argon2id") => "argon2id",
        Some("argon2i") => "argon2i",
        Some("argon2d") => "argon2d",
        Some("2a" | "2b" | "2y") => "bcrypt",
        Some("5") => "sha256-crypt",
        Some("6") => "sha512-crypt",
        Some("y") => "yescrypt",
        _ => "unknown",
    }
}

/// How many recovery codes are written down; which of them were used is not known here.
pub fn recovery_codes(user: Located<'_>) -> usize {
    user.list("recovery_codes").len()
}

/// What else is said about the user, without anything that may be secret.
fn others(user: Located<'_>) -> Map<String, Json> {
    let others = user.view.values.iter().filter(|(key, _)| !SAID_ELSEWHERE.contains(&key.as_str()));
    others.map(|(key, value)| (key.clone(), without_secrets(key, value))).collect()
}

/// A value whose key speaks of a secret is not shown, wherever it stands.
fn without_secrets(key: &str, value: &Json) -> Json {
    let secret = ["secret", "password", "token"].iter().any(|word| key.contains(word));
    match value {
        Json::Object(table) => {
            let shown = table.iter().map(|(key, value)| (key.clone(), without_secrets(key, value)));
            shown.collect()
        }
        Json::String(_) | Json::Array(_) | Json::Number(_) if secret => "(set)".into(),
        Json::Array(items) => items.iter().map(|item| without_secrets(key, item)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_speaks_of_a_secret_shows_nothing() {
        let value = serde_json::json!({
            "url": "https://x", "api_token": "t", "nested": [{ "secret": ["s"] }],
            "must_change_password": true,
        });

        let shown = without_secrets("hook", &value);

        assert_eq!(
            shown,
            serde_json::json!({
                "url": "https://x", "api_token": "(set)", "nested": [{ "secret": "(set)" }],
                "must_change_password": true,
            })
        );
    }

    #[test]
    fn a_hash_is_known_by_its_prefix() {
        assert_eq!(password_kind("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"), "argon2id");
        assert_eq!(password_kind("$2b$12$abc"), "bcrypt");
        assert_eq!(password_kind("$6$salt$hash"), "sha512-crypt");
        assert_eq!(password_kind("hunter2"), "unknown");
    }
}
