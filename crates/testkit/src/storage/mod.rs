//! Storage that fails: one call of many ([`faulty`]), or all of them at once, as by a power cut ([`disk`]).

pub mod disk;
pub mod faulty;

pub use disk::{Disk, Kept};
pub use faulty::{Fault, Faulty, Plan};
