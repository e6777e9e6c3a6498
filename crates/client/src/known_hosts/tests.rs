//! known_hosts on disk: writers that meet, and lines that go.

use std::os::unix::fs::PermissionsExt;

use sterna_ssh_crypto::{KeyType, PrivateKey};
use sterna_ssh_files::Lookup;

use super::*;

fn key(kind: KeyType) -> PublicKey {
    PrivateKey::generate(kind, &mut SystemRandom).unwrap().public().clone()
}

fn line_of(names: &str, key: &PublicKey) -> String {
    format!("{names} {}\n", key.to_openssh("").trim())
}

fn is_known(file: &Path, host: &str, key: &PublicKey) -> bool {
    let known = read(&[file.to_owned()]).unwrap();
    matches!(known.lookup(&[host], key), Lookup::Known(_))
}

#[test]
fn writers_at_once_lose_nothing_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new/known_hosts");
    let (key, old) = (key(KeyType::Ed25519), key(KeyType::EcdsaP256));

    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (file, key, old) = (&file, &key, &old);
            scope.spawn(move || {
                for n in 0..20 {
                    let host = format!("h{}-{n}", worker / 2);
                    record(file, &host, key, worker % 2 == 0).unwrap();
                    // Files that change places must not lose lines either.
                    let own = format!("w{worker}-{n}");
                    record(file, &own, old, false).unwrap();
                    let gone = [old.to_wire()];
                    update(file, &own, std::slice::from_ref(key), &gone, false).unwrap();
                }
            });
        }
    });

    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 40 + 80);
    for n in 0..20 {
        assert!(is_known(&file, &format!("h1-{n}"), &key));
        assert!(is_known(&file, &format!("w3-{n}"), &key));
        assert!(!is_known(&file, &format!("w3-{n}"), &old));
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_without_a_last_newline_stays_readable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k");
    let (old, new) = (key(KeyType::Ed25519), key(KeyType::Ed25519));
    std::fs::write(&file, line_of("old", &old).trim_end()).unwrap();

    record(&file, "new", &new, false).unwrap();

    assert!(is_known(&file, "old", &old) && is_known(&file, "new", &new));
}

#[test]
fn only_lines_of_this_host_alone_go_and_everything_else_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let (stale, fresh) = (key(KeyType::Ed25519), key(KeyType::Ed25519));
    let kept = [
        "# a comment\n".to_owned(),
        line_of("other", &stale),
        line_of("h,friend", &stale),
        line_of("*", &stale),
        line_of("@revoked h", &stale),
        "garbage\n".to_owned(),
    ]
    .concat();
    std::fs::write(&real, line_of("h", &stale) + &kept + &line_of("H", &stale)).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();

    update(&link, "h", std::slice::from_ref(&fresh), &[stale.to_wire()], false).unwrap();

    assert_eq!(std::fs::read_to_string(&real).unwrap(), kept + &line_of("h", &fresh));
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn hashed_lines_of_the_host_go_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k");
    let (stale, fresh) = (key(KeyType::Ed25519), key(KeyType::Ed25519));
    record(&file, "[h]:2022", &stale, true).unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));

    update(&file, "[h]:2022", std::slice::from_ref(&fresh), &[stale.to_wire()], true).unwrap();

    assert!(is_known(&file, "[h]:2022", &fresh) && !is_known(&file, "[h]:2022", &stale));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
}

#[test]
fn nothing_is_recorded_in_a_device() {
    record(Path::new("/dev/null"), "h", &key(KeyType::Ed25519), false).unwrap();
}
