//! Signatures that are wrong, beside each the same one right: AsyncSSH, whose keys a script lets lie.

use serde_json::{Value, json};
use sterna_interop::steps::Steps;
use sterna_testkit::openssh::{KeyFile, KeyKind};

use crate::server_login::python::forged;
use crate::server_login::scene::{Scene, authorized};

/// Flipped bits are this many bytes before the last: in either of the two numbers that a signature by
/// an elliptic curve has.
const FROM_END: [usize; 2] = [0, 40];

/// What the script is told about a login by `method` with `key`.
fn login(method: &str, key: &KeyFile, forgery: &str) -> Value {
    json!({
        "method": method,
        "key": key.private,
        "forgery": forgery,
        "client_host": "localhost",
        "client_user": "erp",
    })
}

#[test]
fn a_users_signature_that_is_wrong_or_of_another_connection_is_refused_for_that() {
    every_forgery("publickey");
}

#[test]
fn a_hosts_signature_that_is_wrong_or_of_another_connection_is_refused_for_that() {
    every_forgery("hostbased");
}

fn every_forgery(method: &str) {
    let kinds = [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa3072];
    let Some(mut scene) = Scene::new() else { return };
    let keys: Vec<KeyFile> = kinds.into_iter().map(|kind| scene.key(kind.name(), kind)).collect();
    let stranger = scene.key("stranger", KeyKind::Ed25519);
    let lines: Vec<String> = keys.iter().map(|key| key.public_line.clone()).collect();
    let hosts: String = lines.iter().map(|line| format!("localhost {line}\n")).collect();
    scene.write("hosts", &hosts);
    scene.table("[host_based]\nknown_hosts_file = 'hosts'");
    let listed = "host_based = ['localhost:erp']";
    scene.user("tern", &format!("{}\n{listed}\nmethods = ['{method}']", authorized(&lines)));
    let served = scene.start();
    let mut steps = Steps::new(format!("forged signatures by {method}"));

    for (kind, key) in kinds.into_iter().zip(&keys) {
        let mut step = |name: &str, attempt: Value, refused_by: Option<&str>| {
            steps.run(format!("{}: {name}", kind.name()), || {
                forged(&served, "tern", attempt)?.expect(&served, "tern", refused_by)
            });
        };
        step("right", login(method, key, "none"), None);
        for from_end in FROM_END {
            let mut attempt = login(method, key, "bit");
            attempt["from_end"] = from_end.into();
            step(&format!("a bit, {from_end} from the end"), attempt, Some("signature"));
        }
        step("of another connection", login(method, key, "replay"), Some("signature"));
    }
    steps.run("of another key", || {
        let mut attempt = login(method, &keys[0], "other key");
        attempt["signer"] = json!(stranger.private);
        forged(&served, "tern", attempt)?.expect(&served, "tern", Some("signature"))
    });

    steps.finish(|| served.log());
}
