//! Reads ssh_config lines and options for one host and turns them into [`HostSettings`].

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    AddressFamily, AlgorithmChange, HostSettings, PubkeyAuthentication, UpdateHostKeys,
    pattern_list_matches, wildcard_match,
};
use crate::Error;
use crate::host_key::StrictHostKeyChecking;
use crate::limits::{CONFIG_FILE_LEN_MAX, CONFIG_INCLUDE_DEPTH_MAX, CONFIG_INCLUDE_FILES_MAX};

/// Where settings come from, in order of weight.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// `KEY=VALUE` or `KEY VALUE`, as `-o` takes them.
    pub options: Vec<String>,
    /// `-F`: only this file (it must exist); `none` reads no file. Unset: the two usual files.
    pub file: Option<PathBuf>,
    /// The user's home directory; `$HOME` if unset.
    pub home: Option<PathBuf>,
}

impl ConfigSource {
    /// Everything that holds for `alias`, for a user named by the destination or not.
    ///
    /// # Errors
    /// [`Error::Usage`] for a line that cannot be understood (with file and line), an unreadable
    /// `-F` file, or a keyword that we must not ignore (`ProxyJump`, `ProxyCommand`).
    pub fn resolve(
        &self,
        alias: &str,
        user: Option<&str>,
        port: Option<u16>,
    ) -> Result<HostSettings, Error> {
        let home = self.home.clone().or_else(|| std::env::var_os("HOME").map(PathBuf::from));
        let local_user = local_user();
        let mut reader = ConfigReader {
            alias,
            user,
            local_user: &local_user,
            home: home.as_deref(),
            values: HashMap::new(),
            identity_files: Vec::new(),
            not_honoured: Vec::new(),
            included: 0,
        };
        for option in &self.options {
            let (key, value) = split_line(option)
                .ok_or_else(|| Error::Usage(format!("-o {option}: no KEY=VALUE")))?;
            reader.take(&key.to_ascii_lowercase(), value, &|| format!("-o {key}"))?;
        }
        match &self.file {
            Some(file) if file.as_os_str() == "none" => {}
            Some(file) => reader.read_file(file, true, true, 0)?,
            None => {
                if let Some(home) = &home {
                    reader.read_file(&home.join(".ssh/config"), true, false, 0)?;
                }
                reader.read_file(Path::new("/etc/ssh/ssh_config"), false, false, 0)?;
            }
        }
        reader.finish(port)
    }
}

/// Keywords with an effect here.
const HONOURED: &[&str] = &[
    "addressfamily",
    "batchmode",
    "casignaturealgorithms",
    "certificatefile",
    "ciphers",
    "compression",
    "connecttimeout",
    "enablesshkeysign",
    "globalknownhostsfile",
    "hashknownhosts",
    "hostbasedacceptedalgorithms",
    "hostbasedauthentication",
    "hostkeyalgorithms",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "macs",
    "numberofpasswordprompts",
    "passwordauthentication",
    "port",
    "preferredauthentications",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
    "rekeylimit",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "updatehostkeys",
    "user",
    "userknownhostsfile",
];

/// Keywords whose meaning we fulfil anyway or that cannot matter to an SFTP client.
const HARMLESS: &[&str] = &[
    "loglevel",
    "sendenv",
    "setenv",
    "forwardx11",
    "forwardx11trusted",
    "forwardagent",
    "requesttty",
    "visualhostkey",
    "tcpkeepalive",
    "checkhostip",
    "ipqos",
    "escapechar",
    "localforward",
    "remoteforward",
    "dynamicforward",
    "clearallforwardings",
    "exitonforwardfailure",
    "permitlocalcommand",
    "addkeystoagent",
    "ignoreunknown",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "gssapikeyexchange",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "fingerprinthash",
    "nohostauthenticationforlocalhost",
    "verifyhostkeydns",
    "usekeychain",
    "tag",
    "protocol",
    "stdinnull",
    "sessiontype",
    "forkafterauthentication",
    "xauthlocation",
    "obscurekeystroketiming",
    "enableescapecommandline",
    "logverbose",
    "syslogfacility",
    "connectionattempts",
    "canonicalizehostname",
    "warnweakcrypto",
    "requiredrsasize",
];

/// Keywords that say where the connection goes: ignoring them would connect somewhere else.
const MUST_NOT_IGNORE: &[&str] =
    &["proxyjump", "proxycommand", "proxyusefdpass", "bindaddress", "bindinterface"];

struct ConfigReader<'c> {
    alias: &'c str,
    user: Option<&'c str>,
    local_user: &'c str,
    home: Option<&'c Path>,
    values: HashMap<String, String>,
    identity_files: Vec<String>,
    not_honoured: Vec<String>,
    included: usize,
}

impl ConfigReader<'_> {
    fn read_file(
        &mut self,
        path: &Path,
        of_user: bool,
        must_exist: bool,
        depth: usize,
    ) -> Result<(), Error> {
        let mut text = String::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(CONFIG_FILE_LEN_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if !must_exist && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => {
                let why = crate::error::io_reason(&error);
                return Err(Error::Usage(format!("{}: {why}", path.display())));
            }
        }
        // Lines above the first Host or Match hold for every host.
        let mut active = true;
        for (number, line) in text.lines().enumerate() {
            let at = || format!("{}:{}", path.display(), number + 1);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) =
                split_line(line).ok_or_else(|| Error::Usage(format!("{}: no value", at())))?;
            match key.to_ascii_lowercase().as_str() {
                "host" => {
                    let words = words(value);
                    active = pattern_list_matches(words.iter().map(String::as_str), self.alias);
                }
                "match" => active = self.match_line(value, &at)?,
                _ if !active => {}
                "include" => self.include(value, of_user, depth, &at)?,
                key => self.take(key, value, &at)?,
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        value: &str,
        of_user: bool,
        depth: usize,
        at: &dyn Fn() -> String,
    ) -> Result<(), Error> {
        if depth >= CONFIG_INCLUDE_DEPTH_MAX {
            return Err(Error::Usage(format!("{}: Include is nested too deep", at())));
        }
        for word in words(value) {
            let path = self.expand_tilde(&word);
            let path = match (path.is_absolute(), of_user) {
                (true, _) => path,
                (false, true) => self.home.unwrap_or(Path::new("/")).join(".ssh").join(path),
                (false, false) => Path::new("/etc/ssh").join(path),
            };
            for file in files_matching(&path) {
                self.included += 1;
                if self.included > CONFIG_INCLUDE_FILES_MAX {
                    return Err(Error::Usage(format!("{}: Include names too many files", at())));
                }
                self.read_file(&file, of_user, false, depth + 1)?;
            }
        }
        Ok(())
    }

    /// `Match all`, `host`, `originalhost`, `user`, `localuser`; each may be negated by `!`.
    /// A criterion that we do not evaluate (`exec`, `final`, …) makes the block not match.
    fn match_line(&mut self, value: &str, at: &dyn Fn() -> String) -> Result<bool, Error> {
        let words = words(value);
        let mut words = words.iter();
        let mut matches = true;
        while let Some(word) = words.next() {
            let (negated, criterion) = match word.strip_prefix('!') {
                Some(rest) => (true, rest.to_ascii_lowercase()),
                None => (false, word.to_ascii_lowercase()),
            };
            if criterion == "all" {
                matches &= !negated;
                continue;
            }
            let known = match criterion.as_str() {
                "host" => Some(self.host_so_far()),
                "originalhost" => Some(self.alias.to_owned()),
                "user" => Some(self.user_so_far()),
                "localuser" => Some(self.local_user.to_owned()),
                "canonical" | "final" => {
                    self.note(&format!("Match {criterion}"));
                    matches = negated && matches;
                    continue;
                }
                _ => None,
            };
            let list = words.next().ok_or_else(|| {
                Error::Usage(format!("{}: Match {criterion} needs a value", at()))
            })?;
            match known {
                Some(name) => matches &= pattern_list_matches(list.split(','), &name) != negated,
                None => {
                    self.note(&format!("Match {criterion}"));
                    matches = false;
                }
            }
        }
        Ok(matches)
    }

    fn take(&mut self, key: &str, value: &str, at: &dyn Fn() -> String) -> Result<(), Error> {
        let key = match key {
            "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms",
            "challengeresponseauthentication" => "kbdinteractiveauthentication",
            key => key,
        };
        if MUST_NOT_IGNORE.contains(&key) {
            if !value.eq_ignore_ascii_case("none") && !value.eq_ignore_ascii_case("no") {
                return Err(Error::Usage(format!("{}: {key} is not supported yet", at())));
            }
        } else if key == "identityfile" {
            self.identity_files.extend(words(value).into_iter().next());
        } else if HONOURED.contains(&key) {
            check_value(key, value)
                .map_err(|why| Error::Usage(format!("{}: {key} {value}: {why}", at())))?;
            self.values.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        } else if !HARMLESS.contains(&key) {
            self.note(key);
        }
        Ok(())
    }

    fn note(&mut self, keyword: &str) {
        if !self.not_honoured.iter().any(|k| k == keyword) {
            self.not_honoured.push(keyword.to_owned());
        }
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    fn host_so_far(&self) -> String {
        match self.value("hostname") {
            Some(name) => one_word(name).replace("%h", self.alias).replace("%%", "%"),
            None => self.alias.to_owned(),
        }
    }

    fn user_so_far(&self) -> String {
        self.user
            .or_else(|| self.value("user"))
            .map_or_else(|| self.local_user.to_owned(), one_word)
    }

    fn finish(self, port: Option<u16>) -> Result<HostSettings, Error> {
        let user = self.user_so_far();
        let mut s = HostSettings::defaults(self.alias, &user, self.home);
        s.host = self.host_so_far();
        // A HostName from a file is as dangerous as a typed one (CLI-1).
        crate::Destination::new(Some(user), s.host.clone(), None, Vec::new())?;
        let number = |key: &str| self.value(key).and_then(|v| v.parse::<u64>().ok());
        let flag = |key: &str, default: bool| self.value(key).map_or(default, is_yes);
        let list = |key: &str| self.value(key).map(AlgorithmChange::parse);
        s.port = port.or(number("port").and_then(|p| u16::try_from(p).ok())).unwrap_or(s.port);
        let paths = |text: &str, s: &HostSettings| -> Vec<PathBuf> {
            let words = words(text).into_iter().filter(|w| !w.eq_ignore_ascii_case("none"));
            words.map(|w| self.expand(&w, s)).collect()
        };
        if !self.identity_files.is_empty() {
            s.identity_files_named = true;
            let named = self.identity_files.iter().filter(|f| !f.eq_ignore_ascii_case("none"));
            s.identity_files = named.map(|f| self.expand(f, &s)).collect();
        }
        if let Some(files) = self.value("userknownhostsfile") {
            s.user_known_hosts = paths(files, &s);
        }
        if let Some(files) = self.value("globalknownhostsfile") {
            s.global_known_hosts = paths(files, &s);
        }
        match self.value("identityagent") {
            Some(v) if v.eq_ignore_ascii_case("none") => s.agent = None,
            Some("SSH_AUTH_SOCK") | None => {}
            Some(path) => s.agent = Some(self.expand(&one_word(path), &s)),
        }
        s.host_key_alias = self.value("hostkeyalias").map(one_word);
        s.identities_only = flag("identitiesonly", false);
        s.hash_known_hosts = flag("hashknownhosts", false);
        s.update_host_keys = match self.value("updatehostkeys") {
            Some(v) if v.eq_ignore_ascii_case("ask") => UpdateHostKeys::Ask,
            Some(v) if !is_yes(v) => UpdateHostKeys::No,
            _ => UpdateHostKeys::Yes,
        };
        s.batch_mode = flag("batchmode", false);
        s.compression = flag("compression", false);
        s.password_authentication = flag("passwordauthentication", true);
        s.pubkey_authentication = match self.value("pubkeyauthentication") {
            Some("unbound") => PubkeyAuthentication::Unbound,
            Some("host-bound") => PubkeyAuthentication::HostBound,
            Some(v) if !is_yes(v) => PubkeyAuthentication::Off,
            _ => PubkeyAuthentication::On,
        };
        s.hostbased_authentication = flag("hostbasedauthentication", false);
        s.enable_ssh_keysign = flag("enablesshkeysign", false);
        s.kbd_interactive_authentication = flag("kbdinteractiveauthentication", true);
        s.hostbased_accepted_algorithms = list("hostbasedacceptedalgorithms");
        s.ca_signature_algorithms = list("casignaturealgorithms");
        if let Some(files) = self.value("certificatefile") {
            s.certificate_files = paths(files, &s);
        }
        if let Some(v) = self.value("stricthostkeychecking") {
            s.strict_host_key_checking = strictness(v).unwrap_or(StrictHostKeyChecking::Ask);
        }
        s.host_key_algorithms = list("hostkeyalgorithms");
        s.kex_algorithms = list("kexalgorithms");
        s.ciphers = list("ciphers");
        s.macs = list("macs");
        s.pubkey_algorithms = list("pubkeyacceptedalgorithms");
        if let Some(v) = self.value("preferredauthentications") {
            s.preferred_authentications = v.split(',').map(|m| m.trim().to_owned()).collect();
        }
        if let Some(n) = number("numberofpasswordprompts") {
            s.password_prompts = u32::try_from(n).unwrap_or(u32::MAX).min(s.password_prompts);
        }
        if let Some(t) = self.value("connecttimeout").and_then(duration).filter(|t| !t.is_zero()) {
            s.connect_timeout = t;
        }
        s.server_alive_interval =
            self.value("serveraliveinterval").and_then(duration).filter(|t| !t.is_zero());
        s.server_alive_count_max =
            number("serveralivecountmax").and_then(|n| u32::try_from(n).ok()).unwrap_or(3).max(1);
        if let Some(v) = self.value("rekeylimit") {
            let mut words = v.split_whitespace();
            s.rekey_bytes = words.next().and_then(size).filter(|n| *n > 0);
            s.rekey_time = words.next().and_then(duration).filter(|t| !t.is_zero());
        }
        s.address_family = match self.value("addressfamily") {
            Some("inet") => AddressFamily::V4,
            Some("inet6") => AddressFamily::V6,
            _ => AddressFamily::Any,
        };
        s.not_honoured = self.not_honoured;
        Ok(s)
    }

    fn expand_tilde(&self, word: &str) -> PathBuf {
        match (word.strip_prefix('~'), self.home) {
            (Some(""), Some(home)) => home.to_owned(),
            (Some(rest), Some(home)) if rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => PathBuf::from(word),
        }
    }

    /// `~` and the tokens `%d %h %n %p %r %u %%`.
    fn expand(&self, word: &str, s: &HostSettings) -> PathBuf {
        let path = self.expand_tilde(word);
        let Some(text) = path.to_str().filter(|t| t.contains('%')) else { return path };
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('d') => {
                    out.push_str(&self.home.map(|h| h.to_string_lossy()).unwrap_or_default())
                }
                Some('h') => out.push_str(&s.host),
                Some('n') => out.push_str(self.alias),
                Some('p') => out.push_str(&s.port.to_string()),
                Some('r') => out.push_str(&s.user),
                Some('u') => out.push_str(self.local_user),
                Some('%') => out.push('%'),
                other => {
                    out.push('%');
                    out.extend(other);
                }
            }
        }
        PathBuf::from(out)
    }
}

/// `KEY VALUE`, `KEY=VALUE`, `KEY = VALUE`; quotes stay in the value.
fn split_line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix('=').unwrap_or(rest).trim();
    (!key.is_empty() && !value.is_empty()).then_some((key, value))
}

/// Words of a value: `"a b"` is one; an unquoted `#` begins a comment.
fn words(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, left) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        out.push(word.to_owned());
        rest = left.trim_start();
    }
    out
}

fn one_word(value: &str) -> String {
    words(value).into_iter().next().unwrap_or_default()
}

fn is_yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "yes" | "true")
}

fn strictness(value: &str) -> Option<StrictHostKeyChecking> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Some(StrictHostKeyChecking::Yes),
        "no" | "false" | "off" => Some(StrictHostKeyChecking::No),
        "ask" => Some(StrictHostKeyChecking::Ask),
        "accept-new" => Some(StrictHostKeyChecking::AcceptNew),
        _ => None,
    }
}

/// Values that would silently become a default are refused here.
fn check_value(key: &str, value: &str) -> Result<(), &'static str> {
    let fine = match key {
        "batchmode"
        | "compression"
        | "hashknownhosts"
        | "identitiesonly"
        | "passwordauthentication" => {
            matches!(value.to_ascii_lowercase().as_str(), "yes" | "no" | "true" | "false")
        }
        "stricthostkeychecking" => strictness(value).is_some(),
        "port" => value.parse::<u16>().is_ok_and(|p| p != 0),
        "connecttimeout" => value.eq_ignore_ascii_case("none") || duration(value).is_some(),
        "serveraliveinterval" => duration(value).is_some(),
        "serveralivecountmax" | "numberofpasswordprompts" => value.parse::<u32>().is_ok(),
        "rekeylimit" => {
            let mut words = value.split_whitespace();
            words.next().is_some_and(|w| w == "default" || size(w).is_some())
                && words.next().is_none_or(|w| w == "none" || duration(w).is_some())
        }
        "addressfamily" => matches!(value, "any" | "inet" | "inet6"),
        _ => true,
    };
    fine.then_some(()).ok_or("not a value for this keyword")
}

/// Seconds, or numbers with `s m h d w` behind them.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0u64;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if !number.is_empty() {
        total = total.checked_add(number.parse().ok()?)?;
    }
    // A year of silence is the same as none; larger numbers overflow clocks.
    (!text.is_empty()).then(|| Duration::from_secs(total.min(31_536_000)))
}

/// Bytes, with `K M G` behind them.
fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.chars().last()?.to_ascii_uppercase() {
        'K' => (&text[..text.len() - 1], 1 << 10),
        'M' => (&text[..text.len() - 1], 1 << 20),
        'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1u64),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The files that an `Include` path means: wildcards in its last component only, sorted.
fn files_matching(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return Vec::new() };
    if !name.contains(['*', '?']) {
        return vec![path.to_owned()];
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok())
        .filter(|e| {
            let found = e.file_name();
            let found = found.as_encoded_bytes();
            (!found.starts_with(b".") || name.starts_with('.'))
                && wildcard_match(name.as_bytes(), found)
        })
        .map(|e| e.path())
        .filter(|p| p.is_file())
        .collect();
    files.sort();
    files
}

/// The name of who runs this: the account's, else what the environment says.
fn local_user() -> String {
    account_name()
        .or_else(|| std::env::var("USER").ok())
        .or_else(|| std::env::var("LOGNAME").ok())
        .filter(|u| !u.is_empty())
        .unwrap_or_else(|| "root".to_owned())
}

fn account_name() -> Option<String> {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}
