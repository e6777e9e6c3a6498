//! The text and binary files of OpenSSH that say whom to trust: parsed and matched, never opened.
