//! The same batch for OpenSSH's `sftp -b` and for `sterna sftp -b`: the same files afterwards, and the same
//! exit status.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sterna_interop::binary::has_peer;
use sterna_interop::client::{Sftp, command_max};
use sterna_interop::content::write_file;
use sterna_interop::server::{self, Server};
use sterna_interop::trees::{Links, compare_trees};
use sterna_testkit::processes::{Finished, run};

/// One client's files: its own directory on each side.
struct Side {
    client: Sftp,
    here: PathBuf,
    there: PathBuf,
    batch: PathBuf,
}

impl Side {
    fn new(server: &Server, client: Sftp, name: &str) -> Self {
        let here = server.place.dir(&format!("here-{name}"));
        let there = server.local(format!("there-{name}"));
        fs::create_dir_all(&there).unwrap();
        let batch = server.place.path().join(format!("batch-{name}"));
        Self { client, here, there, batch }
    }

    /// Both sides as they are at first.
    fn fill(&self) {
        for dir in [&self.here, &self.there] {
            fs::remove_dir_all(dir).unwrap();
            fs::create_dir_all(dir.join("tree/deep")).unwrap();
            write_file(&dir.join("big.bin"), 3_000_000, 1);
            write_file(&dir.join("tree/one"), 5000, 2);
            write_file(&dir.join("tree/deep/two"), 70_000, 3);
            fs::write(dir.join("a b.txt"), "blank").unwrap();
            fs::write(dir.join("f1"), "1").unwrap();
            fs::write(dir.join("f2"), "2").unwrap();
            fs::create_dir(dir.join("empty")).unwrap();
        }
        fs::write(self.there.join("star*"), "star").unwrap();
        symlink("f1", self.there.join("link")).unwrap();
    }

    fn run(&self, batch: &str) -> Finished {
        let text =
            format!("@cd \"{}\"\n@lcd \"{}\"\n{batch}", self.there.display(), self.here.display());
        fs::write(&self.batch, text).unwrap();
        run(&mut self.client.command(&self.batch), b"", command_max())
    }
}

/// `None` where OpenSSH is not installed.
fn both() -> Option<(Server, [Side; 2])> {
    if !has_peer("sftp") || !has_peer("sshd") {
        return None;
    }
    let server = server::openssh();
    let theirs = Side::new(&server, Sftp::openssh(&server).cheap_kex(), "openssh");
    let ours = Side::new(&server, Sftp::sterna(&server), "sterna");
    Some((server, [theirs, ours]))
}

fn modes(root: &Path) -> Vec<(PathBuf, u32)> {
    let mut modes = Vec::new();
    for entry in fs::read_dir(root).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        modes.push((entry.file_name().into(), mode));
    }
    modes.sort();
    modes
}

/// Runs a batch on both sides, each from the first state; the files must be the same then.
fn compare(sides: &[Side; 2], batch: &str) -> [Finished; 2] {
    let ended = sides.each_ref().map(|side| {
        side.fill();
        side.run(batch)
    });
    let [theirs, ours] = sides;
    for (left, right) in [(&theirs.here, &ours.here), (&theirs.there, &ours.there)] {
        compare_trees(left, right, Links::Kept).unwrap_or_else(|why| {
            panic!("{batch}\n{why}\n{}\n{}", ended[0].describe(), ended[1].describe())
        });
        assert_eq!(modes(left), modes(right), "{batch}");
    }
    ended
}

#[test]
fn a_batch_of_everything_has_the_same_effect() {
    let Some((_server, sides)) = both() else { return };
    let batch = "\
        # a comment\n\
        \n\
        pwd\nlpwd\nversion\n\
        mkdir new\nmkdir \"with blank\"\ncd new\nput big.bin\nput f1 renamed\nput \"a b.txt\" 'with quote\\'s'\n\
        cd ..\nput -r tree new\nget -r tree fetched\nget f? \nlmkdir down\nlcd down\nget \"a b.txt\"\n\
        get a\\ b.txt other\nget star\\*\nget 'star*' again\nlcd ..\n\
        rename f1 f3\nln -s f3 soft\nsymlink nowhere dangling\nln f3 hard\nchmod 600 f3\nchmod 751 tree\n\
        cp f2 copied\nrm f2\nrm tree/o*\n-rm missing\n-@mkdir empty\n@-rmdir missing\nrmdir empty\n\
        ls\nls -la new\nls -1 *\nls -lt\nls -lS\nls -r\nls -n\nls -h\ndf\ndf -h\ndf -i\n\
        !echo done\nlls\nlumask 022\nhelp\n?\nprogress\n\
        bye\nmkdir never\n";

    for ended in compare(&sides, batch) {
        assert!(ended.success(), "{}", ended.describe());
    }
}

#[test]
fn a_transfer_that_was_broken_off_is_gone_on_with() {
    let Some((_server, sides)) = both() else { return };
    let lines =
        ["reget big.bin part", "get -a big.bin part", "reput big.bin part", "put -a big.bin part"];
    for batch in lines {
        let ended = sides.each_ref().map(|side| {
            side.fill();
            let whole = fs::read(side.here.join("big.bin")).unwrap();
            fs::write(side.here.join("part"), &whole[..1_000_000]).unwrap();
            fs::write(side.there.join("part"), &whole[..1_000_000]).unwrap();
            side.run(batch).code()
        });

        assert_eq!(ended, [Some(0); 2], "{batch}");
        let [theirs, ours] = &sides;
        compare_trees(&theirs.here, &ours.here, Links::Kept).unwrap();
        compare_trees(&theirs.there, &ours.there, Links::Kept).unwrap();
    }
}

/// Each line alone decides whether the batch goes on; what it says differs, whether it ends does not.
#[test]
fn a_line_that_fails_ends_a_batch_exactly_where_it_ends_with_openssh() {
    let Some((_server, sides)) = both() else { return };
    let lines = [
        "rm missing",
        "rm missing*",
        "rmdir missing",
        "rmdir tree",
        "mkdir empty",
        "mkdir no/such",
        "get missing",
        "get missing*",
        "get tree",
        "put missing",
        "put missing*",
        "put tree",
        "cd missing",
        "cd f1",
        "lcd missing",
        "ls missing",
        "ls missing*",
        "rename missing x",
        "rename f1",
        "ln -s f1 f2",
        "ln missing x",
        "symlink f1 f2",
        "chmod 600 missing",
        "chmod",
        "chmod 99 f1",
        "chown nobody f1",
        "chgrp x f1",
        "cp missing x",
        "df missing",
        "lmkdir f1",
        "lmkdir no/such",
        "nonsense",
        "get",
        "put",
        "mkdir",
        "rm",
        "rename",
        "get -x f1",
        "ls -x",
        "get 'open",
        "!false",
        "!exit 3",
        "lls missing",
        "lumask 9",
        "get f1 no/such/dir",
        "put f1 no/such/dir",
        "get f? f1",
        "reget missing",
        "rm \"\"",
    ];
    let mut differences = Vec::new();
    let excused = ["-rm missing", "-@get missing", "-nonsense", "@rm missing", "-get 'open"];
    for line in lines.into_iter().chain(excused) {
        let batch = format!("{line}\nmkdir after\n");
        let (theirs, ours) = compare_outcome(&sides, &batch);
        if theirs != ours {
            differences.push(format!("{line}: OpenSSH {theirs:?}, ours {ours:?}"));
        }
    }

    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Exit status, and whether the line behind the first was reached, of each side.
fn compare_outcome(sides: &[Side; 2], batch: &str) -> ((Option<i32>, bool), (Option<i32>, bool)) {
    let [theirs, ours] = sides.each_ref().map(|side| {
        side.fill();
        let code = side.run(batch).code();
        (code, side.there.join("after").is_dir())
    });
    (theirs, ours)
}
