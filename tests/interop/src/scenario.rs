//! What every pair of client and server must get through. Each scenario compares the two sides'
//! files themselves, so neither program is believed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::client::Client;
use crate::content::{SIZES, compare_files, write_file};
use crate::names::{ODD_NAMES, OddName};
use crate::server::{Ability, Server};
use crate::steps::{Failure, Outcome, Steps, check, check_equal};
use crate::trees::{TREE_FILES, compare_trees, names_in, write_tree};

/// A time of last change that nothing has by accident: 9 September 2001, 01:46:40 UTC.
const MTIME: i64 = 1_000_000_000;

/// Files of every size in [`SIZES`] go up and come back, and shorter and longer ones replace them.
pub fn files_of_every_size_arrive_equal(server: &Server, client: &mut dyn Client) {
    client.logs_in_often();
    let mut steps = Steps::new(format!("{} with {}: sizes", client.name(), server.name));
    let here = server.place.dir("client");
    for (seed, size) in SIZES.into_iter().enumerate() {
        let name = format!("{size}.bin");
        let (local, back) = (here.join(&name), here.join(format!("{size}.back")));
        write_file(&local, size, seed as u64);
        steps.run(format!("put {size} bytes"), || {
            client.put(&local, &server.remote(&name))?;
            Ok(compare_files(&local, &server.local(&name))?)
        });
        steps.run(format!("get {size} bytes"), || {
            fs::copy(&local, server.local(&name))?;
            client.get(&server.remote(&name), &back)?;
            Ok(compare_files(&local, &back)?)
        });
    }
    for (from, onto) in [(SIZES[1], SIZES[2]), (SIZES[2], SIZES[1])] {
        let local = here.join(format!("{from}.bin"));
        let name = format!("overwritten-{onto}");
        fs::copy(here.join(format!("{onto}.bin")), server.local(&name)).expect("prepare");
        steps.run(format!("overwrite {onto} bytes by {from} there"), || {
            client.put(&local, &server.remote(&name))?;
            Ok(compare_files(&local, &server.local(&name))?)
        });
        let (source, target) = (format!("{from}.bin"), here.join(format!("over-{onto}")));
        fs::copy(&local, server.local(&source)).expect("prepare");
        fs::copy(here.join(format!("{onto}.bin")), &target).expect("prepare");
        steps.run(format!("overwrite {onto} bytes by {from} here"), || {
            client.get(&server.remote(&source), &target)?;
            Ok(compare_files(&local, &target)?)
        });
    }
    steps.run("get of a missing file fails and leaves nothing", || {
        let nothing = here.join("nothing");
        match client.get(&server.remote("no such file"), &nothing) {
            Err(Failure::Failed(_)) => {
                check(fs::metadata(&nothing).map_or(true, |m| m.len() == 0), || {
                    "something arrived".to_owned()
                })
            }
            Err(cannot) => Err(cannot),
            Ok(()) => Err(Failure::Failed("it claims success".to_owned())),
        }
    });
    steps.run("put into a missing directory fails or makes it", || {
        let local = here.join(format!("{}.bin", SIZES[1]));
        let name = "no such directory/file";
        match client.put(&local, &server.remote(name)) {
            Err(Failure::Failed(_)) => Ok(()),
            Err(cannot) => Err(cannot),
            Ok(()) => Ok(compare_files(&local, &server.local(name))?),
        }
    });
    steps.finish(|| server.process.log());
}

/// List, stat, rename, replace, modes, times, links and removal do what they say.
pub fn files_are_managed(server: &Server, client: &mut dyn Client) {
    client.logs_in_often();
    let mut steps = Steps::new(format!("{} with {}: management", client.name(), server.name));
    let here = server.place.dir("client");
    let small = here.join("small");
    let other = here.join("other");
    write_file(&small, 4321, 1);
    write_file(&other, 99, 2);
    let there = |name: &str| fs::copy(&small, server.local(name)).map(drop);

    steps.run("make a directory", || {
        client.make_dir(&server.remote("dir"))?;
        check(server.local("dir").is_dir(), || "it is not there".to_owned())
    });
    fs::create_dir_all(server.local("dir/inner")).expect("prepare");
    steps.run("list a directory", || {
        for name in ["dir/one", "dir/two", "dir/.hidden"] {
            there(name)?;
        }
        let mut names = client.list(&server.remote("dir"))?;
        names.sort();
        check_equal("names", &names, &[".hidden", "inner", "one", "two"].map(Into::into).to_vec())
    });
    steps.run("list an empty directory", || {
        let names = client.list(&server.remote("dir/inner"))?;
        check(names.is_empty(), || format!("{names:?}"))
    });
    steps.run("stat", || {
        there("stat")?;
        fs::set_permissions(server.local("stat"), fs::Permissions::from_mode(0o640))?;
        set_mtime(&server.local("stat"), MTIME)?;
        let stat = client.stat(&server.remote("stat"))?;
        if let Some(size) = stat.size {
            check_equal("size", &size, &4321)?;
        }
        if let Some(mode) = stat.mode.filter(|_| server.lacks(Ability::Chmod).is_none()) {
            check_equal("mode", &mode, &0o640)?;
        }
        stat.mtime.map_or(Ok(()), |mtime| check_equal("time", &mtime, &MTIME))
    });
    steps.run("rename", || {
        there("old name")?;
        client.rename(&server.remote("old name"), &server.remote("dir/new name"))?;
        check(!server.local("old name").exists(), || "the old name is still there".to_owned())?;
        Ok(compare_files(&small, &server.local("dir/new name"))?)
    });
    steps.run("rename a directory", || {
        fs::create_dir(server.local("old dir"))?;
        there("old dir/file")?;
        client.rename(&server.remote("old dir"), &server.remote("new dir"))?;
        check(!server.local("old dir").exists(), || "the old name is still there".to_owned())?;
        Ok(compare_files(&small, &server.local("new dir/file"))?)
    });
    steps.run("rename onto an existing file", || {
        possible(server, Ability::Replace)?;
        there("replaced")?;
        fs::copy(&other, server.local("replacing"))?;
        client.replace(&server.remote("replacing"), &server.remote("replaced"))?;
        check(!server.local("replacing").exists(), || "the old name is still there".to_owned())?;
        Ok(compare_files(&other, &server.local("replaced"))?)
    });
    steps.run("change the mode", || {
        possible(server, Ability::Chmod)?;
        there("modes")?;
        for mode in [0o600, 0o755, 0o444] {
            client.chmod(&server.remote("modes"), mode)?;
            let found = fs::metadata(server.local("modes"))?.mode() & 0o7777;
            check(found == mode, || format!("mode {found:o}, expected {mode:o}"))?;
        }
        Ok(())
    });
    steps.run("set the time", || {
        possible(server, Ability::Times)?;
        there("times")?;
        client.set_mtime(&server.remote("times"), MTIME)?;
        check_equal("time", &fs::metadata(server.local("times"))?.mtime(), &MTIME)
    });
    set_mtime(&small, MTIME).expect("prepare");
    steps.run("put with its time", || {
        possible(server, Ability::Times)?;
        client.put_with_time(&small, &server.remote("put with time"))?;
        check_equal("time", &fs::metadata(server.local("put with time"))?.mtime(), &MTIME)
    });
    steps.run("get with its time", || {
        possible(server, Ability::Times)?;
        there("get with time")?;
        set_mtime(&server.local("get with time"), MTIME)?;
        let back = here.join("got with time");
        client.get_with_time(&server.remote("get with time"), &back)?;
        check_equal("time", &fs::metadata(back)?.mtime(), &MTIME)
    });
    steps.run("truncate", || {
        there("cut")?;
        client.truncate(&server.remote("cut"), 1000)?;
        check_equal("size", &fs::metadata(server.local("cut"))?.len(), &1000)?;
        client.truncate(&server.remote("cut"), 5000)?;
        check_equal("size", &fs::metadata(server.local("cut"))?.len(), &5000)
    });
    steps.run("make a symbolic link", || {
        possible(server, Ability::SymbolicLinks)?;
        there("target")?;
        client.symlink(Path::new("target"), &server.remote("link"))?;
        check_equal("target", &fs::read_link(server.local("link"))?, &PathBuf::from("target"))
    });
    steps.run("read a symbolic link", || {
        possible(server, Ability::SymbolicLinks)?;
        possible(server, Ability::ShowsLinks)?;
        symlink("dir/one", server.local("other link"))?;
        check_equal("target", &client.read_link(&server.remote("other link"))?, &"dir/one".into())
    });
    steps.run("get by a symbolic link", || {
        possible(server, Ability::SymbolicLinks)?;
        there("pointed to")?;
        symlink("pointed to", server.local("pointer"))?;
        let back = here.join("got by link");
        client.get(&server.remote("pointer"), &back)?;
        Ok(compare_files(&small, &back)?)
    });
    steps.run("make a hard link", || {
        possible(server, Ability::HardLinks)?;
        there("first name")?;
        client.hard_link(&server.remote("first name"), &server.remote("second name"))?;
        let inode = |name| fs::metadata(server.local(name)).map(|m| m.ino());
        check_equal("inode", &inode("second name")?, &inode("first name")?)
    });
    steps.run("remove a file", || {
        there("doomed")?;
        client.remove(&server.remote("doomed"))?;
        check(!server.local("doomed").exists(), || "it is still there".to_owned())
    });
    steps.run("remove a link, not what it points to", || {
        possible(server, Ability::SymbolicLinks)?;
        if client.removes_what_links_point_to() {
            return Err(Failure::Cannot("follows links before it removes"));
        }
        there("kept")?;
        symlink("kept", server.local("doomed link"))?;
        client.remove(&server.remote("doomed link"))?;
        check(fs::symlink_metadata(server.local("doomed link")).is_err(), || {
            "the link is still there".to_owned()
        })?;
        check(server.local("kept").exists(), || "its target is gone".to_owned())
    });
    steps.run("remove a directory", || {
        fs::create_dir(server.local("doomed dir"))?;
        client.remove_dir(&server.remote("doomed dir"))?;
        check(!server.local("doomed dir").exists(), || "it is still there".to_owned())
    });
    steps.run("a directory that is not empty is not removed", || {
        fs::create_dir(server.local("full dir"))?;
        there("full dir/file")?;
        match client.remove_dir(&server.remote("full dir")) {
            Ok(()) => Err(Failure::Failed("it claims success".to_owned())),
            Err(Failure::Cannot(why)) => Err(Failure::Cannot(why)),
            Err(Failure::Failed(_)) => {
                check(server.local("full dir/file").exists(), || "it is gone".to_owned())
            }
        }
    });
    steps.finish(|| server.process.log());
}

/// Files whose names programs stumble over go up, are listed, come back, are renamed and removed.
pub fn odd_names_survive(server: &Server, client: &mut dyn Client) {
    client.logs_in_often();
    let mut steps = Steps::new(format!("{} with {}: names", client.name(), server.name));
    let here = server.place.dir("client");
    fs::create_dir(server.local("names")).expect("prepare");
    for (seed, odd) in ODD_NAMES.iter().enumerate() {
        let what = odd.what;
        let local_dir = here.join(seed.to_string());
        fs::create_dir(&local_dir).expect("prepare");
        let local = local_dir.join(odd.name());
        write_file(&local, 100 + seed as u64, seed as u64);
        let in_names = |name: &OsStr| Path::new("names").join(name);
        let at = in_names(odd.name());
        let sayable = speakable(server, client.cannot_say(odd), odd);
        steps.run(format!("put, {what}"), || {
            sayable.clone()?;
            client.put(&local, &server.remote(&at))?;
            Ok(compare_files(&local, &server.local(&at))?)
        });
        if sayable.is_ok() {
            fs::copy(&local, server.local(&at)).expect("prepare");
        }
        steps.run(format!("list, {what}"), || {
            sayable.clone()?;
            let found = client.list(&server.remote("names"))?;
            let expected = names_in(&server.local("names"))?;
            check(found.len() == expected.len() && found.iter().any(|n| n == odd.name()), || {
                format!("found {found:?}, expected {expected:?}")
            })
        });
        steps.run(format!("get, {what}"), || {
            sayable.clone()?;
            let back = local_dir.join("back");
            client.get(&server.remote(&at), &back)?;
            Ok(compare_files(&local, &back)?)
        });
        steps.run(format!("rename, {what}"), || {
            sayable.clone()?;
            client.rename(&server.remote(&at), &server.remote("plain"))?;
            client.rename(&server.remote("plain"), &server.remote(&at))?;
            Ok(compare_files(&local, &server.local(&at))?)
        });
        steps.run(format!("remove, {what}"), || {
            sayable.clone()?;
            client.remove(&server.remote(&at))?;
            check(!server.local(&at).exists(), || "it is still there".to_owned())
        });
        let _ = fs::remove_file(server.local(&at));
    }
    steps.finish(|| server.process.log());
}

/// A tree of [`TREE_FILES`] files goes up and comes back, equal in every entry. The few logins of this one are as
/// both programs do them by themselves.
pub fn a_tree_arrives_equal(server: &Server, client: &mut dyn Client) {
    let mut steps = Steps::new(format!("{} with {}: a tree", client.name(), server.name));
    let here = server.place.dir("client");
    let tree = here.join("tree");
    write_tree(&tree, TREE_FILES, 5);
    let links = client.links();
    steps.run(format!("put a tree of {TREE_FILES} files"), || {
        client.put_tree(&tree, &server.remote("tree"))?;
        Ok(compare_trees(&tree, &server.local("tree"), links)?)
    });
    let source = server.local("source");
    write_tree(&source, TREE_FILES, 6);
    steps.run(format!("get a tree of {TREE_FILES} files"), || {
        let back = here.join("back");
        client.get_tree(&server.remote("source"), &back)?;
        Ok(compare_trees(&source, &back, links)?)
    });
    steps.run("remove a tree", || {
        client.remove_tree(&server.remote("source"))?;
        check(!source.exists(), || "it is still there".to_owned())
    });
    steps.finish(|| server.process.log());
}

/// Skips a step for what the server cannot do.
fn possible(server: &Server, ability: Ability) -> Outcome {
    server.lacks(ability).map_or(Ok(()), |why| Err(Failure::Cannot(why)))
}

/// Skips a step for a name that one of the two cannot say.
fn speakable(server: &Server, cannot: Option<&'static str>, odd: &OddName) -> Outcome {
    if let Some(why) = cannot {
        return Err(Failure::Cannot(why));
    }
    if !odd.is_utf8() {
        possible(server, Ability::AnyBytes)?;
    }
    if odd.has_newline() {
        possible(server, Ability::Newlines)?;
    }
    Ok(())
}

fn set_mtime(path: &Path, mtime: i64) -> std::io::Result<()> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs());
    File::options().append(true).open(path)?.set_modified(at)
}

/// Makes the four standard tests of a pair. `$server` and `$client` are called in each of them;
/// either may return `None`, which skips the test.
#[macro_export]
macro_rules! every_scenario {
    ($server:expr, $client:expr) => {
        $crate::every_scenario! { @tests $server, $client,
            files_of_every_size_arrive_equal files_are_managed odd_names_survive
            a_tree_arrives_equal }
    };
    (@tests $server:expr, $client:expr, $($scenario:ident)*) => { $(
        #[test]
        fn $scenario() {
            use $crate::client::MaybeClient;
            let Some(server) = Option::<$crate::server::Server>::from($server) else { return };
            let Some(mut client) = MaybeClient::into_client($client(&server)) else { return };
            $crate::scenario::$scenario(&server, &mut *client);
        }
    )* };
}
