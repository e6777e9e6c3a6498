//! Chains: several proofs in the order that the settings want.

use std::net::IpAddr;
use std::sync::Arc;

use sterna_identity::{
    Credential, Directory, HostBasedRules, HostUser, LoginRules, User, UserError,
};
use sterna_ssh_files::KnownHosts;

use crate::support::*;

const METHODS: [&str; 4] = ["publickey", "hostbased", "keyboard-interactive", "password"];

/// A user with everything; the code is asked for where the dialogue does not ask for the password.
fn everything(name: &str, methods: &[&str]) -> User {
    let from = HostUser { host: "batch.example.com".into(), user: "job".into(), place: None };
    User { host_based: vec![from], ..full_user(name, methods) }
}

fn all_methods(users: impl IntoIterator<Item = User>) -> Directory {
    let mut known_hosts = KnownHosts::default();
    let text = format!("batch.example.com {}", line(200));
    known_hosts.add_text("known_hosts", text.as_bytes()).unwrap();
    let host_based = HostBasedRules { known_hosts: Arc::new(known_hosts), check_address: true };
    with_rules(users, LoginRules { host_based: Some(host_based), ..LoginRules::default() })
}

fn world() -> Script {
    let here: IpAddr = "192.0.2.7".parse().unwrap();
    Script::resolving([("batch.example.com", vec![here])])
}

/// Proves `method` rightly; a dialogue to its end.
fn prove(connection: &mut Connection<'_>, method: &str) -> String {
    match method {
        "publickey" => connection.says(signed(&offered(1))),
        "password" => connection.says(RIGHT),
        "hostbased" => connection.says(host_claim(&offered(200), "batch.example.com", "job")),
        _ => match connection.says(ASK_ME).as_str() {
            "ask Password:" => connection.answers(&[PASSWORD]),
            "ask Verification code:" => connection.answers(&[CODE]),
            other => other.to_owned(),
        },
    }
}

/// Every ordered choice of up to three different methods.
fn orders() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = METHODS.iter().map(|method| vec![*method]).collect();
    for _ in 0..2 {
        let longer: Vec<Vec<&str>> = all
            .iter()
            .flat_map(|order| METHODS.iter().map(move |method| [&order[..], &[*method]].concat()))
            .filter(|order| METHODS.iter().all(|m| order.iter().filter(|o| *o == m).count() < 2))
            .collect();
        all.extend(longer);
        all.sort();
        all.dedup();
    }
    all
}

#[test]
fn each_chain_wants_its_own_order_and_all_of_it() {
    let orders = orders();
    assert_eq!(orders.len(), 4 + 12 + 24);
    for chain in &orders {
        let user = User { totp: Some(totp()), ..everything("alice", &[&chain.join(",")]) };
        let directory = all_methods([user]);
        for tried in &orders {
            let world = world();
            let mut connection = Connection::new(&directory, &world, "alice");
            let mut done = 0;
            let mut accepted = false;
            for method in tried {
                let mut said = prove(&mut connection, method);
                if said == "ask Verification code:" {
                    said = connection.answers(&[CODE]);
                }
                let is_next = chain.get(done) == Some(method);
                assert!(!accepted);
                let expected = match chain.get(done + 1) {
                    Some(next) if is_next => format!("next {next}"),
                    None if is_next => "accept".to_owned(),
                    _ => "MethodNotNext".to_owned(),
                };
                assert_eq!(said, expected, "{chain:?}: {method} of {tried:?}");
                done += usize::from(is_next);
                accepted = done == chain.len();
                if accepted {
                    break;
                }
            }
            let mut tried_in_order = tried.iter();
            let holds_chain = chain.iter().all(|step| tried_in_order.any(|method| method == step));
            assert_eq!(accepted, holds_chain, "{chain:?} {tried:?}");
        }
    }
}

#[test]
fn of_several_chains_any_complete_one_is_enough() {
    let chains = ["publickey,password", "password,publickey", "hostbased"];
    let (directory, world) = (all_methods([everything("alice", &chains)]), world());
    for (steps, said) in [
        (&["publickey", "password"][..], &["next hostbased,password", "accept"][..]),
        (&["password", "publickey"], &["next publickey,hostbased", "accept"]),
        (&["hostbased"], &["accept"]),
        (&["publickey", "hostbased"], &["next hostbased,password", "accept"]),
        (&["publickey", "publickey"], &["next hostbased,password", "MethodNotNext"]),
    ] {
        let mut connection = Connection::new(&directory, &world, "alice");
        for (step, said) in steps.iter().zip(said) {
            assert_eq!(prove(&mut connection, step), *said, "{step} of {steps:?}");
        }
    }
}

#[test]
fn where_nothing_is_said_a_password_is_not_enough_beside_a_code() {
    let coded = User { totp: Some(totp()), ..full_user("alice", &[]) };
    let (directory, world) = (directory([coded]), Script::default());
    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(RIGHT), "MethodNotNext");
    assert_eq!(connection.says(ASK_ME), "ask Password:");
    assert_eq!(connection.answers(&[PASSWORD]), "ask Verification code:");
    assert_eq!(connection.says(RIGHT), "MethodNotNext");
    assert_eq!(connection.says(signed(&offered(1))), "accept", "a key is");

    assert_eq!(once(&crate::support::directory([full_user("a", &[])]), "a", RIGHT), "accept");
    let bare = crate::support::directory([User::new("a", "/srv")]);
    for credential in [RIGHT, signed(&offered(1)), Credential::None] {
        assert_ne!(once(&bare, "a", credential), "accept");
    }
}

#[test]
fn a_key_counts_for_one_step_plain_or_certified() {
    let authority = sterna_identity::Authority { key: public(100), place: None };
    let rules = LoginRules { user_authorities: vec![authority], ..LoginRules::default() };
    let directory = with_rules([full_user("alice", &["publickey,publickey"])], rules);
    let certify = |seed| -> sterna_ssh_crypto::OfferedKey {
        sterna_testkit::CertificateSpec::default().sign(&pair(100), &public(seed)).into()
    };
    let world = Script::default();
    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(signed(&offered(1))), "next publickey");
    assert_eq!(connection.says(signed(&offered(1))), "KeyAlreadyUsed");
    assert_eq!(connection.says(signed(&certify(1))), "KeyAlreadyUsed");
    assert_eq!(connection.says(Credential::PublicKeyQuery(&certify(1))), "KeyAlreadyUsed");
    assert_eq!(connection.says(signed(&certify(2))), "accept");
}

#[test]
fn restrictions_of_an_earlier_step_stay_and_differing_commands_are_refused() {
    let lines = |second: &str| {
        let bound = format!("command=\"internal-sftp -R\" {}", line(1));
        [bound, format!("{second} {}", line(2))]
    };
    let user = |second, chain: &str| User {
        password: Some(password()),
        methods: vec![chain.parse().unwrap()],
        ..user_with_keys("alice", &lines(second))
    };
    let world = Script::default();

    let directory = crate::support::directory([user("restrict", "publickey,password")]);
    let mut connection = Connection::new(&directory, &world, "alice");
    connection.says(signed(&offered(1)));
    let login = connection.login(RIGHT);
    assert!(login.restrictions.read_only && login.restrictions.sftp_only);
    assert_eq!(login.proofs.len(), 2);

    for (second, said) in [
        ("restrict", "accept"),
        ("command=\"internal-sftp -R\"", "accept"),
        ("command=\"internal-sftp\"", "KeyCommand"),
    ] {
        let directory = crate::support::directory([user(second, "publickey,publickey")]);
        for (one, two) in [(1, 2), (2, 1)] {
            let mut connection = Connection::new(&directory, &world, "alice");
            assert_eq!(connection.says(signed(&offered(one))), "next publickey");
            assert_eq!(connection.says(signed(&offered(two))), said, "{second}");
        }
    }
}

#[test]
fn another_name_starts_anew_and_nothing_comes_back() {
    let directory = directory([
        full_user("alice", &["publickey,password"]),
        full_user("bob", &["publickey,password"]),
        full_user("asked", &["publickey,keyboard-interactive"]),
    ]);
    let world = Script::default();
    for (swap, with) in [
        ("bob", Credential::None),
        ("nobody", WRONG),
        ("bob", ASK_ME),
        ("Alice", Credential::None),
        ("", Credential::None),
    ] {
        let mut connection = Connection::new(&directory, &world, "alice");
        assert_eq!(connection.says(signed(&offered(1))), "next password");
        connection.user = swap;
        assert_ne!(connection.says(with), "accept");
        assert_ne!(connection.says(RIGHT), "accept", "{swap}");
        connection.user = "alice";
        assert_eq!(connection.says(RIGHT), "MethodNotNext", "{swap}");
    }
}

#[test]
fn chains_that_nobody_can_walk_are_refused_with_the_settings() {
    let refused = |user| Directory::new([user]).map(drop).map_err(|error| error.why);
    let lacks = UserError::Lacks(sterna_identity::Method::KeyboardInteractive);
    let chain = |chain: &str| full_user("a", &[chain]);
    assert_eq!(refused(chain("password,keyboard-interactive")), Err(lacks));
    let coded = User { totp: Some(totp()), ..chain("password,keyboard-interactive") };
    assert_eq!(refused(coded), Ok(()));
    assert_eq!(refused(chain("publickey,keyboard-interactive")), Ok(()));
    assert_eq!(refused(chain("keyboard-interactive,password")), Ok(()));
    let code_alone = User { password: None, totp: Some(totp()), ..chain("keyboard-interactive") };
    assert_eq!(refused(code_alone), Err(UserError::CodeAlone));
}
