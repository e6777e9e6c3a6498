//! Every bound of the server: unit, number, reason. Those of the wire itself are in `sftp-proto`.

use std::time::Duration;

/// Requests of one session that are accepted and not yet answered. Further ones stay unparsed in
/// the session's input, where the channel window bounds them. As many as fill a long, fat link at
/// 32 KiB each: 8 MiB.
pub const REQUESTS_MAX: usize = 256;

/// Bytes of accepted requests that wait for the I/O pool, most of them data of WRITEs. One batch
/// can be written while the next one gathers; the rest waits in the channel window.
pub const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of replies that wait for the peer. Beyond it no request is started that produces more, so
/// a peer that sends and never reads costs this much, plus the replies of what runs (`sftp.md` FRM-6).
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes read ahead of what the peer's window has room for, so that the disk works while the
/// window travels. Small, because sessions with stalled readers may be many.
pub const READ_AHEAD_BYTES: usize = 256 * 1024;

/// Jobs of one session on the I/O pool at a time: enough to keep a disk's queue busy, few enough
/// that one session cannot fill the pool's queue.
pub const JOBS_MAX: usize = 64;

/// Jobs of one session that one thread of the I/O pool is woken for.
pub const GATHERED_JOBS_MAX: usize = 32;

/// Time that jobs are expected to take together which one thread is woken for: many times what waking it
/// costs, and nothing to wait for.
pub const GATHERED_TIME: Duration = Duration::from_micros(250);

/// A job that waits behind others gets a thread of its own when none has been taken for so long.
pub const WATCH_PERIOD: Duration = Duration::from_millis(2);

/// Periods without a job that waits after which nobody looks any more.
pub const WATCH_QUIET_PERIODS: u32 = 50;

/// Bytes that one READ or WRITE job moves at most: with 256 KiB the hop to another thread
/// vanishes against the copy.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Requests that one READ or WRITE job serves at most.
pub const BATCH_REQUESTS_MAX: usize = 64;

/// Bytes that READs of one handle get before another handle has its turn: one batch.
pub const READ_TURN_BYTES: usize = BATCH_BYTES_MAX;

/// Open handles of one session.
pub const HANDLES_MAX: usize = 1000;

/// Open directories among them: a listing holds two batches of entries in memory.
pub const DIR_HANDLES_MAX: usize = 100;

/// Paths of files that a session has written and closed which it remembers, so that giving them their names
/// does not hold up other files: 16 KiB.
pub const CLOSED_PATHS_MAX: usize = 1024;

/// Entries read from a directory at a time, about what one packet takes; with 255-byte names about 72 KiB.
pub const DIR_BATCH: usize = 192;

/// Bytes that long work (digests, copies) moves between two looks at the cancel flag.
pub const CHUNK_LEN: usize = 256 * 1024;

/// Bytes that long work moves before others of the same pool have their turn: some 20 milliseconds.
pub const SLICE_LEN: u64 = 16 * 1024 * 1024;

/// Digests of whole files that are remembered, of all users together: about 3 MiB.
pub const DIGESTS_REMEMBERED_MAX: usize = 10_000;

/// Bytes that the backend copies by itself between two looks at the cancel flag.
pub const COPY_STEP_LEN: u64 = 64 * 1024 * 1024;

/// Bytes of digests in one `check-file` reply, so that it fits every client's packet limit.
pub const DIGESTS_LEN_MAX: usize = 200_000;

/// Long jobs (digests, copies) of one session at a time; others wait their turn.
pub const LONG_JOBS_MAX: usize = 2;

/// Big buffers kept for reuse, for all sessions together: 16 MiB.
pub const BUFFERS_KEPT_MAX: usize = 64;

/// Buffers for one block kept for reuse, for each big one that is kept: together 4.5 MiB.
pub const BLOCK_BUFFERS_PER_BIG: usize = 2;

/// Capacity of one buffer for a block: a READ or a frame of a WRITE of 32 KiB, which most clients
/// use.
pub const BLOCK_BUFFER_LEN: usize = 36 * 1024;

/// Frames up to this length, in bytes, have their memory from the session itself, which keeps
/// [`SPARE_FRAMES_MAX`] of them: requests other than WRITEs.
pub const SPARE_FRAME_LEN: usize = 256;

/// Frame buffers kept for reuse by one session: 8 KiB.
pub const SPARE_FRAMES_MAX: usize = 32;

/// Capacity of one big buffer: a batch and the headers around it.
pub const BUFFER_LEN: usize = BATCH_BYTES_MAX + 4096;

/// Memory for bytes that wait to be looked at which a session keeps when none do, in bytes: a channel's
/// first window.
pub const BACKLOG_KEPT_LEN: usize = 2 * 1024 * 1024;

/// Threads of the I/O pool when nothing is configured: at least this many, because disks answer
/// in parallel even where the machine has one core.
pub const IO_THREADS_MIN: usize = 4;

/// Sessions (channels) of one connection, as OpenSSH's `MaxSessions`.
pub const SESSIONS_MAX: usize = 10;

/// Longest command of an `exec` request that is looked at, in bytes.
pub const COMMAND_LEN_MAX: usize = 32 * 1024;

/// Files in one checksum command.
pub const COMMAND_FILES_MAX: usize = 256;

/// Output of one command that waits for the peer, in bytes.
pub const COMMAND_OUTPUT_MAX: usize = 256 * 1024;

/// Directories of users that are remembered before those are forgotten that no session has open: each is a
/// path and a number.
pub const ROOTS_FORGOTTEN_AT: usize = 64;

/// Users whose unfinished uploads are swept; those of users beyond it stay until their next upload of
/// the same name.
pub const SWEPT_ROOTS_MAX: usize = 100_000;

/// Connections at a time when nothing is configured: at 32 KiB for each idle one, half a gigabyte.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Connections that an application has brought and the server has not come to take: as many as wait in the backlog
/// of a socket.
pub const BROUGHT_MAX: usize = 1024;

/// Open files and directories of all sessions together when nothing is configured. Who starts a server
/// says what its descriptors allow.
pub const HANDLES_TOTAL_MAX: usize = 16_384;

/// A session on which nothing moves for so long ends when nothing is configured: a day, which no person and no
/// job waits.
pub const IDLE_TIME: Duration = Duration::from_secs(24 * 3600);

/// Time between two looks for idle sessions, at most.
pub const IDLE_LOOK_PAUSE: Duration = Duration::from_secs(60);

/// Within this time a balancer has sent its PROXY header: it sends it with the connection itself.
pub const PROXY_HEADER_TIME: Duration = Duration::from_secs(5);

/// Earlier penalties of a source that are counted: each doubles the next one, and 2^16 times the
/// shortest is far beyond the longest.
pub const PENALTY_REPEATS_MAX: u32 = 16;

/// One in so many places in a table of penalties is for sources that were never refused, even if
/// the table is full of those that were: enough to see what newcomers are.
pub const NEWCOMERS_SHARE: usize = 16;

/// Penalties that are kept in one transaction: a few milliseconds, so that logins which wait for the
/// same file do not notice.
pub const PENALTIES_SAVED_AT_ONCE: usize = 2048;

/// Time between two savings of penalties, and between two looks for requests to lift some: what
/// a crash forgets at most, and how long a command takes to work.
pub const DEFENCE_SAVE_PAUSE: Duration = Duration::from_secs(5);

/// So many connections of refused sources within [`FLOOD_WINDOW`] are a flood.
pub const FLOOD_DROPS: u32 = 100;
pub const FLOOD_WINDOW: Duration = Duration::from_millis(100);

/// Under a flood connections are taken at such intervals: a login waits no longer, and the backlog of a socket holds all that come meanwhile.
pub const FLOOD_ACCEPT_PAUSE: Duration = Duration::from_millis(2);

/// Time between two lines of the log about dropped connections of one source.
pub const DROP_LINE_PAUSE: Duration = Duration::from_secs(60);

/// Sources that have lines of their own about dropped connections; all others share one.
pub const DROP_LOG_SOURCES_MAX: usize = 1024;

/// Refusals of one session that have a record each in the audit log. Further ones are counted: who may nothing
/// must not be able to fill a disk with that.
pub const REFUSALS_RECORDED_MAX: u32 = 1000;

/// Open files of one session that a list of sessions shows, those with the most bytes.
pub const MOVING_LISTED_MAX: usize = 8;

const _: () = assert!(sterna_sftp_proto::limits::READ_LEN_MAX as usize <= BATCH_BYTES_MAX);
const _: () = assert!(sterna_sftp_proto::limits::PACKET_LEN_MAX <= BUFFER_LEN);
const _: () = assert!(READ_AHEAD_BYTES <= REPLY_BYTES_MAX);
const _: () = assert!(DIR_HANDLES_MAX <= HANDLES_MAX);
