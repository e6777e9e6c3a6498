//! SFTP client library: connect, host keys, files, transfers
