//! Every bound of the client, with unit and reason.

use std::time::Duration;

/// Longest part of a peer's sentence that is shown, in characters (AUT-9, CLI-5).
pub const PEER_TEXT_LEN_MAX: usize = 4096;

/// Failures that a [`Summary`](crate::transfer::Summary) keeps; it counts the others.
pub const SUMMARY_ERRORS_MAX: usize = 1000;

// ---- files that people write ----

/// Longest user or host name that is accepted from a person, in bytes (DNS allows 253).
pub const DESTINATION_NAME_LEN_MAX: usize = 255;
/// Largest ssh_config file that is read, in bytes.
pub const CONFIG_FILE_LEN_MAX: u64 = 1 << 20;
/// Nested `Include` depth (OpenSSH: 16).
pub const CONFIG_INCLUDE_DEPTH_MAX: usize = 16;
/// Files that all `Include` lines together may bring.
pub const CONFIG_INCLUDE_FILES_MAX: usize = 256;
/// Commands that all `Match exec` lines for one host may run.
pub const CONFIG_EXEC_COUNT_MAX: usize = 64;
/// Longest run of one of them: it stands before every connection.
pub const CONFIG_EXEC_TIME_MAX: Duration = Duration::from_secs(30);
/// Looks at a known_hosts file that others keep replacing while we want to lock it.
pub const KNOWN_HOSTS_LOCK_TRIES_MAX: usize = 100;
/// Largest private key file, in bytes; a 16384-bit RSA key takes 13 KiB.
pub const KEY_FILE_LEN_MAX: u64 = 64 << 10;

// ---- login ----

/// Longest message to or from the agent, in bytes (AGT-1, as OpenSSH's agent).
pub const AGENT_MESSAGE_LEN_MAX: usize = 256 << 10;
/// Keys taken from the agent.
pub const AGENT_KEYS_MAX: usize = 1024;
/// How long the agent may think; a person may have to touch a token.
pub const AGENT_TIMEOUT: Duration = Duration::from_secs(120);
/// The same for a signature by a security key: it may have to be found and plugged in first.
pub const AGENT_TOUCH_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest agent comment kept, in bytes.
pub const AGENT_COMMENT_LEN_MAX: usize = 1024;
/// Login attempts of all methods together; servers allow 6, a hostile one could go on for ever.
pub const AUTH_ATTEMPTS_MAX: usize = 64;
/// Passwords asked for in one login when `NumberOfPasswordPrompts` says nothing, as OpenSSH.
pub const PASSWORD_PROMPTS_DEFAULT: u32 = 3;
/// Passphrases asked for one key file.
pub const PASSPHRASE_PROMPTS_MAX: u32 = 3;
/// Rounds of questions in one keyboard-interactive attempt: a password, a code and a new password take
/// a few; a hostile server could go on for ever.
pub const KEYBOARD_ROUNDS_MAX: u32 = 32;
/// New passwords that a server may find not good enough in one login.
pub const PASSWORD_CHANGES_MAX: u32 = 5;
/// Times that a new password may be typed twice differently.
pub const PASSWORD_RETYPES_MAX: u32 = 3;
/// How long `ssh-keysign` may take; it looks up names.
pub const KEYSIGN_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer of `ssh-keysign`, in bytes; a signature of a 16384-bit RSA key takes 2 KiB.
pub const KEYSIGN_REPLY_LEN_MAX: usize = 16 << 10;
/// Banner bytes shown before a login; the rest is dropped (AUT-9).
pub const BANNER_LEN_MAX: usize = 32 << 10;
/// `RequiredRSASize` when nothing is said, in bits: what the signature check takes anyway.
pub const REQUIRED_RSA_SIZE_DEFAULT: u32 = 2048;
/// Host keys of one announcement that are looked at (ROT-2).
pub const ANNOUNCED_KEYS_MAX: usize = 32;

// ---- connection ----

/// TCP connection to all addresses together, when ConnectTimeout says nothing.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Silence after which the next address is tried beside the first (RFC 8305 §5).
pub const CONNECT_STAGGER: Duration = Duration::from_millis(250);
/// Pause between two tries of `ConnectionAttempts`, as OpenSSH.
pub const CONNECT_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Servers on the way to one server; more are taken for a circle in the configuration.
pub const PROXY_HOPS_MAX: usize = 8;
/// Bytes between a connection and the one that runs through it, each way: two of its largest writes.
pub const TUNNEL_BUFFER_LEN: usize = 512 << 10;
/// Bytes that are moved at a time from there into a channel.
pub const TUNNEL_CHUNK_LEN: usize = 256 << 10;
/// Addresses of one name that are tried.
pub const CONNECT_ADDRESSES_MAX: usize = 16;
/// Commands that may wait for the connection task.
pub const SESSION_QUEUE_LEN: usize = 64;
/// Commands that run at once on one connection; further ones wait. OpenSSH's `MaxSessions` allows
/// ten channels, and SFTP and others of ours need some.
pub const EXEC_PARALLEL_MAX: usize = 4;
/// Output of an `exec` that is kept, in bytes, for each of stdout and stderr.
pub const EXEC_OUTPUT_LEN_MAX: usize = 1 << 20;

// ---- SFTP ----

/// Bytes of a DATA reply around the data: type, id, length.
pub const DATA_OVERHEAD_LEN: usize = 1 + 4 + 4;
/// Read or write length that every server takes (draft-02 §3).
pub const IO_LEN_SAFE: u32 = 32 << 10;
/// Largest read or write length that is used, as OpenSSH: 256 KiB packet less 1 KiB of header.
pub const IO_LEN_MAX: u32 = 261_120;
/// Announced lengths below this are nonsense and ignored (CLT-2).
pub const IO_LEN_MIN: u64 = 64;
/// Requests in a channel's queue that are not yet taken by its task.
pub const SFTP_QUEUE_LEN: usize = 64;
/// Bytes of requests that the task holds unsent before it stops taking more.
pub const SFTP_UNSENT_LEN_MAX: usize = 1 << 20;
/// Silence of the server with requests outstanding after which the channel is given up.
pub const SFTP_SILENCE_MAX: Duration = Duration::from_secs(120);
/// The same while the server does something that may take long, such as hashing a large file: 360 GB
/// at the 100 MB/s of a disk. A dead link is found by `ServerAliveInterval` meanwhile.
pub const SFTP_LONG_SILENCE_MAX: Duration = Duration::from_secs(3600);
/// How often silence is looked at; the deadline is kept to within this.
pub const SILENCE_CHECK_PERIOD: Duration = Duration::from_secs(5);
/// Longest path that is accepted from a server, in bytes.
pub const PATH_LEN_MAX: usize = 64 << 10;
/// Entries of one directory; what has more is taken for a directory without end.
pub const LIST_ENTRIES_MAX: usize = 4_000_000;
/// READDIRs under way at first: the names of a short directory and its end come in one round trip.
pub const READDIR_AHEAD_START: usize = 2;
/// READDIRs of one directory under way at most: with the 100 names of OpenSSH's batches 8000 names a second
/// at 100 ms, and at most 8 MiB of the largest replies.
pub const READDIR_AHEAD_MAX: usize = 8;
/// READDIR replies without any entry before a directory counts as broken.
pub const EMPTY_BATCHES_MAX: usize = 3;
/// Paths that a glob may match.
pub const GLOB_MATCHES_MAX: usize = 1_000_000;

// ---- lost connections ----

/// Tries to connect again in a row, without anything advancing, before a transfer gives up: with the
/// pauses below about three minutes, a restart of the machine.
pub const RETRIES_DEFAULT: u32 = 10;
/// Attempts at a file, in a row without getting further, that lost their connection while others were in
/// flight; after that it has the next one for itself.
pub const TRIES_TOGETHER_MAX: u32 = 2;
/// Pause before the second try; it doubles with each further one. The first comes at once.
pub const RECONNECT_PAUSE_START: Duration = Duration::from_secs(1);
/// Longest pause.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How much later than at once the first try may be: all clients of a server lose it at one time.
pub const RECONNECT_JITTER_MAX: Duration = Duration::from_millis(100);
/// One try from the first byte to the SFTP channel; a person may have to type a code.
pub const RECONNECT_TIME_MAX: Duration = Duration::from_secs(300);
/// A new channel on a connection that looks as if it still worked.
pub const REOPEN_TIME_MAX: Duration = Duration::from_secs(10);

// ---- transfers ----

/// Bytes of a file in flight when its transfer begins: two round trips later it is eight times as much.
pub const WINDOW_START_LEN: usize = 2 << 20;
/// Bytes of a file in flight at most: half as much again as 1 Gbit/s and 170 ms hold, as [`ssh-proto`'s
/// window](sterna_ssh_proto::limits::WINDOW_LEN_MAX).
pub const WINDOW_MAX_LEN: usize = 32 << 20;
/// Bytes of a file in flight at least: two of the largest requests.
pub const WINDOW_LEN_MIN: usize = 2 * IO_LEN_MAX as usize;
/// So much time is worked ahead at least, however short the path: the server's disk, our own and the
/// processor pause for milliseconds.
pub const WINDOW_QUEUE_TIME_MIN: Duration = Duration::from_millis(10);
/// Buffers kept for reuse; with [`IO_LEN_MAX`] each this is the largest window.
pub const POOL_BUFFERS_MAX: usize = WINDOW_MAX_LEN / IO_LEN_MAX as usize + 2;
/// Replies that one call writes at most: 8 MiB of the longest.
pub const WRITE_SLICES_MAX: usize = 32;
/// SFTP channels of one transfer; OpenSSH's `MaxSessions` allows ten channels, and commands need one.
pub const LANES_MAX: usize = 8;
/// Bytes of a file that may be read ahead on one lane of a long path, while it may have more lanes. OpenSSH's
/// `sshd` keeps what a channel has read and the path does not take yet in a buffer that it copies each time it
/// grows: 15 MiB of one channel cost it four seconds; eight times 3 MiB hold twice 1 Gbit/s and 100 ms.
pub const STRIPE_READ_LEN_MAX: usize = 3 << 20;
/// The same while more lanes are being opened: what 1 Gbit/s and 100 ms hold.
pub const STRIPE_ALONE_LEN_MAX: usize = 12 << 20;
/// A file with less to come is not worth the round trips for another lane, in bytes.
pub const STRIPE_MIN_LEN: u64 = 16 << 20;
/// Connections that a transfer makes beside its first one, to a server that opens too few channels on one.
/// Servers limit those of an address, too, and other programs want some.
pub const CONNECTIONS_BESIDE_MAX: usize = 3;
/// How many times as many lanes a file gets when those that it has are full: each time costs round trips.
pub const STRIPES_GROWTH: usize = 4;
/// How long the windows of a file's lanes are watched before it gets more of them.
pub const STRIPES_PERIOD: Duration = Duration::from_millis(200);
/// Files in a row that digest commands answer nothing for, each of them alone, before there are no more
/// commands: each takes a login shell at the server.
pub const UNANSWERED_FILES_MAX: u32 = 16;
/// Files in flight at once, at first: enough to fill a short path.
pub const FILES_IN_FLIGHT_START: usize = 16;
/// Files in flight at most: three round trips of 100 ms each are hidden up to 850 small files a second.
pub const FILES_IN_FLIGHT_MAX: usize = 256;
/// Seconds by which a time may be off where a file system has no finer ones (FAT: 2).
pub const TIME_STEP_MAX: u32 = 1;
/// Files that have travelled and wait for a digest: what commands at 100 ms answer in two seconds.
pub const FILES_WAITING_MAX: usize = 1024;
/// Directories that are read side by side.
pub const DIRS_IN_FLIGHT_MAX: usize = 32;
/// Entries that one look into a local directory brings.
pub const LOCAL_BATCH_MAX: usize = 1024;
/// Times that a part is opened while something puts one of its name back.
pub const PART_TRIES_MAX: u32 = 5;
/// Times in a row that one request may be refused while nothing else of its file is in flight.
pub const REFUSED_ALONE_MAX: u32 = 4;
/// Files that are refused among others and then alone, too, until refusals to open are believed at once.
pub const OPENS_DISPROVED_MAX: u32 = 3;
/// Depth of a tree (CLT-8, as OpenSSH).
pub const TREE_DEPTH_MAX: usize = 64;
/// Replies without a byte of data to one read before the file counts as unreadable (CLT-4).
pub const EMPTY_READS_MAX: u32 = 2;
/// Bytes compared before a part that cannot be proven by digest is continued.
pub const RESUME_COMPARE_LEN: u64 = 1 << 20;
/// A part shorter than this is not worth proving.
pub const RESUME_MIN_LEN: u64 = 64 << 10;
/// Largest journal beside a part, in bytes.
pub const JOURNAL_LEN_MAX: u64 = 4096;
/// Bytes between two writes of the journal.
pub const JOURNAL_STEP_LEN: u64 = 4 << 20;
/// Bytes between two progress events of one file.
pub const PROGRESS_STEP_LEN: u64 = 1 << 20;
/// Longest local file name (Linux NAME_MAX), in bytes.
pub const LOCAL_NAME_LEN_MAX: usize = 255;
/// Pieces of a file that are kept apart while it is transferred: at most 1 MiB of memory, and enough
/// for a file of 64 GiB whose every second block differs.
pub const RANGES_MAX: usize = 32 << 10;
/// Blocks that a file is compared in; larger files have larger blocks, up to [`BLOCK_LEN_MAX`].
pub const BLOCKS_GOAL: u64 = 32 << 10;
/// Smallest and largest block of a comparison, in bytes.
pub const BLOCK_LEN_MIN: u32 = 64 << 10;
pub const BLOCK_LEN_MAX: u32 = 1 << 20;
/// Blocks that one request asks digests of: with the longest digest a reply of 32 KiB, which every
/// client may get.
pub const STRETCH_BLOCKS_MAX: u64 = 512;
/// Bytes that one such request covers at most: below a second of work for the server.
pub const STRETCH_LEN_MAX: u64 = 64 << 20;
/// Such requests under way at once: enough for 2 GB/s at 100 ms.
pub const STRETCHES_IN_FLIGHT: usize = 4;
/// Bytes hashed at once.
pub const HASH_STEP_LEN: usize = 256 << 10;
/// Bytes by which a digest may be behind the bytes that pass before it is brought on.
pub const HASH_LAG_LEN: u64 = 4 << 20;
/// A file shorter than this is sent whole rather than compared with what it replaces, in bytes.
pub const DELTA_MIN_LEN: u64 = 1 << 20;
/// Digests on the way that are kept until the bytes they cover are known to have arrived.
pub const HASH_MARKS_MAX: usize = 64;
/// A server is asked for the holes of a file of at least this many bytes: it costs a round trip.
pub const SPARSE_MIN_LEN: u64 = 1 << 20;
/// Bytes that the kernel copies between two looks at whether to stop.
pub const COPY_STEP_LEN: usize = 64 << 20;
/// What a rate limit lets pass at once after a pause, in seconds of the rate.
pub const RATE_BURST: f64 = 0.1;

// ---- sync ----

/// Requests ahead when a remote file is read to compute its digest here: 4 MiB of the largest.
pub const DIGEST_READS_MAX: usize = 16;
/// Directories whose listing is under way at once.
pub const SYNC_LISTINGS_MAX: usize = 8;
/// Files that have begun or stand in line for a place among those in flight.
pub const SYNC_FILES_MAX: usize = 1024;
/// Files that are compared at once by their digests alone.
pub const SYNC_DIGESTS_MAX: usize = 16;
/// Directories with files that wait or are in flight; each may be an open file here.
pub const SYNC_DIRS_OPEN_MAX: usize = 256;
/// Files that are planned and wait for their turn; above it no further directory is listed. One
/// directory is planned as a whole and may exceed it.
pub const SYNC_WAITING_MAX: usize = 4096;
/// Names of what is to be deleted and what is kept for each, in bytes: about a million files. More is
/// refused.
pub const SYNC_EXTRAS_LEN_MAX: usize = 64 << 20;
/// Requests to delete that are under way at once.
pub const SYNC_DELETES_MAX: usize = 64;
/// Files with several names of which one was seen; further ones are transferred name by name.
pub const SYNC_HARD_LINKS_MAX: usize = 1_000_000;
/// Deletions that are allowed without `--max-delete`, if half of the target is not more.
pub const SYNC_DELETE_DEFAULT: u64 = 1000;
/// Users, and groups, of one side whose names are known; the numbers of further ones are kept.
pub const SYNC_OWNERS_MAX: usize = 64 << 10;
/// Users, and groups, whose names one request asks for.
pub const OWNERS_ASKED_MAX: usize = 512;
/// Extended attributes of one file or directory that are brought; there being more is reported.
pub const XATTRS_MAX: usize = 1024;
/// Bytes of the names of the extended attributes of one local file (`XATTR_LIST_MAX` of Linux).
pub const XATTR_LIST_LEN_MAX: usize = 64 << 10;
/// Requests to read ahead, and to write behind, of a file between two servers: 4 MiB each of the largest.
pub const RELAY_REQUESTS_MAX: usize = 16;
/// Largest file of patterns, in bytes, and of their number.
pub const FILTER_FILE_LEN_MAX: u64 = 1 << 20;
pub const FILTER_PATTERNS_MAX: usize = 10_000;
/// Directories of the server that are remembered to be synced; then they are synced, and others begin.
pub const DIRS_UNSYNCED_MAX: usize = 4096;
/// Directories that are synced at a time: distance is waited for once for so many.
pub const DIRS_SYNCED_AT_ONCE: usize = 16;
