//! known_hosts: every answer, hashed names (T26), and writers that meet.

use sterna_ssh_crypto::{KeyType, PrivateKey};

use super::*;

/// Always the same bytes 0, 1, 2, …: the salt of vector T26.
struct Counting;

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        out.iter_mut().zip(0u8..).for_each(|(byte, n)| *byte = n);
    }
}

fn key(kind: KeyType) -> PublicKey {
    PrivateKey::generate(kind, &mut SystemRandom).unwrap().public().clone()
}

fn known(text: &str) -> KnownHosts {
    let mut all = KnownHosts::default();
    all.add_text(Path::new("f"), text.as_bytes());
    all
}

fn line_of(names: &str, key: &PublicKey) -> String {
    format!("{names} {}\n", key.to_openssh("").trim())
}

#[test]
fn hashed_names_equal_the_vectors_and_match() {
    let plain = "|1|AAECAwQFBgcICQoLDA0ODxAREhM=|bFDVYqbsfLlUB0fPAZemUYx8Gnc=";
    let ported = "|1|AAECAwQFBgcICQoLDA0ODxAREhM=|FECgIuoZ4Lo/BCx3pa8UOUgvG+o=";
    assert_eq!(hashed_name("example.org", &mut Counting), plain);
    assert_eq!(hashed_name(&record_name("Example.ORG", 2222), &mut Counting), ported);

    let key = key(KeyType::Ed25519);
    let all = known(&(line_of("other,!x", &key) + &line_of(plain, &key)));
    assert_eq!(all.lookup("example.org", &key), Lookup::Known);
    assert_eq!(all.lookup("[example.org]:2222", &key), Lookup::Unknown);
}

#[test]
fn each_answer_is_given() {
    let (ours, theirs, ec) =
        (key(KeyType::Ed25519), key(KeyType::Ed25519), key(KeyType::EcdsaP256));
    let text = format!(
        "# comment\n\n{}{}garbage\n",
        line_of("*.lab,!bad.lab,[h]:2022", &ours),
        line_of("only-ec", &ec)
    );
    let all = known(&text);

    assert_eq!(all.lookup("a.lab", &ours), Lookup::Known);
    assert_eq!(all.lookup("[h]:2022", &ours), Lookup::Known);
    assert_eq!(all.lookup("bad.lab", &ours), Lookup::Unknown);
    assert_eq!(all.lookup("h", &ours), Lookup::Unknown);
    assert_eq!(all.lookup("a.lab", &theirs), Lookup::Changed { file: "f".into(), line: 3 });
    assert_eq!(all.lookup("only-ec", &ours), Lookup::OtherTypesOnly { file: "f".into(), line: 4 });
}

#[test]
fn a_revoked_key_is_refused_even_if_it_is_also_listed_as_good() {
    let key = key(KeyType::Ed25519);
    let all = known(&(line_of("h", &key) + &line_of("@revoked *", &key) + &line_of("h", &key)));

    assert_eq!(all.lookup("h", &key), Lookup::Revoked { file: "f".into(), line: 2 });
}

#[test]
fn an_authority_or_an_unknown_marker_makes_no_key_known() {
    let key = key(KeyType::Ed25519);
    let all = known(&(line_of("@cert-authority h", &key) + &line_of("@future h", &key)));

    assert_eq!(all.lookup("h", &key), Lookup::Unknown);
}

#[test]
fn recorded_key_types_lead_the_algorithms() {
    let all = known("h ssh-rsa AAAA\n");
    let mut algorithms = ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"].map(str::to_owned);

    all.lead_with_recorded("h", &mut algorithms);

    assert_eq!(algorithms, ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
}

#[test]
fn two_writers_at_once_lose_nothing_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new/known_hosts");
    let key = key(KeyType::Ed25519);

    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (file, key) = (&file, &key);
            scope.spawn(move || {
                for n in 0..20 {
                    KnownHosts::append(file, &format!("h{}-{n}", worker / 2), key, worker % 2 == 0)
                        .unwrap();
                }
            });
        }
    });

    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 40);
    let all = KnownHosts::read(std::slice::from_ref(&file)).unwrap();
    for n in 0..20 {
        assert_eq!(all.lookup(&format!("h1-{n}"), &key), Lookup::Known);
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_without_a_last_newline_stays_readable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k");
    let (old, new) = (key(KeyType::Ed25519), key(KeyType::Ed25519));
    std::fs::write(&file, line_of("old", &old).trim_end()).unwrap();

    KnownHosts::append(&file, "new", &new, false).unwrap();

    let all = KnownHosts::read(&[file]).unwrap();
    assert_eq!(all.lookup("old", &old), Lookup::Known);
    assert_eq!(all.lookup("new", &new), Lookup::Known);
}
