//! SFTP sessions with a client in memory or a real one, one file for each subject.

mod admission;
mod check_file;
mod defence;
mod faults;
mod file_extensions;
mod golden;
mod openssh_client;
mod own_storage;
mod posix_attrs;
mod power_cut;
mod session_basics;
mod session_order;
mod session_streams;
mod session_writes;
mod simulation;
mod stage;
mod support;
