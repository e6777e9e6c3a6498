//! Every bound of this crate, its unit and its reason.

/// Bytes of one packet, without its length word, that a server takes (`SFTP_MAX_MSG_LENGTH` of
/// OpenSSH). A longer one cannot be skipped, so the channel is closed.
pub const PACKET_LEN_MAX: usize = 256 * 1024;

/// The same for replies, in bytes: other servers send NAME packets beyond 256 KiB.
pub const REPLY_PACKET_LEN_MAX: usize = 1024 * 1024;

/// Bytes of the shortest packet: a type and a request id, or a type and a version.
pub const PACKET_LEN_MIN: usize = 5;

/// Bytes one READ may ask for and one DATA may hold: the packet less 1 KiB for the fields around
/// them. OpenSSH announces the same number.
pub const READ_LEN_MAX: u32 = (PACKET_LEN_MAX - 1024) as u32;

/// Bytes of data announced for one WRITE; see [`READ_LEN_MAX`]. A WRITE that is larger and still
/// fits the packet is taken.
pub const WRITE_LEN_MAX: u32 = READ_LEN_MAX;

/// Bytes that every peer takes in one READ or WRITE (draft-02 §3: packets of 34000 bytes).
pub const BLOCK_LEN_DEFAULT: u32 = 32 * 1024;

/// A peer that announces fewer bytes per READ or WRITE than this says nothing sensible.
pub const BLOCK_LEN_MIN: u64 = 64;

/// Bytes of a handle in a request (draft-02 §6.3).
pub const HANDLE_LEN_MAX: usize = 256;

/// Bytes of a handle that a client keeps: some servers exceed the draft's 256.
pub const REPLY_HANDLE_LEN_MAX: usize = 4096;

/// Bytes of a path in a request (`PATH_MAX` of Linux).
pub const PATH_LEN_MAX: usize = 4096;

/// Extended pairs in one attribute block. Nobody is known to send more than a handful.
pub const ATTR_PAIRS_MAX: u32 = 64;

/// Bytes of an extended attribute's type and of its data (`XATTR_SIZE_MAX` of Linux).
pub const ATTR_PAIR_LEN_MAX: usize = 64 * 1024;

/// Bytes of an extension's name in a request; the longest in use has 42.
pub const EXTENSION_NAME_LEN_MAX: usize = 256;

/// Extension pairs kept of a VERSION or INIT; known servers send up to 25.
pub const EXTENSION_PAIRS_MAX: usize = 256;

/// User ids, and again group ids, in one `users-groups-by-id@openssh.com`: a directory listing of
/// the largest batch asks for a few hundred.
pub const IDS_MAX: usize = 4096;

/// Bytes of the hash list of a `check-file` request: every known name together has under 100.
pub const HASH_LIST_LEN_MAX: usize = 1024;

/// Smallest block of `check-file`, in bytes; 0 means one digest for the whole range.
pub const CHECK_BLOCK_LEN_MIN: u32 = 256;

/// Bytes of one digest in a `check-file` reply (SHA-512).
pub const DIGEST_LEN_MAX: usize = 64;

/// Bytes of the name of an extended attribute (`XATTR_NAME_MAX` of Linux).
pub const XATTR_NAME_LEN_MAX: usize = 255;

/// Bytes of the value of an extended attribute (`XATTR_SIZE_MAX` of Linux).
pub const XATTR_VALUE_LEN_MAX: usize = 64 * 1024;

/// Parts in one `ranges@asyncssh.com` reply that a server sends: 64 KiB, and some milliseconds to find
/// them. The client asks on from the last one.
pub const RANGES_MAX: usize = 4096;

/// Bytes of a user's name in `home-directory`; `LOGIN_NAME_MAX` of Linux.
pub const USER_NAME_LEN_MAX: usize = 256;

/// Bytes of each text in `vendor-id`.
pub const VENDOR_TEXT_LEN_MAX: usize = 1024;

/// Bytes of text that are kept of garbage before VERSION: enough for its first line.
pub const GARBAGE_LEN_MAX: usize = 200;

/// Bytes of one NAME packet at which a listing begins the next: sshfs drops packets beyond
/// 128 KiB, older clients beyond 34000 bytes.
pub const NAME_PACKET_LEN_TARGET: usize = 32 * 1024;

/// Requests a client may have unanswered: 16 MiB in flight in blocks of 4 KiB.
pub const OUTSTANDING_MAX: usize = 4096;

const _: () = assert!(READ_LEN_MAX as usize + HANDLE_LEN_MAX + 64 < PACKET_LEN_MAX);
const _: () = assert!(OUTSTANDING_MAX.is_power_of_two());
