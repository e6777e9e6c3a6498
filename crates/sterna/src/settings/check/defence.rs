//! `[defence]`: the numbers that keep strangers from costing anything.

use std::{net::IpAddr, str::FromStr, time::Duration};

use ipnet::IpNet;
use sterna_server::defence::{DefenceSettings, Overflow, PenaltySettings};
use toml::Spanned;

use super::{Check, numbers::Numbers};
use crate::settings::{
    Source,
    schema::{DefenceTable, NumberOrText, Penalties, PenaltiesTable},
};

/// The longest grace that makes sense (seconds): OpenSSH's default is two minutes.
const LOGIN_GRACE_S_MAX: u64 = 3600;
/// Attempts in one connection: whoever needs more has a program that guesses.
const AUTH_TRIES_MAX: u64 = 100;
/// The longest time of a penalty (seconds): a year.
const PENALTY_S_MAX: u64 = 366 * 24 * 3600;
/// Sources that are remembered; each takes about a hundred bytes.
const SOURCES_MAX: u64 = 10_000_000;

impl Check<'_> {
    pub(super) fn defence(&mut self, source: &Source, table: &DefenceTable) -> DefenceSettings {
        let mut settings = DefenceSettings::default();
        for text in table.exempt.iter().flatten() {
            match network(text.get_ref()) {
                Some(network) => settings.exempt.push(network),
                None => self.errors.push(source.error(
                    text.span(),
                    "defence.exempt",
                    "not an address or network such as \"192.0.2.0/24\"",
                )),
            }
        }
        let mut read = Numbers { check: self, source, table: "defence" };
        let grace =
            read.number(&table.login_grace_s, "login_grace_s", 1..=LOGIN_GRACE_S_MAX, "seconds");
        if let Some(seconds) = grace {
            settings.login_grace = Duration::from_secs(seconds);
        }
        if let Some(tries) =
            read.number(&table.max_auth_tries, "max_auth_tries", 1..=AUTH_TRIES_MAX, "attempts")
        {
            settings.max_auth_tries = tries as u32;
        }
        if let Some(startups) = read.text(&table.max_startups, "max_startups") {
            settings.max_startups = startups;
        }
        if let Some(blocks) =
            read.text(&table.per_source_net_block_size, "per_source_net_block_size")
        {
            settings.per_source_net_block_size = blocks;
        }
        match &table.per_source_max_startups {
            Some(text) if text.get_ref().0 == "none" => settings.per_source_max_startups = None,
            Some(text) => match text.get_ref().0.parse() {
                Ok(max @ 1..) => settings.per_source_max_startups = Some(max),
                _ => {
                    let why = "not a number of connections from 1, or \"none\"";
                    read.fail(text, "per_source_max_startups", why);
                }
            },
            None => {}
        }
        match table.penalties.as_ref().map(Spanned::get_ref) {
            Some(Penalties::Switch(false)) => settings.per_source_penalties = None,
            Some(Penalties::Switch(true)) | None => {}
            Some(Penalties::Table(penalties)) => {
                settings.per_source_penalties = Some(read.penalties(penalties));
            }
        }
        settings
    }
}

impl Numbers<'_, '_, '_> {
    fn text<T>(&mut self, value: &Option<Spanned<NumberOrText>>, key: &str) -> Option<T>
    where
        T: FromStr<Err: ToString>,
    {
        let value = value.as_ref()?;
        match value.get_ref().0.parse() {
            Ok(read) => Some(read),
            Err(error) => {
                self.fail(value, key, error.to_string());
                None
            }
        }
    }

    fn penalties(&mut self, table: &PenaltiesTable) -> PenaltySettings {
        let mut settings = PenaltySettings::default();
        for (value, key, place, least) in [
            (&table.crash_s, "crash_s", &mut settings.crash, 0),
            (&table.protocol_error_s, "protocol_error_s", &mut settings.protocol_error, 0),
            (&table.auth_failed_s, "auth_failed_s", &mut settings.auth_failed, 0),
            (&table.invalid_user_s, "invalid_user_s", &mut settings.invalid_user, 0),
            (&table.no_auth_s, "no_auth_s", &mut settings.no_auth, 0),
            (&table.grace_exceeded_s, "grace_exceeded_s", &mut settings.grace_exceeded, 0),
            (&table.refused_s, "refused_s", &mut settings.refused, 0),
            (&table.min_s, "min_s", &mut settings.min, 0),
            (&table.max_s, "max_s", &mut settings.max, 1),
            (&table.max_repeated_s, "max_repeated_s", &mut settings.max_repeated, 1),
            (&table.forget_after_s, "forget_after_s", &mut settings.forget_after, 1),
        ] {
            let key = format!("penalties.{key}");
            if let Some(seconds) = self.number(value, &key, least..=PENALTY_S_MAX, "seconds") {
                *place = Duration::from_secs(seconds);
            }
        }
        for (value, key, place) in [
            (&table.max_sources4, "max_sources4", &mut settings.max_sources4),
            (&table.max_sources6, "max_sources6", &mut settings.max_sources6),
        ] {
            let key = format!("penalties.{key}");
            if let Some(count) = self.number(value, &key, 1..=SOURCES_MAX, "sources") {
                *place = count as usize;
            }
        }
        if let Some(text) = &table.overflow {
            match text.get_ref().as_str() {
                "permissive" => settings.overflow = Overflow::Permissive,
                "deny-all" => settings.overflow = Overflow::DenyAll,
                _ => self.fail(text, "penalties.overflow", "not \"permissive\" or \"deny-all\""),
            }
        }
        // The one that was written is to blame.
        if settings.min > settings.max {
            let value = table.max_s.as_ref().or(table.min_s.as_ref());
            let why = "min_s is above max_s: nobody would ever be refused";
            value.into_iter().for_each(|value| self.fail(value, "penalties.max_s", why));
        }
        if settings.max > settings.max_repeated {
            let value = table.max_repeated_s.as_ref().or(table.max_s.as_ref());
            let why = "max_s is above max_repeated_s";
            value.into_iter().for_each(|value| self.fail(value, "penalties.max_repeated_s", why));
        }
        settings
    }
}

/// An address or a network without bits beyond its mask; IPv4 in IPv6 clothes is IPv4.
pub(super) fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    (network.trunc() == network).then_some(network)
}
