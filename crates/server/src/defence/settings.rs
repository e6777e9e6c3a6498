//! What an administrator chooses: the numbers of every rule, with their defaults.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use sterna_ssh_proto::limits::{AUTH_FAILURES_MAX, LOGIN_GRACE_DEFAULT};

use super::penalties::Offence;

/// Defence against those who have not logged in. Everything is on by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefenceSettings {
    /// Networks that are never counted, dropped early or penalised. Default: none.
    pub exempt: Vec<IpNet>,
    /// From connect to login; who needs longer is disconnected. Default: 60 s.
    pub login_grace: Duration,
    /// How many connections may be without a login, from everywhere. Default: `100:30:500`.
    pub max_startups: MaxStartups,
    /// Connections without a login from one source network at a time; `None` for no bound of its own.
    /// Default: 64.
    pub per_source_max_startups: Option<u32>,
    /// Which addresses are one source. Default: `32:64`, since whoever has one IPv6 address usually
    /// has the whole /64.
    pub per_source_net_block_size: NetBlockSize,
    /// Failed attempts in one connection, after which it ends. Default: 6.
    pub max_auth_tries: u32,
    /// How long a source is refused for what; `None` never refuses.
    pub per_source_penalties: Option<PenaltySettings>,
}

impl Default for DefenceSettings {
    fn default() -> Self {
        Self {
            exempt: Vec::new(),
            login_grace: LOGIN_GRACE_DEFAULT,
            max_startups: MaxStartups::default(),
            per_source_max_startups: Some(64),
            per_source_net_block_size: NetBlockSize::default(),
            max_auth_tries: AUTH_FAILURES_MAX,
            per_source_penalties: Some(PenaltySettings::default()),
        }
    }
}

/// Random early drop, as OpenSSH's `MaxStartups`: written `start:rate:full`, or a single number,
/// up to which all are taken and beyond which none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxStartups {
    /// Connections without a login that are all taken.
    pub start: u32,
    /// Percent of further ones that are dropped when there are `start`; grows linearly from there.
    pub rate: u32,
    /// Connections without a login at which every further one is dropped.
    pub full: u32,
}

impl Default for MaxStartups {
    /// Ten times what OpenSSH starts with, for which each one is a process: here it is a task and some
    /// 40 KiB, and clients that open dozens of connections at once are not uncommon.
    fn default() -> Self {
        Self { start: 100, rate: 30, full: 500 }
    }
}

/// How many bits of an address tell its source, as OpenSSH's `PerSourceNetBlockSize`: written
/// `ipv4:ipv6`, or a single number for IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetBlockSize {
    /// Bits, 0 to 32.
    pub ipv4: u8,
    /// Bits, 0 to 128.
    pub ipv6: u8,
}

impl Default for NetBlockSize {
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

/// For how long a source is refused, as OpenSSH's `PerSourcePenalties`. Times add up; a source is
/// refused once more than `min` has come together.
///
/// Whoever was refused before is refused for twice as long the next time, and so on: each earlier
/// penalty that is still remembered doubles both the times and `max`, up to `max_repeated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PenaltySettings {
    /// For a connection that made the server fail. Default: 90 s.
    pub crash: Duration,
    /// For one that broke the protocol before login. Default: 10 s.
    pub protocol_error: Duration,
    /// For one that tried to log in and did not succeed. Default: 5 s.
    pub auth_failed: Duration,
    /// The same in the name of somebody who does not exist. Default: 5 s.
    pub invalid_user: Duration,
    /// For one that left without an attempt: scanners, but health checks too, which should be exempt
    /// if they come more than once a second. Default: 1 s.
    pub no_auth: Duration,
    /// For one that was not logged in when the grace time was over. Default: 20 s.
    pub grace_exceeded: Duration,
    /// For one beyond `per_source_max_startups`. Default: 0, because a burst of honest connections
    /// comes there too, and dropping the surplus costs the server nothing.
    pub refused: Duration,
    /// What must come together before a source is refused. Default: 15 s.
    pub min: Duration,
    /// The most that comes together for a source that was not refused before. Default: 10 min.
    pub max: Duration,
    /// The most for any source. Default: one day.
    pub max_repeated: Duration,
    /// After each such time without an offence one earlier penalty is forgotten. Default: 6 h.
    pub forget_after: Duration,
    /// IPv4 networks that are remembered. Default: 65536.
    pub max_sources4: usize,
    /// IPv6 networks that are remembered. Default: 65536.
    pub max_sources6: usize,
    /// What happens when that many are remembered.
    pub overflow: Overflow,
}

impl Default for PenaltySettings {
    /// As OpenSSH 9.8, where it has the same rule.
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            crash: s(90),
            protocol_error: s(10),
            auth_failed: s(5),
            invalid_user: s(5),
            no_auth: s(1),
            grace_exceeded: s(20),
            refused: s(0),
            min: s(15),
            max: s(600),
            max_repeated: s(24 * 3600),
            forget_after: s(6 * 3600),
            max_sources4: 65_536,
            max_sources6: 65_536,
            overflow: Overflow::default(),
        }
    }
}

impl PenaltySettings {
    /// What one offence adds the first time.
    pub fn time_for(&self, offence: Offence) -> Duration {
        match offence {
            Offence::Crash => self.crash,
            Offence::ProtocolError => self.protocol_error,
            Offence::AuthFailed => self.auth_failed,
            Offence::InvalidUser => self.invalid_user,
            Offence::NoAuth => self.no_auth,
            Offence::GraceExceeded => self.grace_exceeded,
            Offence::Refused => self.refused,
        }
    }
}

/// When the table of sources is full: OpenSSH's `overflow`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The least offender is forgotten.
    #[default]
    Permissive,
    /// Everybody who is not exempt is refused until a penalty ends. Whoever controls enough
    /// addresses can shut the server for all.
    DenyAll,
}

/// A setting that cannot be understood: what it has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingError(&'static str);

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for SettingError {}

impl FromStr for MaxStartups {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        const WRONG: SettingError = SettingError(
            "must be START:RATE:FULL, such as 10:30:100, with a rate of 1 to 100 percent and START not \
             above FULL; or one number",
        );
        let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        let read = match numbers.map_err(|_| WRONG)?[..] {
            [full] => Self { start: full, rate: 100, full },
            [start, rate, full] => Self { start, rate, full },
            _ => return Err(WRONG),
        };
        let sound = read.full > 0 && read.start <= read.full && (1..=100).contains(&read.rate);
        if sound { Ok(read) } else { Err(WRONG) }
    }
}

impl fmt::Display for MaxStartups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.rate, self.full)
    }
}

impl FromStr for NetBlockSize {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        const WRONG: SettingError =
            SettingError("must be IPV4:IPV6, such as 32:64, in bits; or one number for IPv4");
        let numbers: Result<Vec<u8>, _> = text.split(':').map(str::parse).collect();
        let read = match numbers.map_err(|_| WRONG)?[..] {
            [ipv4] => Self { ipv4, ..Self::default() },
            [ipv4, ipv6] => Self { ipv4, ipv6 },
            _ => return Err(WRONG),
        };
        if read.ipv4 <= 32 && read.ipv6 <= 128 { Ok(read) } else { Err(WRONG) }
    }
}

impl fmt::Display for NetBlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ipv4, self.ipv6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_startups_is_read_as_openssh_writes_it() {
        let read = |text: &str| text.parse::<MaxStartups>();

        assert_eq!(read("100:30:500"), Ok(MaxStartups::default()));
        assert_eq!(read("5"), Ok(MaxStartups { start: 5, rate: 100, full: 5 }));
        assert_eq!(read("7:100:7").unwrap().to_string(), "7:100:7");
        for wrong in
            ["", "a", "0", "10:30", "10:0:100", "10:101:100", "11:30:10", "1:2:3:4", "-1:30:100"]
        {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn net_block_sizes_are_read_as_openssh_writes_them() {
        let read = |text: &str| text.parse::<NetBlockSize>();

        assert_eq!(read("32:64"), Ok(NetBlockSize::default()));
        assert_eq!(read("24"), Ok(NetBlockSize { ipv4: 24, ipv6: 64 }));
        assert_eq!(read("0:128").unwrap().to_string(), "0:128");
        for wrong in ["", "33", "32:129", "a:64", "32:64:1", "32:", "300"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
