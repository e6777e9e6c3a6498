//! ssh_config: which value wins, for whom, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::Error;

fn home_with(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), config).unwrap();
    home
}

/// What a file says; `~` is `/home/x`.
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
    .resolve_with(alias, user, None, &|name| name == "short.full.example.")
}

fn port_of(config: &str, alias: &str, user: Option<&str>) -> u16 {
    resolve(config, &[], alias, user).unwrap_or_else(|error| panic!("{config}: {error}")).port
}

fn why_not(config: &str) -> String {
    match resolve(config, &[], "h", None) {
        Err(Error::Usage(why)) => why,
        other => panic!("{config}: {other:?}"),
    }
}

#[test]
fn the_first_value_wins_and_options_come_before_files() {
    let s = resolve(
        "Port 1\nHost web\n  Port 2\n  User=web\n  HostName \"W.example.org\"\nHost *\n  User other\n",
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
    assert_eq!(resolve("", &[], "::0001", None).unwrap().host, "::1");
}

#[test]
fn match_blocks_hold_for_those_whom_every_criterion_means() {
    for (config, port) in [
        ("Match user bob host *.org\n Port 5\n", 5),
        ("Match user bob host *.net\n Port 5\n", 22),
        ("Match !user eve\n Port 5\n", 5),
        ("Match originalhost H.org\n Port 5\n", 5),
        ("HostName x.net\nMatch host x.net originalhost h.org\n Port 5\n", 5),
        ("Match localuser nobody-of-this-name\n Port 5\n", 22),
        ("Match localuser *\n Port 5\n", 5),
        ("Match all\n Port 5\n", 5),
        ("Match !all\n Port 5\n", 22),
        ("Match host h.org all\n Port 5\n", 5),
        ("Tag t1\nMatch tagged t1,t2\n Port 5\n", 5),
        ("Match tagged t1\n Port 5\n", 22),
        ("Match sessiontype subsystem command sftp\n Port 5\n", 5),
        ("Match exec true\n Port 5\n", 5),
        ("Match exec false\n Port 5\n", 22),
        ("Match !exec false\n Port 5\n", 5),
        ("Match exec \"test %h-%n-%p-%r = h.org-h.org-22-bob\"\n Port 5\n", 5),
        ("Match exec=\"exit 3\" host=h.org\n Port 5\n", 22),
        ("Match final\n Port 5\n", 5),
        ("Match !final\n Port 6\nMatch final\n Port 5\n", 6),
        ("Match canonical\n Port 5\n", 22),
        ("Match final all\n Port 5\n", 5),
        ("Match localnetwork 10.0.0.0/8\n Port 5\n", 22),
    ] {
        assert_eq!(port_of(config, "h.org", Some("bob")), port, "{config}");
    }
}

#[test]
fn commands_run_only_where_they_can_matter() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("ran");
    let touch = format!("exec \"touch {}\"\n Port 5\n", mark.display());

    assert_eq!(port_of(&format!("Match host other {touch}"), "h", None), 22);
    assert!(!mark.exists());
    let included = directory.path().join("c");
    fs::write(&included, format!("Match {touch}")).unwrap();
    assert_eq!(port_of(&format!("Host other\n Include {}\n", included.display()), "h", None), 22);
    assert!(!mark.exists());
    assert_eq!(port_of(&format!("Match {touch}"), "h", None), 5);
    assert!(mark.exists());
}

#[test]
fn a_user_name_for_which_a_shell_would_do_something_runs_nothing() {
    let config = "Match exec \"true %r\"\n Port 5\n";
    assert!(resolve(config, &[], "h", Some("a b")).is_err());
    assert!(resolve("ProxyCommand nc %r\n", &[], "h", Some("x*")).is_err());
    assert!(resolve("User a;b\n", &[], "h", None).is_err());
}

#[test]
fn the_second_reading_sees_the_full_name() {
    let config = "CanonicalizeHostname yes\nCanonicalDomains no.example full.example\n\
                  Host *.full.example\n Port 5\nMatch canonical\n User late\n IdentityFile /b\n\
                  Match all\n IdentityFile /a\n";

    let s = resolve(config, &[], "short", None).unwrap();

    assert_eq!((s.host.as_str(), s.port, s.user.as_str()), ("short.full.example", 5, "late"));
    assert_eq!(s.alias, "short");
    assert_eq!(s.identity_files, ["/a", "/b"].map(PathBuf::from));
    let strict = "CanonicalizeHostname yes\nCanonicalDomains x\nCanonicalizeFallbackLocal no\n";
    assert!(matches!(resolve(strict, &[], "short", None), Err(Error::Connect { .. })));
}

#[test]
fn a_host_name_of_the_second_reading_comes_too_late() {
    let s = resolve("Match final\n HostName z\n Port 5\n", &[], "h", None).unwrap();
    assert_eq!((s.host.as_str(), s.port), ("h", 5));
}

#[test]
fn identity_files_add_up_and_tokens_are_filled_in() {
    let s = resolve(
        "Host h\n IdentityFile ~/.ssh/%r@%h\n IdentityFile /k/%n-%p-%%\n IdentityFile /first\n\
         CertificateFile ${PATH}x\n CertificateFile '~/c d'\n\
         UserKnownHostsFile ~/a \"/b c\" %d/k\n GlobalKnownHostsFile none\n\
         RevokedHostKeys ~/krl\n HostKeyAlias Alias\n",
        &["IdentityFile=/first"],
        "h",
        Some("u"),
    )
    .unwrap();

    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(s.identity_files, paths(&["/first", "/home/x/.ssh/u@h", "/k/h-22-%"]));
    let path = std::env::var("PATH").unwrap();
    assert_eq!(s.certificate_files, paths(&[&format!("{path}x"), "/home/x/c d"]));
    assert_eq!(s.user_known_hosts, paths(&["/home/x/a", "/b c", "/home/x/k"]));
    assert_eq!(s.global_known_hosts, paths(&[]));
    assert_eq!(s.revoked_host_keys, Some("/home/x/krl".into()));
    assert_eq!(s.host_key_alias.as_deref(), Some("alias"));
    let none = resolve("IdentityFile none\nUserKnownHostsFile none\n", &[], "h", None).unwrap();
    assert!(none.identity_files.is_empty() && none.user_known_hosts.is_empty());
}

#[test]
fn the_agent_is_a_path_a_variable_or_nobody() {
    let agent = |value: &str| {
        let config = format!("IdentityAgent {value}\n");
        resolve(&config, &[], "h", None).unwrap().agent
    };
    assert_eq!(agent("none"), None);
    assert_eq!(agent("~/s-%p"), Some("/home/x/s-22".into()));
    assert_eq!(agent("$PATH"), std::env::var_os("PATH").map(PathBuf::from));
    assert_eq!(agent("$STERNA_NO_SUCH_VARIABLE"), None);
    assert_eq!(agent("\"${PATH}\""), std::env::var_os("PATH").map(PathBuf::from));
    assert_eq!(agent("SSH_AUTH_SOCK"), std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from));
}

#[test]
fn the_first_of_jump_and_command_is_the_way() {
    let hops = |text: &str| {
        Proxy::Jump(text.split(',').map(|hop| Destination::parse_hop(hop).unwrap()).collect())
    };
    for (config, proxy) in [
        ("", Proxy::Direct),
        ("ProxyJump a,u@b:2,ssh://c # all\n", hops("a,u@b:2,c")),
        ("ProxyJump %r@%h-jump:%p\n", hops("bob@h-jump:22")),
        ("ProxyJump a\nProxyCommand x\n", hops("a")),
        ("ProxyCommand nc %h %p -- '%n' %r # x\nProxyJump a\n", {
            Proxy::Command("nc h 22 -- 'h' bob # x".into())
        }),
        ("ProxyCommand none\nProxyJump a\n", Proxy::Direct),
        ("ProxyJump none\nProxyJump a\n", Proxy::Direct),
        ("ProxyJump none\nProxyCommand x\n", Proxy::Command("x".into())),
    ] {
        let s = resolve(config, &[], "h", Some("bob")).unwrap();
        assert_eq!(s.proxy, proxy, "{config}");
    }
    for bad in ["ProxyJump a b", "ProxyJump -x", "ProxyJump a,,b", "ProxyJump \"\""] {
        why_not(bad);
    }
    assert!(why_not("ProxyCommand x\nProxyUseFdpass yes\n").contains(":1: ProxyUseFdpass"));
}

#[test]
fn everything_about_logging_in_is_read() {
    let s = resolve(
        "PubkeyAuthentication Host-Bound\nKbdInteractiveAuthentication no\n\
         KbdInteractiveDevices pam,otp\nHostbasedAuthentication yes\nEnableSSHKeysign yes\n\
         HostbasedAcceptedAlgorithms ssh-ed25519\nCASignatureAlgorithms -rsa*\n\
         AddKeysToAgent confirm 5m\nNumberOfPasswordPrompts 1\nPreferredAuthentications a,b\n\
         RequiredRSASize 3072\nIdentitiesOnly yes\n",
        &[],
        "h",
        None,
    )
    .unwrap();

    assert_eq!(s.pubkey_authentication, PubkeyAuthentication::HostBound);
    assert!(!s.kbd_interactive_authentication && s.hostbased_authentication);
    assert_eq!(s.kbd_interactive_devices, ["pam", "otp"]);
    assert!(s.enable_ssh_keysign && s.identities_only);
    let only = AlgorithmChange::Only(vec!["ssh-ed25519".into()]);
    assert_eq!(s.hostbased_accepted_algorithms, Some(only));
    assert_eq!(s.ca_signature_algorithms, Some(AlgorithmChange::Remove(vec!["rsa*".into()])));
    assert!(s.add_keys_to_agent.confirm);
    assert_eq!(s.add_keys_to_agent.lifetime, Some(Duration::from_secs(300)));
    assert_eq!((s.password_prompts, s.required_rsa_size), (1, 3072));
    assert_eq!(s.preferred_authentications, ["a", "b"]);
    let old = resolve("ChallengeResponseAuthentication no\n", &[], "h", None).unwrap();
    assert!(!old.kbd_interactive_authentication);
}

#[test]
fn host_keys_are_learnt_only_where_the_usual_file_is_used() {
    for (config, expected) in [
        ("", UpdateHostKeys::Yes),
        ("UserKnownHostsFile /k\n", UpdateHostKeys::No),
        ("UserKnownHostsFile /k\nUpdateHostKeys yes\n", UpdateHostKeys::Yes),
        ("UpdateHostKeys ask\n", UpdateHostKeys::Ask),
        ("UpdateHostKeys no\n", UpdateHostKeys::No),
        ("VerifyHostKeyDNS ask\n", UpdateHostKeys::No),
    ] {
        let s = resolve(config, &[], "h", None).unwrap();
        assert_eq!(s.update_host_keys, expected, "{config}");
    }
}

#[test]
fn include_reads_other_files_in_place_and_their_blocks_end_with_them() {
    let home = home_with("Include conf.d/*.conf\nPort 3\nHost other\n Include other\n");
    let directory = home.path().join(".ssh/conf.d");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("a.conf"), "Host nobody\n Port 2\n").unwrap();
    fs::write(directory.join("b.conf"), "Host h\n User b\n").unwrap();
    fs::write(directory.join("ignored"), "Port 1\n").unwrap();
    fs::write(home.path().join(".ssh/other"), "Host *\n User never\n").unwrap();
    let source = ConfigSource { home: Some(home.path().to_owned()), ..ConfigSource::default() };

    let h = source.resolve("h", None, None).unwrap();
    assert_eq!((h.port, h.user.as_str()), (3, "b"));
    assert_eq!(source.resolve("other", None, None).unwrap().user, "never");
    assert_ne!(source.resolve("x", None, None).unwrap().user, "never");
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
fn a_mistake_is_named_with_file_and_line_wherever_it_stands() {
    for line in [
        "Port many",
        "Port 22 23",
        "Port",
        "BatchMode maybe",
        "HostName -oX",
        "HostName %z",
        "NoSuchKeyword x",
        "IdentityFile \"open",
        "UserKnownHostsFile none x",
        "ConnectionAttempts 0",
        "NumberOfPasswordPrompts -1",
        "PreferredAuthentications a, b",
        "IdentityAgent $A-B",
        "RekeyLimit 8",
        "Match",
        "Match nonsense x",
        "Match host",
        "Match all host x",
        "Match all extra",
        "Host",
        "Include",
        "RefuseConnection \"not today\"",
    ] {
        let why = why_not(&format!("# comment\n{line}\n"));
        // What a name must not hold is said of the name.
        assert!(why.contains("config:2: ") || line == "HostName -oX", "{line}: {why}");
    }
    for line in ["Port many", "NoSuchKeyword x", "IdentityFile \"open"] {
        assert!(why_not(&format!("Host other\n {line}\n")).contains("config:2: "));
    }
    let missing =
        ConfigSource { file: Some(Path::new("/does/not/exist").into()), ..ConfigSource::default() };
    assert!(missing.resolve("h", None, None).is_err());
    for option in ["NoSuchKeyword=x", "Port=0", "Host=x", "Include=x", "Port"] {
        let error = resolve("", &[option], "h", None).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{option}");
        assert!(error.to_string().starts_with("-o "), "{error}");
    }
}

#[test]
fn unknown_keywords_pass_where_ignore_unknown_names_them() {
    assert_eq!(port_of("IgnoreUnknown NoSuch*,x\nNoSuchKeyword y\nPort 5\n", "h", None), 5);
    why_not("NoSuchKeyword y\nIgnoreUnknown NoSuch*\n");
}

#[test]
fn what_is_not_honoured_is_listed_once_with_its_place() {
    let s = resolve(
        "PKCS11Provider x\nLogLevel DEBUG\nSendEnv A B\nVerifyHostKeyDNS no\nFingerprintHash md5\n\
         Match localnetwork 10.0.0.0/8\nMatch all\nPKCS11Provider y\n",
        &[],
        "h",
        None,
    )
    .unwrap();

    let listed: Vec<&str> = s.not_honoured.iter().map(|n| n.keyword.as_str()).collect();
    assert_eq!(listed, ["PKCS11Provider", "FingerprintHash", "Match localnetwork"]);
    assert!(s.not_honoured[0].at.ends_with("config:1"));
}
