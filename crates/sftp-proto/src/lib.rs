//! SFTP codec and sans-IO client and server
