//! `sterna sync` against sshd and our own server: up, down, again, and from one to the other.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sterna_interop::client::Sterna;
use sterna_interop::content::write_file;
use sterna_interop::server::{self, Server};
use sterna_interop::steps::{Failure, Outcome, Steps, check};

/// Directories, links and files with their modes, times (seconds) and content.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("list") {
            let path = entry.expect("list").path();
            let meta = fs::symlink_metadata(&path).expect("look");
            let (mut mode, mut modified) = (meta.mode(), meta.mtime());
            let content = if meta.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                // Nobody sets modes and times of links.
                (mode, modified) = (0, 0);
                fs::read_link(&path).expect("read link").into_os_string().as_bytes().to_vec()
            } else {
                fs::read(&path).expect("read")
            };
            let name = path.strip_prefix(root).expect("below").to_owned();
            found.insert(name, (mode, modified, content));
        }
    }
    found
}

fn make_tree(root: &Path) {
    for dir in ["d/deeper", "empty"] {
        fs::create_dir_all(root.join(dir)).expect("make");
    }
    let odd: [&[u8]; 5] = [b"plain", b"sp ace", b"new\nline", b"\xff\xfe", b"*?['\"$"];
    for (n, name) in odd.into_iter().enumerate() {
        write_file(&root.join("d").join(OsStr::from_bytes(name)), n as u64 * 40_000, n as u64);
    }
    write_file(&root.join("d/deeper/big"), 9_000_001, 7);
    symlink("d/plain", root.join("link")).expect("link");
}

/// One sync that must succeed; its summary.
fn sync(client: &Sterna, flags: &[&str], from: OsString, to: OsString) -> Outcome<Value> {
    let done = client.run("sync", &[&["--json"], flags].concat(), &[from, to]);
    check(done.success(), || done.describe())?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let last = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    last.ok_or_else(|| Failure::Failed(done.describe()))
}

fn both_ways(server: &Server, title: &str) {
    let here = server.place.dir("here");
    let (source, back) = (here.join("source"), here.join("back"));
    make_tree(&source);
    let client = Sterna::new(server);
    let there = || client.place(server.remote("sync"));
    let mut steps = Steps::new(title);
    let nothing = |summary: &Value| {
        check(summary["files"] == 0 && summary["bytes_sent"] == 0, || summary.to_string())
    };
    let equal = |one: &Path, other: &Path| {
        check(tree(one) == tree(other), || {
            format!("{:?}\n{:?}", tree(one).keys(), tree(other).keys())
        })
    };

    steps.run("up", || {
        let summary = sync(&client, &[], source.clone().into(), there())?;
        check(summary["size_only"] == 0 && summary["unverified"] == 0, || summary.to_string())?;
        equal(&source, &server.local("sync"))
    });
    steps.run("up again", || nothing(&sync(&client, &[], source.clone().into(), there())?));
    steps.run("down", || {
        sync(&client, &[], there(), back.clone().into())?;
        equal(&source, &back)
    });
    steps.run("down again", || nothing(&sync(&client, &[], there(), back.clone().into())?));
    steps.run("changes and deletions", || {
        fs::write(source.join("d/plain"), "changed")?;
        fs::remove_file(source.join("d/deeper/big"))?;
        fs::remove_dir(source.join("d/deeper"))?;
        write_file(&source.join("d/deeper"), 1000, 3);
        fs::remove_file(source.join("link"))?;
        fs::create_dir(source.join("link"))?;
        sync(&client, &["--delete"], source.clone().into(), there())?;
        equal(&source, &server.local("sync"))
    });
    steps.run("checksums", || {
        nothing(&sync(&client, &["--checksum"], source.clone().into(), there())?)
    });
    steps.run("verify", || {
        let done = client.run("verify", &[], &[source.clone().into(), there()]);
        check(done.success(), || done.describe())
    });

    steps.finish(|| server.process.log());
}

#[test]
fn our_server_and_a_tree_are_made_equal_both_ways() {
    both_ways(&server::sterna(), "sync with our server");
}

#[test]
fn openssh_and_a_tree_are_made_equal_both_ways() {
    both_ways(&server::openssh(), "sync with OpenSSH");
}
