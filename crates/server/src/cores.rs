//! How many cores there are for this process: asked once, early, because behind its walls a server cannot read what
//! its control group may use.

use std::sync::OnceLock;

/// Cores, at least one; the same answer for as long as the process lives.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
