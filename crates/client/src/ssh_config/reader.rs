//! Goes through options and files for one host and keeps the values that hold.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::keywords::{self, Effect};
use super::local::Local;
use super::matching::host_line_matches;
use super::tokens::{OF_FILES, OF_HOST_NAME, Tokens, expand_environment};
use super::words::{split_line, words};
use super::{NotHonoured, check, files};
use crate::Error;
use crate::limits::{CONFIG_INCLUDE_DEPTH_MAX, CONFIG_INCLUDE_FILES_MAX};
use sterna_ssh_files::pattern::pattern_list_matches;

/// What a keyword was set to.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// At least one. A command or a list of hops is one word, as it was written.
    pub(super) words: Vec<String>,
    /// `FILE:LINE`, or the option.
    pub(super) at: String,
}

/// Whose file it is: relative names in it belong beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The person's own, which nobody else may write.
    User,
    /// Named by `-F`: the person's, with any mode.
    Named,
    System,
}

/// See the module.
pub(super) struct Reader<'c> {
    /// What was typed.
    pub(super) alias: &'c str,
    typed_user: Option<&'c str>,
    typed_port: Option<u16>,
    pub(super) local: &'c Local,
    values: HashMap<&'static str, Value>,
    /// The keywords whose values add up.
    pub(super) identity_files: Vec<Value>,
    pub(super) certificate_files: Vec<Value>,
    pub(super) not_honoured: Vec<NotHonoured>,
    /// In the second reading: the host name, which nothing changes any more.
    final_host: Option<String>,
    /// A `Match final` was met.
    pub(super) wants_final: bool,
    included: usize,
    pub(super) executed: usize,
}

/// Keywords whose value is the rest of the line, as it is.
const UNSPLIT: &[&str] = &["ProxyCommand", "ProxyJump"];

impl<'c> Reader<'c> {
    pub(super) fn new(
        alias: &'c str,
        typed_user: Option<&'c str>,
        typed_port: Option<u16>,
        local: &'c Local,
    ) -> Self {
        Self {
            alias,
            typed_user,
            typed_port,
            local,
            values: HashMap::new(),
            identity_files: Vec::new(),
            certificate_files: Vec::new(),
            not_honoured: Vec::new(),
            final_host: None,
            wants_final: false,
            included: 0,
            executed: 0,
        }
    }

    /// Takes an option as `-o` writes it.
    pub(super) fn take_option(&mut self, option: &str) -> Result<(), Error> {
        let (key, rest) = split_line(option);
        let at = format!("-o {key}");
        if ["host", "match", "include"].iter().any(|k| key.eq_ignore_ascii_case(k)) {
            return Err(refuse(&at, "this is for files only"));
        }
        self.take(key, rest, true, &at)
    }

    /// Reads a file, which may be missing unless `-F` names it.
    pub(super) fn read_file(&mut self, path: &Path, owner: Owner) -> Result<(), Error> {
        let mut active = true;
        self.read(path, owner, owner == Owner::Named, true, &mut active, 0)
    }

    /// Everything is read once more for `host`, with `Match final` and `canonical` true.
    pub(super) fn begin_final_pass(&mut self, host: String) {
        self.final_host = Some(host);
    }

    pub(super) fn is_final_pass(&self) -> bool {
        self.final_host.is_some()
    }

    /// With `may_hold` false the file is only checked: it is included where nothing holds.
    fn read(
        &mut self,
        path: &Path,
        owner: Owner,
        must_exist: bool,
        may_hold: bool,
        active: &mut bool,
        depth: usize,
    ) -> Result<(), Error> {
        let place = crate::display_name(path.as_os_str().as_encoded_bytes());
        let text = files::read(path, owner == Owner::User).map_err(|why| refuse(&place, &why))?;
        let text = match text {
            Some(text) => text,
            None if must_exist => return Err(refuse(&place, "no such file")),
            None => return Ok(()),
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = format!("{place}:{}", number + 1);
            let (key, rest) = split_line(line);
            match key.to_ascii_lowercase().as_str() {
                "host" => {
                    let patterns = words(rest).map_err(|why| refuse(&at, why))?;
                    if patterns.is_empty() {
                        return Err(refuse(&at, "Host needs a pattern"));
                    }
                    let host = self.final_host.as_deref().unwrap_or(self.alias);
                    *active = may_hold && host_line_matches(&patterns, host);
                }
                "match" => {
                    let verdict =
                        self.judge_match(rest, may_hold).map_err(|why| refuse(&at, &why))?;
                    self.wants_final |= verdict.wants_final;
                    if let Some(criterion) = verdict.not_evaluated {
                        let keyword = format!("Match {criterion}");
                        self.note(keyword, "this criterion never matches", &at);
                    }
                    *active = may_hold && verdict.matches;
                }
                "include" => {
                    self.include(rest, owner, may_hold && *active, depth, &at)?;
                }
                _ => self.take(key, rest, *active, &at)?,
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        rest: &str,
        owner: Owner,
        may_hold: bool,
        depth: usize,
        at: &str,
    ) -> Result<(), Error> {
        let names = words(rest).map_err(|why| refuse(at, why))?;
        if names.is_empty() {
            return Err(refuse(at, "Include needs a file"));
        }
        if depth >= CONFIG_INCLUDE_DEPTH_MAX {
            return Err(refuse(at, "Include is nested too deep"));
        }
        for name in names {
            if name.starts_with('~') && owner == Owner::System {
                return Err(refuse(at, "~ means nobody in a file of the system"));
            }
            let path = expand_environment(&name)
                .and_then(|name| self.with_tokens(|tokens| tokens.expand(&name, OF_FILES)))
                .map(|name| self.local.path(&name))
                .map_err(|why| refuse(at, &why))?;
            let path = match (path.is_absolute(), owner) {
                (true, _) => path,
                (false, Owner::System) => Path::new("/etc/ssh").join(path),
                (false, _) => self.local.below_dot_ssh(&path).unwrap_or(path),
            };
            for file in files::matching(&path).map_err(|why| refuse(at, &why))? {
                self.included += 1;
                if self.included > CONFIG_INCLUDE_FILES_MAX {
                    return Err(refuse(at, "Include names too many files"));
                }
                // What the file's last Host or Match says ends with it.
                let mut active = may_hold;
                self.read(&file, owner, false, may_hold, &mut active, depth + 1)?;
            }
        }
        Ok(())
    }

    /// One keyword and its value. It is checked where it does not hold, too.
    fn take(&mut self, key: &str, rest: &str, active: bool, at: &str) -> Result<(), Error> {
        let Some(keyword) = keywords::find(key) else {
            let ignored = self.word("IgnoreUnknown").unwrap_or_default();
            if pattern_list_matches(ignored.split(','), key) {
                return Ok(());
            }
            return Err(refuse(at, &format!("unknown keyword {key}")));
        };
        let name = keyword.name;
        if rest.is_empty() {
            return Err(refuse(at, &format!("{name} needs a value")));
        }
        match keyword.effect {
            Effect::NoMeaning(_) => return Ok(()),
            Effect::NotHonoured(why) => {
                let unset = ["no", "none", "sha256"].iter().any(|v| rest.eq_ignore_ascii_case(v));
                if active && !unset {
                    self.note(name.to_owned(), why, at);
                    let words = vec![rest.to_owned()];
                    self.values.entry(name).or_insert(Value { words, at: at.to_owned() });
                }
                return Ok(());
            }
            Effect::Honoured => {}
        }
        let words = if UNSPLIT.contains(&name) {
            let rest = if name == "ProxyJump" { before_comment(rest) } else { rest };
            vec![rest.to_owned()]
        } else {
            words(rest).map_err(|why| refuse(at, why))?
        };
        check::value(name, &words).map_err(|why| refuse(at, &format!("{name} {rest}: {why}")))?;
        if !active {
            return Ok(());
        }
        let value = Value { words, at: at.to_owned() };
        match name {
            "IdentityFile" => add(&mut self.identity_files, value),
            "CertificateFile" => add(&mut self.certificate_files, value),
            "ProxyJump" if self.value("ProxyCommand").is_some() => {}
            "ProxyCommand" if self.word("ProxyJump").is_some_and(|v| !is_none(v)) => {}
            _ => {
                self.values.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    fn note(&mut self, keyword: String, why: &'static str, at: &str) {
        if !self.not_honoured.iter().any(|n| n.keyword == keyword) {
            self.not_honoured.push(NotHonoured { keyword, why, at: at.to_owned() });
        }
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        debug_assert!(keywords::find(name).is_some_and(|k| k.name == name), "{name}");
        self.values.get(name)
    }

    /// The only word, or the first one.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        self.value(name).map(|value| value.words[0].as_str())
    }

    /// The name to connect to as far as the lines so far say: lower case, addresses in short form.
    pub(super) fn host_so_far(&self) -> Result<String, String> {
        if let Some(host) = &self.final_host {
            return Ok(host.clone());
        }
        let host = match self.word("HostName") {
            Some(name) => self.tokens_for(self.alias, |t| t.expand(name, OF_HOST_NAME))?,
            None => self.alias.to_owned(),
        };
        Ok(match host.parse::<std::net::IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => host.to_lowercase(),
        })
    }

    pub(super) fn user_so_far(&self) -> String {
        let named = self.typed_user.or_else(|| self.word("User"));
        named.unwrap_or_else(|| self.local.user()).to_owned()
    }

    pub(super) fn port_so_far(&self) -> u16 {
        let named = self.word("Port").and_then(|word| super::values::port(word).ok());
        self.typed_port.or(named).unwrap_or(22)
    }

    /// Lends the tokens as far as they are known.
    pub(super) fn with_tokens<T>(
        &self,
        act: impl FnOnce(&Tokens<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let host = self.host_so_far()?;
        self.tokens_for(&host, act)
    }

    fn tokens_for<T>(
        &self,
        host: &str,
        act: impl FnOnce(&Tokens<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        act(&Tokens {
            local: self.local,
            host,
            alias: self.alias,
            port: self.port_so_far(),
            user: &self.user_so_far(),
            host_key_alias: self.word("HostKeyAlias").unwrap_or(self.alias),
            proxy_jump: self.word("ProxyJump").filter(|v| !is_none(v)).unwrap_or_default(),
        })
    }

    /// A path of a value: `~`, tokens, variables.
    pub(super) fn path(&self, value: &Value, word: &str) -> Result<PathBuf, Error> {
        self.with_tokens(|tokens| tokens.path(word)).map_err(|why| refuse(&value.at, &why))
    }
}

pub(super) fn is_none(word: &str) -> bool {
    word.eq_ignore_ascii_case("none")
}

pub(super) fn refuse(at: &str, why: &str) -> Error {
    Error::Usage(format!("{at}: {why}"))
}

/// The second reading of the files brings the same values again.
fn add(values: &mut Vec<Value>, value: Value) {
    if !values.iter().any(|known| known.words == value.words) {
        values.push(value);
    }
}

fn before_comment(rest: &str) -> &str {
    rest.split('#').next().unwrap_or_default().trim_end()
}
