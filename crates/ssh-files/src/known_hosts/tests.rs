//! known_hosts: every answer, hashed names (T26), markers, and lines to write.

use proptest::prelude::*;
use sterna_ssh_crypto::PrivateKey;

use super::*;
use crate::vectors;

fn key(seed: u8) -> PublicKey {
    PrivateKey::from_ed25519_seed(&[seed; 32]).unwrap().public().clone()
}

fn ecdsa_key() -> PublicKey {
    PublicKey::from_openssh(include_str!("../../testdata/id_ecdsa.pub")).unwrap().0
}

fn known(text: &str) -> KnownHosts {
    let mut all = KnownHosts::default();
    all.add_text("f", text.as_bytes()).unwrap();
    all
}

fn at(line: usize) -> Place {
    Place { file: Path::new("f").into(), line }
}

fn line_of(names: &str, key: &PublicKey) -> String {
    format!("{names} {}\n", key.to_openssh(""))
}

const SALT: [u8; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];

#[test]
fn hashed_names_equal_the_vectors_and_match() {
    let plain = vectors::text("T26.1_form_of_example_org");
    let ported = vectors::text("T26.1_form_of_example_org_2222");
    let key = key(1);
    let line = line_for("Example.org", &key, Some(&SALT)).unwrap();
    assert_eq!(line, line_of(plain, &key).trim_end());
    let line = line_for(&record_name("Example.ORG", 2222), &key, Some(&SALT)).unwrap();
    assert_eq!(line, line_of(ported, &key).trim_end());

    let all = known(&(line_of("other,!x", &key) + &line_of(plain, &key)));
    assert_eq!(all.lookup(&["Example.org"], &key), Lookup::Known(at(2)));
    assert_eq!(all.lookup(&["[example.org]:2222"], &key), Lookup::Unknown);
}

#[test]
fn a_file_that_ssh_keygen_hashed_is_read() {
    let ours = PublicKey::from_openssh(include_str!("../../testdata/id_ed25519.pub")).unwrap().0;
    let all = known(include_str!("../../testdata/known_hosts_hashed"));

    for name in ["alpha.example.org", "192.0.2.7", "[beta.example.org]:2222"] {
        assert!(matches!(all.lookup(&[name], &ours), Lookup::Known(_)), "{name}");
        assert!(all.records_exactly(name, &ours.to_wire()), "{name}");
    }
    assert!(matches!(all.lookup(&["gamma.example.org"], &ours), Lookup::OtherTypesOnly(_)));
    for name in ["beta.example.org", "alpha.example.or", "[alpha.example.org]:2222"] {
        assert_eq!(all.lookup(&[name], &ours), Lookup::Unknown, "{name}");
    }
}

#[test]
fn each_answer_is_given_with_its_line() {
    let (ours, theirs, ec) = (key(1), key(2), ecdsa_key());
    let text = format!(
        "# comment\n\n{}{}garbage\n{}",
        line_of("*.lab,!bad.lab,[h]:2022", &ours),
        line_of("only-ec", &ec),
        line_of("only-ec", &ec).replace("AAAAE2Vj", "AAAAE2Vk"),
    );
    let all = known(&text);

    assert_eq!(all.lookup(&["a.lab"], &ours), Lookup::Known(at(3)));
    assert_eq!(all.lookup(&["[h]:2022"], &ours), Lookup::Known(at(3)));
    assert_eq!(all.lookup(&["h", "A.LAB"], &ours), Lookup::Known(at(3)));
    assert_eq!(all.lookup(&["bad.lab"], &ours), Lookup::Unknown);
    assert_eq!(all.lookup(&["h"], &ours), Lookup::Unknown);
    assert_eq!(all.lookup(&[], &ours), Lookup::Unknown);
    assert_eq!(all.lookup(&["a.lab"], &theirs), Lookup::Changed(at(3)));
    assert_eq!(all.lookup(&["only-ec"], &ours), Lookup::OtherTypesOnly(at(4)));
    assert_eq!(at(4).to_string(), "f:4");
}

#[test]
fn the_most_telling_line_wins_in_any_order() {
    let (ours, theirs, ec) = (key(1), key(2), ecdsa_key());
    let lines = [line_of("h", &ec), line_of("h", &theirs), line_of("h", &ours)];

    let answer = |lines: &[&String], key| {
        known(&lines.iter().map(|l| l.as_str()).collect::<String>()).lookup(&["h"], key)
    };
    assert_eq!(answer(&[&lines[0], &lines[1], &lines[2]], &ours), Lookup::Known(at(3)));
    assert_eq!(answer(&[&lines[2], &lines[1], &lines[0]], &ours), Lookup::Known(at(1)));
    assert_eq!(answer(&[&lines[0], &lines[1]], &ours), Lookup::Changed(at(2)));
    assert_eq!(answer(&[&lines[1], &lines[0]], &ours), Lookup::Changed(at(1)));
}

#[test]
fn a_revoked_key_is_refused_even_if_it_is_also_listed_as_good() {
    let key = key(1);
    let all = known(
        &(line_of("h", &key) + &line_of("@revoked *,!spared", &key) + &line_of("h,spared", &key)),
    );

    assert_eq!(all.lookup(&["h"], &key), Lookup::Revoked(at(2)));
    assert_eq!(all.is_revoked(&["h"], &key), Some(at(2)));
    assert_eq!(all.lookup(&["spared"], &key), Lookup::Known(at(3)));
    assert_eq!(all.is_revoked(&["h"], &self::key(2)), None);
}

#[test]
fn a_revocation_in_another_file_wins() {
    let key = key(1);
    let mut all = known(&line_of("h", &key));
    all.add_text("g", line_of("@revoked *", &key).as_bytes()).unwrap();

    let place = Place { file: Path::new("g").into(), line: 1 };
    assert_eq!(all.lookup(&["h"], &key), Lookup::Revoked(place));
}

#[test]
fn authorities_count_for_their_names_unless_revoked() {
    let (ca, revoked, other) = (key(1), key(2), key(3));
    let all = known(&format!(
        "{}{}{}{}",
        line_of("@cert-authority *.lab", &ca),
        line_of("@cert-authority *.lab", &revoked),
        line_of("@revoked *", &revoked),
        line_of("a.lab", &other),
    ));

    assert_eq!(all.certificate_authority(&["a.lab"], &ca), Some(at(1)));
    assert_eq!(all.certificate_authority(&["a.org"], &ca), None);
    assert_eq!(all.certificate_authority(&["a.lab"], &revoked), None);
    // The key of a host is no authority, and an authority's key no host's.
    assert_eq!(all.certificate_authority(&["a.lab"], &other), None);
    assert_eq!(all.lookup(&["b.lab"], &ca), Lookup::Unknown);
    assert!(all.has_certificate_authority(&["b.lab"]));
    assert!(!all.has_certificate_authority(&["b.org"]));
}

#[test]
fn lines_that_do_not_read_are_skipped() {
    let key = key(1);
    let good = line_of("h", &key);
    let other_type = good.replace("ssh-ed25519", "ssh-rsa");
    let hash_of_19 = format!(
        "|1|{}|{} {}",
        BASE64_STANDARD.encode([0; 19]),
        BASE64_STANDARD.encode([0; 20]),
        &good[2..]
    );
    for bad in [
        line_of("@future h", &key),
        line_of("@revoked @cert-authority h", &key),
        line_of("@revoked", &key),
        format!("@revoked\n{}", "h ssh-ed25519"),
        "h ssh-ed25519 !!!!\n".into(),
        "h ssh-ed25519 AAAA\n".into(),
        other_type,
        hash_of_19,
        format!("{}{}", ",".repeat(KNOWN_HOSTS_LINE_LEN_MAX), good),
        format!("\u{fffd}{good}"),
    ] {
        assert_eq!(known(&bad).lookup(&["h"], &key), Lookup::Unknown, "{bad:.100}");
    }
    let mut all = KnownHosts::default();
    all.add_text("f", &[b"\xff ".as_slice(), good.as_bytes()].concat()).unwrap();
    assert_eq!(all.lookup(&["h"], &key), Lookup::Unknown);
    assert_eq!(known(&good.replace('\n', "\r\n")).lookup(&["h"], &key), Lookup::Known(at(1)));
}

#[test]
fn a_file_over_its_bound_is_an_error_and_not_read_in_part() {
    let mut text = line_of("h", &key(1)).into_bytes();
    text.resize(KNOWN_HOSTS_LEN_MAX + 1, b'\n');
    let mut all = KnownHosts::default();

    assert_eq!(all.add_text("f", &text), Err(FileTooLong { len_max: KNOWN_HOSTS_LEN_MAX }));
    assert_eq!(all.lookup(&["h"], &key(1)), Lookup::Unknown);
    text.pop();
    assert_eq!(all.add_text("f", &text), Ok(()));
}

#[test]
fn recorded_key_types_and_authorities_lead_the_algorithms() {
    let order = |text: &str, algorithms: &[&str]| {
        let mut algorithms: Vec<String> = algorithms.iter().map(|a| (*a).to_owned()).collect();
        known(text).lead_with_recorded(&["h"], &mut algorithms);
        algorithms.join(" ")
    };
    let rsa = "h ssh-rsa AAAAB3NzaC1yc2E=\n";
    assert_eq!(
        order(rsa, &["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]),
        "rsa-sha2-512 rsa-sha2-256 ssh-ed25519"
    );
    assert_eq!(
        order(rsa, &["ssh-ed25519", "rsa-sha2-512-cert-v01@openssh.com"]),
        "rsa-sha2-512-cert-v01@openssh.com ssh-ed25519"
    );
    let authority = line_of("@cert-authority h", &key(1));
    let certificate = "ecdsa-sha2-nistp256-cert-v01@openssh.com";
    assert_eq!(
        order(&authority, &["ssh-ed25519", certificate]),
        format!("{certificate} ssh-ed25519")
    );
    assert_eq!(order("", &["ssh-ed25519", certificate]), format!("ssh-ed25519 {certificate}"));
    let sk = "h sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t\n";
    assert_eq!(
        order(sk, &["ssh-ed25519", "sk-ssh-ed25519-cert-v01@openssh.com"]),
        "sk-ssh-ed25519-cert-v01@openssh.com ssh-ed25519"
    );
    assert_eq!(known(&(rsa.to_owned() + rsa)).recorded_key_types(&["h"]), ["ssh-rsa"]);
}

#[test]
fn exact_lines_name_the_host_without_wildcards_and_markers() {
    let (one, two) = (key(1), key(2));
    let all = known(&format!(
        "{}{}{}{}{}",
        line_of("h", &one),
        line_of("*", &two),
        line_of("@revoked h", &two),
        line_of("H,192.0.2.1", &two),
        line_of("h,!x", &two),
    ));

    let exact = all.exact_lines_for("h");
    let told: Vec<_> = exact.iter().map(|l| (l.place.line, l.names_others)).collect();
    assert_eq!(told, [(1, false), (4, true)]);
    assert_eq!(exact[1].key_blob, two.to_wire());
    assert!(all.records_exactly("H", &one.to_wire()));
    assert!(!all.records_exactly("x", &two.to_wire()));
}

#[test]
fn a_written_line_reads_back_and_no_name_can_say_more() {
    let key = key(1);
    for (host, port) in [("h", 22), ("2001:DB8::1", 22), ("h", 2222)] {
        let name = record_name(host, port);
        for salt in [None, Some(&SALT)] {
            let line = line_for(&name, &key, salt).unwrap();
            assert_eq!(known(&line).lookup(&[&name], &key), Lookup::Known(at(1)), "{line}");
        }
    }
    for name in ["", "*", "h,i", "h i", "h\ni", "!h", "h?", "@revoked", "#h", "|1|a|b"] {
        assert_eq!(line_for(name, &key, None), Err(UnrecordableName), "{name:?}");
        let hashed = line_for(name, &key, Some(&SALT)).unwrap();
        assert_eq!(known(&hashed).lookup(&[name], &key), Lookup::Known(at(1)), "{name:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(text: Vec<u8>, host in ".{0,12}") {
        let mut all = KnownHosts::default();
        all.add_text("f", &text).unwrap();
        prop_assert_eq!(all.lookup(&[&host], &key(1)), Lookup::Unknown);
        prop_assert!(all.exact_lines_for(&host).is_empty());
    }

    #[test]
    fn words_in_any_order_never_panic(words in "(@revoked |@cert-authority |\\|1\\||h |\\* |ssh-ed25519 |AAAA|=|\n){0,12}") {
        let all = known(&words);
        prop_assert!(!matches!(all.lookup(&["h"], &key(1)), Lookup::Known(_)));
    }
}
