//! Connections that are lost, while something else changes what was left: no half file gets a name.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use sterna_client::transfer::{Event, Options, Progress, Summary, Transfer};
use sterna_client::{Connection, Error, Reconnect};
use sterna_testkit::sftp::{Odd, OddServer, Request, Tree};

use crate::stage::{Stage, client, content, failure, write};

const POSIX_RENAME: (&str, &str) = ("posix-rename@openssh.com", "1");
const LEN: usize = 3_000_000;
const PARTS: [&str; 2] = ["/.f.sterna-part", "/.f.sterna-part2"];

/// The next servers, one for each connection after the first.
struct Next(Mutex<Vec<Box<dyn FnOnce() -> OddServer + Send>>>);

impl Next {
    fn once(server: impl FnOnce() -> OddServer + Send + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(vec![Box::new(server)])))
    }
}

impl Reconnect for Next {
    fn reconnect(&self) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        let server = self.0.lock().unwrap().pop().expect("no further connection is lost");
        Box::pin(async move { Ok(Connection { sftp: client(server()).await?, session: None }) })
    }
}

/// Keeps why something was said to travel once more, and how far comparisons came, of how many bytes.
#[derive(Default)]
struct Heard {
    retries: Mutex<Vec<String>>,
    compared: Mutex<Vec<(u64, u64)>>,
}

impl Progress for Heard {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Retry { why, .. } => self.retries.lock().unwrap().push((*why).to_owned()),
            Event::Comparing { path: b"/f", done, total } => {
                self.compared.lock().unwrap().push((*done, *total));
            }
            _ => {}
        }
    }
}

async fn transfer(stage: &Stage, first: OddServer, next: Arc<Next>) -> Transfer {
    Transfer::new(&client(first).await.unwrap()).options(stage.options()).reconnect(next)
}

/// Changes one byte and leaves the time as it was.
fn change(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    file.set_modified(modified).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_part_here_that_is_changed_while_the_connection_is_lost_is_not_believed() {
    for at in [0, 100, 700_000, 1_400_000] {
        let stage = Stage::new();
        let tree = || Tree::new().file("/f", content(LEN));
        let first = OddServer::new(tree()).on(Request::named("read").nth(60), Odd::Stall);
        let part = stage.here(".f.sterna-part");
        let next = Next::once(move || {
            assert!(fs::metadata(&part).unwrap().len() > 1_500_000);
            change(&part, at);
            OddServer::new(tree())
        });

        let transfer = transfer(&stage, first, next).await;
        let summary = transfer.get(&["/f"], &stage.here("f")).await.unwrap();

        assert_eq!(summary.exit_code(), 0, "{at}: {:?}", summary.errors);
        assert!(fs::read(stage.here("f")).unwrap() == content(LEN), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_here_that_is_changed_while_the_connection_is_lost_arrives_as_it_is_then() {
    for at in [0, 100, 700_000, 1_400_000] {
        let stage = Stage::new();
        let source = stage.here("f");
        write(&source, &content(LEN));
        let first = OddServer::new(Tree::new()).on(Request::named("write").nth(60), Odd::Stall);
        let tree = first.tree();
        let then = Arc::new(Mutex::new(None));
        let next = {
            let (source, then) = (source.clone(), then.clone());
            Next::once(move || {
                change(&source, at);
                let server = OddServer::new(tree.lock().unwrap().clone());
                *then.lock().unwrap() = Some(server.tree());
                server
            })
        };

        let transfer = transfer(&stage, first, next).await;
        let summary = transfer.put(&[&source], b"/f").await.unwrap();

        assert_eq!(summary.exit_code(), 0, "{at}: {:?}", summary.errors);
        let tree = then.lock().unwrap().take().unwrap();
        let tree = tree.lock().unwrap();
        assert!(tree.content("/f") == Some(&fs::read(&source).unwrap()[..]), "{at}");
        assert_eq!(tree.paths(), ["/f"]);
    }
}

/// The first connection is lost when the file has its name and nobody has heard of it.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_changed_after_it_got_its_name_travels_once_more() {
    let stage = Stage::new();
    let source = stage.here("f");
    write(&source, &content(LEN));
    let first = OddServer::new(Tree::new()).on(Request::named("rename"), Odd::CutInside);
    let tree = first.tree();
    let then = Arc::new(Mutex::new(None));
    let next = {
        let (source, then) = (source.clone(), then.clone());
        Next::once(move || {
            let changed = [content(LEN - 1), vec![7]].concat();
            write(&source, &changed);
            let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
            File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
            let tree = tree.lock().unwrap().clone();
            assert!(tree.content("/f") == Some(&content(LEN)[..]), "it got its name");
            let server = OddServer::new(tree).offering(POSIX_RENAME.0, POSIX_RENAME.1);
            *then.lock().unwrap() = Some(server.tree());
            server
        })
    };

    let transfer = transfer(&stage, first, next).await;
    let summary = transfer.put(&[&source], b"/f").await.unwrap();

    assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
    let tree = then.lock().unwrap().take().unwrap();
    assert!(tree.lock().unwrap().content("/f") == Some(&fs::read(&source).unwrap()[..]));
}

/// What a RENAME that waits in an older session would give the name of the file, at any time.
type Published = Arc<Mutex<Vec<Vec<u8>>>>;

/// A server that starts with the files of another one, where the RENAME of `part` still waits: notes at
/// each request what it would publish.
fn haunted(tree: &Arc<Mutex<Tree>>, part: &'static str) -> (OddServer, Published) {
    let published = Published::default();
    let noted = published.clone();
    let look = move |tree: &mut Tree| {
        let found = tree.content(part).map(<[u8]>::to_vec);
        let mut noted = noted.lock().unwrap();
        if let Some(found) = found
            && noted.last() != Some(&found)
        {
            noted.push(found);
        }
    };
    let server = OddServer::new(tree.lock().unwrap().clone())
        .offering(POSIX_RENAME.0, POSIX_RENAME.1)
        .on(Request::any(), Odd::After(Box::new(look)));
    (server, published)
}

fn modern(tree: Tree) -> OddServer {
    OddServer::new(tree).offering(POSIX_RENAME.0, POSIX_RENAME.1)
}

/// Uploads `old`, whose RENAME is sent and not carried out, and then `new` on another connection: in the
/// same run, or as if the program had been killed.
async fn rename_waits(old: &[u8], new: &[u8], killed: bool) {
    let stage = Stage::new();
    let source = stage.here("f");
    write(&source, old);
    let first = modern(Tree::new().file("/f", "older"))
        .on(Request::named("posix-rename@openssh.com"), Odd::Cut);
    let tree = first.tree();
    let then = Arc::new(Mutex::new(None));
    let next = {
        let (source, new, then) = (source.clone(), new.to_vec(), then.clone());
        Next::once(move || {
            assert!(tree.lock().unwrap().content(PARTS[0]).is_some(), "its RENAME waits");
            write(&source, &new);
            let (server, published) = haunted(&tree, PARTS[0]);
            *then.lock().unwrap() = Some((server.tree(), published));
            server
        })
    };
    let summary = if killed {
        let options = Options { retries: 0, ..stage.options() };
        let lost = stage.put_with(first, "f", "/f", options).await;
        assert_eq!(failure(&lost).1, 7);
        let server = next.0.lock().unwrap().pop().unwrap()();
        stage.put(server, "f", "/f").await
    } else {
        transfer(&stage, first, next).await.put(&[&source], b"/f").await.unwrap()
    };

    let lens = (old.len(), new.len(), killed);
    assert_eq!(summary.exit_code(), 0, "{lens:?}: {:?}", summary.errors);
    let (tree, published) = then.lock().unwrap().take().unwrap();
    let tree = tree.lock().unwrap();
    assert!(tree.content("/f") == Some(new), "{lens:?}");
    assert_eq!(tree.paths(), ["/f"], "{lens:?}");
    let published = published.lock().unwrap();
    assert!(!published.is_empty());
    let lens_published: Vec<_> = published.iter().map(Vec::len).collect();
    assert!(published.iter().all(|it| it == old || it == new), "{lens:?}: {lens_published:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rename_that_waits_in_a_lost_session_never_meets_half_a_file() {
    let (small, large) = (content(20_000), content(LEN));
    let (other_small, other_large) = (content(21_000), content(LEN + 5));
    for killed in [false, true] {
        for (old, new) in [
            (&large, &other_large),
            (&large, &large),
            (&small, &other_small),
            (&small, &small),
            (&small, &large),
            (&large, &small),
        ] {
            rename_waits(old, new, killed).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_was_taken_over_is_taken_over_again_and_goes_on() {
    let stage = Stage::new();
    let data = content(LEN);
    write(&stage.here("f"), &data);
    let options = || Options { retries: 0, ..stage.options() };
    let mut tree = Tree::new();
    for stalls_at in [5, 4, 3] {
        let server = modern(tree).on(Request::named("write").nth(stalls_at), Odd::Stall);
        let left = server.tree();
        let lost: Summary = stage.put_with(server, "f", "/f", options()).await;
        assert_eq!(failure(&lost).1, 7);
        tree = left.lock().unwrap().clone();
        let paths = tree.paths();
        assert!(paths.len() == 1 && PARTS.contains(&&paths[0][..]), "{paths:?}");
    }
    let server = modern(tree);
    let tree = server.tree();

    let summary = stage.put(server, "f", "/f").await;

    assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
    let tree = tree.lock().unwrap();
    assert!(tree.content("/f") == Some(&data[..]));
    assert_eq!(tree.paths(), ["/f"]);
    assert!(summary.bytes_sent < LEN as u64, "{}", summary.bytes_sent);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_told_once_however_many_files_were_in_flight() {
    let stage = Stage::new();
    let names: Vec<_> = (0..30).map(|n| format!("/t/f{n}")).collect();
    let tree = || names.iter().fold(Tree::new(), |tree, name| tree.file(name, content(100_000)));
    let first = OddServer::new(tree()).on(Request::named("read").nth(20), Odd::Cut);
    let second = tree();
    let next = Next::once(move || OddServer::new(second));
    let heard = Arc::new(Heard::default());

    let transfer = transfer(&stage, first, next).await.progress(heard.clone());
    let summary = transfer.get(&["/t"], &stage.target()).await.unwrap();

    assert_eq!((summary.exit_code(), summary.files), (0, 30), "{:?}", summary.errors);
    let retries = heard.retries.lock().unwrap();
    assert_eq!(retries.len(), 1, "{retries:?}");
    assert!(retries[0].contains("connecting again"), "{retries:?}");
}

#[tokio::test(start_paused = true)]
async fn a_file_here_is_written_by_one_transfer_at_a_time() {
    for len in [1000, LEN] {
        let stage = Stage::new();
        let server = || OddServer::new(Tree::new().file("/f", content(len)));
        let stalls = server().on(Request::named("read").nth(1), Odd::Stall);
        let requests = stalls.requests();
        let second = async {
            while !requests.lock().unwrap().iter().any(|request| request == "read /f") {
                tokio::task::yield_now().await;
            }
            stage.get(server(), "/f").await
        };
        let summary = tokio::select! {
            first = stage.get(stalls, "/f") => panic!("{first:?}"),
            second = second => second,
        };
        // The first one was dropped: its lock is free.
        let third = stage.get(server(), "/f").await;

        let (error, status) = failure(&summary);
        assert_eq!(status, 1, "{error}");
        assert!(error.contains("/f\": another transfer is writing it"), "{error}");
        assert_eq!(third.exit_code(), 0, "{:?}", third.errors);
        assert!(fs::read(stage.here("f")).unwrap() == content(len));
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_puts_in_the_place_of_a_part_never_gets_its_name() {
    let stage = Stage::new();
    let server = OddServer::new(Tree::new().file("/f", content(LEN)));
    let part = stage.here(".f.sterna-part");
    let server = server.on(
        Request::named("stat").nth(2),
        Odd::After(Box::new(move |_| {
            fs::remove_file(&part).unwrap();
            fs::write(&part, "theirs").unwrap();
        })),
    );

    let summary = stage.get(server, "/f").await;

    let (error, _) = failure(&summary);
    assert!(error.contains("something else stands where it was written"), "{error}");
    assert!(!stage.here("f").exists());
}

#[tokio::test(start_paused = true)]
async fn what_is_compared_before_a_file_goes_on_is_told() {
    let stage = Stage::new();
    let tree = || Tree::new().file("/f", content(LEN));
    let first = OddServer::new(tree()).on(Request::named("read").nth(60), Odd::Stall);
    let next = Next::once(move || OddServer::new(tree()));
    let heard = Arc::new(Heard::default());

    let transfer = transfer(&stage, first, next).await.progress(heard.clone());
    let summary = transfer.get(&["/f"], &stage.here("f")).await.unwrap();

    assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
    let compared = heard.compared.lock().unwrap();
    let (last, total) = *compared.last().unwrap();
    assert!(compared.len() > 2 && compared.is_sorted(), "{compared:?}");
    assert!(last == total && (1_500_000..LEN as u64).contains(&total), "{compared:?}");
}
