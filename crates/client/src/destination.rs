//! What a person types to name a place: `[user@]host:path`, `sftp://[user@]host[:port]/path`, or a local path.
//!
//! Names from here reach configuration patterns, logs and prompts, so they are judged once, here
//! (CLI-1): no control characters, no leading `-`, nothing that a shell would take for its own.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::Error;
use crate::limits::DESTINATION_NAME_LEN_MAX;

/// A place on this machine or on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Local(PathBuf),
    Remote(Destination),
}

impl Place {
    /// Reads what was typed. A colon before the first slash makes it remote, as for `scp`.
    ///
    /// # Errors
    /// [`Error::Usage`] if it looks remote but its user, host or port is unusable.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if is_uri(text) || split_host_path(text).is_some() {
            return Destination::parse(text).map(Self::Remote);
        }
        if text.is_empty() {
            return Err(Error::Usage("an empty path names nothing".into()));
        }
        Ok(Self::Local(PathBuf::from(OsString::from_vec(text.to_vec()))))
    }
}

/// A server, perhaps a user and a port, and a path there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: Vec<u8>,
}

impl Destination {
    /// From its parts.
    ///
    /// # Errors
    /// [`Error::Usage`] if the user or the host breaks CLI-1.
    pub fn new(
        user: Option<String>,
        host: impl Into<String>,
        port: Option<u16>,
        path: impl Into<Vec<u8>>,
    ) -> Result<Self, Error> {
        let host = host.into();
        check_host(&host)?;
        user.as_deref().map_or(Ok(()), check_user)?;
        let path = path.into();
        if path.contains(&0) {
            return Err(Error::Usage("a path cannot hold a zero byte".into()));
        }
        Ok(Self { user, host, port, path })
    }

    /// Reads `[user@]host[:path]` or `sftp://[user@]host[:port][/path]`.
    ///
    /// The path of a URL is absolute unless it begins with `/~/`, which means "below where the
    /// login starts"; so does `~/` in the other form, as a shell at the server would read it. An
    /// empty path is where the login starts.
    ///
    /// # Errors
    /// [`Error::Usage`] for everything that is neither.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        let text = text.as_ref();
        if is_uri(text) {
            return parse_uri(&text[URI_SCHEME.len()..]);
        }
        let (host, path) = split_host_path(text).unwrap_or((text, b""));
        let (user, host) = split_user(host);
        let host = strip_brackets(host);
        let path = match path {
            b"~" => b"",
            [b'~', b'/', below @ ..] => below,
            path => path,
        };
        Self::new(user.map(text_of).transpose()?, text_of(host)?, None, path)
    }

    /// Reads one hop of `ProxyJump`: `[user@]host[:port]` or `ssh://[user@]host[:port]`. IPv6
    /// addresses stand in brackets where a port follows.
    ///
    /// # Errors
    /// [`Error::Usage`] for everything else, also for a path.
    pub fn parse_hop(text: &str) -> Result<Self, Error> {
        let rest = match text.get(..SSH_SCHEME.len()) {
            Some(scheme) if scheme.eq_ignore_ascii_case(SSH_SCHEME) => {
                let rest = &text[SSH_SCHEME.len()..];
                return match parse_uri(rest.strip_suffix('/').unwrap_or(rest).as_bytes())? {
                    hop if hop.path.is_empty() => Ok(hop),
                    _ => Err(usage("a hop has no path")),
                };
            }
            _ => text.as_bytes(),
        };
        let (user, host_port) = split_user(rest);
        let (host, port) = split_port(host_port)?;
        let port = port.map(parse_port).transpose()?;
        Self::new(user.map(text_of).transpose()?, text_of(host)?, port, Vec::new())
    }

    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// As typed: a name, an address, or an alias of the configuration.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Relative paths count from where the login starts; empty is that directory itself.
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}

const URI_SCHEME: &[u8] = b"sftp://";

const SSH_SCHEME: &str = "ssh://";

fn is_uri(text: &[u8]) -> bool {
    text.get(..URI_SCHEME.len()).is_some_and(|s| s.eq_ignore_ascii_case(URI_SCHEME))
}

fn parse_uri(rest: &[u8]) -> Result<Destination, Error> {
    let slash = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let (user, host_port) = split_user(authority);
    let (host, port) = split_port(host_port)?;
    // ";fingerprint=…" behind the user is a draft that nobody speaks; a password has no place here.
    if user.is_some_and(|u| u.contains(&b':')) {
        return Err(usage("a password does not belong into an address"));
    }
    let port = port.filter(|p| !p.is_empty()).map(parse_port).transpose()?;
    let path = percent_decode(path)?;
    let path = match path.as_slice() {
        b"" | b"/" if slash == rest.len() => Vec::new(),
        b"/~" => Vec::new(),
        [b'/', b'~', b'/', below @ ..] => below.to_vec(),
        _ => path,
    };
    let user = user.map(percent_decode).transpose()?;
    Destination::new(
        user.as_deref().map(text_of).transpose()?,
        text_of(&percent_decode(host)?)?,
        port,
        path,
    )
}

/// Splits at the first colon that stands before any slash and outside of `[…]`.
fn split_host_path(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut in_brackets = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'[' if at == 0 || text[at - 1] == b'@' => in_brackets = true,
            b']' => in_brackets = false,
            b'/' => return None,
            b':' if !in_brackets => return (at > 0).then(|| (&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// The last `@` ends the user: user names of some services contain one.
fn split_user(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match text.iter().rposition(|b| *b == b'@') {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    }
}

/// `host`, `host:port`, `[host]`, `[host]:port`. An address with several colons and no brackets is a
/// host alone.
fn split_port(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), Error> {
    if let [b'[', inside @ ..] = text {
        let end = inside.iter().position(|b| *b == b']').ok_or_else(|| usage("[ without ]"))?;
        return match &inside[end + 1..] {
            b"" => Ok((&inside[..end], None)),
            [b':', port @ ..] => Ok((&inside[..end], Some(port))),
            _ => Err(usage("something stands behind ]")),
        };
    }
    let mut colons = text.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at);
    Ok(match (colons.next(), colons.next()) {
        (Some(at), None) => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    })
}

fn strip_brackets(host: &[u8]) -> &[u8] {
    host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")).unwrap_or(host)
}

fn parse_port(text: &[u8]) -> Result<u16, Error> {
    std::str::from_utf8(text)
        .ok()
        .filter(|t| t.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|t| t.parse().ok())
        .filter(|p| *p != 0)
        .ok_or_else(|| usage("the port is not a number from 1 to 65535"))
}

fn percent_decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return Err(usage("% needs two hex digits")) };
        let digit = |b: &u8| (*b as char).to_digit(16);
        match (digit(high), digit(low)) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(usage("% needs two hex digits")),
        }
        rest = tail;
    }
    Ok(out)
}

fn text_of(bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| usage("user and host must be UTF-8"))
}

fn usage(why: &str) -> Error {
    Error::Usage(format!("not a place: {why}"))
}

/// CLI-1 for hosts: name, IPv4, IPv6 with zone; never something that an option parser or a shell
/// could take for its own.
fn check_host(host: &str) -> Result<(), Error> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || host.len() > DESTINATION_NAME_LEN_MAX {
        return Err(usage("the host name is empty or too long"));
    }
    if host.starts_with('-') || !host.chars().all(fine) {
        return Err(usage("the host name holds characters that no host name has"));
    }
    Ok(())
}

/// CLI-1 for users: what OpenSSH accepts; domain users (`DOM\user`, `user@dom`) pass.
fn check_user(user: &str) -> Result<(), Error> {
    let shell = |c: char| {
        matches!(c, '\'' | '`' | '"' | ';' | '&' | '<' | '>' | '|' | '(' | ')' | '{' | '}' | '$')
    };
    if user.is_empty() || user.len() > DESTINATION_NAME_LEN_MAX {
        return Err(usage("the user name is empty or too long"));
    }
    let edges = user.starts_with('-') || user.ends_with('\\');
    if edges || user.chars().any(|c| c.is_control() || shell(c)) {
        return Err(usage("the user name holds characters that are not accepted"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Option<String>, String, Option<u16>, Vec<u8>) {
        let d = Destination::parse(text).unwrap();
        (d.user, d.host, d.port, d.path)
    }

    fn expect(
        user: &str,
        host: &str,
        port: u16,
        path: &str,
    ) -> (Option<String>, String, Option<u16>, Vec<u8>) {
        let user = (!user.is_empty()).then(|| user.to_owned());
        (user, host.to_owned(), (port != 0).then_some(port), path.as_bytes().to_vec())
    }

    #[test]
    fn scp_like_places_split_at_the_first_colon() {
        assert_eq!(parts("alice@h:dir/f"), expect("alice", "h", 0, "dir/f"));
        assert_eq!(parts("h:/abs:colon"), expect("", "h", 0, "/abs:colon"));
        assert_eq!(parts("a@corp.example@h:"), expect("a@corp.example", "h", 0, ""));
        assert_eq!(parts("u@[::1]:x"), expect("u", "::1", 0, "x"));
        assert_eq!(parts("h:~/below"), expect("", "h", 0, "below"));
        assert_eq!(parts("h:~"), expect("", "h", 0, ""));
        assert_eq!(parts("h:~x"), expect("", "h", 0, "~x"));
        assert_eq!(parts("just-a-host"), expect("", "just-a-host", 0, ""));
    }

    #[test]
    fn urls_carry_ports_brackets_and_percent_codes() {
        assert_eq!(parts("sftp://alice@h:2022/a%20b"), expect("alice", "h", 2022, "/a b"));
        assert_eq!(parts("SFTP://[fe80::1%25eth0]:22/x"), expect("", "fe80::1%eth0", 22, "/x"));
        assert_eq!(parts("sftp://h"), expect("", "h", 0, ""));
        assert_eq!(parts("sftp://h/"), expect("", "h", 0, "/"));
        assert_eq!(parts("sftp://h/~/below"), expect("", "h", 0, "below"));
        assert_eq!(parts("sftp://a%40b@h/x"), expect("a@b", "h", 0, "/x"));
        assert_eq!(Destination::parse("sftp://h/%ff").unwrap().path(), b"/\xff");
    }

    #[test]
    fn hops_are_hosts_with_users_and_ports() {
        let hop = |text: &str| {
            let d = Destination::parse_hop(text).unwrap();
            (d.user, d.host, d.port, d.path)
        };
        assert_eq!(hop("h"), expect("", "h", 0, ""));
        assert_eq!(hop("u@h:2022"), expect("u", "h", 2022, ""));
        assert_eq!(hop("u@corp@[::1]:22"), expect("u@corp", "::1", 22, ""));
        assert_eq!(hop("[::1]"), expect("", "::1", 0, ""));
        assert_eq!(hop("::1"), expect("", "::1", 0, ""));
        assert_eq!(hop("SSH://u%40c@[::1]:2022/"), expect("u@c", "::1", 2022, ""));
        for bad in
            ["", "h:", "h:0", "h:x", "-h", "u@", "[::1", "[::1]x", "ssh://h/path", "a b", "$x"]
        {
            assert!(Destination::parse_hop(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slash_before_the_colon_means_here() {
        assert_eq!(Place::parse(b"./a:b").unwrap(), Place::Local("./a:b".into()));
        assert_eq!(Place::parse(b"plain").unwrap(), Place::Local("plain".into()));
        assert!(matches!(Place::parse(b"h:x").unwrap(), Place::Remote(_)));
        assert!(Place::parse(b"").is_err());
    }

    #[test]
    fn names_that_could_become_options_or_commands_are_refused() {
        for bad in [
            "-oProxyCommand=x:f",
            "$(id)@h:f",
            "a;b@h:f",
            "u@h\n:f",
            "u@-h:f",
            "u@h h:f",
            "u\0@h:f",
            "@h:f",
            "sftp://u:secret@h/",
            "sftp://h:0/",
            "sftp://h:65536/",
            "sftp://h/%4",
            "sftp://[::1/x",
            "sftp://",
            "u@`x`:f",
        ] {
            assert!(Destination::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Destination::parse(b"h:a\0b").is_err());
    }
}
