//! Every bound of the audit log: unit, number, reason.

use std::time::Duration;

/// Bytes of one line, its end included. Two paths of 4096 bytes, each of which needs six bytes in JSON
/// and two more in hexadecimal, are 64 KiB; the rest of a record is some hundred bytes.
pub const LINE_LEN_MAX: usize = 256 * 1024;

/// The number of a record at most: more than anybody writes, and it can be counted on from there.
pub const SEQ_MAX: u64 = i64::MAX as u64;

/// Bytes of one value of a record that are kept. Longer than any path of a request.
pub const VALUE_LEN_MAX: usize = 8 * 1024;

/// Records that wait to be written. At half a kilobyte each, 16 MiB.
pub const QUEUE_RECORDS_MAX: usize = 32 * 1024;

/// Of these, places for what was allowed before the queue was found full: sessions × requests under way.
pub const QUEUE_RESERVE: usize = 8 * 1024;

/// Records that one write and one sync bring to the disk.
pub const BATCH_RECORDS_MAX: usize = 512;

/// Records between two checkpoints.
pub const CHECKPOINT_RECORDS: u64 = 1000;

/// Longest time for which a record waits for a checkpoint.
pub const CHECKPOINT_PAUSE: Duration = Duration::from_secs(60);

/// Pause before a write that failed is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long the end of a server waits for its last records.
pub const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Bytes of a head, of a public key, or of a private key in a file.
pub const SMALL_FILE_LEN_MAX: u64 = 4096;

/// Problems that one verification names; the others are counted.
pub const PROBLEMS_MAX: usize = 100;
