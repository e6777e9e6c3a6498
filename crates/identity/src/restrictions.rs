//! What the proofs of a login leave the session: each proof may take something away, none gives back.

use std::fmt;

/// Less than the user may do, because of the key, certificate or record that proved who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    pub read_only: bool,
    /// The session is SFTP whatever the client asks for; commands are not run.
    pub sftp_only: bool,
    /// Where the session starts (`internal-sftp -d`).
    pub start_dir: Option<Vec<u8>>,
    /// Permission bits taken off new files (`internal-sftp -u`).
    pub umask: Option<u32>,
    command: Option<Vec<u8>>,
}

/// A forced command that is not file transfer, or two that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRefused(pub String);

impl fmt::Display for CommandRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Restrictions {
    /// Adds a forced command: `internal-sftp` or a path that ends in `sftp-server`, with `-R`,
    /// `-d DIR`, `-u UMASK`; flags about logs and lists (`-e`, `-h`, `-f`, `-l`, `-P`, `-p`) are
    /// refused where they would restrict and ignored where they would not.
    ///
    /// # Errors
    /// Every other command: taking the key without it would give more than was granted.
    pub(crate) fn force(&mut self, command: &[u8]) -> Result<(), CommandRefused> {
        if self.command.as_ref().is_some_and(|other| other != command) {
            return Err(CommandRefused("key and certificate force different commands".into()));
        }
        let refuse = || CommandRefused(format!("\"{}\"", command.escape_ascii()));
        let mut words = command.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
        let program = words.next().ok_or_else(refuse)?;
        if program != b"internal-sftp" && !program.ends_with(b"/sftp-server") {
            return Err(refuse());
        }
        while let Some(word) = words.next() {
            match word {
                b"-R" => self.read_only = true,
                b"-e" | b"-h" => {}
                b"-f" | b"-l" => drop(words.next().ok_or_else(refuse)?),
                b"-d" => {
                    let dir = words.next().ok_or_else(refuse)?;
                    // OpenSSH would put names of its own in place of `%d` and `%u`.
                    if dir.contains(&b'%') {
                        return Err(refuse());
                    }
                    self.start_dir = Some(dir.to_vec());
                }
                b"-u" => {
                    let mask = words.next().and_then(|w| std::str::from_utf8(w).ok());
                    let mask = mask.and_then(|w| u32::from_str_radix(w, 8).ok());
                    self.umask = Some(mask.filter(|m| *m <= 0o777).ok_or_else(refuse)?);
                }
                _ => return Err(refuse()),
            }
        }
        self.sftp_only = true;
        self.command = Some(command.to_vec());
        Ok(())
    }

    /// Both at once: what either takes away is gone.
    ///
    /// # Errors
    /// Both force commands, and not the same.
    pub(crate) fn join(&mut self, other: &Self) -> Result<(), CommandRefused> {
        self.read_only |= other.read_only;
        match &other.command {
            Some(command) => self.force(command),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_transfer_can_be_forced() {
        let mut all = Restrictions::default();
        all.force(b"internal-sftp -R -d /in -u 027 -l INFO -f AUTH").unwrap();
        assert!(all.read_only && all.sftp_only);
        assert_eq!((all.start_dir.as_deref(), all.umask), (Some(&b"/in"[..]), Some(0o027)));
        assert!(Restrictions::default().force(b"/usr/lib/openssh/sftp-server -e").is_ok());

        for command in [
            &b""[..],
            b"/bin/sh",
            b"sftp-server-evil",
            b"internal-sftp -P remove",
            b"internal-sftp -p open",
            b"internal-sftp -d",
            b"internal-sftp -d /home/%u",
            b"internal-sftp -u 8",
            b"internal-sftp; id",
            b"internal-sftp x",
        ] {
            let refused = Restrictions::default().force(command);
            assert!(refused.is_err(), "{}", command.escape_ascii());
        }
    }

    #[test]
    fn restrictions_add_up_and_differing_commands_are_refused() {
        let forced = |command: &[u8]| {
            let mut made = Restrictions::default();
            made.force(command).map(|()| made)
        };
        let mut both = forced(b"internal-sftp").unwrap();
        assert!(both.join(&Restrictions { read_only: true, ..Default::default() }).is_ok());
        assert!(both.read_only);
        assert!(both.join(&forced(b"internal-sftp").unwrap()).is_ok());
        assert!(both.join(&forced(b"internal-sftp -R").unwrap()).is_err());
    }
}
