//! The recipes of `docs/authentication.md` do what they say, line by line.

mod document;
mod script;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sterna_client::ssh_config::{Effect, KEYWORDS, Keyword};
use sterna_identity::Reason;
use sterna_interop::binary;
use sterna_interop::place::Place;
use sterna_testkit::processes::{Finished, find_program, free_port, run};

use document::{Document, Recipe};
use script::{Demand, demand, script};

/// Longest run of a recipe, on a loaded machine.
const RECIPE_MAX: Duration = Duration::from_secs(120);

/// Tries with other ports if somebody took the first ones between choosing and binding them.
const PORT_TRIES: usize = 3;

/// One test for each recipe, and the list of all of them.
macro_rules! recipes {
    ($($test:ident $name:literal)*) => {
        const RECIPES: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                follow($name);
            }
        )*
    };
}

recipes! {
    passwords "password"
    passwords_that_must_change "must-change"
    public_keys "public-key"
    options_of_keys "key-options"
    agents "agent"
    ppk_keys "ppk"
    user_certificates "user-certificate"
    host_certificates "host-certificate"
    known_hosts "known-hosts"
    hosts_that_speak_for_users "host-based"
    second_factors "totp"
    questions_by_a_program "questions"
    chains "chain"
    identity_programs "identity-program"
    identity_services "identity-service"
    keys_commands "keys-command"
    policy "policy"
    penalties "penalties"
    new_settings "reload"
    explanations "explain"
}

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authentication.md");
    fs::read_to_string(path).expect("docs/authentication.md")
}

fn document() -> Document {
    Document::read(&text())
}

/// Whoever meets a rule in the log finds it in the document, and finds no rule there that is gone.
#[test]
fn the_document_explains_every_rule() {
    let text = text();
    let table = text.lines().skip_while(|line| !line.starts_with("| rule |")).skip(2);
    let explained: BTreeSet<&str> =
        table.map_while(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let rules: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.rule()).collect();

    assert_eq!(explained, rules);
}

/// A recipe without a test here would only look tested.
#[test]
fn every_recipe_is_tested_and_shows_what_works_and_what_is_refused() {
    let recipes = document().recipes;
    let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    assert_eq!(names, RECIPES);

    for Recipe { name, commands, .. } in &recipes {
        let demands = |wanted: fn(&Demand<'_>) -> bool| {
            let joined = commands.replace("\\\n", " ");
            joined.lines().any(|line| wanted(&demand(line).1))
        };
        assert!(demands(|d| matches!(d, Demand::Prints("hello.txt"))), "{name} shows no success");
        assert!(demands(|d| matches!(d, Demand::Exit(1..))), "{name} shows no refusal");
    }
}

/// Goal: the tables of what ssh_config(5) has and we do not are whole, and say the reasons of the code.
#[test]
fn the_document_lists_every_keyword_without_effect() {
    let text = text();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    for Keyword { name, effect } in KEYWORDS {
        let (Effect::NoMeaning(why) | Effect::NotHonoured(why)) = effect else { continue };
        let (cell, reason) = (format!("`{name}`"), format!("| {why} |"));
        let listed = rows.iter().any(|row| row.contains(&cell) && row.ends_with(&reason));
        assert!(listed, "no row says of {name}: {why}");
    }
}

fn follow(name: &str) {
    if binary::is_baseline() {
        // The recipes are about our own server.
        return;
    }
    let Document { start, recipes } = document();
    let recipe = recipes.iter().find(|recipe| recipe.name == name).expect("a recipe of this name");
    if !has_all(&recipe.needs) {
        return;
    }
    for left in (0..PORT_TRIES).rev() {
        let place = Place::new();
        let done = try_once(place.path(), &start, recipe);
        if done.success() {
            return;
        }
        let log = fs::read_to_string(place.path().join("serve.log")).unwrap_or_default();
        let taken = log.contains("in use") && left > 0;
        assert!(taken, "recipe {name}\n{}--- serve.log ---\n{log}", done.describe());
    }
}

fn try_once(dir: &Path, start: &str, recipe: &Recipe) -> Finished {
    let text = dir.to_str().expect("scratch directories have plain names");
    let (port, other_port) = (free_port().to_string(), free_port().to_string());
    let here = |content: &str| {
        let content = content.replace("2022", &port).replace("8022", &other_port);
        content.replace("/etc/sterna", text).replace("/srv/", &format!("{text}/srv/"))
    };
    for (name, content) in &recipe.files {
        let path = dir.join(name);
        fs::write(&path, here(content)).expect("write a file of the recipe");
        let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("change its mode");
    }
    let home = dir.join("home");
    fs::create_dir(&home).expect("make a home");
    let sterna_dir = binary::sterna().parent().expect("a program lies in a directory");
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = [sterna_dir.to_owned()].into_iter().chain(env::split_paths(&path));
    let mut sh = Command::new("sh");
    sh.arg("-c").arg(script(&here(&format!("{start}{}", recipe.commands)))).current_dir(dir);
    sh.env_clear().env("PATH", env::join_paths(dirs).expect("a path")).env("HOME", home);
    run(sh.env("LC_ALL", "C.UTF-8"), b"", RECIPE_MAX)
}

fn has_all(needs: &[String]) -> bool {
    needs.iter().all(|need| match need.as_str() {
        "root" if rustix::process::getuid().is_root() => true,
        "root" => {
            binary::miss("the recipe wants root");
            false
        }
        program => find_program(program).is_some() || binary::has_peer(program),
    })
}
