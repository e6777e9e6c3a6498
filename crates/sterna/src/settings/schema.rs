//! The shape of the settings file, exactly as it may be written. What it means is in `check.rs`; what
//! each key does is told to people in `docs/settings.md`.
//!
//! A key that is not here is an error: a server that ignored `allow_from` would be open to everybody.

mod observe;

use std::{fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use toml::{Spanned, value::Datetime};

pub use observe::{AuditTable, MetricsTable};

/// Keys of the file that hold tables; each is read by itself.
pub const TABLES: &[&str] = &[
    "host_based",
    "external_identity",
    "keyboard_interactive",
    "system_users",
    "defence",
    "limits",
    "listener",
    "audit",
    "metrics",
    "group",
    "user",
];

/// Keys whose values are never shown.
pub const SECRETS: &[&str] = &["password", "totp_secret", "recovery_codes"];

/// The keys at the top of the file, without [`TABLES`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopTable {
    /// `ADDRESS:PORT` each; `[::]:2022` if missing.
    pub listen: Option<Vec<Spanned<String>>>,
    /// Where host keys and other things that must survive a restart are kept.
    pub state_dir: Option<Spanned<PathBuf>>,
    /// Private key files; if missing, keys are made once and kept in the state directory.
    pub host_keys: Option<Vec<Spanned<PathBuf>>>,
    pub host_certificates: Option<Vec<Spanned<PathBuf>>>,
    pub banner: Option<Spanned<String>>,
    /// Only algorithms that no auditor has doubts about; `false` if missing.
    pub strict_algorithms: Option<bool>,
    /// Weak algorithms that come back.
    pub legacy: Option<Vec<Spanned<String>>>,
    /// A directory of files `NAME.toml`, one user each, with the keys of [`UserTable`].
    pub users_dir: Option<Spanned<PathBuf>>,
    /// Lines with keys, or the path of a file of them.
    pub trusted_user_ca_keys: Option<Spanned<OneOrMore>>,
    pub ca_signature_algorithms: Option<Spanned<Vec<Spanned<String>>>>,
    pub revoked_keys_file: Option<Spanned<PathBuf>>,
    pub authorized_keys_command: Option<Spanned<Vec<String>>>,
    pub authorized_keys_command_timeout_s: Option<Spanned<u64>>,
    pub keep_unfinished_days: Option<Spanned<u64>>,
    /// Seconds that sessions may take to finish when the server ends.
    pub drain_s: Option<Spanned<u64>>,
    /// Name or number of the user that the server becomes.
    pub run_as_user: Option<Spanned<String>>,
    pub run_as_group: Option<Spanned<String>>,
    /// `auto` (the default), `require` or `off`.
    pub sandbox: Option<Spanned<String>>,
    /// Directories beneath which users' directories may lie.
    pub sandbox_roots: Option<Vec<Spanned<PathBuf>>>,
}

/// `[host_based]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostBasedTable {
    pub known_hosts_file: Option<Spanned<OneOrMore>>,
    pub check_address: Option<bool>,
}

/// `[external_identity]` and `[keyboard_interactive]`: a program or a service to ask.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookTable {
    pub command: Option<Spanned<Vec<String>>>,
    pub url: Option<Spanned<String>>,
    pub token_file: Option<Spanned<PathBuf>>,
    pub ca_file: Option<Spanned<PathBuf>>,
    pub allow_plain_http: Option<Spanned<bool>>,
    pub timeout_s: Option<Spanned<u64>>,
    pub cache_s: Option<Spanned<u64>>,
}

/// `[system_users]`: users of this machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemUsersTable {
    pub groups_allowed: Option<Spanned<Vec<String>>>,
    pub min_uid: Option<Spanned<u32>>,
    /// With `%u` and `%h`.
    pub root: Option<Spanned<String>>,
    /// `pam`, `shadow` or `off`.
    pub password: Option<Spanned<String>>,
    pub pam_service: Option<Spanned<String>>,
    /// Octal.
    pub umask: Option<Spanned<String>>,
    pub authorized_keys_file: Option<Spanned<String>>,
    pub read_only: Option<bool>,
}

/// `[defence]`: what keeps strangers from costing anything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefenceTable {
    pub exempt: Option<Vec<Spanned<String>>>,
    /// Seconds within which a login must be done.
    pub login_grace_s: Option<Spanned<u64>>,
    pub max_startups: Option<Spanned<NumberOrText>>,
    pub per_source_max_startups: Option<Spanned<NumberOrText>>,
    pub per_source_net_block_size: Option<Spanned<NumberOrText>>,
    pub max_auth_tries: Option<Spanned<u64>>,
    pub penalties: Option<Spanned<Penalties>>,
}

/// `true`, `false`, or how long for what.
#[derive(Debug)]
pub enum Penalties {
    Switch(bool),
    Table(Box<PenaltiesTable>),
}

/// `[defence.penalties]`, in seconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PenaltiesTable {
    pub crash_s: Option<Spanned<u64>>,
    pub protocol_error_s: Option<Spanned<u64>>,
    pub auth_failed_s: Option<Spanned<u64>>,
    pub invalid_user_s: Option<Spanned<u64>>,
    pub no_auth_s: Option<Spanned<u64>>,
    pub grace_exceeded_s: Option<Spanned<u64>>,
    pub refused_s: Option<Spanned<u64>>,
    pub min_s: Option<Spanned<u64>>,
    pub max_s: Option<Spanned<u64>>,
    pub max_repeated_s: Option<Spanned<u64>>,
    pub forget_after_s: Option<Spanned<u64>>,
    pub max_sources4: Option<Spanned<u64>>,
    pub max_sources6: Option<Spanned<u64>>,
    pub overflow: Option<Spanned<String>>,
}

/// `[limits]`: what peers can make grow.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsTable {
    pub connections: Option<Spanned<u64>>,
    pub connections_per_source: Option<Spanned<u64>>,
    pub sessions_per_user: Option<Spanned<u64>>,
    pub channels: Option<Spanned<u64>>,
    pub handles: Option<Spanned<u64>>,
    pub dir_handles: Option<Spanned<u64>>,
    pub handles_total: Option<Spanned<u64>>,
    pub requests: Option<Spanned<u64>>,
    pub long_jobs: Option<Spanned<u64>>,
    pub idle_s: Option<Spanned<NumberOrText>>,
    pub memory_mib: Option<Spanned<NumberOrText>>,
}

/// One `[[listener]]`: an address with rules of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTable {
    pub address: Option<Spanned<String>>,
    /// Balancers, whose connections begin with a PROXY header.
    pub proxy_from: Option<Vec<Spanned<String>>>,
    pub groups: Option<Vec<Spanned<String>>>,
    pub read_only: Option<bool>,
    pub banner: Option<Spanned<String>>,
}

/// The keys of one `[[group]]` beside those of [`PolicyTable`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupTable {
    pub name: Option<Spanned<String>>,
}

/// The keys of one `[[user]]`, or of one file of the users directory, beside those of [`PolicyTable`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserTable {
    /// May be missing in a file of its own: then it is the file's name without `.toml`.
    pub name: Option<Spanned<String>>,
    /// The directory that the user sees as `/`.
    pub root: Option<Spanned<PathBuf>>,
    pub groups: Option<Vec<Spanned<String>>>,
    /// A hash as PHC, bcrypt or crypt(3) string; never the password itself.
    pub password: Option<Spanned<String>>,
    pub must_change_password: Option<Spanned<bool>>,
    /// Lines as in OpenSSH's file of that name.
    pub authorized_keys: Option<Vec<Spanned<String>>>,
    /// Such files, read at start and at reload.
    pub authorized_keys_file: Option<Spanned<OneOrMore>>,
    pub totp_secret: Option<Spanned<String>>,
    pub recovery_codes: Option<Spanned<Vec<Spanned<String>>>>,
}

/// What users and groups have in common. A user's own value is used alone, and that of a group where the
/// user has none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTable {
    pub enabled: Option<bool>,
    pub read_only: Option<bool>,
    /// Sessions of one user at a time.
    pub max_sessions: Option<Spanned<u64>>,
    /// Each item a way to log in: method names joined by commas, all of which are needed.
    pub methods: Option<Spanned<Vec<Spanned<String>>>>,
    pub principals: Option<Spanned<Vec<Spanned<String>>>>,
    /// `HOST:USER` each.
    pub host_based: Option<Spanned<Vec<Spanned<String>>>>,
    pub shosts_file: Option<Spanned<PathBuf>>,
    pub known_hosts_file: Option<Spanned<OneOrMore>>,
    pub allow_from: Option<Spanned<Vec<Spanned<String>>>>,
    pub hours: Option<Spanned<Vec<Spanned<String>>>>,
    pub time_zone: Option<Spanned<String>>,
    pub expires: Option<Spanned<Expiry>>,
    /// `direct` (the default): an upload is visible while it grows. `on-close`: when it is complete.
    pub publish: Option<Spanned<String>>,
    pub folder: Option<Spanned<Vec<Spanned<FolderTable>>>>,
}

/// `[[user.folder]]` and `[[group.folder]]`: what holds in one directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderTable {
    /// Absolute, as the user sees it.
    pub path: Option<Spanned<String>>,
    pub publish: Option<Spanned<String>>,
}

/// A text, or an array of them.
#[derive(Debug)]
pub enum OneOrMore {
    One(String),
    More(Vec<Spanned<String>>),
}

/// A number as text: `10` or `"10:30:100"`.
#[derive(Debug)]
pub struct NumberOrText(pub String);

/// A date or a moment, as TOML writes it or the same as text.
#[derive(Debug)]
pub struct Expiry(pub Datetime);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMore, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = seq.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMore::More(all))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for NumberOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = NumberOrText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a string")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<NumberOrText, E> {
                Ok(NumberOrText(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<NumberOrText, E> {
                Ok(NumberOrText(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NumberOrText, E> {
                Ok(NumberOrText(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for Penalties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Penalties;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a table")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Penalties, E> {
                Ok(Penalties::Switch(on))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Penalties, A::Error> {
                let table = PenaltiesTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Penalties::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Expiry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date such as 2030-12-31, or a date and time")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expiry, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Str(text), &self);
                text.parse().map(Expiry).map_err(wrong)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expiry, A::Error> {
                Datetime::deserialize(MapAccessDeserializer::new(map)).map(Expiry)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// The keys that a table of the schema has, in their order.
pub fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    // Asking for a struct tells its fields; there is nothing to read, so the rest fails.
    let _ = T::deserialize(Keys(&mut keys));
    keys
}

struct Keys<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
