//! `sync`, `verify` and lists of digests as they are typed.

use std::{fs, process::Output};

use crate::support::{Server, noise, stderr, stdout, tree};

fn text(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// `home/tree` with a few files, and nothing on the server.
fn with_tree() -> Server {
    let server = Server::start();
    fs::create_dir_all(server.local("tree/d")).unwrap();
    for (name, len) in [("a", 10), ("d/b", 100_000), ("d/c.tmp", 5)] {
        fs::write(server.local("tree").join(name), noise(len, len as u64)).unwrap();
    }
    server
}

fn events(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_tree_goes_up_and_down_and_a_second_time_nothing_moves() {
    let server = with_tree();
    for (from, to) in [("tree".into(), server.place("up")), (server.place("up"), "down".into())] {
        server.ok("sync", [from.clone(), to.clone()]);
        let again = server.run("sync", text(&["--json", &from, &to]));

        assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
        let summary = events(&again).pop().unwrap();
        assert_eq!(summary["event"], "summary");
        assert_eq!((&summary["files"], &summary["bytes_sent"]), (&0.into(), &0.into()));
        assert_eq!(summary["skipped"], 3);
        assert_eq!(events(&again).len(), 1, "nothing else is worth an event");
    }
    assert_eq!(tree(&server.shared().join("up")), tree(&server.local("tree")));
    assert_eq!(tree(&server.local("down")), tree(&server.local("tree")));
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let server = with_tree();
    fs::create_dir(server.shared().join("up")).unwrap();
    fs::write(server.shared().join("up/extra"), "x").unwrap();
    let typed = ["--delete", "-n", "tree", &server.place("up")];

    let printed = server.ok("sync", text(&typed));
    let json = server.run("sync", text(&[&["--json"], &typed[..]].concat()));

    let actions: Vec<_> = printed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "create").count(), 3, "{printed}");
    assert_eq!(actions.iter().filter(|action| **action == "delete").count(), 1, "{printed}");
    let planned = events(&json).iter().filter(|event| event["event"] == "plan").count();
    assert_eq!(planned, actions.len());
    assert_eq!(tree(&server.shared().join("up")), [("extra".into(), b"x".into())]);
}

#[test]
fn patterns_apply_in_the_order_in_which_they_were_typed() {
    let server = with_tree();
    fs::write(server.local("patterns"), "# all\n*.tmp\n").unwrap();

    server.ok(
        "sync",
        text(&[
            "--exclude",
            "*",
            "--include",
            "*/",
            "--include",
            "*.tmp",
            "tree",
            &server.place("only"),
        ]),
    );
    server.ok("sync", text(&["--exclude-from", "patterns", "tree", &server.place("without")]));

    let names = |dir: &str| -> Vec<_> {
        tree(&server.shared().join(dir)).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names("only"), [std::path::PathBuf::from("d/c.tmp")]);
    assert_eq!(names("without"), ["a", "d/b"].map(std::path::PathBuf::from));
}

#[test]
fn an_empty_source_deletes_nothing_and_says_why() {
    let server = with_tree();
    fs::create_dir(server.local("empty")).unwrap();
    server.ok("sync", ["tree".to_owned(), server.place("up")]);
    let before = tree(&server.shared().join("up"));

    let refused = server.run("sync", text(&["--delete", "empty", &server.place("up")]));
    let after = tree(&server.shared().join("up"));
    server.ok("sync", text(&["--delete", "--force-delete", "empty", &server.place("up")]));

    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    assert!(said.contains("nothing was deleted") && said.contains("--force-delete"), "{said}");
    assert_eq!(after, before);
    assert!(tree(&server.shared().join("up")).is_empty());
}

#[test]
fn two_local_places_are_wrong_usage() {
    let server = with_tree();

    let output = server.run("sync", ["tree", "other"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("neither place is on a server"), "{}", stderr(&output));
}

#[test]
fn a_rate_limit_is_kept() {
    let server = Server::start();
    fs::create_dir(server.local("tree")).unwrap();
    fs::write(server.local("tree/f"), noise(300_000, 1)).unwrap();
    let began = std::time::Instant::now();

    server.ok("sync", text(&["--bwlimit", "300k", "tree", &server.place("up")]));

    assert!(began.elapsed().as_secs_f64() > 0.8, "{:?}", began.elapsed());
}

#[test]
fn verify_says_by_its_status_what_is_wrong() {
    let server = with_tree();
    server.ok("sync", ["tree".to_owned(), server.place("up")]);
    let verify = |from: &str, to: &str| server.run("verify", [from, to]);
    let (up, file) = (server.place("up"), server.place("up/d/b"));

    let equal = [verify("tree", &up), verify(&up, "tree"), verify("tree/d/b", &file)];
    fs::write(server.shared().join("up/d/b"), noise(100_000, 77)).unwrap();
    let differs = [verify("tree", &up), verify(&file, "tree/d/b")];
    fs::write(server.shared().join("up/d/b"), noise(100_000, 100_000)).unwrap();
    fs::remove_file(server.shared().join("up/a")).unwrap();
    let missing = verify("tree", &up);

    for output in equal {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    for output in differs {
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stderr(&output).contains("d/b"), "{}", stderr(&output));
    }
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("up/a\": is missing"), "{}", stderr(&missing));
}

/// Goal: lists are those of coreutils, and are checked here and there.
#[test]
fn lists_of_digests_are_written_and_checked() {
    let server = with_tree();
    fs::write(server.local("tree/new\nline\\"), "odd").unwrap();
    server.ok("sync", ["tree".to_owned(), server.place("up")]);

    let list = server.ok("sum", text(&["-r", &server.place("up")]));
    fs::write(server.local("tree.sums"), &list).unwrap();
    let coreutils = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "../tree.sums"])
        .current_dir(server.local("tree"))
        .output()
        .unwrap();
    server.ok("sum", text(&["--check", "tree.sums", &server.place("up")]));
    server.ok("verify", text(&["--manifest", "tree.sums", &server.place("up")]));
    server.ok("verify", text(&["--manifest", "tree.sums", "tree"]));
    fs::write(server.shared().join("up/a"), "changed").unwrap();
    let changed = server.run("sum", text(&["--check", "tree.sums", &server.place("up")]));
    fs::remove_file(server.shared().join("up/a")).unwrap();
    let missing = server.run("sum", text(&["--check", "tree.sums", &server.place("up")]));
    fs::write(server.local("blank.sums"), "\n\n").unwrap();
    let blank = server.run("sum", text(&["--check", "blank.sums", &server.place("up")]));

    assert_eq!(list.lines().count(), 4);
    assert!(list.contains("new\\nline\\\\"), "{list}");
    assert!(coreutils.status.success(), "{}", stderr(&coreutils));
    assert_eq!(changed.status.code(), Some(6), "{}", stderr(&changed));
    assert_eq!(missing.status.code(), Some(1), "{}", stderr(&missing));
    assert_eq!(blank.status.code(), Some(1), "{}", stderr(&blank));
}

/// Goal: what is excluded is so by what it is in the source.
#[test]
fn verify_compares_a_file_that_has_the_name_of_an_excluded_directory() {
    let server = with_tree();
    fs::write(server.local("tree/build"), "a file").unwrap();
    fs::create_dir_all(server.shared().join("up/build")).unwrap();

    let place = server.place("up");
    let typed = ["--exclude", "build/", "--exclude", "a", "--exclude", "d/", "tree", &place];
    let output = server.run("verify", typed);

    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
}

#[test]
fn cp_copies_a_directory_on_the_server_only_when_asked_to() {
    let server = with_tree();
    server.ok("sync", ["tree".to_owned(), server.place("up")]);
    fs::create_dir(server.shared().join("into")).unwrap();

    let refused = server.run("cp", [server.place("up"), server.place("copy")]);
    server.ok("cp", text(&["-r", &server.place("up"), &server.place("copy")]));
    server.ok("cp", text(&["-r", &server.place("up"), &server.place("into")]));

    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("hint: use -r"), "{}", stderr(&refused));
    for copy in ["copy", "into/up"] {
        assert_eq!(tree(&server.shared().join(copy)), tree(&server.local("tree")), "{copy}");
    }
}
