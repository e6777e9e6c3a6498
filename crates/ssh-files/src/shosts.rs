//! `.shosts`, `.rhosts`, `hosts.equiv` and `shosts.equiv`: which users of which hosts may log in by the
//! word of their host (HBA-3; hosts.equiv(5)).
//!
//! A line is `host [user]`; without a user it stands for the one who has the same name on both sides.
//! A dash in front of either word turns the line into a refusal. The first line that fits decides. A
//! lone `+`, which other programs take for "everybody", fits nobody.
//!
//! Netgroups (`@name`) are not looked up. A line that would let a netgroup in fits nobody; a line that
//! would keep one out fits everybody, because nobody knows who is meant.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::Place;
use crate::limits::{FileTooLong, SHOSTS_LEN_MAX, SHOSTS_LINE_LEN_MAX};

/// What a file says about one login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShostsVerdict {
    /// This line lets the user in.
    Allowed(Place),
    /// This line keeps the user out, as far as this file goes: the next one may still allow.
    Denied(Place),
    /// No line fits.
    Silent,
}

/// The lines of one file.
#[derive(Clone, Debug)]
pub struct Shosts {
    file: Arc<Path>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    line: usize,
    negated: bool,
    host: String,
    /// `None` stands for the user of the same name.
    user: Option<String>,
}

impl Shosts {
    /// Reads a file. Lines that do not read let nobody in and are skipped.
    ///
    /// # Errors
    /// [`FileTooLong`].
    pub fn parse(file: impl AsRef<Path>, text: &[u8]) -> Result<Self, FileTooLong> {
        if text.len() > SHOSTS_LEN_MAX {
            return Err(FileTooLong { len_max: SHOSTS_LEN_MAX });
        }
        let lines = text.split(|b| *b == b'\n').enumerate();
        let entries = lines.filter_map(|(index, line)| parse_line(index + 1, line)).collect();
        Ok(Self { file: file.as_ref().into(), entries })
    }

    /// What the file says about `client_user` of a host who wants to be `server_user` here.
    ///
    /// `host` and `address` are those of the peer as they were verified, not as it claims them.
    pub fn verdict(
        &self,
        host: &str,
        address: IpAddr,
        client_user: &str,
        server_user: &str,
    ) -> ShostsVerdict {
        let address = address.to_canonical();
        let found = self.entries.iter().find(|entry| {
            let user = entry.user.as_deref().unwrap_or(server_user);
            let netgroup = |word: &str| entry.negated && word.starts_with('@');
            (entry.names_host(host, address) || netgroup(&entry.host))
                && (user == client_user || entry.user.as_deref().is_some_and(netgroup))
        });
        let Some(entry) = found else { return ShostsVerdict::Silent };
        let place = Place { file: self.file.clone(), line: entry.line };
        if entry.negated { ShostsVerdict::Denied(place) } else { ShostsVerdict::Allowed(place) }
    }
}

impl Entry {
    fn names_host(&self, host: &str, address: IpAddr) -> bool {
        // A host name never begins like a netgroup, whatever the DNS says.
        !self.host.starts_with('@')
            && (self.host.eq_ignore_ascii_case(host)
                || self.host.parse().is_ok_and(|a: IpAddr| a.to_canonical() == address))
    }
}

fn parse_line(line: usize, text: &[u8]) -> Option<Entry> {
    if text.len() > SHOSTS_LINE_LEN_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?.trim_start();
    if text.starts_with('#') || text.starts_with("NO_PLUS") {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let (host, user) = (words.next()?, words.next());
    // A third word is garbage, a comment behind the line too.
    if words.next().is_some() {
        return None;
    }
    let (host_negated, host) = sign(host)?;
    let (user_negated, user) = match user.map(sign) {
        None => (false, None),
        Some(signed) => signed.map(|(negated, user)| (negated, Some(user.to_owned())))?,
    };
    if user.as_deref().is_some_and(|user| user.starts_with('@')) && !(host_negated || user_negated)
    {
        return None;
    }
    Some(Entry { line, negated: host_negated || user_negated, host: host.to_owned(), user })
}

/// Takes the sign off a word; `None` if there is nothing else.
fn sign(word: &str) -> Option<(bool, &str)> {
    let (negated, rest) = match word.as_bytes().first()? {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        _ => (false, word),
    };
    (!rest.is_empty()).then_some((negated, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the file says about `alice@client.example.org` at 192.0.2.7, who wants to be `server_user`.
    fn about_alice(text: &str, server_user: &str) -> String {
        let shosts = Shosts::parse("f", text.as_bytes()).unwrap();
        let address = "::ffff:192.0.2.7".parse().unwrap();
        match shosts.verdict("client.example.org", address, "alice", server_user) {
            ShostsVerdict::Allowed(place) => format!("allowed {place}"),
            ShostsVerdict::Denied(place) => format!("denied {place}"),
            ShostsVerdict::Silent => "silent".into(),
        }
    }

    #[test]
    fn hosts_and_users_are_compared_as_whole_words() {
        for (text, server_user, expected) in [
            ("client.example.org", "alice", "allowed f:1"),
            ("Client.EXAMPLE.org\n", "alice", "allowed f:1"),
            ("client.example.org", "bob", "silent"),
            ("client.example.org alice", "bob", "allowed f:1"),
            ("client.example.org Alice", "alice", "silent"),
            ("client.example.org bob", "bob", "silent"),
            ("192.0.2.7 alice", "bob", "allowed f:1"),
            ("::ffff:192.0.2.7 alice", "bob", "allowed f:1"),
            ("192.0.2.70 alice", "bob", "silent"),
            ("client alice", "bob", "silent"),
            ("*.example.org alice", "bob", "silent"),
            ("other alice\n\n # x\n\tclient.example.org\talice\r\n", "bob", "allowed f:4"),
            ("+client.example.org +alice", "bob", "allowed f:1"),
        ] {
            assert_eq!(about_alice(text, server_user), expected, "{text:?} {server_user}");
        }
    }

    #[test]
    fn wildcards_garbage_and_netgroups_let_nobody_in() {
        for text in [
            "",
            "+",
            "-",
            "+ +",
            "+ alice",
            "client.example.org +",
            "client.example.org -",
            "- alice",
            "client.example.org alice # comment",
            "client.example.org alice x",
            "#client.example.org",
            "NO_PLUS",
            "@trusted",
            "@trusted alice",
            "client.example.org @staff",
            "+@trusted +@staff",
        ] {
            assert_eq!(about_alice(text, "alice"), "silent", "{text:?}");
        }
        let long = format!("client.example.org{}", " ".repeat(SHOSTS_LINE_LEN_MAX));
        assert_eq!(about_alice(&long, "alice"), "silent");
    }

    #[test]
    fn a_dash_refuses_and_the_first_line_that_fits_decides() {
        for (text, expected) in [
            ("-client.example.org\nclient.example.org", "denied f:1"),
            ("client.example.org -alice\nclient.example.org alice", "denied f:1"),
            ("client.example.org\n-client.example.org", "allowed f:1"),
            ("-other\nclient.example.org", "allowed f:2"),
            ("-client.example.org bob\nclient.example.org", "allowed f:2"),
        ] {
            assert_eq!(about_alice(text, "alice"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_refusal_of_a_netgroup_counts_for_everybody_it_may_mean() {
        for (text, expected) in [
            ("-@bad\nclient.example.org", "denied f:1"),
            ("client.example.org -@bad\nclient.example.org", "denied f:1"),
            ("-@bad bob\nclient.example.org", "allowed f:2"),
            ("other -@bad\nclient.example.org", "allowed f:2"),
        ] {
            assert_eq!(about_alice(text, "alice"), expected, "{text:?}");
        }
    }

    #[test]
    fn names_that_look_like_syntax_gain_nothing() {
        let address = "192.0.2.7".parse().unwrap();
        let shosts = Shosts::parse("f", b"@trusted alice\nclient @staff\nclient\n").unwrap();
        assert_eq!(shosts.verdict("@trusted", address, "alice", "alice"), ShostsVerdict::Silent);
        assert_eq!(shosts.verdict("client", address, "@staff", "bob"), ShostsVerdict::Silent);
        // What is left of a lone sign is no name, not even an empty one.
        let signs = Shosts::parse("f", b"+ alice\nclient +\n+\n").unwrap();
        for (host, user) in [("", "alice"), ("client", ""), ("", "")] {
            assert_eq!(signs.verdict(host, address, user, "bob"), ShostsVerdict::Silent);
        }
    }

    #[test]
    fn a_file_over_its_bound_is_refused() {
        let text = vec![b'\n'; SHOSTS_LEN_MAX + 1];
        assert!(Shosts::parse("f", &text).is_err());
        assert!(Shosts::parse("f", &text[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_or_let_strangers_in(text: Vec<u8>) {
            let shosts = Shosts::parse("f", &text).unwrap();
            let verdict = shosts.verdict("h.example.org", IpAddr::from([192, 0, 2, 7]), "alice", "alice");
            prop_assert!(!matches!(verdict, ShostsVerdict::Allowed(_)));
        }
    }
}
