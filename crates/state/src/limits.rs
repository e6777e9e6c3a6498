//! Every bound of the state: unit, number, reason.

use std::time::Duration;

/// How long one call waits for another process that uses the same file, for example a command that
/// lists penalties. Writes take milliseconds; who waits longer should hear of it.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Bytes of a user's name or a key's fingerprint: longer than any that logs in.
pub const NAME_LEN_MAX: usize = 1024;

/// Users whose last one-time code is remembered. Beyond it the lowest steps are forgotten: those
/// are the oldest codes, and nobody accepts them any more.
pub const TOTP_USERS_MAX: u32 = 200_000;

/// Used recovery codes of one user. They are never forgotten, since a forgotten one could be used
/// again; sets are of ten, so this is a hundred sets.
pub const RECOVERY_CODES_PER_USER_MAX: u32 = 1000;

/// Security keys whose counter is remembered. Beyond it those that were not used for longest are
/// forgotten.
pub const COUNTERS_MAX: u32 = 200_000;

/// Source networks with a penalty: as many as the server's two tables hold when nothing is
/// configured. Beyond it those that would be forgotten first are.
pub const PENALTIES_MAX: u32 = 2 * 65_536;

/// Bytes of a penalty's reason, which is a word or two.
pub const REASON_LEN_MAX: usize = 256;

/// Requests to lift a penalty that wait for the server to read them.
pub const UNBANS_MAX: u32 = 10_000;
