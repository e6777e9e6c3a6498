//! What OpenSSH's programs and ours have in common, and one login with 1 MiB each way for each.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use sterna_testkit::processes::run;

use crate::client::{Sftp, command_max};
use crate::content::{compare_files, write_file};
use crate::raw::Offer;
use crate::server::Server;
use crate::steps::{Outcome, Steps};

/// Bytes moved in each direction with each combination.
const MOVED: u64 = 1 << 20;

/// Logins at the same time: one for each core of a small machine.
const WORKERS: usize = 2;

/// Key exchange, cipher, MAC; no MAC for ciphers that authenticate themselves.
pub type Combination = (String, String, Option<String>);

/// What `ssh -Q WHAT` lists.
///
/// # Panics
/// When `ssh` is missing.
pub fn openssh_has(what: &str) -> Vec<String> {
    let done = run(Command::new("ssh").args(["-Q", what]), b"", command_max());
    assert!(done.success(), "{}", done.describe());
    String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
}

/// Those of `ours` that OpenSSH's `ssh -Q WHAT` lists too.
pub fn in_common(what: &str, ours: &[String]) -> Vec<String> {
    let theirs = openssh_has(what);
    ours.iter().filter(|name| theirs.contains(name)).cloned().collect()
}

/// Every key exchange × cipher × MAC that `offer` has in common with OpenSSH.
pub fn combinations(offer: &Offer) -> Vec<Combination> {
    let macs = in_common("mac", &offer.macs);
    let mut all = Vec::new();
    for kex in in_common("kex", &offer.kex) {
        for cipher in in_common("cipher", &offer.ciphers) {
            if cipher.contains("gcm") || cipher.contains("poly1305") {
                all.push((kex.clone(), cipher, None));
            } else {
                let with_mac = |mac: &String| (kex.clone(), cipher.clone(), Some(mac.clone()));
                all.extend(macs.iter().map(with_mac));
            }
        }
    }
    all
}

/// Logs in with every combination and moves 1 MiB up and down.
pub fn every_combination_moves_data(
    server: &Server,
    combinations: &[Combination],
    client: impl Fn() -> Sftp + Sync,
) {
    let here = server.place.dir("client");
    let source = here.join("source");
    write_file(&source, MOVED, 9);
    let queue = Mutex::new(combinations.iter().enumerate());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (queue, outcomes, source, here, client) =
                (&queue, &outcomes, &source, &here, &client);
            scope.spawn(move || {
                let (up, back) =
                    (server.remote(format!("up-{worker}")), here.join(format!("back-{worker}")));
                loop {
                    let next = queue.lock().expect("no worker panics").next();
                    let Some((index, (kex, cipher, mac))) = next else { return };
                    let mut sftp = client()
                        .option(&format!("KexAlgorithms={kex}"))
                        .option(&format!("Ciphers={cipher}"));
                    if let Some(mac) = mac {
                        sftp = sftp.option(&format!("MACs={mac}"));
                    }
                    let outcome = (|| -> Outcome {
                        let _ = fs::remove_file(&back);
                        sftp.batch_at(
                            &here.join(format!("batch-{worker}")),
                            format!(
                                "put {} {}\nget {} {}\n",
                                source.display(),
                                up.display(),
                                up.display(),
                                back.display()
                            )
                            .as_bytes(),
                        )?;
                        Ok(compare_files(source, &back)?)
                    })();
                    let name = format!("{kex} {cipher} {}", mac.as_deref().unwrap_or("-"));
                    outcomes.lock().expect("no worker panics").push((index, name, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("no worker panicked");
    outcomes.sort_by_key(|(index, ..)| *index);
    let mut steps = Steps::new(format!("{}: {} combinations", server.name, outcomes.len()));
    for (_, name, outcome) in outcomes {
        steps.run(name, || outcome);
    }
    steps.finish(|| server.process.log());
}
