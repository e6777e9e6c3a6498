//! Host keys: who is asked, what is recorded, which certificates count.

use std::fs;
use std::path::Path;
use std::process::Command;

use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use zeroize::Zeroizing;

use super::*;
use crate::Error;
use crate::ssh_config::AlgorithmChange;

/// A person who says one thing only.
struct Says(&'static str);

impl Prompt for Says {
    fn host_key(&self, question: &HostKeyQuestion) -> Option<String> {
        Some(if self.0 == "fingerprint" { question.fingerprint.clone() } else { self.0.to_owned() })
    }

    fn password(&self, _: &str, _: &str, _: u32) -> Option<Zeroizing<String>> {
        None
    }

    fn passphrase(&self, _: &Path, _: u32) -> Option<Zeroizing<String>> {
        None
    }

    fn question(&self, _: &str, _: bool) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(self.0.to_owned()))
    }
}

fn key_of(kind: KeyType) -> PublicKey {
    PrivateKey::generate(kind, &mut SystemRandom).unwrap().public().clone()
}

fn key() -> PublicKey {
    key_of(KeyType::Ed25519)
}

fn settings(file: &Path, strict: StrictHostKeyChecking) -> HostSettings {
    let mut settings = HostSettings::defaults("h", "u", None);
    settings.user_known_hosts = vec![file.to_owned()];
    settings.global_known_hosts.clear();
    settings.strict_host_key_checking = strict;
    settings
}

fn check_with(mut settings: HostSettings, says: &'static str) -> HostKeyCheck {
    settings.batch_mode = says.is_empty();
    HostKeyCheck::new(&settings, &(Arc::new(Says(says)) as Arc<dyn Prompt>)).unwrap()
}

fn check(file: &Path, strict: StrictHostKeyChecking, says: &'static str) -> HostKeyCheck {
    check_with(settings(file, strict), says)
}

fn decide(check: &HostKeyCheck, key: &PublicKey) -> Result<Accepted, Error> {
    check.decide(&key.clone().into(), None)
}

fn line_of(names: &str, key: &PublicKey) -> String {
    format!("{names} {}\n", key.to_openssh("").trim())
}

#[test]
fn only_yes_or_the_fingerprint_passes_and_is_then_remembered() {
    use StrictHostKeyChecking::{Ask, Yes};
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let key = key();

    for refused in ["y", "no", "YES", "SHA256:other", ""] {
        let decision = decide(&check(&file, Ask, refused), &key);
        assert!(matches!(decision, Err(Error::HostKey { .. })), "{refused:?}");
    }
    assert!(decide(&check(&file, Yes, "yes"), &key).is_err());
    assert!(!file.exists());

    assert_eq!(decide(&check(&file, Ask, "fingerprint"), &key).unwrap(), Accepted::Trusted);
    assert_eq!(decide(&check(&file, Yes, ""), &key).unwrap(), Accepted::Trusted);
}

#[test]
fn a_changed_key_is_refused_except_by_no_and_then_without_trust() {
    use StrictHostKeyChecking::{AcceptNew, Ask, No};
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    decide(&check(&file, AcceptNew, ""), &key()).unwrap();
    let other = key();

    for strict in [Ask, AcceptNew] {
        let error = decide(&check(&file, strict, "yes"), &other).unwrap_err();
        assert!(error.to_string().contains("known_hosts:1"), "{error}");
        assert_eq!(error.exit_code(), 4);
    }
    assert_eq!(decide(&check(&file, No, ""), &other).unwrap(), Accepted::WithoutTrust);
}

#[test]
fn a_revoked_key_is_refused_whatever_else_is_said_of_it() {
    use StrictHostKeyChecking::No;
    let directory = tempfile::tempdir().unwrap();
    let (file, revoked) = (directory.path().join("k"), directory.path().join("revoked"));
    let key = key();
    fs::write(&file, line_of("h", &key) + &line_of("@revoked *", &key)).unwrap();
    assert!(decide(&check(&file, No, "yes"), &key).is_err());

    fs::write(&file, line_of("h", &key)).unwrap();
    fs::write(&revoked, key.to_openssh("")).unwrap();
    let mut by_list = settings(&file, No);
    by_list.revoked_host_keys = Some(revoked.clone());
    assert!(decide(&check_with(by_list.clone(), "yes"), &key).is_err());
    fs::write(&revoked, "").unwrap();
    assert!(decide(&check_with(by_list.clone(), "yes"), &key).is_ok());
    // What cannot be read revokes everything.
    for broken in [Some("no key"), None] {
        let _ = fs::remove_file(&revoked);
        if let Some(text) = broken {
            fs::write(&revoked, text).unwrap();
        }
        let prompt = Arc::new(Says("yes")) as Arc<dyn Prompt>;
        let error = HostKeyCheck::new(&by_list, &prompt).err().unwrap();
        assert_eq!(error.exit_code(), 4, "{error}");
    }
}

#[test]
fn a_host_is_known_on_other_ports_by_the_key_of_its_name_alone() {
    use StrictHostKeyChecking::Yes;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k");
    let key = key();
    fs::write(&file, line_of("h", &key)).unwrap();
    let mut on_port = settings(&file, Yes);
    on_port.port = 2022;

    assert_eq!(decide(&check_with(on_port.clone(), ""), &key).unwrap(), Accepted::Unrecorded);
    assert!(decide(&check_with(on_port.clone(), ""), &self::key()).is_err());
    on_port.host_key_alias = Some("other".into());
    assert!(decide(&check_with(on_port, ""), &key).is_err());
}

#[test]
fn addresses_are_checked_and_this_machine_trusted_only_on_request() {
    use StrictHostKeyChecking::Yes;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k");
    let (ours, other) = (key(), key());
    let peer = Some("192.0.2.1".parse().unwrap());
    fs::write(&file, line_of("h", &ours) + &line_of("192.0.2.1", &other)).unwrap();
    let offered = ours.clone().into();

    let mut wanted = settings(&file, Yes);
    assert!(check_with(wanted.clone(), "").decide(&offered, peer).is_ok());
    wanted.check_host_ip = true;
    assert!(check_with(wanted.clone(), "").decide(&offered, peer).is_err());
    assert!(check_with(wanted.clone(), "").decide(&offered, None).is_ok());
    let peer = Some("192.0.2.2".parse().unwrap());
    assert!(check_with(wanted.clone(), "").decide(&offered, peer).is_ok());
    assert!(fs::read_to_string(&file).unwrap().ends_with(&line_of("192.0.2.2", &ours)));

    let here = Some("127.0.0.1".parse().unwrap());
    let unknown = key().into();
    wanted.no_host_authentication_for_localhost = true;
    let decision = check_with(wanted.clone(), "").decide(&unknown, here);
    assert_eq!(decision.unwrap(), Accepted::Unrecorded);
    assert!(check_with(wanted.clone(), "").decide(&unknown, peer).is_err());
    wanted.no_host_authentication_for_localhost = false;
    assert!(check_with(wanted, "").decide(&unknown, here).is_err());
}

/// Makes certificates as `ssh-keygen` does it.
struct Authority {
    directory: tempfile::TempDir,
    serial: std::cell::Cell<u32>,
}

impl Authority {
    fn new() -> Self {
        let this = Self { directory: tempfile::tempdir().unwrap(), serial: 0.into() };
        this.make_key("ca", &["-t", "ed25519"]);
        this
    }

    fn keygen(&self, arguments: &[&str]) {
        let done = Command::new("ssh-keygen")
            .current_dir(self.directory.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn make_key(&self, name: &str, kind: &[&str]) -> PublicKey {
        self.keygen(&[&["-q", "-N", "", "-C", "", "-f", name], kind].concat());
        self.public(name)
    }

    fn public(&self, name: &str) -> PublicKey {
        let line = fs::read_to_string(self.directory.path().join(format!("{name}.pub"))).unwrap();
        PublicKey::from_openssh(line.trim()).unwrap().0
    }

    /// A certificate for a new key, signed by the key `ca`.
    fn certify(&self, ca: &str, arguments: &[&str]) -> OfferedKey {
        let serial = self.serial.get() + 1;
        self.serial.set(serial);
        let name = format!("host{serial}");
        self.make_key(&name, &["-t", "ed25519"]);
        let public = format!("{name}.pub");
        self.keygen(&[&["-q", "-s", ca, "-I", "id"], arguments, &[&public]].concat());
        let line = self.directory.path().join(format!("{name}-cert.pub"));
        OfferedKey::from_openssh(fs::read_to_string(line).unwrap().trim()).unwrap().0
    }
}

#[test]
fn a_certificate_counts_only_if_everything_in_it_fits() {
    let authority = Authority::new();
    let file = authority.directory.path().join("known_hosts");
    let ca = authority.public("ca");
    fs::write(&file, line_of("@cert-authority *.org,h", &ca)).unwrap();
    let strict = StrictHostKeyChecking::Yes;
    let check = check(&file, strict, "");

    for (fits, arguments) in [
        (true, &["-h", "-n", "h"][..]),
        (true, &["-h", "-n", "x,H"]),
        (true, &["-h", "-n", "*"]),
        (true, &["-h", "-n", "h", "-V", "20200101:20990101"]),
        (false, &["-h", "-n", "other"]),
        (false, &["-h", "-n", "h.org"]),
        (false, &["-h"]),
        (false, &["-n", "h"]),
        (false, &["-h", "-n", "h", "-V", "20200101:20200102"]),
        (false, &["-h", "-n", "h", "-V", "20980101:20990101"]),
        (false, &["-h", "-n", "h", "-O", "critical:force-command=x"]),
    ] {
        let offered = authority.certify("ca", arguments);
        let decision = check.decide(&offered, None);
        assert_eq!(decision.is_ok(), fits, "{arguments:?}: {decision:?}");
        if !fits {
            // The key itself is judged then: unknown here, and good once it is recorded.
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.clone() + &line_of("h", offered.key())).unwrap();
            let again = self::check(&file, strict, "").decide(&offered, None);
            assert_eq!(again.unwrap(), Accepted::Trusted, "{arguments:?}");
            fs::write(&file, text).unwrap();
        }
    }
    let mut other_host = settings(&file, strict);
    other_host.host = "other".into();
    let for_other = authority.certify("ca", &["-h", "-n", "other"]);
    assert!(check_with(other_host, "").decide(&for_other, None).is_err(), "not the CA's host");
    let mut alias = settings(&file, strict);
    (alias.host, alias.host_key_alias) = ("192.0.2.9".into(), Some("a.org".into()));
    let for_alias = authority.certify("ca", &["-h", "-n", "a.org"]);
    assert!(check_with(alias, "").decide(&for_alias, None).is_ok());
}

#[test]
fn a_certificate_is_worth_nothing_if_its_authority_or_its_key_is_not_trusted() {
    let authority = Authority::new();
    let file = authority.directory.path().join("known_hosts");
    let ca = authority.public("ca");
    let trusted = line_of("@cert-authority h", &ca);
    let strict = StrictHostKeyChecking::Yes;
    let certified = authority.certify("ca", &["-h", "-n", "h"]);
    let judge = |text: &str, change: &dyn Fn(&mut HostSettings)| {
        fs::write(&file, text).unwrap();
        let mut settings = settings(&file, strict);
        change(&mut settings);
        check_with(settings, "").decide(&certified, None)
    };

    assert_eq!(judge(&trusted, &|_| {}).unwrap(), Accepted::Unrecorded);
    assert_eq!(judge(&trusted, &|s| s.port = 2022).unwrap(), Accepted::Unrecorded);
    assert!(judge(&(trusted.clone() + &line_of("@revoked *", &ca)), &|_| {}).is_err());
    assert!(judge(&(trusted.clone() + &line_of("@revoked h", certified.key())), &|_| {}).is_err());
    assert!(judge(&line_of("h", &ca), &|_| {}).is_err(), "no authority");
    assert!(judge("", &|_| {}).is_err());
    let no_ed25519 = |s: &mut HostSettings| {
        s.ca_signature_algorithms = Some(AlgorithmChange::Remove(vec!["ssh-ed25519".into()]));
    };
    assert!(judge(&trusted, &no_ed25519).is_err());
    let krl = authority.directory.path().join("krl");
    authority.keygen(&["-q", "-k", "-f", "krl", "-s", "ca", "ca.pub"]);
    assert!(judge(&trusted, &|s| s.revoked_host_keys = Some(krl.clone())).is_err());

    authority.make_key("rsa", &["-t", "rsa", "-b", "2048"]);
    let by_rsa = authority.certify("rsa", &["-h", "-n", "h"]);
    fs::write(&file, line_of("@cert-authority h", &authority.public("rsa"))).unwrap();
    let mut settings = settings(&file, strict);
    assert!(check_with(settings.clone(), "").decide(&by_rsa, None).is_ok());
    settings.required_rsa_size = 3072;
    assert!(check_with(settings, "").decide(&by_rsa, None).is_err());
}

#[test]
fn certificates_are_asked_for_first_where_an_authority_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k");
    fs::write(&file, line_of("h", &key_of(KeyType::EcdsaP256))).unwrap();
    let first = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut all = [
            "rsa-sha2-512",
            "ssh-ed25519",
            "ecdsa-sha2-nistp256",
            "ssh-ed25519-cert-v01@openssh.com",
        ]
        .map(str::to_owned);
        check(&file, StrictHostKeyChecking::Yes, "").order(&mut all);
        all[0].clone()
    };

    assert_eq!(first(""), "rsa-sha2-512");
    assert_eq!(first(&line_of("h", &key_of(KeyType::EcdsaP256))), "ecdsa-sha2-nistp256");
    let authority = line_of("@cert-authority h", &key());
    assert_eq!(first(&authority), "ssh-ed25519-cert-v01@openssh.com");
}

#[test]
fn keys_are_learnt_and_forgotten_only_for_an_exactly_recorded_host() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let (used, old, new) = (key(), key_of(KeyType::EcdsaP256), key());
    let strict = StrictHostKeyChecking::Yes;
    let announced = vec![used.to_wire(), new.to_wire()];
    let compare = |text: &str, announced: &[Vec<u8>]| {
        fs::write(&file, text).unwrap();
        check(&file, strict, "").compare(&used, announced)
    };
    let exact = line_of("h", &used);
    let change = |new: &[&PublicKey], gone: &[&PublicKey]| {
        let blobs = |keys: &[&PublicKey]| keys.iter().map(|key| key.to_wire()).collect();
        Some(Announcement { new: blobs(new), gone: blobs(gone) })
    };

    assert_eq!(compare(&line_of("*", &used), &announced), None);
    assert_eq!(compare(&exact, &announced), change(&[&new], &[]));
    assert_eq!(compare(&exact, &[used.to_wire()]), None);
    assert_eq!(compare(&exact, &[new.to_wire()]), None, "the key in use is not among them");
    assert_eq!(compare(&exact, &[]), None);
    let twice = [announced[0].clone(), announced[1].clone(), announced[1].clone()];
    assert_eq!(compare(&exact, &twice), None);
    let with_old = exact.clone() + &line_of("h", &old);
    assert_eq!(compare(&with_old, &announced), change(&[&new], &[&old]));
    assert_eq!(compare(&with_old, &[used.to_wire()]), change(&[], &[&old]));
    let shared = exact.clone() + &line_of("h,other", &old);
    assert_eq!(compare(&shared, &announced), change(&[&new], &[]));
    let revoked = exact.clone() + &line_of("@revoked *", &new);
    assert_eq!(compare(&revoked, &announced), None);

    let wanted = compare(&with_old, &announced).unwrap();
    check(&file, strict, "").update(&wanted);
    assert_eq!(fs::read_to_string(&file).unwrap(), exact.clone() + &line_of("h", &new));
}

#[test]
fn a_person_who_wants_to_be_asked_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k");
    let (used, new) = (key(), key());
    fs::write(&file, line_of("h", &used)).unwrap();
    let mut asked = settings(&file, StrictHostKeyChecking::Yes);
    asked.update_host_keys = UpdateHostKeys::Ask;
    let wanted = Announcement { new: vec![new.to_wire()], gone: Vec::new() };

    for says in ["", "no", "y"] {
        check_with(asked.clone(), says).update(&wanted);
        assert_eq!(fs::read_to_string(&file).unwrap(), line_of("h", &used), "{says}");
    }
    check_with(asked, "yes").update(&wanted);
    assert_eq!(fs::read_to_string(&file).unwrap(), line_of("h", &used) + &line_of("h", &new));
}

#[test]
fn a_decision_blocks_only_where_a_person_is_asked_or_a_file_changes() {
    use StrictHostKeyChecking as Strict;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    let (known, unknown) = (key(), key());
    decide(&check(&file, Strict::AcceptNew, ""), &known).unwrap();
    let may_block = |settings: HostSettings, says, key: &PublicKey| {
        check_with(settings, says).may_block(&key.clone().into())
    };

    for strict in [Strict::Yes, Strict::No, Strict::Ask, Strict::AcceptNew] {
        assert!(!may_block(settings(&file, strict), "yes", &known), "{strict:?}");
    }
    let mut by_address = settings(&file, Strict::Yes);
    by_address.check_host_ip = true;
    assert!(may_block(by_address, "", &known), "the address may be recorded");
    let other = dir.path().join("other");
    for (strict, says, expected) in [
        (Strict::Yes, "yes", false),
        (Strict::Ask, "yes", true),
        (Strict::Ask, "", false),
        (Strict::No, "", true),
        (Strict::AcceptNew, "", true),
    ] {
        assert_eq!(may_block(settings(&other, strict), says, &unknown), expected, "{strict:?}");
    }
    let nowhere = settings(Path::new("/dev/null"), Strict::AcceptNew);
    assert!(!may_block(nowhere.clone(), "", &unknown));
    assert_eq!(decide(&check_with(nowhere, ""), &unknown).unwrap(), Accepted::Trusted);
}
