//! Every bound of the core: what a peer can make grow, how far, and why that far.

use std::time::Duration;

/// Version line with CR LF, in bytes (RFC 4253 §4.2).
pub const VERSION_LINE_LEN_MAX: usize = 255;

/// Other lines a server may send before its version line, and the bytes of each. OpenSSH's client
/// takes 1024 lines of 8192 bytes; nobody sends more than a screen.
pub const BANNER_LINES_MAX: usize = 64;
pub const BANNER_LINE_LEN_MAX: usize = 1024;

/// `packet_length` before login, in bytes: RFC 4253 §6.1 asks for 35000, and the largest hybrid
/// exchange with every certificate stays below.
pub const PACKET_LEN_BEFORE_LOGIN_MAX: usize = 35_000;

/// `packet_length` after login, in bytes: what OpenSSH sends and accepts at most.
pub const PACKET_LEN_MAX: usize = 256 * 1024;

/// Smallest `packet_length`: padding length, one byte of payload and four of padding would be 6;
/// RFC 4253 §6 allows 5 and we refuse the empty payload later.
pub const PACKET_LEN_MIN: usize = 5;

/// Payload of one packet after inflating, in bytes: what an uncompressed packet may hold.
pub const INFLATED_LEN_MAX: usize = PACKET_LEN_MAX;

/// A name-list of a KEXINIT, in bytes. OpenSSH's longest is about 500.
pub const NAME_LIST_LEN_MAX: usize = 8 * 1024;

/// A host key, user key, certificate or signature blob, in bytes: RSA with 16384 bits takes about
/// 4200; a certificate with many names must fit into a packet before login.
pub const KEY_BLOB_LEN_MAX: usize = 32 * 1024;

/// The public value of one key exchange, in bytes: ML-KEM-768 with X25519 takes 1216.
pub const KEX_VALUE_LEN_MAX: usize = 8 * 1024;

/// A magnitude of group exchange, in bytes: 8192 bits.
pub const DH_VALUE_LEN_MAX: usize = 8192 / 8;

/// User name, in bytes; longer ones are refused before anything is looked up.
pub const USER_LEN_MAX: usize = 256;

/// Names of services, methods, algorithms, channel types and requests, in bytes. RFC 4251 §6 says
/// 64; a longer one is still answered as unknown.
pub const NAME_LEN_MAX: usize = 256;

/// A password, in bytes: hashing long ones was a denial of service (CVE-2016-6515).
pub const PASSWORD_LEN_MAX: usize = 1024;

/// Questions in one `INFO_REQUEST` of keyboard-interactive, as in OpenSSH.
pub const PROMPTS_MAX: u32 = 100;

/// `INFO_REQUEST`s that follow one login request: passwords, codes and a change of password need
/// four.
pub const PROMPT_ROUNDS_MAX: u32 = 16;

/// One answer of keyboard-interactive, in bytes: what a password may have.
pub const ANSWER_LEN_MAX: usize = PASSWORD_LEN_MAX;

/// Host name and user name of a host-based login, in bytes; DNS allows 255.
pub const CLIENT_HOST_LEN_MAX: usize = 256;

/// Name of a host that a server is asked to connect to, in bytes: DNS allows 253.
pub const DIRECT_HOST_LEN_MAX: usize = 255;

/// Text for people: banners, disconnect reasons, prompts, in bytes.
pub const TEXT_LEN_MAX: usize = 8 * 1024;

/// An `exec` command or the value of a channel request, in bytes.
pub const REQUEST_LEN_MAX: usize = 32 * 1024;

/// EXT_INFO entries, as in OpenSSH; and the bytes of one value.
pub const EXT_INFO_ENTRIES_MAX: u32 = 1024;
pub const EXT_INFO_VALUE_LEN_MAX: usize = 8 * 1024;

/// Failed logins of one connection before it ends (OpenSSH's MaxAuthTries).
pub const AUTH_FAILURES_MAX: u32 = 6;

/// Authentication requests of any kind in one connection, as in OpenSSH: queries are no failures,
/// but endless ones are.
pub const AUTH_REQUESTS_MAX: u32 = 1024;

/// Open channels of one connection (OpenSSH's MaxSessions is 10).
pub const CHANNELS_MAX: usize = 16;

/// Environment variables that one channel may set, as in OpenSSH.
pub const ENV_MAX: u32 = 128;

/// Data we let the peer send ahead on one channel at first, in bytes. 2 MiB is what OpenSSH grants.
pub const WINDOW_LEN_DEFAULT: u32 = 2 * 1024 * 1024;

/// The same at most, once more is on its way at a time: two round trips of 1 Gbit/s and 130 ms.
pub const WINDOW_LEN_MAX: u32 = 32 * 1024 * 1024;

/// The same for peers that are not Sterna: OpenSSH's senders collapse above their own bound for a
/// channel's input, 16 MiB.
pub const WINDOW_LEN_OTHERS_MAX: u32 = 15 * 1024 * 1024;

/// What the windows of all connections of one server together may grow by, in bytes: what their peers
/// can make it hold beyond the first windows.
pub const WINDOW_GROWTH_LEN_MAX: u64 = 512 * 1024 * 1024;

/// What passes is measured over this long at least: shorter, and it would be about single packets.
pub const WINDOW_MEASURE_TIME_MIN: Duration = Duration::from_millis(10);

/// A window that has grown becomes smaller when less than a quarter of it was of use for this long: no pause
/// between two files of a transfer is longer.
pub const WINDOW_QUIET_TIME: Duration = Duration::from_secs(10);

/// Data in one packet that we ask the peer to keep to, in bytes: 32 KiB stays in the second-level
/// cache and measures better than larger packets.
pub const CHANNEL_PACKET_LEN: u32 = 32 * 1024;

/// Data in one packet that we send at most, whatever a peer allows: the same reason.
pub const SEND_PACKET_LEN_MAX: usize = 32 * 1024;

/// Slices that one in-place send may span: 255 KiB of file data and its header in 32 KiB packets
/// take 8, small packet limits more.
pub const SEND_SLICES_MAX: usize = 16;

/// Consumed bytes that are given back to the peer in one WINDOW_ADJUST at the latest: a quarter of the first
/// window, so that three quarters are still open when it leaves.
pub const WINDOW_GRANT_LEN: u32 = WINDOW_LEN_DEFAULT / 4;

/// Sealed bytes waiting for the socket above which no more channel data is taken, in bytes: one
/// full write to the socket and the next SFTP reply being prepared behind it.
pub const OUTPUT_LEN_SOFT_MAX: usize = 320 * 1024;

/// Sealed bytes waiting above which no further packet of the peer is opened: a peer that asks and
/// never reads must not fill our memory (CVE-2025-26466).
pub const OUTPUT_LEN_HARD_MAX: usize = 1024 * 1024;

/// Bytes from the peer that wait to be opened above which nothing is read: packets that wait because their
/// answers find no room must not gather. The largest packet, and as much again to read ahead.
pub const INPUT_LEN_MAX: usize = 512 * 1024;

/// Bytes held back during a key exchange, counted as the sealed packets that they will be: an answer
/// of one byte costs 30 to 90. Only answers and window adjustments are held; more means the peer
/// floods while it stalls the exchange (CVE-2025-22869).
pub const HELD_LEN_MAX: usize = 256 * 1024;

/// Events for the application that wait inside the core.
pub const EVENTS_MAX: usize = 1024;

/// Global requests of ours that wait for an answer.
pub const GLOBAL_REQUESTS_MAX: usize = 16;

/// Host keys that a server may announce.
pub const HOST_KEYS_MAX: u32 = 32;

/// A new exchange starts after this many bytes in one direction (RFC 4253 §9), …
pub const REKEY_BYTES_DEFAULT: u64 = 1 << 30;

/// … or this many packets (RFC 4344 §3.1 says 2^31), …
pub const REKEY_PACKETS: u64 = 1 << 31;

/// … or this long.
pub const REKEY_TIME_DEFAULT: Duration = Duration::from_secs(3600);

/// Packets under one key at which a connection without working re-keying ends: half of what would
/// repeat a sequence number.
pub const PACKETS_HARD_MAX: u64 = (1 << 32) - (1 << 16);

/// From TCP accept to login.
pub const LOGIN_GRACE_DEFAULT: Duration = Duration::from_secs(60);

/// A key exchange ends the connection if nothing moves for this long: neither does the peer send, nor does it take what
/// waits to be sent. Our part of it may stand behind megabytes that a slow peer has to read first.
pub const KEX_STALL_MAX: Duration = Duration::from_secs(120);

/// A key exchange must be over after this long, whatever moves.
pub const KEX_TIME_MAX: Duration = Duration::from_secs(3600);

// What one side sends, the other must take.
const _: () = assert!(CHANNEL_PACKET_LEN as usize + 64 + 255 < PACKET_LEN_MAX);
const _: () = assert!(SEND_PACKET_LEN_MAX <= 32 * 1024);
// Otherwise a packet could wait for its end for ever: its length field and 64 bytes of MAC come on top.
const _: () = assert!(4 + PACKET_LEN_MAX + 64 < INPUT_LEN_MAX);
const _: () = assert!(OUTPUT_LEN_SOFT_MAX < OUTPUT_LEN_HARD_MAX);
const _: () = assert!(WINDOW_GRANT_LEN <= WINDOW_LEN_DEFAULT / 2);
const _: () = assert!(WINDOW_LEN_DEFAULT <= WINDOW_LEN_OTHERS_MAX);
const _: () = assert!(WINDOW_LEN_OTHERS_MAX <= WINDOW_LEN_MAX);
