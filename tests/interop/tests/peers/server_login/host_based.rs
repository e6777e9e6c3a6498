//! Hosts that speak for their users: OpenSSH's client as root and as somebody without rights, through
//! `ssh-keysign` and this machine's own host keys; AsyncSSH with host keys and names of the test.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sterna_interop::binary;
use sterna_interop::machine::{self, NOBODY, Turn};
use sterna_interop::steps::{Steps, check};
use sterna_testkit::openssh::{KeyFile, KeyKind};
use sterna_testkit::processes::find_program;

use crate::server_login::authority::Authority;
use crate::server_login::openssh::{Attempt, Expect};
use crate::server_login::python::asyncssh;
use crate::server_login::scene::{Scene, Served, must_run};

/// What this machine may call itself to a server on it.
fn own_names() -> Vec<String> {
    let mut names = vec![machine::own_name(), machine::node_name()];
    names.dedup();
    names
}

/// A setting that lists this user of every name of this machine.
fn listed(client_user: &str) -> String {
    let pairs: Vec<String> =
        own_names().iter().map(|name| format!("'{name}:{client_user}'")).collect();
    format!("host_based = [{}]\nmethods = ['hostbased']", pairs.join(", "))
}

/// Lines for these keys under every name of this machine.
fn known(marker: &str, keys: &[String]) -> String {
    let names = own_names().join(",");
    keys.iter().map(|key| format!("{marker}{names} {key}\n")).collect()
}

/// A scene that knows hosts by these lines. The settings' file for them is `hosts`.
fn trusting(hosts: &str, check_address: bool) -> Option<Scene> {
    let mut scene = Scene::new()?;
    scene.write("hosts", hosts);
    scene.table(&format!(
        "[host_based]\nknown_hosts_file = 'hosts'\ncheck_address = {check_address}"
    ));
    Some(scene)
}

fn by_host<'s>(served: &'s Served, user: &'s str) -> Attempt<'s> {
    Attempt::of(served, user).by("hostbased").option("HostbasedAuthentication=yes")
}

/// What a test with `ssh-keysign` needs, or `None` after it was said why there is none.
fn keysign_keys() -> Option<Vec<String>> {
    if binary::is_baseline() {
        return None;
    }
    let keys = match machine::host_keys() {
        Ok(keys) => keys,
        Err(why) => {
            binary::miss(&why);
            return None;
        }
    };
    if find_program("setpriv").is_none() || !Path::new("/usr/lib/openssh/ssh-keysign").exists() {
        binary::miss("setpriv or OpenSSH's ssh-keysign is not installed");
        return None;
    }
    Some(keys)
}

#[test]
fn openssh_vouches_through_ssh_keysign_and_only_for_whom_the_settings_list() {
    let Some(keys) = keysign_keys() else { return };
    let turn = Turn::wait();
    let keysign = match turn.enable_keysign() {
        Ok(keysign) => keysign,
        Err(why) => return binary::miss(&why),
    };
    let mut steps = Steps::new("host-based by OpenSSH");
    let rows = [
        ("of-root", listed("root"), Expect::In, Expect::Refused("user.host_based")),
        ("of-nobody", listed(NOBODY.0), Expect::Refused("user.host_based"), Expect::In),
        (
            "of-somebody",
            listed("somebody"),
            Expect::Refused("user.host_based"),
            Expect::Refused("user.host_based"),
        ),
        (
            "elsewhere",
            "host_based = ['batch.example.com:root']".to_owned(),
            Expect::Refused("user.host_based"),
            Expect::Refused("user.host_based"),
        ),
        (
            "by-shosts",
            "shosts_file = 'shosts'\nmethods = ['hostbased']".to_owned(),
            Expect::In,
            Expect::Refused("user.host_based"),
        ),
        (
            "by-password",
            crate::server_login::scene::password(),
            Expect::Refused("user.methods"),
            Expect::Refused("user.methods"),
        ),
    ];

    let Some(mut scene) = trusting(&known("", &keys), true) else { return };
    machine::open(scene.place.path());
    let shosts: String = own_names().iter().map(|name| format!("{name} root\n")).collect();
    scene.write("shosts", &shosts);
    for (user, lines, _, _) in &rows {
        scene.user(user, lines);
    }
    let served = scene.start();
    for (user, _, as_root, as_nobody) in &rows {
        steps.run(format!("{user}, by root"), || as_root.of(&by_host(&served, user)));
        steps.run(format!("{user}, by nobody"), || {
            as_nobody.of(&by_host(&served, user).by_nobody())
        });
    }
    for algorithm in ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"] {
        let key = algorithm.replace("rsa-sha2-512", "ssh-rsa").replace("rsa-sha2-256", "ssh-rsa");
        if keys.iter().any(|line| line.starts_with(&key)) {
            steps.run(algorithm, || {
                let only = format!("HostbasedAcceptedAlgorithms={algorithm}");
                by_host(&served, "of-nobody").by_nobody().option(only).succeeds()
            });
        }
    }
    steps.run("the log says who, from where and by which key", || {
        let client = format!("{}@{} host key", NOBODY.0, machine::own_name());
        served.logs(0, &["logged in", "user=\"of-nobody\"", &client]).map(drop)
    });

    // The client's name resolves, but not to where it comes from.
    let elsewhere = "BindAddress=127.0.0.5";
    steps.run("an address that is not the name's", || {
        by_host(&served, "of-root").option(elsewhere).is_refused("host_based.check_address")
    });
    drop(served);

    let stranger = scene.key("stranger", KeyKind::Ed25519).public_line;
    let revoked = format!("{}{}", known("", &keys), known("@revoked ", &keys));
    for (name, hosts, check_address, option, expect) in [
        ("addresses are not checked", known("", &keys), false, elsewhere, Expect::In),
        (
            "unknown host keys",
            known("", &[stranger]),
            true,
            "",
            Expect::Refused("host_based.known_hosts_file"),
        ),
        (
            "keys of another host",
            keys.iter().map(|key| format!("batch.example.com {key}\n")).collect(),
            true,
            "",
            Expect::Refused("host_based.known_hosts_file"),
        ),
        ("revoked host keys", revoked, true, "", Expect::Refused("host_based.known_hosts_file")),
    ] {
        let Some(mut scene) = trusting(&hosts, check_address) else { return };
        scene.user("of-root", &listed("root"));
        let served = scene.start();
        steps.run(name, || {
            let attempt = by_host(&served, "of-root");
            expect.of(&if option.is_empty() { attempt } else { attempt.option(option) })
        });
    }

    // Names that `ssh-keygen` has hashed, and a list that is one user's.
    let Some(mut scene) = trusting("", true) else { return };
    let own = scene.write("own_hosts", &known("", &keys));
    must_run(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&own));
    let listed_with_own = format!("{}\nknown_hosts_file = 'own_hosts'", listed("root"));
    scene.user("with-own-hosts", &listed_with_own);
    scene.user("without", &listed("root"));
    let served = scene.start();
    steps.run("hashed names in a list of the user's own", || {
        let hashed = std::fs::read_to_string(own)?;
        check(hashed.starts_with("|1|") && !hashed.contains(&machine::own_name()), || hashed)?;
        by_host(&served, "with-own-hosts").succeeds()
    });
    steps.run("another user's list", || {
        by_host(&served, "without").is_refused("host_based.known_hosts_file")
    });
    drop(served);

    let Some(mut scene) = trusting(&known("", &keys), true) else { return };
    scene.write("revoked", &(keys.join("\n") + "\n"));
    scene.top("revoked_keys_file = 'revoked'");
    scene.user("of-root", &listed("root"));
    let served = scene.start();
    steps.run("host keys in revoked_keys_file", || {
        by_host(&served, "of-root").is_refused("revoked_keys_file")
    });
    drop(keysign);
    steps.run("ssh-keysign is not enabled", || {
        let done = by_host(&served, "of-root").by_nobody().run("pwd\n")?;
        check(!done.success(), || done.describe())
    });

    steps.finish(|| served.log());
}

#[test]
fn openssh_vouches_by_a_host_certificate() {
    let Some(_) = keysign_keys() else { return };
    let turn = Turn::wait();
    let keysign = match turn.enable_keysign() {
        Ok(keysign) => keysign,
        Err(why) => return binary::miss(&why),
    };
    let mut steps = Steps::new("host-based by a certificate of OpenSSH's host");
    let names = own_names().join(",");

    for (name, principals, expect) in [
        ("good", names.as_str(), Expect::In),
        ("other name", "batch.example.com", Expect::Refused("certificate.principals")),
    ] {
        let Some(mut scene) = Scene::new() else { return };
        let authority = Authority::new(&scene, "host_ca");
        scene.write(
            "hosts",
            &known("@cert-authority ", std::slice::from_ref(&authority.key.public_line)),
        );
        scene.table("[host_based]\nknown_hosts_file = 'hosts'");
        scene.user("of-root", &listed("root"));
        let served = scene.start();
        let certificate = turn.certify_host_key(|public| {
            let file = authority.certify_host(public, &["-n", principals]);
            std::fs::read_to_string(file).expect("a certificate")
        });
        if let Err(why) = certificate {
            return binary::miss(&why);
        }
        steps.run(name, || expect.of(&by_host(&served, "of-root")));
        drop(certificate);
        // The plain key alone is nobody's.
        steps.run(format!("{name}, without it"), || {
            by_host(&served, "of-root").is_refused("host_based.known_hosts_file")
        });
    }
    drop(keysign);

    steps.finish(String::new);
}

/// What an attempt of AsyncSSH claims.
struct Claim<'a> {
    key: &'a KeyFile,
    certified: bool,
    host: &'a str,
    user: &'a str,
}

#[test]
fn asyncssh_vouches_and_every_part_of_the_claim_counts() {
    let Some(mut scene) = Scene::new() else { return };
    let authority = Authority::new(&scene, "host_ca");
    let plain = scene.key("plain", KeyKind::Ed25519);
    let by_rsa = scene.key("by_rsa", KeyKind::Rsa3072);
    let stranger = scene.key("stranger", KeyKind::EcdsaP256);
    let of_host = |name: &str, arguments: &[&str]| {
        let key = scene.key(name, KeyKind::EcdsaP384);
        authority.certify(&key.public, &[&["-h"], arguments].concat());
        key
    };
    let good = of_host("good", &["-n", "localhost"]);
    let other_name = of_host("other_name", &["-n", "batch.example.com"]);
    let expired = of_host("expired", &["-n", "localhost", "-V", "20200101:20210101"]);
    let of_user = authority.certified("of_user", KeyKind::EcdsaP384, &["-n", "localhost"]);
    scene.write(
        "hosts",
        &format!(
            "localhost {}\nlocalhost {}\nbatch.example.com {}\n@cert-authority localhost {}\n",
            plain.public_line, by_rsa.public_line, plain.public_line, authority.key.public_line
        ),
    );
    scene.table("[host_based]\nknown_hosts_file = 'hosts'");
    scene.user(
        "tern",
        "host_based = ['localhost:erp', 'batch.example.com:erp']\nmethods = ['hostbased']",
    );
    let served = scene.start();
    let claim = |key, certified, host, user| Claim { key, certified, host, user };
    let mut steps = Steps::new("host-based by AsyncSSH");

    for (name, claim, refused_by) in [
        ("good", claim(&plain, false, "localhost", "erp"), None),
        ("with a dot", claim(&plain, false, "localhost.", "erp"), None),
        ("in capitals", claim(&plain, false, "LocalHost", "erp"), None),
        ("by RSA", claim(&by_rsa, false, "localhost", "erp"), None),
        ("by certificate", claim(&good, true, "localhost", "erp"), None),
        (
            "unknown key",
            claim(&stranger, false, "localhost", "erp"),
            Some("host_based.known_hosts_file"),
        ),
        (
            "another host's name",
            claim(&plain, false, "batch.example.com", "erp"),
            Some("host_based.check_address"),
        ),
        ("a pattern for a name", claim(&plain, false, "*", "erp"), Some("host_based.name")),
        ("another user", claim(&plain, false, "localhost", "root"), Some("user.host_based")),
        (
            "certificate of another host",
            claim(&other_name, true, "localhost", "erp"),
            Some("certificate.principals"),
        ),
        (
            "expired certificate",
            claim(&expired, true, "localhost", "erp"),
            Some("certificate.validity"),
        ),
        (
            "certificate of a user",
            claim(&of_user, true, "localhost", "erp"),
            Some("certificate.kind"),
        ),
    ] {
        steps.run(name, || {
            let attempt = json!({
                "methods": ["hostbased"],
                "host_key": claim.key.private,
                "host_certificate": claim.certified,
                "client_host": claim.host,
                "client_user": claim.user,
            });
            asyncssh(&served, "tern", attempt)?.expect(&served, "tern", refused_by)
        });
    }

    steps.finish(|| served.log());
}
