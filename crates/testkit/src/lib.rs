//! Virtual clock, in-memory link, pairs, hostile peers, real OpenSSH programs
