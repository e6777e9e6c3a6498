//! What a file may say, and how mistakes in it are named.

use sterna_identity::{FolderRules, Method, Publish};
use sterna_server::defence::Overflow;

use super::*;
use crate::settings::schema::SECRETS;

const HASH: &str = "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrsSTxm+vJdIU1ZNA8BCSSzBvrGL9aPZjsnOeeFf0xw alice";

/// A folder with a `root` directory and a settings file.
fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    fs::write(dir.path().join("sterna.toml"), text).unwrap();
    dir
}

fn loaded(dir: &tempfile::TempDir) -> Result<Settings, Vec<String>> {
    load(&dir.path().join("sterna.toml")).map_err(|errors| {
        let folder = format!("{}/", dir.path().display());
        errors.iter().map(|error| error.to_string().replace(&folder, "")).collect()
    })
}

fn errors(text: &str) -> Vec<String> {
    loaded(&folder(text)).unwrap_err()
}

#[test]
fn the_smallest_useful_file_is_understood() {
    let dir = folder(&format!(
        "listen = [\"127.0.0.1:2022\", \":22\"]\nstate_dir = \"state\"\n\n[[user]]\nname = \"alice\"\n\
         root = \"root\"\npassword = \"{HASH}\"\nauthorized_keys = [\"{KEY}\"]\nread_only = true\n\
         methods = [\"publickey,password\"]\npublish = \"direct\"\n"
    ));

    let settings = loaded(&dir).unwrap();

    let addresses: Vec<_> = settings.listen.iter().map(|at| at.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:2022", "[::]:22"]);
    assert_eq!(settings.state_dir, Some(dir.path().join("state")));
    let alice = settings.users.user(b"alice").unwrap();
    assert_eq!(alice.root, dir.path().join("root"));
    assert!(alice.read_only);
    assert!(alice.password.is_some());
    assert_eq!(alice.authorized_keys.len(), 1);
    assert_eq!(alice.methods.len(), 1);
}

#[test]
fn users_may_live_one_a_file_and_paths_count_from_there() {
    let dir = folder("users_dir = 'users'\n");
    let users = dir.path().join("users");
    fs::create_dir(&users).unwrap();
    fs::create_dir(users.join("home")).unwrap();
    fs::write(users.join("keys"), format!("# mine\n{KEY}\nenvironment=\"A=1\" {KEY}\n")).unwrap();
    fs::write(users.join("bob.toml"), "root = 'home'\nauthorized_keys_file = 'keys'\n").unwrap();
    fs::write(users.join("bob.toml~"), "nonsense").unwrap();

    let settings = loaded(&dir).unwrap();

    let bob = settings.users.user(b"bob").unwrap();
    assert_eq!(bob.root, users.join("home"));
    assert_eq!(bob.authorized_keys.len(), 1);
    assert_eq!(settings.warnings.len(), 1);
    assert!(settings.warnings[0].contains("keys:3: option environment"), "{:?}", settings.warnings);
}

#[test]
fn a_name_in_two_files_is_named_with_both_places() {
    let user = format!("root = '.'\npassword = '{HASH}'\n");
    let dir = folder(&format!("users_dir = 'users'\n[[user]]\nname = 'bob'\n{user}"));
    fs::create_dir(dir.path().join("users")).unwrap();
    fs::write(dir.path().join("users/bob.toml"), user).unwrap();

    let errors = loaded(&dir).unwrap_err();

    let twice = "users/bob.toml:1: name: \"bob\" is there twice; first at sterna.toml:3";
    assert_eq!(errors, [twice]);
}

#[test]
fn a_user_who_could_never_log_in_is_a_mistake() {
    let said = errors("[[user]]\nname = 'a'\nroot = 'root'\n");

    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("sterna.toml:1: user.password: has neither"), "{said:?}");
}

#[test]
fn a_password_is_never_repeated_in_an_error() {
    let said = errors("[[user]]\nname='a'\nroot='root'\npassword='s3cret'\n");

    assert!(said[0].contains("hash-password"), "{said:?}");
    assert!(!said[0].contains("s3cret"), "{said:?}");
}

#[test]
fn a_file_that_is_not_text_names_the_line() {
    let dir = folder("");
    fs::write(dir.path().join("sterna.toml"), b"listen = []\n\xff\n").unwrap();

    assert_eq!(loaded(&dir).unwrap_err(), ["sterna.toml:2: not UTF-8"]);
}

/// The settings of one user, and of what stands before.
fn with_user(top: &str, user: &str) -> String {
    format!("{top}[[user]]\nname='a'\nroot='root'\n{user}\n")
}

/// Goal: each mistake is named by line and key, with words that help.
/// Method: a table of broken files, each with the one error that it has.
#[test]
fn every_mistake_is_named_with_line_key_and_reason() {
    let password = format!("password='{HASH}'");
    let good = |top: &str| with_user(top, &password);
    let user = |rest: &str| with_user("", &format!("{password}\n{rest}"));
    let unknown = "unknown key; `sterna config show --all` lists what there is";
    let no_host_based = "needs a [host_based] with the known_hosts_file of client hosts";
    for (text, error) in [
        (good("colour = 'red'\n"), format!("1: colour: {unknown}")),
        (good("[defence]\ncolour = 1\n"), format!("2: defence.colour: {unknown}")),
        (good("[defence.penalties]\nx = 1\n"), format!("2: defence.penalties.x: {unknown}")),
        (good("[group]\nname='g'\n"), "1: group: not an array of tables; write [[group]]".into()),
        (good("host_based = 3\n"), "1: host_based: not a table; write [host_based]".into()),
        (good("legacy = ['ssh-dss']\n"), "1: legacy: \"ssh-dss\" cannot be brought back, only \
          diffie-hellman-group14-sha1 and ssh-rsa".into()),
        (good("banner = \"a\\u001b[2J\"\n"),
         "1: banner: holds control characters, which terminals would obey".into()),
        (good("trusted_user_ca_keys = []\n"),
         "1: trusted_user_ca_keys: holds no key; leave it out to trust nobody's certificates".into()),
        (good("ca_signature_algorithms = [\n'ssh-rsa']\n"),
         "2: ca_signature_algorithms: \"ssh-rsa\" is none of ssh-ed25519, ecdsa-sha2-nistp256, \
          ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, sk-ssh-ed25519@openssh.com, \
          sk-ecdsa-sha2-nistp256@openssh.com, rsa-sha2-512, rsa-sha2-256".into()),
        (good("authorized_keys_command_timeout_s = 3\n"),
         "1: authorized_keys_command_timeout_s: there is no authorized_keys_command".into()),
        (good("[external_identity]\ntimeout_s = 3\n"),
         "1: external_identity: needs either a command or a url".into()),
        (good("[keyboard_interactive]\ncommand=['/bin/true']\ncache_s=1\n"),
         "3: keyboard_interactive.cache_s: answers of a person are never kept".into()),
        (good("[external_identity]\ncommand=['/bin/true']\ntoken_file='x'\n"),
         "3: external_identity.token_file: is for a url; there is a command".into()),
        (good("[defence]\nexempt = ['192.0.2.1/24']\n"),
         "2: defence.exempt: not an address or network such as \"192.0.2.0/24\"".into()),
        (good("[defence]\nlogin_grace_s = 0\n"),
         "2: defence.login_grace_s: not 1 to 3600 seconds".into()),
        (good("[defence]\nmax_auth_tries = 1000\n"),
         "2: defence.max_auth_tries: not 1 to 100 attempts".into()),
        (good("[defence]\nmax_startups = '10:0:100'\n"),
         "2: defence.max_startups: must be START:RATE:FULL, such as 10:30:100, with a rate of 1 to \
          100 percent and START not above FULL; or one number".into()),
        (good("[defence]\nper_source_max_startups = 0\n"),
         "2: defence.per_source_max_startups: not a number of connections from 1, or \"none\"".into()),
        (good("[defence.penalties]\nmax_s = 1\n"),
         "2: defence.penalties.max_s: min_s is above max_s: nobody would ever be refused".into()),
        (good("[defence.penalties]\noverflow = 'x'\n"),
         "2: defence.penalties.overflow: not \"permissive\" or \"deny-all\"".into()),
        (good("[[group]]\nread_only=true\n"), "1: group.name: is missing".into()),
        (good("[[group]]\nname='g'\n[[group]]\nname='g'\n"),
         "4: group.name: \"g\" is there twice".into()),
        (good("[[group]]\nname='g'\npassword='x'\n"),
         "3: group.password: belongs to a user, not to a group".into()),
        (good("[[group]]\nname='g'\nhours=['never']\n"),
         "3: group.hours: \"never\" is not like \"mon-fri 08:00-18:00\"".into()),
        (user("groups = ['g']"), "5: user.groups: there is no [[group]] \"g\"".into()),
        (user("principals = []"),
         "5: user.principals: is empty; leave the key out for the user's name alone".into()),
        (user("methods = []"), "5: user.methods: is empty; leave the key out to accept any method \
          that the user has".into()),
        (user("methods = ['telepathy']"),
         "5: user.methods: login methods: \"telepathy\" is not supported".into()),
        (user("methods = ['publickey']"),
         "5: user.methods: user \"a\": methods ask for publickey, but the user has none".into()),
        (user("methods = ['hostbased']"),
         "5: user.methods: user \"a\": methods ask for hostbased, but the user has none".into()),
        (user("host_based = ['h:u']"), format!("5: user.host_based: {no_host_based}")),
        (user("allow_from = ['office']"),
         "5: user.allow_from: \"office\" is no address and no network".into()),
        (user("allow_from = []"), "5: user.allow_from: is empty; leave the key out to let the user \
          come from anywhere".into()),
        (user("allow_from = ['!192.0.2.7']"),
         "5: user.allow_from: lets nobody in: say from where, such as \"*\"".into()),
        (user("hours = []"),
         "5: user.hours: is empty; use enabled = false to let the user in at no time".into()),
        (user("time_zone = 'Atlantis/Middle'"), "5: user.time_zone: not a time zone that this \
          machine knows, such as \"Europe/Berlin\"".into()),
        (user("expires = 12:00:00"), "5: user.expires: not a date, or a date and time".into()),
        (user("publish = 'later'"),
         "5: user.publish: neither \"direct\" nor \"on-close\"".into()),
        (user("[[user.folder]]\npath = 'in'\npublish = 'direct'"),
         "6: user.folder.path: not an absolute path, as the user sees it".into()),
        (user("[[user.folder]]\npath = '/a/../b'\npublish = 'direct'"),
         "6: user.folder.path: not a plain path: no dots in it".into()),
        (user("[[user.folder]]\npath = '/in'\npublish = 'soon'"),
         "7: user.folder.publish: neither \"direct\" nor \"on-close\"".into()),
        (user("[[user.folder]]\npublish = 'direct'"), "5: user.folder.path: is missing".into()),
        (user("[[user.folder]]\npath = '/in'"), "5: user.folder.publish: is missing".into()),
        (user("totp_secret = 'JBSWY'"),
         "5: user.totp_secret: TOTP secret: shorter than 80 bits".into()),
        (user("recovery_codes = ['x']\ntotp_secret = 'JBSWY3DPEHPK3PXP'"),
         "5: user.recovery_codes: recovery code: not sha256: and 64 hexadecimal digits".into()),
        (user("recovery_codes = []"), "5: user.recovery_codes: stand in for one-time codes, but \
          there is no totp_secret".into()),
        (with_user("", &format!("authorized_keys=['{KEY}']\nmust_change_password=true")),
         "5: user.must_change_password: there is no password to change".into()),
        (user("colour = 'red'"), format!("5: user.colour: {unknown}")),
    ] {
        assert_eq!(errors(&text), [format!("sterna.toml:{error}")], "{text}");
    }
}

#[test]
fn files_that_are_named_must_be_there_and_mean_something() {
    let password = format!("password='{HASH}'");
    for (top, user, key) in [
        ("revoked_keys_file = 'gone'\n", "", "revoked_keys_file"),
        ("revoked_keys_file = 'root'\n", "", "revoked_keys_file"),
        ("revoked_keys_file = 'text'\n", "", "revoked_keys_file"),
        ("trusted_user_ca_keys = 'gone'\n", "", "trusted_user_ca_keys"),
        ("trusted_user_ca_keys = 'text'\n", "", "trusted_user_ca_keys"),
        ("host_certificates = ['text']\n", "", "host_certificates"),
        ("[host_based]\nknown_hosts_file = ['gone']\n", "", "host_based.known_hosts_file"),
        ("", "authorized_keys_file = ['text', 'gone']", "user.authorized_keys_file"),
        ("[host_based]\n", "shosts_file = 'gone'", "user.shosts_file"),
        ("[host_based]\n", "known_hosts_file = 'gone'", "user.known_hosts_file"),
        ("authorized_keys_command = ['/nonexistent/keys']\n", "", "authorized_keys_command"),
        ("[external_identity]\ncommand = ['relative']\n", "", "external_identity.command"),
        ("[keyboard_interactive]\nurl = 'ftp://x'\n", "", "keyboard_interactive.url"),
    ] {
        let dir = folder(&with_user(top, &format!("{password}\n{user}")));
        fs::write(dir.path().join("text"), "no key\n").unwrap();

        let errors = load(&dir.path().join("sterna.toml")).unwrap_err();

        assert!(errors.iter().any(|error| error.key == key), "{key}: {errors:?}");
    }
}

/// Goal: every key of a user does what it says.
#[test]
fn every_key_of_a_user_is_understood() {
    let recovery = format!("sha256:{}", "0".repeat(64));
    let dir = folder(&with_user(
        "[host_based]\nknown_hosts_file = 'hosts'\ncheck_address = false\n",
        &format!(
            "password='{HASH}'\nmust_change_password=true\nauthorized_keys=['{KEY}']\n\
             authorized_keys_file=['keys', 'keys']\nprincipals=['a', 'b']\n\
             host_based=['Batch.Example.com.:erp']\nshosts_file='shosts'\nknown_hosts_file='hosts'\n\
             totp_secret='JBSWY3DPEHPK3PXP'\nrecovery_codes=['{recovery}']\n\
             methods=['publickey,keyboard-interactive', 'hostbased']\n\
             allow_from=['192.0.2.0/24', '!192.0.2.7']\nhours=['mon-fri 08:00-18:00']\n\
             time_zone='UTC'\nexpires=1970-01-02\nread_only=true\nenabled=false\npublish='on-close'\n\
             [[user.folder]]\npath='/scratch/'\npublish='direct'"
        ),
    ));
    fs::write(dir.path().join("hosts"), "# none\n").unwrap();
    fs::write(dir.path().join("shosts"), "host user\n").unwrap();
    fs::write(dir.path().join("keys"), format!("\nrestrict {KEY}\n")).unwrap();

    let settings = loaded(&dir).unwrap();

    let user = settings.users.user(b"a").unwrap();
    let line = |place: &Option<sterna_identity::Place>| place.as_ref().map(|place| place.line);
    assert_eq!(line(&user.place), Some(4));
    assert!(user.password.is_some() && user.must_change_password);
    let keys: Vec<_> = user.authorized_keys.iter().map(|key| line(&key.place)).collect();
    assert_eq!(keys, [Some(9), Some(2), Some(2)]);
    assert_eq!(user.principals, ["a", "b"]);
    assert_eq!(user.host_based[0].host, "batch.example.com");
    assert_eq!((&*user.host_based[0].user, line(&user.host_based[0].place)), ("erp", Some(12)));
    assert!(user.shosts.is_some() && user.known_hosts.is_some());
    assert!(user.totp.is_some());
    assert_eq!(user.recovery_codes.len(), 1);
    assert_eq!(user.methods[0].steps(), [Method::PublicKey, Method::KeyboardInteractive]);
    let from =
        |address: &str| user.allow_from.as_ref().unwrap().allows(address.parse().unwrap(), None);
    assert!(from("192.0.2.8") && !from("192.0.2.7") && !from("198.51.100.1"));
    // 2024-01-01 was a Monday.
    let hours = user.hours.as_ref().unwrap();
    assert!(hours.contain(1_704_067_200 + 9 * 3600) && !hours.contain(1_704_067_200));
    assert_eq!(user.expires, Some(86_400));
    assert!(user.read_only && !user.enabled);
    assert_eq!(user.publish, Publish::OnClose);
    let scratch = FolderRules { path: "/scratch".into(), publish: Publish::Direct };
    assert_eq!(user.folders, [scratch]);
    assert!(!settings.users.rules().host_based.as_ref().unwrap().check_address);
}

#[test]
fn every_key_for_all_users_is_understood() {
    let dir = folder(&with_user(
        &format!(
            "banner = 'hello'\nlegacy = ['ssh-rsa', 'diffie-hellman-group14-sha1']\n\
             trusted_user_ca_keys = [\n'{KEY}']\nca_signature_algorithms = ['ssh-ed25519']\n\
             revoked_keys_file = 'revoked'\n\
             [defence]\nexempt = ['127.0.0.0/8', '::1']\nlogin_grace_s = 30\nmax_startups = 5\n\
             per_source_max_startups = 'none'\nper_source_net_block_size = '24:48'\n\
             max_auth_tries = 3\npenalties.overflow = 'deny-all'\npenalties.auth_failed_s = 7\n"
        ),
        "",
    ));
    fs::write(dir.path().join("revoked"), format!("{KEY}\n")).unwrap();

    let settings = loaded(&dir).unwrap();

    assert_eq!(settings.banner.as_deref(), Some("hello\n"));
    let mut algorithms = Algorithms::default();
    settings.legacy.allow_in(&mut algorithms);
    assert_eq!(algorithms.kex.last().unwrap(), "diffie-hellman-group14-sha1");
    assert_eq!(algorithms.user_keys.last().unwrap(), "ssh-rsa");
    assert_eq!(algorithms.host_key, Algorithms::default().host_key);
    let rules = settings.users.rules();
    assert_eq!(rules.user_authorities[0].place.as_ref().unwrap().line, 4);
    assert_eq!(rules.ca_signature_algorithms, ["ssh-ed25519"]);
    assert_eq!(rules.revoked.as_ref().unwrap().place.as_ref().unwrap().line, 6);
    let defence = settings.defence;
    assert_eq!(defence.exempt.len(), 2);
    assert_eq!(defence.login_grace.as_secs(), 30);
    assert_eq!(defence.max_startups.to_string(), "5:100:5");
    assert_eq!(defence.per_source_max_startups, None);
    assert_eq!(defence.per_source_net_block_size.to_string(), "24:48");
    assert_eq!(defence.max_auth_tries, 3);
    let penalties = defence.per_source_penalties.unwrap();
    assert_eq!(penalties.overflow, Overflow::DenyAll);
    assert_eq!(penalties.auth_failed.as_secs(), 7);
    // Whose certificates are taken needs nothing else to log in.
    assert_eq!(settings.users.chains(settings.users.user(b"a").unwrap()).len(), 1);

    let off = folder(&with_user("trusted_user_ca_keys='cas'\n[defence]\npenalties=false\n", ""));
    fs::write(off.path().join("cas"), format!("# ours\n\n{KEY}\n")).unwrap();
    let off = loaded(&off).unwrap();
    assert_eq!(off.defence.per_source_penalties, None);
    assert_eq!(off.users.rules().user_authorities[0].place.as_ref().unwrap().line, 3);
}

#[test]
fn a_users_own_value_wins_then_the_first_group_that_has_one() {
    let text = format!(
        "[[group]]\nname='night'\nhours=['22:00-06:00']\nread_only=true\n\
         [[group]]\nname='partners'\nhours=['mon']\nallow_from=['192.0.2.0/24']\nenabled=false\n\
         time_zone='UTC'\n\
         [[user]]\nname='a'\nroot='root'\npassword='{HASH}'\ngroups=['night','partners']\n\
         [[user]]\nname='b'\nroot='root'\npassword='{HASH}'\ngroups=['partners','night']\n\
         enabled=true\nallow_from=['198.51.100.0/24']\n"
    );

    let users = loaded(&folder(&text)).unwrap().users;

    // 2024-01-01 was a Monday; in which hours is the first minute of it, and noon?
    let (midnight, noon) = (1_704_067_200, 1_704_067_200 + 12 * 3600);
    let (a, b) = (users.user(b"a").unwrap(), users.user(b"b").unwrap());
    let within = |hours: &Option<sterna_identity::Hours>, now| hours.as_ref().unwrap().contain(now);
    assert!(within(&a.hours, midnight) && !within(&a.hours, noon));
    assert!(within(&b.hours, midnight) && within(&b.hours, noon));
    assert!(a.read_only && b.read_only);
    assert!(!a.enabled && b.enabled);
    let from = |user: &sterna_identity::User, address: &str| {
        user.allow_from.as_ref().unwrap().allows(address.parse().unwrap(), None)
    };
    assert!(from(a, "192.0.2.1") && !from(b, "192.0.2.1") && from(b, "198.51.100.1"));
    assert_eq!(a.groups, ["night", "partners"]);
}

#[test]
fn files_that_others_may_write_are_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = folder(&with_user("", "authorized_keys_file = 'keys/alice'"));
    let keys = dir.path().join("keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("alice"), format!("{KEY}\n")).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (file, directory, settings, warnings) in [
        (0o644, 0o755, 0o600, 0),
        (0o664, 0o755, 0o600, 1),
        (0o644, 0o777, 0o600, 1),
        (0o644, 0o1777, 0o600, 0),
        (0o644, 0o755, 0o646, 1),
    ] {
        mode(&keys.join("alice"), file);
        mode(&keys, directory);
        mode(&dir.path().join("sterna.toml"), settings);

        let said = loaded(&dir).unwrap().warnings;

        assert_eq!(said.len(), warnings, "{file:o} {directory:o} {settings:o}: {said:?}");
    }
}

#[test]
fn a_secret_of_the_wrong_type_is_not_quoted() {
    for key in SECRETS {
        let said = errors(&with_user("", &format!("{key} = 271828")));

        assert_eq!(said.len(), 1, "{said:?}");
        assert!(!said[0].contains("271828"), "{said:?}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_all_told_at_once() {
    let said = errors("listen=3\ncolour=1\n[defence]\nexempt=1\nx=2\n[[user]]\nname=1\nroot=2\n");

    let places: Vec<_> = said.iter().map(|e| e.split(": ").take(2).collect::<Vec<_>>()).collect();
    assert_eq!(
        places,
        [
            ["sterna.toml:1", "listen"],
            ["sterna.toml:2", "colour"],
            ["sterna.toml:4", "defence.exempt"],
            ["sterna.toml:5", "defence.x"],
            ["sterna.toml:7", "user.name"],
            ["sterna.toml:8", "user.root"],
        ]
    );
}

#[test]
fn a_record_from_outside_is_judged_like_a_user_of_the_settings() {
    let dir = folder("");
    let text = "[[group]]\nname='g'\nread_only=true\nexpires=1970-01-02T00:00:00Z\n".to_owned();
    let source = Source::new(&dir.path().join("sterna.toml"), text);
    let files = Files::on_disk();
    let mut check = Check::new(&files);
    let groups = check.tables(&source).unwrap().groups;
    check.groups(&source, groups);
    let make = check.make_user(&source);

    let record = serde_json::json!({
        "root": "root", "groups": ["g"], "authorized_keys": [KEY], "time_zone": "UTC",
    });
    let user = make("alice", record).unwrap();
    assert_eq!((&*user.name, user.root), ("alice", dir.path().join("root")));
    assert!(user.read_only);
    assert_eq!((user.expires, user.authorized_keys.len()), (Some(86_400), 1));
    // The program itself vouches for whoever has nothing here.
    let expires = make("bob", serde_json::json!({"root": "root", "expires": "1970-01-03"}));
    assert!(expires.unwrap().expires.is_some());

    for (record, why) in [
        (serde_json::json!({}), "user.root: is missing"),
        (serde_json::json!({"root": "root", "colour": 1}), "user.colour: unknown key"),
        (serde_json::json!({"root": "root", "groups": ["h"]}), "user.groups: there is no"),
        (serde_json::json!({"root": "root", "hours": ["never"]}), "user.hours: "),
        (
            serde_json::json!({"root": "root", "password": 271_828}),
            "user.password: is not of the type",
        ),
        (serde_json::json!("root"), ""),
        (serde_json::json!({"root": null}), ""),
    ] {
        let said = make("alice", record.clone()).unwrap_err();
        assert!(said.starts_with(why) && !said.contains("271828"), "{record}: {said}");
    }
}

mod any_text {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::effective::keys_in;

    fn key() -> impl Strategy<Value = String> {
        let tables = ["", "host_based", "external_identity", "defence", "user", "group"];
        let known: Vec<&str> = tables.iter().flat_map(|name| keys_in(name)).collect();
        prop_oneof![9 => proptest::sample::select(known).prop_map(str::to_owned), 1 => "[a-z_.\"]{1,8}"]
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("true".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            Just("2030-12-31".to_owned()),
            Just("[['x'], 1, {a = 1}]".to_owned()),
            Just("{ x = 1, overflow = 'x' }".to_owned()),
            "'[a-z0-9:,!*$./ -]{0,20}'",
            "\\['[a-z0-9:,!*$./-]{0,20}', '[a-z]{0,3}'\\]",
            "[\\PC]{0,12}",
        ]
    }

    fn line() -> impl Strategy<Value = String> {
        const HEADERS: &[&str] = &[
            "[[user]]",
            "[[group]]",
            "[defence]",
            "[host_based]",
            "[external_identity]",
            "[user]",
        ];
        prop_oneof![
            1 => proptest::sample::select(HEADERS).prop_map(str::to_owned),
            4 => (key(), value()).prop_map(|(key, value)| format!("{key} = {value}")),
            1 => Just("[[user]]\nname = 'a'\nroot = 'root'".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        /// Goal: no text makes the loader panic or point outside of it.
        #[test]
        fn is_loaded_or_refused_with_places(lines in proptest::collection::vec(line(), 0..12)) {
            let text = lines.join("\n");
            let dir = folder(&text);
            let path = dir.path().join("sterna.toml");

            if let Err(errors) = load(&path) {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert_eq!(&error.file, &path);
                    let lines = 1 + text.matches('\n').count();
                    prop_assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)));
                    prop_assert!(!error.why.is_empty());
                }
            }
        }
    }
}
