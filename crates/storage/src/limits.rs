//! Every bound of this crate, with its reason.

/// Bytes of a path. Linux refuses longer ones (`PATH_MAX` counts the closing NUL).
pub const PATH_LEN_MAX: usize = 4095;

/// Bytes of one name in a path (`NAME_MAX` of every common file system).
pub const NAME_LEN_MAX: usize = 255;

/// Symbolic links followed while one path is resolved; as the Linux kernel.
pub const LINKS_MAX: u32 = 40;

/// Times a lookup is tried again when the kernel saw the tree move under it. A tree that moves this
/// often in a row is being moved on purpose; the component walk then gives the answer.
pub(crate) const MOVED_RETRIES_MAX: u32 = 64;

/// Directories that one component walk keeps open for `..`. Deeper ones are opened again by name
/// when they are needed, so that a deep path cannot use up the process's descriptors.
pub(crate) const WALK_OPEN_MAX: usize = 32;

/// Bytes that one `copy_file_range` call may move: some file systems really copy, and cannot be
/// interrupted meanwhile.
pub(crate) const COPY_STEP_LEN_MAX: u64 = 16 << 20;

/// Buffers that one `preadv` takes (`IOV_MAX`).
pub(crate) const BUFFERS_MAX: usize = 1024;

/// Names that one `Dir::next_entries` call appends, whatever its caller asks for.
pub(crate) const ENTRIES_MAX: usize = 4096;

/// Bytes of the kernel's record of a name (`linux_dirent64`): the shortest; more than names of 255 UTF-16
/// units need; more than any file system has, whose names are shorter than a path.
pub(crate) const RECORD_LEN_MIN: usize = 24;
pub(crate) const RECORD_LEN_USUAL_MAX: usize = 1 << 10;
pub(crate) const RECORD_LEN_MAX: usize = 8 << 10;

/// Bytes of the name of an extended attribute (`XATTR_NAME_MAX` of Linux).
pub const XATTR_NAME_LEN_MAX: usize = 255;

/// Bytes of the value of an extended attribute, and of all names of one file together (`XATTR_SIZE_MAX`
/// and `XATTR_LIST_MAX` of Linux).
pub const XATTR_VALUE_LEN_MAX: usize = 64 << 10;

/// Uploads of one name by one user at a time, where uploads are published on close.
pub const STAGED_SLOTS_MAX: usize = 4;

/// Locks for the places of staged parts, for all places together: so many uploads may be begun or published
/// at a time, each waiting for its disk alone.
pub(crate) const PART_LOCKS: usize = 256;

/// Bytes of a file that is copied to be changed in place where uploads are published on close. The
/// first WRITE waits for it, on file systems that cannot share blocks for a second or so.
pub const IN_PLACE_LEN_MAX: u64 = 1 << 30;

/// Bytes that are read at a time where the backend cannot copy by itself.
pub(crate) const COPY_BUFFER_LEN: usize = 256 << 10;

/// Staged parts of one folder that one sweep looks at: a second's work.
pub const SWEEP_ENTRIES_MAX: usize = 100_000;

/// Bytes that all files of one `Memory` may hold together unless set: a test or an embedded
/// example needs less, and a stray `setstat` of a tebibyte must not take the machine down.
pub const MEMORY_LEN_DEFAULT: u64 = 256 << 20;
