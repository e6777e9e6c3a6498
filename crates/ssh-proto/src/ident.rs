//! The version line (RFC 4253 §4.2): ours, theirs, and what a server may say before it.

use crate::error::PeerError;
use crate::limits::{BANNER_LINE_LEN_MAX, BANNER_LINES_MAX, VERSION_LINE_LEN_MAX};
use crate::packet::InputBuffer;

/// Both version lines without CR LF, exactly as they count in the exchange hash.
pub(crate) struct Ident {
    pub ours: Vec<u8>,
    pub theirs: Vec<u8>,
    lines_skipped: usize,
}

impl Ident {
    pub fn new(software_version: &str) -> Self {
        let ours = format!("SSH-2.0-{software_version}").into_bytes();
        Self { ours, theirs: Vec::new(), lines_skipped: 0 }
    }

    /// Looks for the peer's version line. `true` once it is there; its bytes are then taken.
    ///
    /// A server may send other lines first (`skip_lines`); a client may not.
    pub fn handle_input(
        &mut self,
        input: &mut InputBuffer,
        skip_lines: bool,
    ) -> Result<bool, PeerError> {
        loop {
            let unread = input.unread();
            let is_version = unread.starts_with(b"SSH-");
            let may_become = b"SSH-".starts_with(&unread[..unread.len().min(4)]);
            if !skip_lines && !is_version && !may_become {
                return Err(PeerError::BadVersionLine);
            }
            let len_max =
                if is_version || may_become { VERSION_LINE_LEN_MAX } else { BANNER_LINE_LEN_MAX };
            let Some(end) = unread.iter().take(len_max).position(|b| *b == b'\n') else {
                return if unread.len() >= len_max {
                    Err(PeerError::BadVersionLine)
                } else {
                    Ok(false)
                };
            };
            let line = unread[..end].strip_suffix(b"\r").unwrap_or(&unread[..end]);
            if is_version {
                let version = line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-");
                if !version || line.contains(&0) {
                    return Err(PeerError::BadVersionLine);
                }
                self.theirs = line.to_vec();
                input.take(end + 1);
                return Ok(true);
            }
            self.lines_skipped += 1;
            if self.lines_skipped > BANNER_LINES_MAX {
                return Err(PeerError::BadVersionLine);
            }
            input.take(end + 1);
        }
    }

    /// What stands behind `SSH-2.0-`: software version and comments.
    pub fn their_software(&self) -> &[u8] {
        let line = &self.theirs;
        line.strip_prefix(b"SSH-2.0-").or(line.strip_prefix(b"SSH-1.99-")).unwrap_or(line)
    }

    /// Clients that break on `hostkeys-00@openssh.com`.
    pub fn dislikes_host_key_update(&self) -> bool {
        let software = self.their_software();
        [&b"TTSSH/"[..], b"TeraTerm SSH", b"Cisco-1"].iter().any(|old| software.starts_with(old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(skip_lines: bool, chunks: &[&[u8]]) -> (Result<bool, PeerError>, Ident, InputBuffer) {
        let mut ident = Ident::new("Test_1");
        let mut input = InputBuffer::new();
        let mut result = Ok(false);
        for chunk in chunks {
            input.space()[..chunk.len()].copy_from_slice(chunk);
            input.commit(chunk.len());
            result = ident.handle_input(&mut input, skip_lines);
            if result != Ok(false) {
                break;
            }
        }
        (result, ident, input)
    }

    #[test]
    fn the_line_is_kept_as_received_and_bytes_behind_it_stay() {
        let (result, ident, mut input) = feed(false, &[b"SSH-2.0-x y \r\nrest"]);
        assert_eq!(result, Ok(true));
        assert_eq!(ident.theirs, b"SSH-2.0-x y ");
        assert_eq!(input.unread(), b"rest");
    }

    #[test]
    fn a_bare_newline_and_single_bytes_are_enough() {
        let line: Vec<&[u8]> = b"SSH-1.99-old\n".chunks(1).collect();
        let (result, ident, _) = feed(false, &line);
        assert_eq!(result, Ok(true));
        assert_eq!(ident.their_software(), b"old");
    }

    #[test]
    fn other_versions_and_other_protocols_are_refused() {
        for line in ["SSH-1.5-x\n", "SSH-3.0-x\n", "HTTP/1.1 400\r\n", "S\n", "SSH-2.0-a\0b\n"] {
            let (result, ..) = feed(false, &[line.as_bytes()]);
            assert_eq!(result, Err(PeerError::BadVersionLine), "{line:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_its_bound() {
        let long = [b"SSH-2.0-".as_slice(), &[b'a'; 300]].concat();
        assert_eq!(feed(false, &[&long]).0, Err(PeerError::BadVersionLine));
        assert_eq!(feed(true, &[&[b'x'; 2000]]).0, Err(PeerError::BadVersionLine));
    }

    #[test]
    fn a_client_skips_a_bounded_number_of_lines() {
        assert_eq!(feed(true, &[b"hello\r\nthere\n", b"SSH-2.0-s\r\n"]).0, Ok(true));
        let endless = b"hi\n".repeat(BANNER_LINES_MAX + 1);
        assert_eq!(feed(true, &[&endless]).0, Err(PeerError::BadVersionLine));
    }
}
