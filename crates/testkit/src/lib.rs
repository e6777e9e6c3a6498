//! Test helpers: virtual time, in-memory links and sockets, pairs of connections, odd servers, peers without rules, storage that fails, and real programs.
//!
//! Never published. Everything random comes from one seed, which a failing test prints.

pub mod certificate;
pub mod clock;
pub mod fuzz;
pub mod link;
pub mod openssh;
pub mod pair;
pub mod pam;
pub mod processes;
pub mod seed;
pub mod seeds;
pub mod sftp;
pub mod states;
pub mod storage;
pub mod wire;

pub use certificate::CertificateSpec;
pub use clock::Clock;
pub use link::Link;
pub use pair::{Pair, PairConfig, Side};
pub use seed::Seed;
pub use seeds::each_seed;
pub use wire::wire;
