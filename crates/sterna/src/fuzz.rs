//! Text that people and other programs write, with seeded changes: none of it may cause a panic (`testkit::fuzz`).
//!
//! Not here: requests for figures (`commands/serve/metrics.rs`).

use std::path::PathBuf;

use sterna_testkit::fuzz::each_of;

use crate::control::{Reply, Request};
use crate::settings::{Files, load_from};
use crate::shell::line;

const SETTINGS: [&str; 2] = [
    "listen = ['127.0.0.1:2022', ':22']\nstate_dir = 'state'\nbanner = 'hello'\nstrict_algorithms = true\n\
     legacy = ['ssh-rsa']\nkeep_unfinished_days = 7\n\
     [defence]\nexempt = ['127.0.0.0/8', '::1']\nlogin_grace_s = 60\n\
     [[group]]\nname = 'g'\nmethods = ['publickey,password', 'hostbased']\nallow_from = ['203.0.113.0/24']\n\
     hours = ['mon-fri 06:00-22:00']\ntime_zone = 'UTC'\n\
     [[user]]\nname = 'a'\nroot = '/srv/a'\ngroups = ['g']\nread_only = true\nexpires = 2030-12-31\n\
     authorized_keys = ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2ePWtmpHDPjlcFzkxVN7xCYYZbWrWyHBKIKBOEzjM3 x']\n",
    "[host_based]\ncheck_address = false\nknown_hosts_file = ['h ssh-ed25519 AAAA']\n\
     [[user]]\nname = \"b\"\nroot = \"r\"\npublish = 'on-close'\ntotp_secret = 'JBSWY3DPEHPK3PXP'\n\
     password = '$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAA'\nhost_based = ['h:u']\n\
     principals = ['b', 'c']\nmethods = [\"password\"]\n[user.umask]\n",
];

const LINES: [&str; 8] = [
    "get -afR \"a b\"/*.txt 'c d'",
    "put -P x y # no comment",
    "-@ls -la1hnrtS \"dir\"",
    "chmod 0644 a\\ b",
    "symlink -s 'it'\"'\"'s' x",
    "lls -l | sort",
    "! echo hello",
    "rename \"\\\"\" \\?",
];

/// What commands, servers and successors say to each other.
const MESSAGES: [&str; 10] = [
    r#"{"command":"reload","file":null}"#,
    r#"{"command":"lift","sources":"192.0.2.0/24"}"#,
    r#"{"command":"kick","which":{"user":"ann"},"why":"enough"}"#,
    r#"{"command":"kick","which":"all","why":"\u001b\n"}"#,
    r#"{"command":"serving","pid":7}"#,
    r#"{"command":"hand-over"}"#,
    r#"{"reply":"hand-over","pid":4294967295}"#,
    r#"{"reply":"left","sessions":3}"#,
    r#"{"reply":"mistakes","mistakes":[{"file":"f","line":1,"key":"k","why":"w"}]}"#,
    r#"{"reply":"sessions","sessions":[{"id":"1","pid":1,"user":"a","source":"::1","login":["password"],
        "client":"x","since":1,"lasts_s":1,"idle_s":0,"bytes_in":1,"bytes_out":18446744073709551615,
        "open_files":1,"moving":[{"path":"/a","direction":"both","bytes":1,"bytes_per_s":1}]}]}"#,
];

#[test]
fn messages_of_the_control_socket_are_read_or_refused() {
    let seeds = MESSAGES.map(|text| text.as_bytes().to_vec());
    for seed in &seeds {
        let read = (serde_json::from_slice::<Request>(seed), serde_json::from_slice::<Reply>(seed));
        assert!(read.0.is_ok() != read.1.is_ok(), "{}", seed.escape_ascii());
    }
    each_of(&seeds, 20_000, |text| {
        // What is read is written so that it is read again, on one line.
        if let Ok(request) = serde_json::from_slice::<Request>(text) {
            let line = serde_json::to_vec(&request).unwrap();
            assert!(!line.contains(&b'\n'));
            assert_eq!(serde_json::from_slice::<Request>(&line).unwrap(), request);
        }
        if let Ok(reply) = serde_json::from_slice::<Reply>(text) {
            let line = serde_json::to_vec(&reply).unwrap();
            assert!(!line.contains(&b'\n'));
            assert_eq!(serde_json::from_slice::<Reply>(&line).unwrap(), reply);
        }
    });
}

#[test]
fn settings_of_any_text_are_read_or_refused() {
    let seeds = SETTINGS.map(|text| text.as_bytes().to_vec());
    each_of(&seeds, 1500, |text| {
        let path = PathBuf::from("/nowhere/sterna.toml");
        let files = Files::with(path.clone(), text.to_vec());
        if let Err(errors) = load_from(&path, &files) {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(!error.to_string().is_empty());
            }
        }
    });
}

#[test]
fn lines_of_the_shell_are_understood_or_refused() {
    let seeds = LINES.map(|text| text.as_bytes().to_vec());
    each_of(&seeds, 20_000, |text| {
        if let Err(why) = line::parse(text) {
            assert!(!why.is_empty());
        }
    });
}
