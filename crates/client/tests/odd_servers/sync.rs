//! Syncs with servers that have numbers of their own for names, or do not keep what they say they keep.

use std::sync::{Arc, Mutex};

use sterna_client::Attrs;
use sterna_client::sync::{GROUP_NAME, Report, SyncOptions, TIMES, Tree, TreeSync, USER_NAME};
use sterna_client::transfer::{Note, Options};
use sterna_sftp_proto::Times;
use sterna_testkit::sftp::{self, Odd, OddServer, Request};

use crate::stage::{Stage, client, write};

/// Users of the first server; `bob` is nobody at the second, and the numbers differ.
const USERS: &[(u32, &str)] = &[(0, "root"), (1000, "alice"), (1001, "bob"), (1002, "carol")];
const GROUPS: &[(u32, &str)] = &[(100, "users"), (101, "staff")];
const USERS_THERE: &[(u32, &str)] = &[(0, "root"), (2000, "alice"), (3000, "carol")];
const GROUPS_THERE: &[(u32, &str)] = &[(200, "users"), (300, "carols")];

/// Four files of four users.
fn source() -> OddServer {
    let tree = ["a", "b", "c", "r"]
        .iter()
        .fold(sftp::Tree::new(), |tree, name| tree.file(&format!("/s/{name}"), name.as_bytes()));
    let tree = tree.owned("/s/a", 1000, 100).owned("/s/b", 1001, 101);
    OddServer::new(tree.owned("/s/c", 1002, 100).owned("/s/r", 0, 0)).naming(USERS, GROUPS)
}

/// A target with a file of alice and the home of carol.
fn target() -> OddServer {
    let tree = sftp::Tree::new().file("/t/z", "z").owned("/t/z", 2000, 200).dir("/home/carol");
    OddServer::new(tree.owned("/home/carol", 3000, 300)).offering("posix-rename@openssh.com", "1")
}

/// Syncs `/s` of one to `/t` of the other.
async fn sync(from: &Served, to: &Served, options: SyncOptions) -> Report {
    let at = |server: &Served, path: &str| Tree::Remote {
        sftp: server.sftp.clone(),
        session: None,
        reconnect: None,
        path: path.into(),
    };
    let transfer = Options { fsync: false, state_dir: None, ..Options::default() };
    let sync = TreeSync::new(at(from, "/s"), at(to, "/t")).transfer(transfer).options(options);
    let report = sync.run().await.unwrap();
    assert_eq!(report.summary.failed, 0, "{:?}", report.summary.errors);
    report
}

/// A server that is connected to.
struct Served {
    sftp: sterna_client::Sftp,
    tree: Arc<Mutex<sftp::Tree>>,
}

impl Served {
    async fn new(server: OddServer) -> Self {
        let tree = server.tree();
        Self { sftp: client(server).await.unwrap(), tree }
    }

    fn owners(&self, paths: [&str; 4]) -> [Option<(u32, u32)>; 4] {
        let tree = self.tree.lock().unwrap();
        paths.map(|path| tree.owner(path))
    }
}

const COPIES: [&str; 4] = ["/t/a", "/t/b", "/t/c", "/t/r"];

#[tokio::test(start_paused = true)]
async fn owners_go_by_name_where_both_servers_know_it_and_else_by_number() {
    let there = target().naming(USERS_THERE, GROUPS_THERE);
    let there = there.offering("expand-path@openssh.com", "1");
    let (from, to) = (Served::new(source()).await, Served::new(there).await);
    let options = SyncOptions { owner: true, group: true, ..SyncOptions::default() };

    let first = sync(&from, &to, options.clone()).await;
    let owners = to.owners(COPIES);
    let second = sync(&from, &to, options).await;

    // alice was listed, carol's home was found; the group "users" was listed, "staff" is not known.
    let expected = [(2000, 200), (1001, 101), (3000, 200), (0, 0)];
    assert_eq!(owners, expected.map(Some));
    assert_eq!(first.not_kept, [(USER_NAME, 1), (GROUP_NAME, 1)]);
    assert_eq!((second.summary.files, second.attributes_set, second.unchanged), (0, 0, 4));
}

#[tokio::test(start_paused = true)]
async fn owners_go_by_number_if_that_is_asked_for_or_a_server_knows_no_names() {
    for (numeric_ids, there, unmapped) in [
        (true, target().naming(USERS_THERE, GROUPS_THERE), vec![]),
        (false, target(), vec![(USER_NAME, 3), (GROUP_NAME, 2)]),
    ] {
        let (from, to) = (Served::new(source()).await, Served::new(there).await);
        let options =
            SyncOptions { owner: true, group: true, numeric_ids, ..SyncOptions::default() };

        let report = sync(&from, &to, options).await;

        let expected = [(1000, 100), (1001, 101), (1002, 100), (0, 0)];
        assert_eq!(to.owners(COPIES), expected.map(Some));
        assert_eq!(report.not_kept, unmapped);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_asked_for_of_user_and_group_is_taken_over() {
    let there = target().naming(USERS_THERE, GROUPS_THERE);
    let (from, to) = (Served::new(source()).await, Served::new(there).await);
    let group = SyncOptions { group: true, ..SyncOptions::default() };

    let none = sync(&from, &to, SyncOptions::default()).await;
    assert_eq!((to.owners(COPIES), none.not_kept), ([None; 4], vec![]));
    to.tree.lock().unwrap().put("/t/a", sftp::Node::File(b"a".to_vec()));
    let tree = std::mem::take(&mut *to.tree.lock().unwrap());
    *to.tree.lock().unwrap() = tree.owned("/t/a", 7, 7);
    let report = sync(&from, &to, group).await;

    assert_eq!(to.owners(COPIES)[0], Some((7, 200)));
    assert!(report.not_kept.iter().all(|(what, _)| *what != USER_NAME), "{:?}", report.not_kept);
}

/// Who is asked for the group alone leaves the user to the server, of new files and directories too.
#[tokio::test(start_paused = true)]
async fn what_is_new_keeps_the_half_of_its_owner_that_nobody_asked_for() {
    let from = sftp::Tree::new().file("/s/d/f", "f").owned("/s/d/f", 1000, 100);
    let from = Served::new(OddServer::new(from.owned("/s/d", 1000, 100))).await;
    let there = OddServer::new(sftp::Tree::new().dir("/t").made_by(5, 5));
    let to = Served::new(there.offering("posix-rename@openssh.com", "1")).await;
    let options = SyncOptions { group: true, numeric_ids: true, ..SyncOptions::default() };

    sync(&from, &to, options).await;

    let tree = to.tree.lock().unwrap();
    assert_eq!(["/t/d", "/t/d/f"].map(|path| tree.owner(path)), [Some((5, 100)); 2]);
}

/// A store without attributes takes the content all the same, and the report says what is missing.
#[tokio::test(start_paused = true)]
async fn attributes_that_a_server_refuses_are_notes_of_the_files() {
    let stage = Stage::new();
    write(&stage.here("small"), b"content");
    write(&stage.here("large"), &[7; 3 << 20]);
    let refusing = || {
        ["setstat", "fsetstat"].iter().fold(
            OddServer::new(sftp::Tree::new().dir("/t")).offering("posix-rename@openssh.com", "1"),
            |server, request| server.on(Request::named(request), Odd::Status(3)),
        )
    };
    let to = Served::new(refusing()).await;
    let path = b"/t".to_vec();
    let there = Tree::Remote { sftp: to.sftp.clone(), session: None, reconnect: None, path };
    let up = TreeSync::new(Tree::Local(stage.target()), there).transfer(stage.options());
    let from = Served::new(OddServer::new(sftp::Tree::new().file("/s/f", "content"))).await;
    let times = Some(Times { accessed: 5, modified: 5 });
    from.sftp.set_attrs("/s/f", &Attrs { times, ..Attrs::default() }).await.unwrap();
    let also_to = Served::new(refusing()).await;

    let up = up.run().await.unwrap().summary;
    let between = sync(&from, &also_to, SyncOptions::default()).await.summary;
    let strict = Options { preserve: true, ..stage.options() };
    let strict = stage.put_with(refusing(), "small", "/t/f", strict).await;

    for (summary, files) in [(up, 2), (between, 1)] {
        assert_eq!((summary.files, summary.failed), (files, 0), "{:?}", summary.errors);
        for note in [Note::ModeNotKept, Note::TimesNotKept] {
            assert_eq!(summary.notes.get(&note), Some(&files), "{note:?}");
        }
    }
    assert_eq!(strict.failed, 1);
}

/// A store that says yes to attributes and does nothing.
fn forgetful() -> OddServer {
    ["setstat", "fsetstat"].iter().fold(
        OddServer::new(sftp::Tree::new().dir("/t")).offering("posix-rename@openssh.com", "1"),
        |server, request| server.on(Request::named(request), Odd::Status(0)),
    )
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forgets_the_times_it_was_given_is_named_once() {
    let (stage, there) = (Stage::new(), forgetful());
    for name in ["one", "two", "three"] {
        write(&stage.here(name), b"content");
    }
    let requests = there.requests();
    let sftp = client(there).await.unwrap();
    let to =
        Tree::Remote { sftp: sftp.clone(), session: None, reconnect: None, path: b"/t".to_vec() };
    let describe = |options: SyncOptions| {
        let sync = TreeSync::new(Tree::Local(stage.target()), to.clone());
        sync.transfer(stage.options()).options(options)
    };

    let first = describe(SyncOptions::default()).run().await.unwrap();
    let looks = requests.lock().unwrap().iter().filter(|r| r.starts_with("lstat")).count();
    let size_only = SyncOptions { basis: sterna_client::sync::Basis::Size, ..Default::default() };
    let second = describe(size_only).run().await.unwrap();

    assert_eq!(first.summary.exit_code(), 0, "{:?}", first.summary.errors);
    assert_eq!(first.summary.notes.get(&Note::TimesNotKept), Some(&1), "of three files");
    // Each upload looks at its target before; one of them looks afterwards.
    assert_eq!(looks, 3 + 1);
    assert_eq!(second.not_kept, [(TIMES, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forgets_times_is_named_by_put_and_between_servers_too() {
    let stage = Stage::new();
    write(&stage.here("f"), b"content");
    let preserving = |preserve| Options { preserve, ..stage.options() };

    let put = stage.put_with(forgetful(), "f", "/t/f", preserving(true)).await;
    let plain = stage.put_with(forgetful(), "f", "/t/f", preserving(false)).await;
    let honest = OddServer::new(sftp::Tree::new().dir("/t"));
    let kept = stage.put_with(honest, "f", "/t/f", preserving(true)).await;
    let from = Served::new(OddServer::new(sftp::Tree::new().file("/s/f", "content"))).await;
    let times = Some(Times { accessed: 5, modified: 5 });
    from.sftp.set_attrs("/s/f", &Attrs { times, ..Attrs::default() }).await.unwrap();
    let to = Served::new(forgetful()).await;
    let between = sync(&from, &to, SyncOptions::default()).await.summary;

    for summary in [put, between] {
        assert_eq!(summary.notes.get(&Note::TimesNotKept), Some(&1), "{:?}", summary.notes);
    }
    for summary in [plain, kept] {
        assert_eq!(summary.notes.get(&Note::TimesNotKept), None, "{:?}", summary.notes);
    }
}

/// What a server has no means for is said, not dropped.
#[tokio::test(start_paused = true)]
async fn extended_attributes_that_a_server_does_not_take_are_counted() {
    let stage = Stage::new();
    for name in ["with", "without", "other"] {
        write(&stage.here(name), b"content");
    }
    let none = rustix::fs::XattrFlags::empty();
    for name in ["with", "other"] {
        rustix::fs::setxattr(stage.here(name), "user.a", b"1", none).unwrap();
    }
    let there = OddServer::new(sftp::Tree::new().dir("/t"));
    let sftp = client(there.offering("posix-rename@openssh.com", "1")).await.unwrap();
    let to = Tree::Remote { sftp, session: None, reconnect: None, path: b"/t".to_vec() };
    let sync = |xattrs| {
        TreeSync::new(Tree::Local(stage.target()), to.clone())
            .transfer(stage.options())
            .options(SyncOptions { xattrs, ..SyncOptions::default() })
            .run()
    };

    let asked = sync(true).await.unwrap();
    let not_asked = sync(false).await.unwrap();

    assert_eq!((asked.summary.files, asked.summary.failed), (3, 0));
    assert_eq!(asked.not_kept, [("extended attributes", 2)]);
    assert!(not_asked.not_kept.is_empty());
}
