//! Where uploads are published on close, clients of every make see nothing but whole files.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sterna_interop::binary::has_peer;
use sterna_interop::client::{Client, Rclone, Sftp};
use sterna_interop::content::{compare_files, write_file};
use sterna_interop::server::{self, Server};
use sterna_interop::steps::{Outcome, Steps, check, check_equal};
use sterna_interop::trees::names_in;

/// Bytes of an upload that is cut, and its rate in kbit/s: it would last a minute.
const SIZE: u64 = 32 << 20;
const RATE: &str = "-l4000";

/// How long to wait for something to happen at the server.
const PATIENCE: Duration = Duration::from_secs(60);

mod rclone {
    use sterna_interop::{binary::has_peer, client, every_scenario, server};
    every_scenario!(
        has_peer("rclone").then(server::sterna_publishing_on_close).flatten(),
        client::Rclone::new
    );
}

mod openssh_sftp {
    use sterna_interop::{client, every_scenario, server};
    every_scenario!(server::sterna_publishing_on_close(), client::Sftp::openssh);
}

mod sterna {
    use sterna_interop::{client, every_scenario, server};
    every_scenario!(server::sterna_publishing_on_close(), client::sterna);
}

mod lftp {
    use sterna_interop::{binary::has_peer, client, every_scenario, server};
    every_scenario!(
        has_peer("lftp").then(server::sterna_publishing_on_close).flatten(),
        client::Lftp::new
    );
}

mod psftp {
    use sterna_interop::{binary::has_peer, client, every_scenario, server};
    every_scenario!(
        has_peer("psftp").then(server::sterna_publishing_on_close).flatten(),
        client::Psftp::new
    );
}

/// Bytes in the staging directory.
fn staged(server: &Server) -> u64 {
    let parts = fs::read_dir(server.local(".sterna-staging"));
    parts.map_or(0, |parts| parts.flatten().flat_map(|part| part.metadata()).map(|m| m.len()).sum())
}

fn wait_for(what: &str, happened: impl Fn() -> bool) -> Outcome {
    let since = Instant::now();
    while !happened() {
        check(since.elapsed() < PATIENCE, || format!("{what} did not happen"))?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Begins an upload of `source` as `name` and kills the client when some of it has arrived.
fn cut_upload(server: &Server, source: &Path, name: &str) -> Outcome {
    let sftp = Sftp::openssh(server).argument(RATE);
    let batch = server.place.path().join("cut");
    fs::write(&batch, format!("put {} {name}\n", source.display()))?;
    let before = staged(server);
    let mut child = sftp.command(&batch).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let arrived = wait_for("the upload", || staged(server) > before + (1 << 20));
    kill(&mut child);
    arrived
}

/// `kill -9`.
fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_killed_upload_is_nobodys_file_until_its_user_has_finished_it() {
    let Some(server) = server::sterna_publishing_on_close() else { return };
    let mut steps = Steps::new("an upload is cut");
    let here = server.place.dir("client");
    let source = here.join("source");
    write_file(&source, SIZE, 5);
    let mut sftp = Sftp::openssh(&server);
    let mut other = server.login.clone();
    other.user = "other".into();
    let mut of_other = Sftp::openssh(&server).login(other);

    steps.run("kill -9 in the middle", || cut_upload(&server, &source, "f"));
    steps.run("there is no such file", || {
        check(!server.local("f").exists(), || "half of it is there".to_owned())?;
        check_equal("names", &sftp.list(Path::new("/"))?, &vec![])
    });
    steps.run("its user sees how much arrived, others nothing", || {
        let size = sftp.stat(Path::new("/f"))?.size.unwrap_or(0);
        check((1 << 20..SIZE).contains(&size), || format!("{size} bytes"))?;
        check(of_other.stat(Path::new("/f")).is_err(), || "others see it".to_owned())
    });
    steps.run("reput goes on with it", || {
        let line = format!("reput {} f\n", source.display());
        sftp.batch(line.as_bytes())?;
        compare_files(&source, &server.local("f"))?;
        check_equal("bytes left in staging", &staged(&server), &0)
    });
    steps.run("others see it now", || {
        check_equal("size", &of_other.stat(Path::new("/f"))?.size, &Some(SIZE))
    });
    steps.finish(|| server.process.log());
}

#[test]
fn a_killed_replacement_leaves_the_old_file() {
    let Some(server) = server::sterna_publishing_on_close() else { return };
    let mut steps = Steps::new("a replacement is cut");
    let here = server.place.dir("client");
    let (source, old, back) = (here.join("source"), here.join("old"), here.join("back"));
    write_file(&source, SIZE, 5);
    write_file(&old, 100_000, 6);
    let mut sftp = Sftp::openssh(&server);

    steps.run("the old file", || sftp.put(&old, Path::new("/f")));
    steps.run("kill -9 in the middle", || cut_upload(&server, &source, "f"));
    steps.run("the old file is there, byte for byte", || {
        sftp.get(Path::new("/f"), &back)?;
        Ok(compare_files(&old, &back)?)
    });
    steps.run("again, from the start", || {
        sftp.put(&source, Path::new("/f"))?;
        compare_files(&source, &server.local("f"))?;
        check_equal("bytes left in staging", &staged(&server), &0)
    });
    steps.finish(|| server.process.log());
}

#[test]
fn an_upload_is_not_seen_while_it_grows() {
    let Some(server) = server::sterna_publishing_on_close() else { return };
    let mut steps = Steps::new("an upload grows");
    let here = server.place.dir("client");
    let source = here.join("source");
    write_file(&source, 8 << 20, 7);
    let batch = server.place.path().join("slow");
    fs::write(&batch, format!("put {} f\n", source.display())).expect("write the batch");
    let sftp = Sftp::openssh(&server).argument("-l32000");
    let mut child = sftp.command(&batch).stdout(Stdio::null()).spawn().expect("start sftp");

    steps.run("nobody sees it before the end", || {
        wait_for("the upload", || staged(&server) > 1 << 20)?;
        let seen = names_in(&server.root);
        check(!server.local("f").exists(), || format!("{seen:?}"))
    });
    steps.run("then it is whole", || {
        let status = child.wait()?;
        check(status.success(), || format!("{status}"))?;
        Ok(compare_files(&source, &server.local("f"))?)
    });
    steps.finish(|| server.process.log());
}

#[test]
fn rclone_uploads_a_tree_and_changes_it() {
    let Some(server) = has_peer("rclone").then(server::sterna_publishing_on_close).flatten() else {
        return;
    };
    let mut steps = Steps::new("rclone sync");
    let here = server.place.dir("client");
    for (n, size) in [0, 1, 100_000, 3 << 20].into_iter().enumerate() {
        write_file(&here.join(format!("f{n}")), size, n as u64);
    }
    let rclone = Rclone::new(&server);
    let sync = || {
        rclone.run(&["sync".into(), here.clone().into(), Rclone::place(Path::new("/d"))])?;
        for n in 0..4 {
            compare_files(&here.join(format!("f{n}")), &server.local(format!("d/f{n}")))?;
        }
        check_equal("bytes left in staging", &staged(&server), &0)
    };

    steps.run("sync", sync);
    write_file(&here.join("f2"), 90_000, 9);
    steps.run("sync of a change", sync);
    steps.finish(|| server.process.log());
}
