//! Nothing but a package for `benches/`: `cargo bench` in this directory runs them.
