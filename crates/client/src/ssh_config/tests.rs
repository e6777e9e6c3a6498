//! ssh_config: which value wins, for whom, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

fn home_with(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), config).unwrap();
    home
}

fn resolve(
    config: &str,
    options: &[&str],
    alias: &str,
    user: Option<&str>,
) -> Result<HostSettings, Error> {
    let home = home_with(config);
    ConfigSource {
        options: options.iter().map(|o| (*o).to_owned()).collect(),
        file: Some(home.path().join(".ssh/config")),
        home: Some(PathBuf::from("/home/x")),
    }
    .resolve(alias, user, None)
}

#[test]
fn the_first_value_wins_and_options_come_before_files() {
    let s = resolve(
        "Port 1\nHost web\n  Port 2\n  User=web\n  HostName \"w.example.org\"\nHost *\n  User other\n",
        &["port=7", "ServerAliveInterval 2m"],
        "web",
        None,
    )
    .unwrap();

    assert_eq!((s.port, s.user.as_str(), s.host.as_str()), (7, "web", "w.example.org"));
    assert_eq!(s.server_alive_interval, Some(Duration::from_secs(120)));
}

#[test]
fn host_patterns_negate_and_hostname_takes_the_alias() {
    let config = "Host *.lab !secret.lab\n HostName %h.example.org\n Port 99\n";
    assert_eq!(resolve(config, &[], "a.lab", None).unwrap().host, "a.lab.example.org");
    assert_eq!(resolve(config, &[], "secret.lab", None).unwrap().port, 22);
}

#[test]
fn match_blocks_see_host_and_user_and_unknown_criteria_do_not_match() {
    let config =
        "Match user bob host *.org\n Port 5\nMatch exec \"true\"\n Port 6\nMatch all\n Port 7\n";
    assert_eq!(resolve(config, &[], "h.org", Some("bob")).unwrap().port, 5);
    let s = resolve(config, &[], "h.org", Some("eve")).unwrap();
    assert_eq!(s.port, 7);
    assert_eq!(s.not_honoured, ["Match exec"]);
}

#[test]
fn identity_files_add_up_and_tokens_are_filled_in() {
    let s = resolve(
        "Host h\n IdentityFile ~/.ssh/%r@%h\n IdentityFile /k/%n-%p-%%\n UserKnownHostsFile ~/a \"/b c\"\n",
        &["IdentityFile=/first"],
        "h",
        Some("u"),
    )
    .unwrap();

    let expected = ["/first", "/home/x/.ssh/u@h", "/k/h-22-%"].map(PathBuf::from);
    assert_eq!(s.identity_files, expected);
    assert_eq!(s.user_known_hosts, ["/home/x/a", "/b c"].map(PathBuf::from));
}

#[test]
fn include_reads_other_files_in_place() {
    let home = home_with("Include conf.d/*.conf\nPort 3\n");
    let directory = home.path().join(".ssh/conf.d");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("a.conf"), "Host h\n Port 2\n").unwrap();
    fs::write(directory.join("ignored"), "Port 1\n").unwrap();
    fs::write(directory.join("b.conf"), "Include b.conf\n").unwrap();
    let source = ConfigSource { home: Some(home.path().to_owned()), ..ConfigSource::default() };

    assert_eq!(source.resolve("h", Some("u"), None).unwrap().port, 2);
}

#[test]
fn an_include_loop_is_an_error_and_ends() {
    let home = home_with("Include config\n");
    let source = ConfigSource {
        home: Some(home.path().to_owned()),
        file: Some(home.path().join(".ssh/config")),
        ..ConfigSource::default()
    };

    assert!(
        matches!(source.resolve("h", None, None), Err(Error::Usage(why)) if why.contains("too deep"))
    );
}

#[test]
fn what_would_lead_elsewhere_is_an_error_and_the_rest_is_listed() {
    for line in [
        "ProxyJump bastion",
        "ProxyCommand nc %h %p",
        "Port many",
        "BatchMode maybe",
        "HostName -oX",
    ] {
        assert!(matches!(resolve(line, &[], "h", None), Err(Error::Usage(_))), "{line}");
    }
    let s = resolve("ProxyJump none\nPKCS11Provider x\nLogLevel DEBUG\n", &[], "h", None).unwrap();
    assert_eq!(s.not_honoured, ["pkcs11provider"]);
    let missing =
        ConfigSource { file: Some(Path::new("/does/not/exist").into()), ..ConfigSource::default() };
    assert!(missing.resolve("h", None, None).is_err());
}

#[test]
fn algorithm_lists_replace_append_remove_and_go_first() {
    let default: Vec<String> = ["a1", "a2", "b"].map(str::to_owned).to_vec();
    let known = |n: &str| n != "unknown";
    let apply = |text: &str| AlgorithmChange::parse(text).apply("Ciphers", &default, known);

    assert_eq!(apply("b,unknown").unwrap(), ["b"]);
    assert_eq!(apply("+c,a1").unwrap(), ["a1", "a2", "b", "c"]);
    assert_eq!(apply("-a*").unwrap(), ["b"]);
    assert_eq!(apply("^b,c").unwrap(), ["b", "c", "a1", "a2"]);
    assert!(apply("unknown").is_err());
    assert!(apply("-*").is_err());
}

#[test]
fn rekey_limits_have_sizes_and_times() {
    let s = resolve("RekeyLimit 1M 1h\n", &[], "h", None).unwrap();
    assert_eq!((s.rekey_bytes, s.rekey_time), (Some(1 << 20), Some(Duration::from_secs(3600))));
    assert_eq!(resolve("RekeyLimit default none\n", &[], "h", None).unwrap().rekey_bytes, None);
}
