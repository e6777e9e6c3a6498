//! sshfs against our server: the scenarios, and a long run of random operations on one file whose
//! shadow lies on a local disk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sterna_interop::client::Sshfs;
use sterna_interop::content::{Numbers, compare_files};
use sterna_interop::server::Server;
use sterna_interop::{every_scenario, server};

every_scenario!(server::sterna(), |server: &Server| Sshfs::mount(server, &[]));

/// Operations in one random run.
const OPERATIONS: usize = 2_000;

/// Largest size of the file in a random run, in bytes: several windows and many packets.
const FILE_MAX: u64 = 3 << 20;

/// Longest single read or write, in bytes: more than one SFTP packet.
const PIECE_MAX: u64 = 200_000;

/// Goal: reads, writes and truncations in any order never mix up a byte.
/// Method: the same operations, chosen by a seed, on the mounted file and on a local one; every
/// read is compared at once, the server's file at the end.
#[test]
fn random_reads_writes_and_truncations_stay_consistent() {
    for (seed, options) in
        [(11, &[][..]), (12, &["direct_io"][..]), (13, &["cache=no", "sync_readdir"][..])]
    {
        let server = server::sterna();
        let Some(mounted) = Sshfs::mount(&server, options) else { return };
        let shadow = server.place.path().join("shadow");

        run(seed, &mounted.path().join("file"), &shadow).unwrap_or_else(|why| {
            panic!("seed {seed}, {options:?}: {why}\n{}\n{}", mounted.log(), server.process.log())
        });

        drop(mounted);
        compare_files(&shadow, &server.local("file"))
            .unwrap_or_else(|why| panic!("seed {seed}, {options:?}: {why}"));
    }
}

fn run(seed: u64, file: &Path, shadow: &Path) -> Result<(), String> {
    let mut numbers = Numbers::new(seed);
    let open = |path: &Path| {
        File::options().read(true).write(true).create(true).truncate(false).open(path)
    };
    let failed = |e: std::io::Error| e.to_string();
    let (mut a, b) = (open(file).map_err(failed)?, open(shadow).map_err(failed)?);
    for step in 0..OPERATIONS {
        let offset = numbers.below(FILE_MAX);
        let mut piece = vec![0; usize::try_from(numbers.below(PIECE_MAX) + 1).unwrap_or(1)];
        match numbers.below(20) {
            0 => {
                a.set_len(offset).map_err(failed)?;
                b.set_len(offset).map_err(failed)?;
            }
            1 => {
                a.sync_all().map_err(failed)?;
                drop(a);
                a = open(file).map_err(failed)?;
            }
            2 => {
                let (len, expected) = (fs::metadata(file), fs::metadata(shadow));
                let (len, expected) = (len.map_err(failed)?.len(), expected.map_err(failed)?.len());
                if len != expected {
                    return Err(format!("step {step}: {len} bytes long, not {expected}"));
                }
            }
            3..11 => {
                numbers.fill(&mut piece);
                a.write_all_at(&piece, offset).map_err(failed)?;
                b.write_all_at(&piece, offset).map_err(failed)?;
            }
            _ => {
                let mut expected = piece.clone();
                let len = read_full(&a, &mut piece, offset).map_err(failed)?;
                let expected_len = read_full(&b, &mut expected, offset).map_err(failed)?;
                if piece[..len] != expected[..expected_len] {
                    return Err(format!("step {step}: {} bytes at {offset} differ", piece.len()));
                }
            }
        }
    }
    a.sync_all().map_err(failed)?;
    drop(a);
    Ok(())
}

fn read_full(file: &File, out: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match file.read_at(&mut out[filled..], offset + filled as u64)? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}
