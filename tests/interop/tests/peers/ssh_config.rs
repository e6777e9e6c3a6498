//! Our reading of ssh_config(5) beside OpenSSH's: `ssh -G` says what it makes of the same texts.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sterna_client::ssh_config::{
    AddKeys, AddressFamily, ConfigSource, HostSettings, Proxy, PubkeyAuthentication, UpdateHostKeys,
};
use sterna_client::{Destination, StrictHostKeyChecking};
use sterna_interop::binary::has_peer;
use sterna_testkit::processes::run;

/// What `ssh -G` prints, in order; a keyword may come several times. `None` if it refuses the text.
struct Openssh(Option<Vec<(String, String)>>);

impl Openssh {
    fn read(arguments: &[String]) -> Self {
        let mut ssh = Command::new("ssh");
        let done = run(ssh.arg("-G").args(arguments), b"", Duration::from_secs(30));
        if !done.success() {
            return Self(None);
        }
        let text = String::from_utf8(done.stdout).unwrap();
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            (key.to_owned(), value.to_owned())
        };
        Self(Some(text.lines().map(pair).collect()))
    }

    fn all(&self, key: &str) -> Vec<String> {
        let lines = self.0.iter().flatten().filter(|(k, _)| k == key);
        lines.map(|(_, value)| value.clone()).collect()
    }

    /// Yes and no have two names each.
    fn one(&self, key: &str) -> String {
        match self.all(key).first().map(String::as_str) {
            Some("true") => "yes".to_owned(),
            Some("false") => "no".to_owned(),
            value => value.unwrap_or_default().to_owned(),
        }
    }
}

fn yes(on: bool) -> String {
    if on { "yes" } else { "no" }.to_owned()
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// Our settings in the words of `ssh -G`.
fn in_words(s: &HostSettings) -> Vec<(&'static str, String)> {
    let strict = match s.strict_host_key_checking {
        StrictHostKeyChecking::Yes => "yes",
        StrictHostKeyChecking::No => "no",
        StrictHostKeyChecking::Ask => "ask",
        StrictHostKeyChecking::AcceptNew => "accept-new",
    };
    let update = match s.update_host_keys {
        UpdateHostKeys::Yes => "yes",
        UpdateHostKeys::No => "no",
        UpdateHostKeys::Ask => "ask",
    };
    let public_keys = match s.pubkey_authentication {
        PubkeyAuthentication::On => "yes",
        PubkeyAuthentication::Off => "no",
        PubkeyAuthentication::Unbound => "unbound",
        PubkeyAuthentication::HostBound => "host-bound",
    };
    let lifetime = s.add_keys_to_agent.lifetime.map(|t| t.as_secs());
    let add_keys = match (s.add_keys_to_agent.when, s.add_keys_to_agent.confirm, lifetime) {
        (AddKeys::Never, ..) => "no".to_owned(),
        (AddKeys::Ask, ..) => "ask".to_owned(),
        (AddKeys::Always, true, None) => "confirm".to_owned(),
        (AddKeys::Always, true, Some(t)) => format!("confirm {t}"),
        (AddKeys::Always, false, Some(t)) => t.to_string(),
        (AddKeys::Always, false, None) => "yes".to_owned(),
    };
    let family = match s.address_family {
        AddressFamily::Any => "any",
        AddressFamily::V4 => "inet",
        AddressFamily::V6 => "inet6",
    };
    let command = match &s.proxy {
        Proxy::Command(command) => command.clone(),
        Proxy::Direct | Proxy::Jump(_) => String::new(),
    };
    let rekey = (s.rekey_bytes.unwrap_or(0), s.rekey_time.map_or(0, |t| t.as_secs()));
    vec![
        ("hostname", s.host.clone()),
        ("user", s.user.clone()),
        ("port", s.port.to_string()),
        ("addressfamily", family.to_owned()),
        ("batchmode", yes(s.batch_mode)),
        ("bindaddress", s.bind_address.clone().unwrap_or_default()),
        ("bindinterface", s.bind_interface.clone().unwrap_or_default()),
        ("checkhostip", yes(s.check_host_ip)),
        ("compression", yes(s.compression)),
        ("connectionattempts", s.connection_attempts.to_string()),
        ("tcpkeepalive", yes(s.tcp_keep_alive)),
        ("serveralivecountmax", s.server_alive_count_max.to_string()),
        ("rekeylimit", format!("{} {}", rekey.0, rekey.1)),
        ("userknownhostsfile", list(&s.user_known_hosts)),
        ("globalknownhostsfile", list(&s.global_known_hosts)),
        ("hostkeyalias", s.host_key_alias.clone().unwrap_or_default()),
        ("stricthostkeychecking", strict.to_owned()),
        ("hashknownhosts", yes(s.hash_known_hosts)),
        ("updatehostkeys", update.to_owned()),
        ("nohostauthenticationforlocalhost", yes(s.no_host_authentication_for_localhost)),
        ("identitiesonly", yes(s.identities_only)),
        ("pubkeyauthentication", public_keys.to_owned()),
        ("passwordauthentication", yes(s.password_authentication)),
        ("kbdinteractiveauthentication", yes(s.kbd_interactive_authentication)),
        ("kbdinteractivedevices", s.kbd_interactive_devices.join(",")),
        ("hostbasedauthentication", yes(s.hostbased_authentication)),
        ("enablesshkeysign", yes(s.enable_ssh_keysign)),
        ("numberofpasswordprompts", s.password_prompts.to_string()),
        ("addkeystoagent", add_keys),
        ("proxycommand", command),
    ]
}

/// Texts that both must understand in the same way, or both refuse.
const TEXTS: &[&str] = &[
    "",
    "Port 2022\nHost h\n  User bob\n  Port 1\n",
    "host=h\nhostname=other.example\nUSER=\"a b\"\n",
    "Host *.lab !secret.lab\n  HostName %h.example.org\n",
    "Host H\n Port 5\nHost h\n Port 6\n",
    "HostName %h.%h\nMatch host h.h\n  User matched\n",
    "HostName ABC.Example\nHostKeyAlias FooBar\n",
    "Match originalhost H,x host *\n  Port 7\n",
    "Match user root,bob\n  Port 7\nMatch !user bob\n  Compression yes\n",
    "Match !host h\n  Port 9\nMatch host=h user = bob\n  Port 10\n",
    "Match exec \"test %n = h\"\n  Port 7\nMatch exec false\n  User never\n",
    "Match final\n  Port 5\n  HostName z\nHost *\n  User all\n",
    "Match !final\n  User first\nMatch final all\n  Port 5\n",
    "Match canonical\n  Port 5\n",
    "CanonicalizeHostname yes\nMatch canonical\n  Port 5\nMatch final\n  User x\n",
    "Match host h all\n  Port 8\n",
    "Match all host h\n",
    "Match\n",
    "Match nonsense x\n",
    "Match host\n",
    "IdentityFile ~/a\nIdentityFile 'b c'\nIdentityFile d\\ e # comment\nIdentityFile ~/a\n",
    "IdentityFile /x\nMatch final\n  IdentityFile /y\n  IdentityFile /x\n",
    "CertificateFile ~/c1\nCertificateFile /c2\nIdentitiesOnly yes\n",
    "UserKnownHostsFile ~/a %d/b /c-%h-%p-%n-%u-%%\nGlobalKnownHostsFile /g /g2\n",
    "UserKnownHostsFile none\n",
    "UserKnownHostsFile none x\n",
    "UserKnownHostsFile /k\nUpdateHostKeys yes\n",
    "UpdateHostKeys ask\nStrictHostKeyChecking accept-new\n",
    "StrictHostKeyChecking off\n",
    "ProxyJump a,u@[::1]:2,ssh://v@b:99\n",
    "ProxyJump a # comment\nProxyCommand nc x 1\n",
    "ProxyCommand nc x 1 # not a comment\nProxyJump a\n",
    "ProxyCommand none\nProxyJump a\n",
    "ProxyJump none\nProxyJump a\n",
    "ProxyJump none\nProxyCommand x\n",
    "PreferredAuthentications hostbased,publickey\nPubkeyAuthentication host-bound\n",
    "ChallengeResponseAuthentication no\nPasswordAuthentication no\nKbdInteractiveDevices a,b\n",
    "HostbasedAuthentication yes\nEnableSSHKeysign yes\nNumberOfPasswordPrompts 1\n",
    "AddKeysToAgent confirm 5m\n",
    "AddKeysToAgent confirm\n",
    "AddKeysToAgent 1h30m\nAddKeysToAgent no\n",
    "AddKeysToAgent ask\n",
    "AddKeysToAgent yes 5m\n",
    "RekeyLimit 1M 1h\nConnectionAttempts 3\nServerAliveCountMax 9\nTCPKeepAlive no\n",
    "RekeyLimit default none\n",
    "RekeyLimit 8\n",
    "AddressFamily inet6\nBindAddress ::1\nBindInterface lo\nCheckHostIP yes\n",
    "HashKnownHosts yes\nNoHostAuthenticationForLocalhost yes\nCompression yes\n",
    "Include INCLUDED\nPort 9\n",
    "Host h\n  Include INCLUDED\n  User after\n",
    "Host other\n  Include INCLUDED\nHost h\n  User after\n",
    "Include /no/such/*\nPort 9\n",
    "NoSuchKeyword x\n",
    "IgnoreUnknown NoSuch*\nNoSuchKeyword x\nPort 9\n",
    "Host other\n  NoSuchKeyword x\n",
    "Host other\n  Port many\n",
    "Port 22 23\n",
    "Port\n",
    "Port 0\n",
    "Port 77#x\n",
    "IdentityFile \"open\n",
    "BatchMode maybe\n",
    "NumberOfPasswordPrompts -1\n",
    "PreferredAuthentications a, b\n",
    "IdentityAgent $A-B\n",
    "SendEnv A B\nSetEnv A=b\nForwardAgent yes\nLogLevel DEBUG\nIPQoS af21 cs1\nControlMaster auto\n",
    "Protocol 2\nCipher x\nUseRoaming no\n",
];

#[test]
fn we_read_configurations_as_openssh_does() {
    if !has_peer("ssh") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (file, included) = (directory.path().join("config"), directory.path().join("included"));
    fs::write(&included, "Host h\n  Compression yes\nHost nobody\n  Port 1\n").unwrap();
    // OpenSSH takes the home directory of the account, whatever the environment says.
    let known = Openssh::read(&["-F", "none", "h"].map(str::to_owned)).one("userknownhostsfile");
    let home = PathBuf::from(known.split("/.ssh/").next().unwrap());

    let mut wrong = Vec::new();
    for (text, user) in TEXTS.iter().flat_map(|text| [(text, "bob"), (text, "")]) {
        let text = text.replace("INCLUDED", included.to_str().unwrap());
        fs::write(&file, &text).unwrap();
        let mut arguments = vec!["-F".to_owned(), file.display().to_string()];
        if !user.is_empty() {
            arguments.extend(["-l".to_owned(), user.to_owned()]);
        }
        arguments.push("h".to_owned());
        let openssh = Openssh::read(&arguments);
        let source = ConfigSource {
            file: Some(file.clone()),
            home: Some(home.clone()),
            ..ConfigSource::default()
        };
        let ours = source.resolve("h", Some(user).filter(|u| !u.is_empty()), None);

        let ours = match (&ours, &openssh.0) {
            (Err(_), None) => continue,
            (Ok(ours), Some(_)) => ours,
            (Ok(_), None) => {
                wrong.push(format!("{text:?}: only OpenSSH refuses it"));
                continue;
            }
            (Err(error), Some(_)) => {
                wrong.push(format!("{text:?}: only we refuse it: {error}"));
                continue;
            }
        };
        let mut compare = |what: &str, ours: String, theirs: String| {
            if ours != theirs {
                wrong.push(format!("{text:?}: {what}: ours {ours:?}, OpenSSH's {theirs:?}"));
            }
        };
        for (key, ours) in in_words(ours) {
            // Unset is `none` for some.
            let theirs = Some(openssh.one(key)).filter(|v| v != "none").unwrap_or_default();
            compare(key, ours, theirs);
        }
        let expanded = |key: &str| {
            let paths = openssh.all(key).into_iter().map(|path| match path.strip_prefix("~/") {
                Some(below) => home.join(below),
                None => PathBuf::from(path),
            });
            // Kinds of keys that we do not speak are not among our defaults.
            let gone = ["id_xmss", "id_dsa"];
            let paths = paths.filter(|path| !gone.iter().any(|name| path.ends_with(name)));
            list(&paths.collect::<Vec<_>>())
        };
        compare("identityfile", list(&ours.identity_files), expanded("identityfile"));
        compare("certificatefile", list(&ours.certificate_files), expanded("certificatefile"));
        let theirs = openssh.one("proxyjump");
        let hops = theirs.split(',').filter(|hop| !hop.is_empty());
        let hops: Vec<Destination> = hops.map(|hop| Destination::parse_hop(hop).unwrap()).collect();
        let ours_hops = match &ours.proxy {
            Proxy::Jump(hops) => hops.clone(),
            Proxy::Direct | Proxy::Command(_) => Vec::new(),
        };
        compare("proxyjump", format!("{ours_hops:?}"), format!("{hops:?}"));
        let methods = openssh.one("preferredauthentications");
        if !methods.is_empty() {
            compare("preferredauthentications", ours.preferred_authentications.join(","), methods);
        }
    }

    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
