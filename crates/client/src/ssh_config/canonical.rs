//! `CanonicalizeHostname`: a short name becomes the first of some full names that exists.

use super::Proxy;

/// Value of `CanonicalizeHostname`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Canonicalize {
    #[default]
    No,
    /// For connections without a proxy.
    Yes,
    Always,
}

/// The keywords about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CanonicalNames {
    pub(super) when: Canonicalize,
    pub(super) domains: Vec<String>,
    pub(super) dots_max: usize,
    /// Whether a name that is found in no domain is left to the system's resolver.
    pub(super) fallback_local: bool,
}

impl CanonicalNames {
    /// The full name of `host`, or `None` where it stays as it is. `exists` asks the resolver.
    ///
    /// # Errors
    /// If the name is in no domain and must be in one.
    pub(super) fn apply(
        &self,
        host: &str,
        proxy: &Proxy,
        exists: &dyn Fn(&str) -> bool,
    ) -> Result<Option<String>, String> {
        let wanted = match self.when {
            Canonicalize::No => false,
            Canonicalize::Yes => *proxy == Proxy::Direct,
            Canonicalize::Always => true,
        };
        if !wanted || host.parse::<std::net::IpAddr>().is_ok() {
            return Ok(None);
        }
        if let Some(anchored) = host.strip_suffix('.') {
            return Ok(exists(host).then(|| anchored.to_owned()));
        }
        if host.matches('.').count() > self.dots_max {
            return Ok(None);
        }
        for domain in &self.domains {
            let domain = domain.trim_matches('.');
            // The dot at the end keeps the resolver from searching further.
            if exists(&format!("{host}.{domain}.")) {
                return Ok(Some(format!("{host}.{domain}").to_ascii_lowercase()));
            }
        }
        if self.fallback_local {
            return Ok(None);
        }
        Err(format!("{host} is in none of the CanonicalDomains"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_becomes_the_first_full_name_that_exists() {
        let names = |when| CanonicalNames {
            when,
            domains: vec!["a.example".into(), "b.example".into()],
            dots_max: 1,
            fallback_local: true,
        };
        let exists = |name: &str| name == "web.b.example." || name == "x.y.a.example.";
        let jump = Proxy::Command("nc".into());
        let apply = |when, host, proxy| names(when).apply(host, proxy, &exists).unwrap();

        let full = Some("web.b.example".to_owned());
        assert_eq!(apply(Canonicalize::Yes, "web", &Proxy::Direct), full);
        assert_eq!(apply(Canonicalize::No, "web", &Proxy::Direct), None);
        assert_eq!(apply(Canonicalize::Yes, "web", &jump), None);
        assert_eq!(apply(Canonicalize::Always, "web", &jump), full);
        assert_eq!(apply(Canonicalize::Yes, "web.b.example.", &Proxy::Direct), full);
        assert_eq!(apply(Canonicalize::Yes, "x.y", &Proxy::Direct), Some("x.y.a.example".into()));
        assert_eq!(apply(Canonicalize::Yes, "a.b.c", &Proxy::Direct), None);
        assert_eq!(apply(Canonicalize::Yes, "127.1.1.1", &Proxy::Direct), None);
        assert_eq!(apply(Canonicalize::Yes, "other", &Proxy::Direct), None);
        let strict = CanonicalNames { fallback_local: false, ..names(Canonicalize::Yes) };
        assert!(strict.apply("other", &Proxy::Direct, &exists).is_err());
    }
}
