//! journald's own socket: one datagram for each line.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// Sends lines to journald.
pub(crate) struct Journald {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Journald {
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        Ok(Self { path, socket: UnixDatagram::unbound()? })
    }

    /// Sends each line. One that is larger than a datagram may be is an error.
    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<()> {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry = [b"PRIORITY=6\nSYSLOG_IDENTIFIER=sterna-audit\nMESSAGE=", line, b"\n"];
            self.socket.send_to(&entry.concat(), &self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();

        Journald::new(path).unwrap().write(b"{\"seq\":1}\n{\"seq\":2}\n").unwrap();

        for seq in [1, 2] {
            let mut entry = [0; 200];
            let len = journal.recv(&mut entry).unwrap();
            let text = std::str::from_utf8(&entry[..len]).unwrap();
            assert!(text.ends_with(&format!("\nMESSAGE={{\"seq\":{seq}}}\n")), "{text}");
            assert!(text.contains("SYSLOG_IDENTIFIER=sterna-audit\n"), "{text}");
        }
    }
}
