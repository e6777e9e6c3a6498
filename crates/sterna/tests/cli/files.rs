//! The small commands: list, look at, make, move, remove.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{Server, noise, stderr, stdout};

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn ls_lists_names_sorted_one_a_line_in_a_pipe() {
    let server = Server::start();
    for name in ["b", "a", ".hidden"] {
        fs::write(server.shared().join(name), name).unwrap();
    }

    assert_eq!(server.ok("ls", [server.place("/")]), "a\nb\n");
    assert_eq!(server.ok("ls", ["-r".to_owned(), server.place("")]), "b\na\n");
    assert!(server.ok("ls", ["-a".to_owned(), server.place("")]).contains(".hidden\n"));
}

#[test]
fn ls_long_shows_mode_size_and_name() {
    let server = Server::start();
    let file = server.shared().join("f");
    fs::write(&file, noise(1234, 1)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();

    let line = server.ok("ls", ["-l".to_owned(), server.place("f")]);

    assert!(line.starts_with("-rw-r-----"), "{line}");
    assert!(line.contains(" 1234 ") && line.ends_with(" f\n"), "{line}");
}

#[test]
fn ls_json_has_one_object_for_each_entry() {
    let server = Server::start();
    fs::write(server.shared().join("f"), "12345").unwrap();
    fs::create_dir(server.shared().join("g")).unwrap();

    let lines = server.ok("ls", ["--json".to_owned(), server.place("/")]);

    let entries: Vec<_> = lines.lines().map(json).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["name"], "f");
    assert_eq!(entries[0]["type"], "file");
    assert_eq!(entries[0]["size"], 5);
    assert_eq!(entries[1]["type"], "directory");
}

/// A tree with two levels, and a link that leads back to its top.
fn tree(server: &Server) {
    fs::create_dir_all(server.shared().join("t/b/c")).unwrap();
    for file in ["t/a", "t/b/f", "t/b/c/g"] {
        fs::write(server.shared().join(file), "x").unwrap();
    }
    std::os::unix::fs::symlink("/t", server.shared().join("t/b/loop")).unwrap();
}

#[test]
fn ls_recursive_lists_every_directory_under_its_name_and_follows_no_link() {
    let server = Server::start();
    tree(&server);

    let text = server.ok("ls", ["-R".to_owned(), server.place("/t")]);
    let lines = server.ok("ls", ["-R".to_owned(), "--json".to_owned(), server.place("/t")]);

    let place = "127.0.0.1:/t";
    assert_eq!(text, format!("{place}:\na\nb\n\n{place}/b:\nc\nf\nloop\n\n{place}/b/c:\ng\n"));
    let paths: Vec<_> =
        lines.lines().map(|line| json(line)["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, ["/t/a", "/t/b", "/t/b/c", "/t/b/f", "/t/b/loop", "/t/b/c/g"]);
}

#[test]
fn chmod_recursive_changes_everything_below_and_what_no_link_leads_to() {
    let server = Server::start();
    tree(&server);
    fs::write(server.shared().join("outside"), "x").unwrap();
    std::os::unix::fs::symlink("../outside", server.shared().join("t/out")).unwrap();
    let mode_of =
        |path: &str| fs::metadata(server.shared().join(path)).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(server.shared().join("outside"), fs::Permissions::from_mode(0o644))
        .unwrap();

    server.ok("chmod", ["-R".to_owned(), "u=rwX,go=".to_owned(), server.place("/t")]);

    for path in ["t", "t/b", "t/b/c"] {
        assert_eq!(mode_of(path), 0o700, "{path}");
    }
    for path in ["t/a", "t/b/f", "t/b/c/g"] {
        assert_eq!(mode_of(path), 0o600, "{path}");
    }
    assert_eq!(mode_of("outside"), 0o644);
}

#[test]
fn stat_and_cat_show_attributes_and_content() {
    let server = Server::start();
    fs::write(server.shared().join("f"), "hello\n").unwrap();

    let stat = json(&server.ok("stat", ["--json".to_owned(), server.place("f")]));

    assert_eq!(stat["size"], 6);
    assert_eq!(server.ok("cat", [server.place("f"), server.place("f")]), "hello\nhello\n");
}

#[test]
fn directories_are_made_with_their_parents_and_removed() {
    let server = Server::start();
    let there = |path: &str| server.shared().join(path).exists();

    assert_eq!(server.run("mkdir", [server.place("a/b/c")]).status.code(), Some(1));
    server.ok("mkdir", ["-p".to_owned(), server.place("a/b/c")]);
    server.ok("mkdir", ["-p".to_owned(), server.place("a/b/c")]);
    assert!(there("a/b/c"));
    server.ok("rmdir", [server.place("a/b/c")]);
    assert!(!there("a/b/c"));
    assert_eq!(server.run("rmdir", [server.place("a")]).status.code(), Some(1));
    assert!(there("a/b"));
}

#[test]
fn rm_removes_trees_only_when_told_and_never_what_a_link_names() {
    let server = Server::start();
    fs::create_dir_all(server.shared().join("d/e")).unwrap();
    fs::create_dir(server.shared().join("keep")).unwrap();
    fs::write(server.shared().join("keep/f"), "x").unwrap();
    fs::write(server.shared().join("d/e/f"), "x").unwrap();
    std::os::unix::fs::symlink("../keep", server.shared().join("d/link")).unwrap();

    assert_eq!(server.run("rm", [server.place("d")]).status.code(), Some(1));
    assert!(server.shared().join("d/e/f").exists());
    server.ok("rm", ["-r".to_owned(), server.place("d")]);

    assert!(!server.shared().join("d").exists());
    assert!(server.shared().join("keep/f").exists());
    assert_eq!(server.run("rm", [server.place("d")]).status.code(), Some(1));
    server.ok("rm", ["-f".to_owned(), server.place("d")]);
}

#[test]
fn mv_replaces_a_file_and_moves_into_a_directory() {
    let server = Server::start();
    fs::write(server.shared().join("a"), "new").unwrap();
    fs::write(server.shared().join("b"), "old").unwrap();
    fs::create_dir(server.shared().join("d")).unwrap();

    server.ok("mv", [server.place("a"), server.place("b")]);
    server.ok("mv", [server.place("b"), server.place("d")]);

    assert_eq!(fs::read(server.shared().join("d/b")).unwrap(), b"new");
    assert!(!server.shared().join("a").exists() && !server.shared().join("b").exists());
}

#[test]
fn cp_copies_on_the_server() {
    let server = Server::start();
    let content = noise(3_000_000, 9);
    fs::write(server.shared().join("a"), &content).unwrap();

    server.ok("cp", [server.place("a"), server.place("b")]);

    assert_eq!(fs::read(server.shared().join("b")).unwrap(), content);
}

#[test]
fn ln_makes_names_and_links() {
    let server = Server::start();
    fs::write(server.shared().join("f"), "x").unwrap();

    server.ok("ln", [server.place("f"), server.place("hard")]);
    server.ok("ln", ["-s".to_owned(), "f".to_owned(), server.place("soft")]);

    assert_eq!(fs::read(server.shared().join("hard")).unwrap(), b"x");
    assert_eq!(fs::read_link(server.shared().join("soft")).unwrap(), std::path::Path::new("f"));
}

#[test]
fn chmod_takes_octal_and_symbolic_modes() {
    let server = Server::start();
    let file = server.shared().join("f");
    fs::write(&file, "x").unwrap();
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o7777;

    server.ok("chmod", ["600".to_owned(), server.place("f")]);
    assert_eq!(mode(), 0o600);
    server.ok("chmod", ["u+x,g=r".to_owned(), server.place("f")]);
    assert_eq!(mode(), 0o740);
    server.ok("chmod", ["-x".to_owned(), server.place("f")]);
    assert_eq!(mode(), 0o640);
}

#[test]
fn df_tells_the_space_of_the_server() {
    let server = Server::start();

    let object = json(&server.ok("df", ["--json".to_owned(), server.place("")]));

    assert!(object["size"].as_u64().unwrap() > 0, "{object}");
    assert!(server.ok("df", ["-h".to_owned(), server.place("")]).contains('%'));
}

#[test]
fn sum_prints_what_sha256sum_would() {
    let server = Server::start();
    fs::write(server.shared().join("f"), "abc").unwrap();

    let line = server.ok("sum", ["-a".to_owned(), "sha256".to_owned(), server.place("f")]);

    assert_eq!(line, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  f\n");
}

#[test]
fn a_missing_file_is_named_with_the_reason() {
    let server = Server::start();

    let output = server.run("ls", [server.place("missing")]);

    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.starts_with("sterna: ") && said.contains("missing"), "{said}");
    assert!(said.contains("no such file"), "{said}");
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_reason_is_said_once() {
    let server = Server::start();

    let output = server.run("cat", [server.place("missing")]);

    let expected = "sterna: open \"missing\": no such file or directory\n";
    assert_eq!(stderr(&output), expected);
}

#[test]
fn a_tilde_is_where_the_login_starts() {
    let server = Server::start();
    fs::write(server.shared().join("f"), "x").unwrap();

    assert_eq!(server.ok("cat", [server.place("~/f")]), "x");
    assert_eq!(server.ok("ls", [server.place("~")]), "f\n");
}
