//! Worked packets of version 3 and its extensions, read and written byte for byte.
//!
//! In each text the first word of a line is hex, the rest says what it means.

mod check;
mod extensions;
mod ours;
mod version_3;
