//! SFTP server library
