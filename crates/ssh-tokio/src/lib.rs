//! Drives the sans-IO SSH core with tokio sockets and timers
