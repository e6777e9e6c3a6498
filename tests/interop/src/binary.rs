//! Where the `sterna` program under test and the programs of its peers are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sterna_testkit::processes::find_program;

/// The `sterna` program: `$STERNA_BIN`, or built now with the profile that the tests were built
/// with, so that no test ever runs against yesterday's program.
///
/// # Panics
/// When it cannot be built.
pub fn sterna() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("STERNA_BIN") {
        Some(path) => PathBuf::from(path).canonicalize().expect("STERNA_BIN names a program"),
        None => build(),
    })
}

/// True when OpenSSH stands in for Sterna, to test the tests.
pub fn is_baseline() -> bool {
    env::var_os("STERNA_INTEROP_BASELINE").is_some()
}

/// True when the long variants of the tests are wanted.
pub fn is_full() -> bool {
    env::var_os("STERNA_FULL").is_some()
}

/// Points at which programs are killed: `$STERNA_KILL_POINTS`, or few for every day and 50 in the long
/// variant.
pub fn kill_points() -> usize {
    let given = env::var("STERNA_KILL_POINTS").ok().and_then(|points| points.parse().ok());
    given.unwrap_or(if is_full() { 50 } else { 6 })
}

/// True when the tests of real input take all of it.
pub fn is_real() -> bool {
    env::var_os("STERNA_REAL").is_some()
}

/// True if `program` is installed. Otherwise says so, and fails where every peer must be there.
///
/// # Panics
/// When `STERNA_PEERS=required` is set and the program is missing.
pub fn has_peer(program: &str) -> bool {
    let found = find_program(program).is_some();
    if !found {
        miss(&format!("{program} is not installed"));
    }
    found
}

/// The Python that has the peers of the package index: `$STERNA_INTEROP_PYTHON`, or the one in
/// `target/interop-venv`, which `tests/run` makes.
pub fn python() -> Option<PathBuf> {
    let made_by_tests_run =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/interop-venv/bin/python");
    let python = env::var_os("STERNA_INTEROP_PYTHON").map_or(made_by_tests_run, PathBuf::from);
    if python.exists() {
        return Some(python);
    }
    miss("no Python with asyncssh and paramiko; tests/run makes one");
    None
}

/// A script in `tests/interop/peers`.
pub fn peer_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// Says that a test is skipped; fails where nothing may be skipped.
///
/// # Panics
/// When `STERNA_PEERS=required` is set.
pub fn miss(why: &str) {
    println!("skipped: {why}");
    assert!(env::var_os("STERNA_PEERS").is_none_or(|v| v != "required"), "required peer: {why}");
}

fn build() -> PathBuf {
    // …/target/PROFILE/deps/TEST: the program belongs to …/target/PROFILE.
    let test = env::current_exe().expect("the path of this test");
    let profile_dir = test.parent().and_then(Path::parent).expect("a test lies in deps");
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let built = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--package", "sterna", "--profile", profile, "--target-dir"])
        .arg(profile_dir.parent().expect("a profile lies in the target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "cargo build --package sterna failed");
    profile_dir.join("sterna")
}
