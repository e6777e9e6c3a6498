//! AsyncSSH's client, which asks for SFTP version 6 where it can, against our server.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use sterna_interop::client::{Client, PythonClient};
use sterna_interop::content::compare_files;
use sterna_interop::server::Server;
use sterna_interop::steps::{Failure, Outcome, Steps, check, check_equal};
use sterna_interop::{binary, every_scenario, server};

every_scenario!(server::sterna(), |server: &Server| PythonClient::asyncssh(server, 6));

/// Bytes of the file, and between two pieces of data in it.
const SIZE: u64 = 64 << 20;
const STEP: u64 = 4 << 20;

#[test]
fn a_sparse_file_is_known_by_its_data_and_comes_back_sparse() {
    // OpenSSH knows no ranges.
    if binary::is_baseline() {
        return;
    }
    let server = server::sterna();
    let Some(mut client) = PythonClient::asyncssh(&server, 3) else { return };
    let mut steps = Steps::new("a sparse file");
    let back = server.place.dir("client").join("back");
    let pieces = SIZE / STEP;
    let file = File::create(server.local("sparse")).expect("create");
    for n in 0..pieces {
        file.write_all_at(b"data", n * STEP).expect("write");
    }
    file.set_len(SIZE).expect("make it longer");
    file.sync_all().expect("sync");
    let holds = |path: &Path| -> Outcome<u64> { Ok(fs::metadata(path)?.blocks() * 512) };

    steps.run("the parts with data", || {
        if holds(&server.local("sparse"))? > SIZE / 2 {
            return Err(Failure::Cannot("this file system keeps no holes"));
        }
        let mut ranges = client.data_ranges(Path::new("/sparse"), SIZE)?;
        check_equal("the last byte", &ranges.pop(), &Some((SIZE - 1, 1)))?;
        check_equal("parts", &(ranges.len() as u64), &pieces)?;
        for (n, (offset, len)) in ranges.into_iter().enumerate() {
            let data = n as u64 * STEP;
            check(offset <= data && data + 4 <= offset + len && len < STEP, || {
                format!("part {n} at {offset} with {len} bytes")
            })?;
        }
        Ok(())
    });
    steps.run("a download", || {
        client.get(Path::new("/sparse"), &back)?;
        compare_files(&server.local("sparse"), &back)?;
        let held = holds(&back)?;
        check(held < SIZE / 2, || format!("{held} bytes are held"))
    });
    steps.finish(|| server.process.log());
}
