//! The few commands that clients send by `exec`: checksums, and the probes in front of them.
//!
//! There is no shell and no process: the line is taken apart here, and files are read through the
//! user's own backend. What is not understood completely is refused completely.

use std::io::IoSliceMut;
use std::sync::Arc;
use std::task::Context;

use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use sterna_ssh_proto::ChannelId;
use sterna_ssh_tokio::Link;
use sterna_storage::{self as storage, Backend, OpenHow};

use crate::buffers::BufferPool;
use crate::command_line::{self, Parsed};
use crate::jobs::{Cancel, Jobs};
use crate::limits::{CHUNK_LEN, COMMAND_FILES_MAX};
use crate::sftp::{Resources, SessionPolicy, absolute};

/// As shells say "command not found".
const NOT_FOUND: u32 = 127;

/// A command being carried out, or what is left to say of it.
pub(crate) struct Command {
    state: State,
    jobs: Jobs<Output>,
    waiting: Option<Output>,
    sent_out: usize,
    sent_err: usize,
}

enum State {
    /// Digest of standard input, until its end.
    Stdin { digester: Digester, style: Style },
    /// On the pool, or done.
    Started,
}

/// Everything that a command says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Output {
    out: Vec<u8>,
    err: Vec<u8>,
    status: u32,
}

/// How a line of a checksum looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `DIGEST  NAME`, or `DIGEST *NAME`: GNU coreutils, b3sum.
    Gnu { binary: bool },
    /// `DIGEST NAME`: BSD with `-r`.
    BsdReversed,
}

impl Command {
    /// Starts what `line` asks for, or says why not.
    pub(crate) fn exec(
        line: &[u8],
        backend: Arc<dyn Backend>,
        policy: &SessionPolicy,
        resources: &Resources,
    ) -> Self {
        let mut command = Self {
            state: State::Started,
            jobs: Jobs::new(resources.long.clone()),
            waiting: None,
            sent_out: 0,
            sent_err: 0,
        };
        match command_line::parse(line) {
            Parsed::Print(text) => {
                command.waiting = Some(Output { out: text, ..Output::default() });
            }
            Parsed::PrintStartDir => {
                let out = [&policy.start_dir[..], b"\n"].concat();
                command.waiting = Some(Output { out, ..Output::default() });
            }
            Parsed::Checksum { .. } if policy.denied.contains("check-file-name") => {
                command.refuse("checksums are not permitted for this user");
            }
            Parsed::Checksum { algorithm, style, files, .. } if files.len() > COMMAND_FILES_MAX => {
                let _ = (algorithm, style);
                command.refuse("too many files");
            }
            Parsed::Checksum { algorithm, style, files, input } if files.is_empty() => {
                let mut digester = Digester::new(algorithm);
                match input {
                    Some(input) => {
                        digester.update(&input);
                        let out = line_of(&digester.finish(), b"-", style);
                        command.waiting = Some(Output { out, ..Output::default() });
                    }
                    None => command.state = State::Stdin { digester, style },
                }
            }
            Parsed::Checksum { algorithm, style, files, .. } => {
                let (start_dir, buffers) = (policy.start_dir.clone(), resources.buffers.clone());
                command.jobs.start(0, move |cancel| {
                    checksums(&*backend, &start_dir, algorithm, style, &files, &buffers, cancel)
                });
            }
            Parsed::Scp => command.refuse("scp's old protocol is not offered; use sftp, or scp -s"),
            Parsed::Unknown => {
                command.refuse("this command is not offered; the server speaks SFTP")
            }
        }
        command
    }

    /// A polite answer to whoever asks for a shell.
    pub(crate) fn no_shell(resources: &Resources) -> Self {
        let out = b"This server speaks SFTP; it has no shell.\r\n".to_vec();
        Self {
            state: State::Started,
            jobs: Jobs::new(resources.long.clone()),
            waiting: Some(Output { out, err: Vec::new(), status: 1 }),
            sent_out: 0,
            sent_err: 0,
        }
    }

    fn refuse(&mut self, text: &str) {
        let err = format!("sterna: {text}\n").into_bytes();
        self.waiting = Some(Output { out: Vec::new(), err, status: NOT_FOUND });
    }

    pub(crate) fn handle_data(&mut self, data: &[u8]) {
        if let State::Stdin { digester, .. } = &mut self.state {
            digester.update(data);
        }
    }

    pub(crate) fn handle_eof(&mut self) {
        if let State::Stdin { digester, style } = std::mem::replace(&mut self.state, State::Started)
        {
            let out = line_of(&digester.finish(), b"-", style);
            self.waiting = Some(Output { out, ..Output::default() });
        }
    }

    /// Sends what there is to say; the exit status once all of it is out.
    pub(crate) fn poll(
        &mut self,
        id: ChannelId,
        cx: &mut Context<'_>,
        link: &mut Link<'_>,
    ) -> Option<u32> {
        self.jobs.register(cx.waker());
        if let Some((_, output)) = self.jobs.take_done() {
            let failed = || Output { status: 1, ..Output::default() };
            self.waiting = Some(output.unwrap_or_else(failed));
        }
        let output = self.waiting.as_ref()?;
        self.sent_out +=
            link.connection.send_data(id, &[&output.out[self.sent_out..]], link.output);
        while self.sent_err < output.err.len() {
            let text = &output.err[self.sent_err..];
            match link.connection.send_stderr(id, text, link.output) {
                0 => break,
                sent => self.sent_err += sent,
            }
        }
        let all_out = self.sent_out == output.out.len() && self.sent_err == output.err.len();
        all_out.then_some(output.status)
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        self.jobs.cancel();
    }
}

/// One line for each file; a file that cannot be read is named on standard error.
fn checksums(
    backend: &dyn Backend,
    start_dir: &[u8],
    algorithm: DigestAlgorithm,
    style: Style,
    files: &[Vec<u8>],
    buffers: &BufferPool,
    cancel: &Cancel,
) -> Output {
    let mut output = Output::default();
    for name in files {
        let path = absolute(start_dir, name);
        match checksum(backend, &path, algorithm, buffers, cancel) {
            Ok(digest) => output.out.extend(line_of(&digest, name, style)),
            Err(error) => {
                output.status = 1;
                output.err.extend_from_slice(algorithm.name().as_bytes());
                output.err.extend_from_slice(b"sum: ");
                output
                    .err
                    .extend(name.iter().map(|b| if b.is_ascii_control() { b'?' } else { *b }));
                output.err.extend_from_slice(format!(": {error}\n").as_bytes());
            }
        }
        if cancel.is_set() {
            break;
        }
    }
    output
}

fn checksum(
    backend: &dyn Backend,
    path: &[u8],
    algorithm: DigestAlgorithm,
    buffers: &BufferPool,
    cancel: &Cancel,
) -> storage::Result<Vec<u8>> {
    let file = backend.open(path, &OpenHow { read: true, ..OpenHow::default() })?;
    let mut digester = Digester::new(algorithm);
    let mut buffer = buffers.take(CHUNK_LEN);
    let mut at = 0;
    while !cancel.is_set() {
        let len = file.read_at(&mut [IoSliceMut::new(&mut buffer[..CHUNK_LEN])], at)?;
        if len == 0 {
            break;
        }
        digester.update(&buffer[..len]);
        at += len as u64;
    }
    Ok(digester.finish())
}

/// As coreutils: a name with a backslash or a line end is escaped, and the line then begins with a
/// backslash.
fn line_of(digest: &[u8], name: &[u8], style: Style) -> Vec<u8> {
    let escaped = name.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
    let mut line = Vec::new();
    if escaped && matches!(style, Style::Gnu { .. }) {
        line.push(b'\\');
    }
    line.extend(digest.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
    line.extend_from_slice(match style {
        Style::Gnu { binary: false } => b"  ",
        Style::Gnu { binary: true } => b" *",
        Style::BsdReversed => b" ",
    });
    for byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            other => line.push(*other),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_those_of_the_real_programs() {
        let gnu = Style::Gnu { binary: false };

        assert_eq!(line_of(&[0xab, 0x01], b"a b", gnu), b"ab01  a b\n");
        assert_eq!(line_of(&[0xab], b"f", Style::Gnu { binary: true }), b"ab *f\n");
        assert_eq!(line_of(&[0xab], b"f", Style::BsdReversed), b"ab f\n");
        assert_eq!(line_of(&[0xab], b"a\nb\\", gnu), b"\\ab  a\\nb\\\\\n");
    }
}
