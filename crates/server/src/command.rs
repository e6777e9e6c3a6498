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
use sterna_storage::{self as storage, Backend, File, OpenHow};

use crate::buffers::BufferPool;
use crate::command_line::{self, Parsed};
use crate::jobs::{Cancel, Jobs};
use crate::limits::{CHUNK_LEN, COMMAND_FILES_MAX, SLICE_LEN};
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
                let mut checksums = Checksums {
                    backend,
                    start_dir: policy.start_dir.clone(),
                    algorithm,
                    style,
                    buffers: resources.buffers.clone(),
                    files: files.into_iter(),
                    current: None,
                    output: Output::default(),
                };
                command.jobs.start_slices(0, move |cancel| checksums.advance(cancel));
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
struct Checksums {
    backend: Arc<dyn Backend>,
    start_dir: Vec<u8>,
    algorithm: DigestAlgorithm,
    style: Style,
    buffers: BufferPool,
    /// Those that were not begun.
    files: std::vec::IntoIter<Vec<u8>>,
    current: Option<Current>,
    output: Output,
}

/// The file that is being hashed.
struct Current {
    name: Vec<u8>,
    file: Box<dyn File>,
    digester: Digester,
    /// The next byte.
    at: u64,
}

impl Checksums {
    /// Hashes a slice, in which opening a file counts as a chunk; the output when all is done.
    fn advance(&mut self, cancel: &Cancel) -> Option<Output> {
        let mut buffer = self.buffers.take(CHUNK_LEN);
        let mut left = SLICE_LEN;
        while left > 0 && !cancel.is_set() {
            let used = match self.current.take() {
                Some(current) => self.hash_chunk(current, &mut buffer[..CHUNK_LEN]),
                None => {
                    let Some(name) = self.files.next() else {
                        return Some(std::mem::take(&mut self.output));
                    };
                    self.begin(name);
                    CHUNK_LEN as u64
                }
            };
            left = left.saturating_sub(used);
        }
        // Whoever cancelled does not look at it.
        cancel.is_set().then(Output::default)
    }

    fn begin(&mut self, name: Vec<u8>) {
        let path = absolute(&self.start_dir, &name);
        match self.backend.open(&path, &OpenHow { read: true, ..OpenHow::default() }) {
            Ok(file) => {
                let digester = Digester::new(self.algorithm);
                self.current = Some(Current { name, file, digester, at: 0 });
            }
            Err(error) => self.fail(&name, &error),
        }
    }

    /// Returns how many bytes it read. At the end of the file its line is written.
    fn hash_chunk(&mut self, mut current: Current, buffer: &mut [u8]) -> u64 {
        match current.file.read_at(&mut [IoSliceMut::new(buffer)], current.at) {
            Ok(0) => {
                let line = line_of(&current.digester.finish(), &current.name, self.style);
                self.output.out.extend(line);
                0
            }
            Ok(len) => {
                current.digester.update(&buffer[..len]);
                current.at += len as u64;
                self.current = Some(current);
                len as u64
            }
            Err(error) => {
                self.fail(&current.name, &error);
                0
            }
        }
    }

    fn fail(&mut self, name: &[u8], error: &storage::Error) {
        let Output { err, status, .. } = &mut self.output;
        *status = 1;
        err.extend_from_slice(self.algorithm.name().as_bytes());
        err.extend_from_slice(b"sum: ");
        err.extend(name.iter().map(|b| if b.is_ascii_control() { b'?' } else { *b }));
        err.extend_from_slice(format!(": {error}\n").as_bytes());
    }
}

/// As coreutils: a name with a backslash or a line end is escaped, and the line then begins with a
/// backslash.
fn line_of(digest: &[u8], name: &[u8], style: Style) -> Vec<u8> {
    let escaped = name.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
    let mut line = Vec::new();
    if escaped && matches!(style, Style::Gnu { .. }) {
        line.push(b'\\');
    }
    line.extend_from_slice(hex::encode(digest).as_bytes());
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Files of as many zeros as three slices have, each of which says how much of it was read.
    #[derive(Clone, Default)]
    struct Zeros(Arc<AtomicU64>);

    impl Backend for Zeros {
        fn open(&self, path: &[u8], _: &OpenHow) -> storage::Result<Box<dyn File>> {
            match path {
                b"/missing" => Err(storage::Error::new(storage::ErrorKind::NotFound, "open")),
                _ => Ok(Box::new(self.clone())),
            }
        }
        fn stat(&self, _: &[u8], _: bool) -> storage::Result<storage::Attrs> {
            Err(storage::Error::unsupported("stat"))
        }
        fn realpath(&self, path: &[u8]) -> storage::Result<Vec<u8>> {
            Ok(path.to_vec())
        }
    }

    impl File for Zeros {
        fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> storage::Result<usize> {
            let len = (buffers[0].len() as u64).min((3 * SLICE_LEN).saturating_sub(offset));
            buffers[0][..len as usize].fill(0);
            self.0.fetch_add(len, Ordering::Relaxed);
            Ok(len as usize)
        }
        fn stat(&self) -> storage::Result<storage::Attrs> {
            Err(storage::Error::unsupported("stat"))
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    #[test]
    fn checksums_take_turns_with_the_long_work_of_others() {
        let (zeros, resources) = (Zeros::default(), Resources::new(1));
        // The one thread is held until both are queued.
        let (start, started) = crossbeam_channel::bounded::<()>(0);
        resources.long.run(move || {
            let _ = started.recv();
        });
        let line = b"md5sum /f /missing /f";
        let backend = Arc::new(zeros.clone());
        let mut command = Command::exec(line, backend, &SessionPolicy::default(), &resources);
        let mut other = Jobs::new(resources.long.clone());
        other.start(7, move |_| zeros.0.load(Ordering::Relaxed));
        drop(start);

        let read_before = take(&mut other);
        let output = take(&mut command.jobs);

        assert!(read_before <= SLICE_LEN, "{read_before} bytes came first");
        let out = String::from_utf8(output.out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines.len() == 2 && lines[0] == lines[1] && lines[0].ends_with("  /f"), "{out}");
        let err = String::from_utf8(output.err).unwrap();
        assert!(err.starts_with("md5sum: /missing: ") && output.status == 1, "{err}");
    }

    fn take<T: Send + 'static>(jobs: &mut Jobs<T>) -> T {
        crate::wake::block_on(std::future::poll_fn(|cx: &mut Context<'_>| {
            jobs.register(cx.waker());
            jobs.take_done().map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        }))
        .1
        .expect("it did not panic")
    }

    #[test]
    fn lines_look_like_those_of_the_real_programs() {
        let gnu = Style::Gnu { binary: false };

        assert_eq!(line_of(&[0xab, 0x01], b"a b", gnu), b"ab01  a b\n");
        assert_eq!(line_of(&[0xab], b"f", Style::Gnu { binary: true }), b"ab *f\n");
        assert_eq!(line_of(&[0xab], b"f", Style::BsdReversed), b"ab f\n");
        assert_eq!(line_of(&[0xab], b"a\nb\\", gnu), b"\\ab  a\\nb\\\\\n");
    }
}
