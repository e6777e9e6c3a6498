//! `sterna explain`: which rule of which file and line lets a login in or keeps it out.
//!
//! The settings are judged by the code that judges them in the server; only the proof is assumed to be
//! right. Nothing is used up, stored or asked outside.

mod offer;
mod report;
mod world;

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::SystemTime};

use clap::Args;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use sterna_identity::{Directory, Method};

use self::{
    offer::{Offer, Question},
    world::Assumed,
};
use crate::{
    args::GlobalArgs,
    commands::user::refused,
    exit::Exit,
    failure::{Failure, Result},
    output::Output,
    settings,
};

const EXAMPLES: &str = "\
Examples:
  sterna explain --user alice --from 203.0.113.7                 every method that alice has
  sterna explain --user alice --from 203.0.113.7 --method publickey --key alice.pub
  sterna explain --user alice --from 203.0.113.7 --certificate alice-cert.pub --at 2030-01-01
  sterna explain --user alice --from 203.0.113.7 --method password --after publickey
  sterna explain --user erp --from 198.51.100.4 --method hostbased --client-host batch.example.com \\
      --host-key batch.pub

The proof is assumed to be right: the password, the signature, the code. Programs and services of the
settings are not asked. The server's log names the same rules: rule=user.hours.

Exit status: 0 let in or step passed, 1 kept out, 2 wrong usage or settings that do not load.";

/// Say which rule lets a login in or keeps it out
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// Settings file of the server (default: $STERNA_CONFIG, else /etc/sterna/sterna.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Who wants to log in
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// Address that the login comes from
    #[arg(long, value_name = "ADDRESS")]
    pub from: IpAddr,
    /// publickey, password, hostbased or keyboard-interactive (default: each that the user has)
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    pub method: Option<Method>,
    /// Public key that is offered (default: each of the user's)
    #[arg(long, value_name = "FILE.pub")]
    pub key: Option<PathBuf>,
    /// Certificate that is offered
    #[arg(long, value_name = "FILE-cert.pub", conflicts_with = "key")]
    pub certificate: Option<PathBuf>,
    /// Name that the client's host claims
    #[arg(long, value_name = "NAME")]
    pub client_host: Option<String>,
    /// User of the client's host (default: as --user)
    #[arg(long, value_name = "NAME")]
    pub client_user: Option<String>,
    /// Public key or certificate of the client's host
    #[arg(long, value_name = "FILE.pub", requires = "client_host")]
    pub host_key: Option<PathBuf>,
    /// Address that the client's host has, instead of asking the resolver (may be repeated)
    #[arg(long, value_name = "ADDRESS", requires = "client_host")]
    pub assume_address: Vec<IpAddr>,
    /// Step that was proven before (may be repeated, in order)
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    pub after: Vec<Method>,
    /// When: 2030-01-01, 2030-01-01T08:30 (local time), 2030-01-01T08:30:00Z or @SECONDS (default: now)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<u64>,
    /// Print JSON, one object for each thing that is offered
    #[arg(long)]
    pub json: bool,
}

impl ExplainArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let file = settings::file_or_default(self.config.clone());
        let settings = settings::load(&file).map_err(|errors| refused(&errors))?;
        let (directory, code) = world::assumed(&settings.users)
            .map_err(|error| Failure::usage("settings", error.to_string()))?;
        let offers = self.offers(&directory)?;
        let question = Question {
            directory: &directory,
            world: Assumed { addresses: self.assume_address.clone() },
            user: &self.user,
            source: self.from.to_canonical(),
            now: self.at.unwrap_or_else(now),
            after: &self.after,
            code,
        };
        let output = Output::new(global, self.json);
        let mut exit = Exit::Incomplete;
        for offer in &offers {
            let outcome = question.judge(offer);
            if outcome.is_good() {
                exit = Exit::Done;
            }
            match self.json {
                true => output.object(report::object(&question, offer, &outcome))?,
                false => report::text(&question, offer, &outcome)
                    .iter()
                    .try_for_each(|line| output.line(line))?,
            }
        }
        Ok(exit)
    }

    /// What is to be judged, at least one thing.
    fn offers(&self, directory: &Directory) -> Result<Vec<Offer>> {
        let user = directory.user(self.user.as_bytes());
        let named = self.method.or(match (&self.key, &self.certificate, &self.client_host) {
            (Some(_), ..) | (_, Some(_), _) => Some(Method::PublicKey),
            (.., Some(_)) => Some(Method::HostBased),
            _ => None,
        });
        let methods = match (named, user) {
            (Some(method), _) => vec![method],
            (None, Some(user)) => {
                let chains = directory.chains(user);
                let has = |method: &Method| chains.iter().any(|c| c.steps().contains(method));
                Method::ALL.iter().copied().filter(has).collect()
            }
            (None, None) => Vec::new(),
        };
        let mut offers = Vec::new();
        for method in methods {
            match method {
                Method::PublicKey => match self.key.as_ref().or(self.certificate.as_ref()) {
                    Some(file) => offers.push(Offer::PublicKey(offer::read_key(file)?)),
                    None => {
                        let keys = user.map(|user| user.authorized_keys.as_slice());
                        let own = keys.unwrap_or_default().iter().map(|line| &line.key);
                        let own = own.filter(|line| !line.options.cert_authority);
                        let before = offers.len();
                        for line in own {
                            let offer = Offer::PublicKey(line.key.clone().into());
                            if !offers.contains(&offer) {
                                offers.push(offer);
                            }
                        }
                        if offers.len() == before && user.is_some() {
                            let why = "the user has no key in the settings; name one with --key or \
                                       --certificate";
                            offers.push(Offer::Missing(method, why));
                        }
                    }
                },
                Method::HostBased => offers.push(match (&self.client_host, &self.host_key) {
                    (Some(host), Some(key)) => Offer::HostBased {
                        key: offer::read_key(key)?,
                        host: host.clone(),
                        user: self.client_user.as_ref().unwrap_or(&self.user).clone(),
                    },
                    _ => Offer::Missing(method, "needs --client-host and --host-key"),
                }),
                Method::KeyboardInteractive => offers.push(Offer::KeyboardInteractive),
                _ => offers.push(Offer::Password),
            }
        }
        match &offers[..] {
            // What was asked for by name and cannot be judged is wrong usage.
            [Offer::Missing(method, why)] if named.is_some() => {
                Err(Failure::usage(method.name(), *why))
            }
            // Nobody, or somebody with nothing: any proof shows it.
            [] => Ok(vec![Offer::Password]),
            _ => Ok(offers),
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn parse_method(text: &str) -> std::result::Result<Method, String> {
    Method::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        format!("not one of {}", names.join(", "))
    })
}

/// Seconds since 1970.
fn parse_time(text: &str) -> std::result::Result<u64, String> {
    let local = || {
        let time = DateTime::from_str(text).ok()?.to_zoned(TimeZone::system()).ok()?;
        Some(time.timestamp().as_second())
    };
    let seconds = match text.strip_prefix('@') {
        Some(seconds) => seconds.parse().ok(),
        None => Timestamp::from_str(text).ok().map(Timestamp::as_second).or_else(local),
    };
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .ok_or_else(|| "not a time such as 2030-01-01T08:30 or 2030-01-01T08:30:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_zone() {
        assert_eq!(parse_time("1970-01-02T00:00:00Z"), Ok(86_400));
        assert_eq!(parse_time("1970-01-02T00:00:00+01:00"), Ok(86_400 - 3600));
        assert_eq!(parse_time("@12"), Ok(12));
        assert!(parse_time("2030-06-01").is_ok() && parse_time("2030-06-01T08:30").is_ok());
        for bad in ["", "tomorrow", "@x", "@-1", "1960-01-01T00:00:00Z", "2030-13-01"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
