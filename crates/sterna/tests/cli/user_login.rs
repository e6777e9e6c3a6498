//! `sterna user`: what decides over a login beside password and keys: disabled users, passwords that
//! must change, second factors.

use sterna_identity::{RecoveryHash, TotpSecret};

use crate::{support::stderr, user::Admin};

#[test]
fn a_user_is_disabled_and_enabled_again() {
    let admin = Admin::new();
    let before = admin.text();

    admin.ok(&["disable", "alice"]);
    assert_eq!(admin.text(), before.replace("# end\n", "  enabled = false\n# end\n"));
    assert_eq!(admin.json(&["list", "--json"])["enabled"], false);
    let again = admin.run(&["disable", "alice"]);
    assert!(stderr(&again).contains("already"), "{}", stderr(&again));

    admin.ok(&["enable", "alice"]);
    assert_eq!(admin.text(), before.replace("# end\n", "  enabled = true\n# end\n"));
    admin.assert_loads();
}

#[test]
fn a_password_that_must_change_says_so_until_the_next() {
    let admin = Admin::new();

    admin.ok(&["passwd", "alice", "--generate-password", "--must-change"]);
    assert!(admin.text().contains("  must_change_password = true\n"));
    assert_eq!(admin.json(&["show", "alice", "--json"])["settings"]["must_change_password"], true);

    admin.ok(&["passwd", "alice", "--password-file", "secret"]);
    assert!(!admin.text().contains("must_change_password"));
}

#[test]
fn a_second_factor_is_made_replaced_and_taken_away() {
    let admin = Admin::new();
    let before = admin.text();

    let said = admin.ok(&["totp", "alice", "--issuer", "Example files"]);
    let uri = said.lines().next().unwrap();
    assert!(uri.starts_with("otpauth://totp/Example%20files:alice?secret="), "{said}");
    assert!(!said.contains('█'), "no picture where nobody looks: {said}");
    let settings: toml::Table = admin.text().parse().unwrap();
    let secret = settings["user"][0]["totp_secret"].as_str().unwrap();
    assert_eq!(TotpSecret::from_base32(secret).unwrap().to_base32().len(), 32);
    assert!(uri.contains(secret), "{said}");
    let codes = settings["user"][0]["recovery_codes"].as_array().unwrap();
    let hashes: Vec<_> =
        codes.iter().map(|code| RecoveryHash::parse(code.as_str().unwrap()).unwrap()).collect();
    let shown: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!((hashes.len(), shown.len()), (10, 10));
    for (hash, code) in hashes.iter().zip(&shown) {
        assert!(hash.verify(code));
        assert!(!admin.text().contains(code));
    }
    assert_eq!(admin.json(&["list", "--json"])["totp"], true);
    let all = admin.ok(&["show", "alice"]) + &admin.ok(&["show", "alice", "--json"]);
    assert!(!all.contains(secret) && !all.contains("sha256:"), "{all}");
    assert!(all.contains("10 recovery codes"), "{all}");

    let said = admin.refused(&["totp", "alice"], 1);
    assert!(said.contains("--force"), "{said}");
    assert!(admin.ok(&["totp", "alice", "--force", "--qr"]).contains('█'));
    assert!(!admin.text().contains(secret));

    let old = admin.text();
    let said = admin.json(&["recovery", "alice", "--json"]);
    assert_eq!(said["recovery_codes"].as_array().unwrap().len(), 10);
    let settings: toml::Table = admin.text().parse().unwrap();
    let new = settings["user"][0]["recovery_codes"].as_array().unwrap();
    let new = RecoveryHash::parse(new[9].as_str().unwrap()).unwrap();
    assert!(new.verify(said["recovery_codes"][9].as_str().unwrap()));
    assert!(!old.contains(&new.to_string()));

    admin.ok(&["totp", "alice", "--remove"]);
    assert_eq!(admin.text(), before);
    let said = admin.refused(&["recovery", "alice"], 1);
    assert!(said.contains("no second factor"), "{said}");
}
