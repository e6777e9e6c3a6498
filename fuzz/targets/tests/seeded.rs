//! Every target with its corpus and seeded changes of it; `STERNA_FUZZ=SECONDS` gives each that long.

use std::path::Path;

use sterna_testkit::fuzz::each;

fn run(target: &str, count: u64, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    each(&corpus, count, run);
}

macro_rules! targets {
    ($($target:ident: $count:literal,)*) => {
        $(#[test]
        fn $target() {
            run(stringify!($target), $count, sterna_fuzz_targets::$target::run);
        })*
    };
}

// About a second each.
targets! {
    audit_log: 400,
    authorized_keys: 5000,
    certificates: 5000,
    connection: 400,
    handshake: 1500,
    key_files: 5000,
    known_hosts: 5000,
    manifests: 20000,
    public_keys: 5000,
    revoked_keys: 5000,
    session: 150,
    sftp_client: 5000,
    sftp_model: 150,
    sftp_server: 5000,
    shosts: 5000,
    ssh_config: 200,
    ssh_messages: 5000,
    state_file: 50,
    typed_places: 20000,
    wire_reader: 5000,
    worker_messages: 20000,
}
