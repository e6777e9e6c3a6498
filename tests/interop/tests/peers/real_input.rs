//! What lies on a real machine, up and down by `sftp`, `rclone` and `sterna`: with `STERNA_REAL=1`
//! all of `/usr/share` and a file of 2 GiB, else one directory of it and a small file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_interop::binary::is_real;
use sterna_interop::client::{Client, Rclone, Sftp, Sterna, command_max};
use sterna_interop::content::{compare_files, write_file};
use sterna_interop::place::Place;
use sterna_interop::server::{self, Server};
use sterna_interop::steps::{Outcome, Steps, check};
use sterna_interop::trees::{Links, compare_attributes, compare_trees};
use sterna_testkit::processes::run;

/// Directories that stand for the whole where not all of it is wanted; the first that exists.
/// Time zones are 1,300 small files and 360 links.
const SAMPLES: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/perl5", "/usr/share/doc"];

/// How a program moves trees, and what of them it can move.
struct Mover<'m> {
    up: &'m dyn Fn(&Path, &Path) -> Outcome,
    down: &'m dyn Fn(&Path, &Path) -> Outcome,
    links: Links,
    /// Links lie on the server as files under other names, and are links again only after the way
    /// back.
    disguises_links: bool,
    keeps_attributes: bool,
}

/// The tree to move: real files, and links as they come in real trees whatever this machine has.
fn source(place: &Place) -> PathBuf {
    let tree = place.path().join("input");
    let real = match is_real() {
        true => "/usr/share",
        false => SAMPLES.into_iter().find(|dir| Path::new(dir).is_dir()).expect("real files"),
    };
    copy_tree(Path::new(real), &tree).expect("copy real files");
    let links = tree.join("sterna links");
    fs::create_dir(&links).expect("make a directory");
    fs::write(links.join("file"), "pointed to\n").expect("write a file");
    for (target, name) in [
        ("file", "to a file"),
        ("..", "to the parent"),
        (".", "to itself"),
        ("nowhere", "dangling"),
        ("/etc/hostname", "absolute"),
        ("ring", "ring"),
    ] {
        symlink(target, links.join(name)).expect("make a link");
    }
    tree
}

fn copy_tree(from: &Path, to: &Path) -> Outcome {
    let done = run(Command::new("cp").arg("-a").arg(from).arg(to), b"", command_max());
    check(done.success(), || done.describe())
}

fn moves_real_input(server: &Server, client: &mut dyn Client, mover: &Mover<'_>) {
    let mut steps = Steps::new(format!("{} with {}: real input", client.name(), server.name));
    let source = source(&server.place);
    let back = server.place.path().join("back");
    let compare = |copy: &Path| -> Outcome {
        compare_trees(&source, copy, mover.links)?;
        if mover.keeps_attributes { Ok(compare_attributes(&source, copy)?) } else { Ok(()) }
    };

    steps.run("a tree up", || (mover.up)(&source, &server.remote("tree")));
    let download = if mover.disguises_links {
        "tree"
    } else {
        steps.run("is equal there", || compare(&server.local("tree")));
        copy_tree(&source, &server.local("source")).expect("prepare");
        "source"
    };
    steps.run("a tree down", || (mover.down)(&server.remote(download), &back));
    steps.run("is equal here", || compare(&back));
    for dir in [&source, &back, &server.local("tree"), &server.local("source")] {
        let _ = fs::remove_dir_all(dir);
    }

    let large = server.place.path().join("large");
    write_file(&large, if is_real() { 2 << 30 } else { 20 << 20 }, 9);
    steps.run("a large file up", || client.put(&large, &server.remote("large")));
    steps.run("is equal there", || Ok(compare_files(&large, &server.local("large"))?));
    let back = server.place.path().join("large back");
    steps.run("a large file down", || client.get(&server.remote("large"), &back));
    steps.run("is equal here", || Ok(compare_files(&large, &back)?));
    steps.finish(|| server.process.log());
}

fn sterna_moves_real_input(server: &Server) {
    let client = Sterna::new(server);
    let transfer = |verb: &str, words: [OsString; 2]| {
        let done = client.run(verb, &["-r", "-p"], &words);
        check(done.success(), || done.describe())
    };
    let mover = Mover {
        up: &|local, remote| transfer("put", [local.into(), client.place(remote)]),
        down: &|remote, local| transfer("get", [client.place(remote), local.into()]),
        links: Links::Kept,
        disguises_links: false,
        keeps_attributes: true,
    };

    moves_real_input(server, &mut client.clone(), &mover);
}

#[test]
fn sterna_moves_it_to_our_server() {
    sterna_moves_real_input(&server::sterna());
}

#[test]
fn sterna_moves_it_to_openssh() {
    sterna_moves_real_input(&server::openssh());
}

/// `sftp` leaves links out.
#[test]
fn sftp_moves_it_to_our_server() {
    let server = server::sterna();
    let client = Sftp::openssh(&server);
    let mover = Mover {
        up: &|local, remote| client.clone().put_tree(local, remote),
        down: &|remote, local| client.clone().get_tree(remote, local),
        links: Links::Skipped,
        disguises_links: false,
        keeps_attributes: false,
    };

    moves_real_input(&server, &mut client.clone(), &mover);
}

#[test]
fn rclone_moves_it_to_our_server() {
    if !sterna_interop::binary::has_peer("rclone") {
        return;
    }
    let server = server::sterna();
    let client = Rclone::new(&server);
    let copy = |from: OsString, to: OsString| -> Outcome<_> {
        let words = ["copy", "--links", "--create-empty-src-dirs"].map(OsString::from);
        client.run(&[&words[..], &[from, to]].concat()).map(drop)
    };
    let mover = Mover {
        up: &|local, remote| copy(local.into(), Rclone::place(remote)),
        down: &|remote, local| copy(Rclone::place(remote), local.into()),
        links: Links::Kept,
        disguises_links: true,
        keeps_attributes: false,
    };

    moves_real_input(&server, &mut client.clone(), &mover);
}
