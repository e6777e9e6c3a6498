//! `%h` and its kind, `${NAME}` and `~`: what keywords may hold in place of exact text.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::local::Local;

/// What the tokens stand for. The names are those of ssh_config(5).
pub(super) struct Tokens<'t> {
    pub(super) local: &'t Local,
    /// `%h`
    pub(super) host: &'t str,
    /// `%n`
    pub(super) alias: &'t str,
    /// `%p`
    pub(super) port: u16,
    /// `%r`
    pub(super) user: &'t str,
    /// `%k`: `HostKeyAlias`, else as `%n`.
    pub(super) host_key_alias: &'t str,
    /// `%j`: value of `ProxyJump`, or empty.
    pub(super) proxy_jump: &'t str,
}

/// Tokens that `HostName` takes.
pub(super) const OF_HOST_NAME: &str = "%h";
/// Tokens that `ProxyCommand` and `ProxyJump` take.
pub(super) const OF_PROXY: &str = "%hnpr";
/// Tokens that files, sockets and `Match exec` take.
pub(super) const OF_FILES: &str = "%CdhijkLlnpru";
/// Tokens that `KnownHostsCommand` takes beyond those of files.
const OF_HOST_KEYS: &str = "fHIKt";

impl Tokens<'_> {
    /// Fills in the tokens of `text`. Those outside of `allowed` are errors, as in OpenSSH.
    pub(super) fn expand(&self, text: &str, allowed: &str) -> Result<String, String> {
        self.expand_with(text, allowed, |_| true)
    }

    /// The same for text that a shell will read: a name that could be read as more than a name is
    /// refused (CLI-1). Paths and names of this machine are the person's own and stay as they are.
    pub(super) fn expand_for_shell(&self, text: &str, allowed: &str) -> Result<String, String> {
        self.expand_with(text, allowed, is_plain_for_shell)
    }

    fn expand_with(
        &self,
        text: &str,
        allowed: &str,
        fine: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let token = chars.next().ok_or("% at the end; write %% for a percent sign")?;
            if !allowed.contains(token) {
                return Err(if OF_FILES.contains(token) || OF_HOST_KEYS.contains(token) {
                    format!("%{token} cannot be used here")
                } else {
                    format!("unknown token %{token}; write %% for a percent sign")
                });
            }
            let value = self.value(token);
            if "hnrkj".contains(token) && !fine(&value) {
                return Err(format!(
                    "%{token} is {value:?}: a shell would read that as more than a name"
                ));
            }
            out.push_str(&value);
        }
        Ok(out)
    }

    fn value(&self, token: char) -> String {
        match token {
            'C' => self.connection_hash(),
            'd' => self.local.home.as_deref().unwrap_or(Path::new("")).display().to_string(),
            'h' => self.host.to_owned(),
            'i' => self.local.uid.to_string(),
            'j' => self.proxy_jump.to_owned(),
            'k' => self.host_key_alias.to_owned(),
            'L' => self.local.host.split('.').next().unwrap_or_default().to_owned(),
            'l' => self.local.host.clone(),
            'n' => self.alias.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.user.to_owned(),
            'u' => self.local.user().to_owned(),
            _ => "%".to_owned(),
        }
    }

    /// `%C`: hash of `%l%h%p%r%j`, in hex.
    fn connection_hash(&self) -> String {
        let port = self.port.to_string();
        let text = [&self.local.host, self.host, &port, self.user, self.proxy_jump].concat();
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        hex::encode(hash)
    }

    /// A file or socket: `~`, tokens and `${NAME}`.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, String> {
        let text = expand_environment(text)?;
        Ok(self.local.path(&self.expand(&text, OF_FILES)?))
    }
}

/// What every shell takes as one plain word. A name with other characters is refused rather than
/// quoted: a command of the configuration may have its own quotes around the token.
fn is_plain_for_shell(text: &str) -> bool {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || (!c.is_ascii() && c.is_alphanumeric())
            || "@._-+:,/".contains(c)
    };
    !text.starts_with('-') && text.chars().all(plain)
}

/// Replaces each `${NAME}` by the value of that variable.
///
/// # Errors
/// A variable that is not set, or no `}`.
pub(super) fn expand_environment(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("${ without }")?;
        let value = std::env::var(name).map_err(|_| format!("${{{name}}} is not set"))?;
        out.push_str(before);
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(user: &str, act: impl FnOnce(&Tokens<'_>)) {
        let local = Local {
            user: String::from("me").into(),
            uid: 1000,
            host: "box.example.org".into(),
            home: Some("/home/me".into()),
        };
        act(&Tokens {
            local: &local,
            host: "h.example.org",
            alias: "h",
            port: 2022,
            user,
            host_key_alias: "key",
            proxy_jump: "jump",
        });
    }

    #[test]
    fn each_token_has_its_value_where_it_is_allowed() {
        with("tern", |t| {
            let all = t.expand("%% %d %h %i %j %k %L %l %n %p %r %u", OF_FILES);
            let values =
                "% /home/me h.example.org 1000 jump key box box.example.org h 2022 tern me";
            assert_eq!(all.unwrap(), values);
            // printf %s box.example.orgh.example.org2022ternjump | sha1sum
            assert_eq!(
                t.expand("%C", OF_FILES).unwrap(),
                "854f07b42902cd74a67f7a046e3d153f0ce2b9e8"
            );
            for (text, allowed) in [
                ("%n", OF_HOST_NAME),
                ("%d", OF_PROXY),
                ("%t", OF_FILES),
                ("%z", OF_FILES),
                ("x%", OF_FILES),
            ] {
                assert!(t.expand(text, allowed).is_err(), "{text}");
            }
        });
    }

    #[test]
    fn a_name_that_a_shell_could_misread_never_reaches_one() {
        for (user, fine) in [
            ("tern", true),
            ("a.b@corp-x_1", true),
            ("größe", true),
            ("a b", false),
            ("a*", false),
            ("~root", false),
            ("dom\\user", false),
            ("$(id)", false),
            ("a\nb", false),
            ("a#b", false),
            ("!1", false),
            ("-x", false),
        ] {
            with(user, |t| {
                assert_eq!(t.expand_for_shell("nc %r", OF_PROXY).is_ok(), fine, "{user}");
                assert!(t.expand("%r", OF_FILES).is_ok());
                assert!(t.expand_for_shell("nc '$HOME' %h", OF_PROXY).is_ok());
            });
        }
    }

    #[test]
    fn variables_must_be_set() {
        let home = std::env::var("PATH").unwrap();
        assert_eq!(expand_environment("a${PATH}b$c").unwrap(), format!("a{home}b$c"));
        assert!(expand_environment("${STERNA_NO_SUCH_VARIABLE}").is_err());
        assert!(expand_environment("${PATH").is_err());
    }
}
