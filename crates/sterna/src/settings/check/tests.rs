//! What a file may say, and how mistakes in it are named.

use super::*;

const HASH: &str = "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrsSTxm+vJdIU1ZNA8BCSSzBvrGL9aPZjsnOeeFf0xw alice";

/// A folder with a `root` directory and a settings file.
fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    fs::write(dir.path().join("sterna.toml"), text).unwrap();
    dir
}

fn loaded(dir: &tempfile::TempDir) -> Result<Settings, Vec<String>> {
    load(&dir.path().join("sterna.toml")).map_err(|errors| {
        let shown = errors.iter().map(ToString::to_string);
        shown.map(|error| error.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    })
}

fn errors(text: &str) -> Vec<String> {
    loaded(&folder(text)).unwrap_err()
}

#[test]
fn the_smallest_useful_file_is_understood() {
    let dir = folder(&format!(
        "listen = [\"127.0.0.1:2022\", \":22\"]\nstate_dir = \"state\"\n\n[[user]]\nname = \"alice\"\n\
         root = \"root\"\npassword = \"{HASH}\"\nauthorized_keys = [\"{KEY}\"]\nread_only = true\n\
         methods = [\"publickey,password\"]\npublish = \"direct\"\n"
    ));

    let settings = loaded(&dir).unwrap();

    assert_eq!(settings.listen, ["127.0.0.1:2022".parse().unwrap(), "[::]:22".parse().unwrap()]);
    assert_eq!(settings.state_dir, Some(dir.path().join("state")));
    let alice = settings.users.user(b"alice").unwrap();
    assert_eq!(alice.root, dir.path().join("root"));
    assert!(alice.read_only);
    assert!(alice.password.is_some());
    assert_eq!(alice.authorized_keys.len(), 1);
    assert_eq!(alice.methods.len(), 1);
}

#[test]
fn users_may_live_one_a_file_and_paths_count_from_there() {
    let dir = folder("users_dir = 'users'\n");
    let users = dir.path().join("users");
    fs::create_dir(&users).unwrap();
    fs::create_dir(users.join("home")).unwrap();
    fs::write(users.join("keys"), format!("# mine\n{KEY}\ncommand=\"x\" {KEY}\n")).unwrap();
    fs::write(users.join("bob.toml"), "root = 'home'\nauthorized_keys_file = 'keys'\n").unwrap();
    fs::write(users.join("bob.toml~"), "nonsense").unwrap();

    let settings = loaded(&dir).unwrap();

    let bob = settings.users.user(b"bob").unwrap();
    assert_eq!(bob.root, users.join("home"));
    assert_eq!(bob.authorized_keys.len(), 1);
    assert_eq!(settings.warnings.len(), 1);
    assert!(settings.warnings[0].contains("keys:3: option command"), "{:?}", settings.warnings);
}

#[test]
fn a_name_in_two_files_is_named_with_both_places() {
    let user = format!("root = '.'\npassword = '{HASH}'\n");
    let dir = folder(&format!("users_dir = 'users'\n[[user]]\nname = 'bob'\n{user}"));
    fs::create_dir(dir.path().join("users")).unwrap();
    fs::write(dir.path().join("users/bob.toml"), user).unwrap();

    let errors = loaded(&dir).unwrap_err();

    assert_eq!(errors, ["sterna.toml:3"], "the end of: bob.toml:1: name: … first at …");
}

#[test]
fn the_grace_for_logging_in_has_sane_bounds() {
    let user = format!("[[user]]\nname = 'a'\nroot = 'root'\npassword = '{HASH}'\n");
    let dir = folder(&format!("{user}[defence]\nlogin_grace_s = 60\n"));

    assert_eq!(loaded(&dir).unwrap().login_grace, Some(Duration::from_secs(60)));
    let zero = errors(&format!("{user}[defence]\nlogin_grace_s = 0\n"));
    assert_eq!(zero, ["sterna.toml:6: defence.login_grace_s: not 1 to 3600 seconds"]);
}

#[test]
fn a_user_who_could_never_log_in_is_a_mistake() {
    let said = errors("[[user]]\nname = 'a'\nroot = 'root'\n");

    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("sterna.toml:1: user.password: has neither"), "{said:?}");
}

#[test]
fn methods_that_do_not_exist_or_do_not_fit_are_refused() {
    let user = |methods: &str| {
        let text =
            format!("[[user]]\nname='a'\nroot='root'\npassword='{HASH}'\nmethods={methods}\n");
        errors(&text).remove(0)
    };

    assert!(user("['hostbased']").contains("hostbased is not supported yet"));
    assert!(user("['publickey,keyboard-interactive']").contains("not supported yet"));
    assert!(user("['telepathy']").starts_with("sterna.toml:5: user.methods: "));
    assert!(user("['publickey']").contains("user has none"));
    assert!(user("[]").contains("is empty"));
}

#[test]
fn a_password_is_never_repeated_in_an_error() {
    let said = errors("[[user]]\nname='a'\nroot='root'\npassword='s3cret'\n");

    assert!(said[0].contains("hash-password"), "{said:?}");
    assert!(!said[0].contains("s3cret"), "{said:?}");
}

#[test]
fn a_file_that_is_not_text_names_the_line() {
    let dir = folder("");
    fs::write(dir.path().join("sterna.toml"), b"listen = []\n\xff\n").unwrap();

    assert_eq!(loaded(&dir).unwrap_err(), ["sterna.toml:2: not UTF-8"]);
}
