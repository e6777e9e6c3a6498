//! What is asked of the machine once and early, because behind its walls a server cannot read it: how many cores
//! there are for this process, and where its memory is told.

use std::fs::File;
use std::sync::OnceLock;

/// Cores, at least one; the same answer for as long as the process lives.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Where the kernel tells how much memory the process takes, if it does.
pub(crate) fn statm() -> Option<&'static File> {
    static STATM: OnceLock<Option<File>> = OnceLock::new();
    STATM.get_or_init(|| File::open("/proc/self/statm").ok()).as_ref()
}

/// Bytes of a page of memory.
pub(crate) fn page_len() -> u64 {
    static PAGE_LEN: OnceLock<u64> = OnceLock::new();
    *PAGE_LEN.get_or_init(|| rustix::param::page_size() as u64)
}

/// Asks everything now.
pub fn look_at_the_machine() {
    cores();
    statm();
    page_len();
}
