//! Every edit on files as people write them: what was meant changes, every other byte stays.

use super::*;

/// Comments everywhere, several quotes, arrays over several lines, dotted keys, tables of a user,
/// and other settings between users.
const RICH: &str = r##"# Settings of the file server.
listen = [ '127.0.0.1:2022', "[::1]:2022" ]   # both families
"users_dir" = 'users' # more of them

# Accounting.
[[user]]            # the first
  name = 'alice'    # her login
  root = "/srv/alice"
  password = '$6$salt$hash' # old system
  # Keys of 2024.
  authorized_keys = [
    "ssh-ed25519 AAAA laptop",  # home, office
    # spare
    'ssh-rsa BBBB spare'
  ] # end of keys
  limits.sessions = 3   # dotted

  # About speed.
  [user.speed]  # a table of alice
  up = 1_000
  # the end of alice

[defence]
login_grace_s = 60 # one minute

# Sales.
[[user]]
name = """bob"""
root = '/srv/bob'
inline = { a = 1, b = [ 2, 3 ] }  # kept
authorized_keys = ["ssh-ed25519 CCCC bob"]
[[user]]
name = "carol"
root = "/srv/carol"
methods = [ "publickey,password",
            "publickey" ]"##;

/// The same users in braces.
const BRACES: &str = r##"user = [
    { name = "alice", root = "/a", password = "p" }, # first
    { root = "/b", name = 'bob' },
]
listen = [] # last
"##;

fn listed(text: &str) -> UserText {
    UserText::new(Form::Listed, text.to_owned())
}

fn own(text: &str) -> UserText {
    UserText::new(Form::Own("dave".to_owned()), text.to_owned())
}

fn text(value: &str) -> Setting {
    Setting::Text(value.to_owned())
}

/// The lines that are new, and those that are gone.
fn diff<'t>(before: &'t str, after: &'t str) -> (Vec<&'t str>, Vec<&'t str>) {
    let (before, after): (Vec<_>, Vec<_>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let head = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    (after[..after.len() - tail].to_vec(), before[..before.len() - tail].to_vec())
}

/// The values of one user as a TOML parser reads them.
fn values(file: &UserText, name: &str) -> Map<String, Json> {
    let _: toml::Table = file.text().parse().unwrap_or_else(|e| panic!("{}: {e}", file.text()));
    file.users().unwrap().into_iter().find(|user| user.name == name).unwrap().values
}

#[test]
fn users_are_found_in_every_form() {
    let views = listed(RICH).users().unwrap();
    let places: Vec<_> = views.iter().map(|user| (user.name.as_str(), user.line)).collect();
    assert_eq!(places, [("alice", 6), ("bob", 27), ("carol", 32)]);
    assert_eq!(views[0].values["authorized_keys"][1], "ssh-rsa BBBB spare");
    assert_eq!(views[0].values["limits"]["sessions"], 3);
    assert_eq!(views[0].values["speed"]["up"], 1000);

    let views = listed(BRACES).users().unwrap();
    let places: Vec<_> = views.iter().map(|user| (user.name.as_str(), user.line)).collect();
    assert_eq!(places, [("alice", 2), ("bob", 3)]);

    assert_eq!(own("root = '/d'").users().unwrap()[0].name, "dave");
    assert_eq!(own("root = '/d'\nname = 'eve'").users().unwrap()[0].name, "eve");
    assert!(listed("listen = []\n").users().unwrap().is_empty());
    assert_eq!(listed(RICH).top_level("users_dir").unwrap().as_deref(), Some("users"));
    assert_eq!(listed(RICH).top_level("listen").unwrap(), None);
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    for (name, key, value, new) in [
        ("alice", "password", text("$6$new"), "  password = \"$6$new\" # old system\n"),
        ("bob", "root", text("/new"), "root = \"/new\"\n"),
        ("bob", "name", text("bert"), "name = \"bert\"\n"),
        ("bob", "inline", Setting::Flag(true), "inline = true  # kept\n"),
    ] {
        let mut file = listed(RICH);
        file.set(name, key, &value).unwrap();

        let (came, went) = diff(RICH, file.text());
        assert_eq!((came, went.len()), (vec![new], 1), "{name}.{key}");
    }
}

#[test]
fn a_new_key_stands_behind_the_users_own_ones() {
    for (name, new) in [("alice", "  enabled = false\n"), ("bob", "enabled = false\n")] {
        let mut file = listed(RICH);
        file.set(name, "enabled", &Setting::Flag(false)).unwrap();

        assert_eq!(diff(RICH, file.text()), (vec![new], vec![]), "{name}");
        assert_eq!(values(&file, name)["enabled"], false);
    }
    // The last line of the file has no end.
    let mut file = listed(RICH);
    file.set("carol", "enabled", &Setting::Flag(false)).unwrap();
    assert_eq!(file.text(), format!("{RICH}\nenabled = false\n"));
    assert_eq!(values(&file, "carol")["enabled"], false);

    // Before the tables of the user.
    let mut file = listed("[[user]]\n[user.speed]\nname = 'x'\n");
    file.set("", "root", &text("/r")).unwrap();
    assert_eq!(file.text(), "[[user]]\nroot = \"/r\"\n[user.speed]\nname = 'x'\n");
}

#[test]
fn a_key_leaves_with_its_lines_and_nothing_else() {
    for (name, key, gone) in [
        ("alice", "password", 1),
        ("alice", "authorized_keys", 5),
        ("bob", "inline", 1),
        ("carol", "methods", 2),
    ] {
        let mut file = listed(RICH);
        assert!(file.remove(name, key).unwrap());

        let (came, went) = diff(RICH, file.text());
        assert_eq!((came.len(), went.len()), (0, gone), "{name}.{key}");
        assert!(!values(&file, name).contains_key(key));
        assert!(!file.remove(name, key).unwrap(), "it is gone");
    }
}

#[test]
fn setting_and_removing_gives_back_every_byte() {
    for (rich, name) in [(RICH, "alice"), (RICH, "bob"), (BRACES, "alice"), (BRACES, "bob")] {
        let mut file = listed(rich);
        file.set(name, "totp_secret", &text("ABC")).unwrap();
        assert_eq!(values(&file, name)["totp_secret"], "ABC");
        file.remove(name, "totp_secret").unwrap();

        assert_eq!(file.text(), rich);
    }
}

#[test]
fn items_join_and_leave_arrays() {
    let mut file = listed(RICH);
    file.push("alice", "authorized_keys", "ssh-ed25519 DDDD \"new\"").unwrap();
    assert_eq!(
        diff(RICH, file.text()),
        (
            vec!["    'ssh-rsa BBBB spare',\n", "    'ssh-ed25519 DDDD \"new\"'\n"],
            vec!["    'ssh-rsa BBBB spare'\n"]
        )
    );

    file.remove_item("alice", "authorized_keys", 0).unwrap();
    let keys = &values(&file, "alice")["authorized_keys"];
    assert_eq!(*keys, serde_json::json!(["ssh-rsa BBBB spare", "ssh-ed25519 DDDD \"new\""]));
    assert!(file.text().contains("    # spare\n"));

    file.push("carol", "authorized_keys", "k").unwrap();
    assert_eq!(values(&file, "carol")["authorized_keys"], serde_json::json!(["k"]));
}

#[test]
fn users_join_at_the_end() {
    for (before, between) in [
        (RICH, "\n\n"),
        ("", ""),
        ("\u{feff}", ""),
        ("listen = []", "\n\n"),
        ("listen = []\n", "\n"),
        ("listen = []\n\n", ""),
        ("listen = []\n# end\n  \n", ""),
    ] {
        let mut file = listed(before);
        let keys = Setting::List(vec!["k".into()]);
        file.add_user("eve", &[("root", text("/e")), ("authorized_keys", keys)]).unwrap();

        let user = "[[user]]\nname = \"eve\"\nroot = \"/e\"\nauthorized_keys = [\"k\"]\n";
        assert_eq!(file.text(), format!("{before}{between}{user}"));
        assert_eq!(values(&file, "eve")["root"], "/e");
    }
}

#[test]
fn users_in_braces_are_edited_in_braces() {
    let mut file = listed(BRACES);
    file.add_user("eve", &[("root", text("/e"))]).unwrap();
    file.set("alice", "enabled", &Setting::Flag(false)).unwrap();
    assert!(file.remove("alice", "password").unwrap());
    assert!(file.remove("bob", "root").unwrap());
    file.set("bob", "authorized_keys", &Setting::List(vec!["k".repeat(80), "l".into()])).unwrap();

    let expected = format!(
        r#"user = [
    {{ name = "alice", root = "/a", enabled = false }}, # first
    {{ name = 'bob', authorized_keys = ["{}", "l"] }},
    {{ name = "eve", root = "/e" }},
]
listen = [] # last
"#,
        "k".repeat(80)
    );
    assert_eq!(file.text(), expected);

    file.remove_user("bob").unwrap();
    file.remove_user("alice").unwrap();
    assert_eq!(
        file.text(),
        "user = [\n    { name = \"eve\", root = \"/e\" },\n]\nlisten = [] # last\n"
    );
}

#[test]
fn a_user_leaves_with_all_tables_and_comments_around_stay() {
    let mut file = listed(RICH);
    file.remove_user("alice").unwrap();
    let (came, went) = diff(RICH, file.text());
    assert!(came.is_empty(), "{came:?}");
    assert_eq!(
        (went.first(), went.last()),
        (Some(&"[[user]]            # the first\n"), Some(&"  up = 1_000\n"))
    );
    assert!(file.text().contains("# Accounting.\n  # the end of alice\n\n[defence]\n"));

    let mut file = listed(RICH);
    file.remove_user("bob").unwrap();
    let (came, went) = diff(RICH, file.text());
    assert_eq!((came.len(), went.len()), (0, 5));
    assert!(file.text().contains("# Sales.\n[[user]]\nname = \"carol\""));

    let mut file = listed(RICH);
    file.remove_user("carol").unwrap();
    assert!(file.text().ends_with("authorized_keys = [\"ssh-ed25519 CCCC bob\"]\n"));
}

#[test]
fn tables_of_a_user_are_found_behind_other_settings() {
    let before = "[[user]]\nname = 'a'\n\n[defence]\nx = 1\n\n[user.speed]\nup = 1\n\n[[user]]\nname = 'b'\n";
    let mut file = listed(before);

    file.remove_user("a").unwrap();

    assert_eq!(file.text(), "[defence]\nx = 1\n\n[[user]]\nname = 'b'\n");
}

#[test]
fn adding_and_removing_a_user_gives_back_every_byte() {
    for before in ["listen = []\n", "", "# c\n\n[[user]]\nname = 'a'\n", BRACES] {
        let mut file = listed(before);
        file.add_user("eve", &[("root", text("/e"))]).unwrap();
        file.remove_user("eve").unwrap();

        assert_eq!(file.text(), before);
    }
}

#[test]
fn a_file_of_its_own_is_edited_like_a_table() {
    let before = "# Dave.\nroot = '/d' # here\n\n[speed]\nup = 1\n";
    let mut file = own(before);
    file.set("dave", "password", &text("p")).unwrap();
    assert_eq!(file.text(), "# Dave.\nroot = '/d' # here\npassword = \"p\"\n\n[speed]\nup = 1\n");
    file.remove("dave", "password").unwrap();
    assert_eq!(file.text(), before);

    let mut file = own("\u{feff}# nothing yet\n");
    file.set("dave", "root", &text("/d")).unwrap();
    assert_eq!(file.text(), "\u{feff}root = \"/d\"\n# nothing yet\n");
    file.remove("dave", "root").unwrap();
    assert_eq!(file.text(), "\u{feff}# nothing yet\n");

    let new = UserText::own("dave", &[("root", text("/d")), ("read_only", Setting::Flag(true))]);
    assert_eq!(new.text(), "root = \"/d\"\nread_only = true\n");
}

#[test]
fn lines_end_as_in_the_file() {
    let crlf = RICH.replace('\n', "\r\n");
    let mut file = listed(&crlf);

    file.set("alice", "enabled", &Setting::Flag(false)).unwrap();
    file.push("alice", "authorized_keys", "k").unwrap();
    file.add_user("eve", &[("root", text("/e"))]).unwrap();

    assert_eq!(file.text().matches('\n').count(), file.text().matches("\r\n").count());
    assert_eq!(values(&file, "alice")["enabled"], false);
}

#[test]
fn what_cannot_be_edited_changes_nothing() {
    let no_user = Err(EditError::NoSuchUser);
    let shape = |key: &str| Err(EditError::Shape { key: key.to_owned() });
    let mut file = listed(RICH);
    assert_eq!(file.set("eve", "root", &text("/e")), no_user);
    assert_eq!(file.remove_user("eve"), no_user);
    assert_eq!(file.set("alice", "limits", &text("x")), shape("limits"));
    assert_eq!(file.remove("alice", "speed").map(drop), shape("speed"));
    assert_eq!(file.push("alice", "root", "x"), shape("root"));
    assert_eq!(file.remove_item("bob", "authorized_keys", 1), Err(EditError::NoSuchItem));
    assert_eq!(file.text(), RICH);

    let mut file = listed("\nlisten = [\n");
    let why = file.set("a", "root", &text("/e")).unwrap_err();
    assert!(matches!(why, EditError::Syntax { line: Some(2..=3), .. }), "{why:?}");
    let mut file = listed("user = 3\n");
    assert_eq!(file.add_user("a", &[]), shape("user"));
}
