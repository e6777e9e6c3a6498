//! Real programs as test peers: started, watched without sleeping, ended when dropped.
//!
//! Everything a program prints is kept, so that a failed test can show what its peers said. Nothing
//! here waits for a guess of time: it waits for a line, a port or the end of a program, and each
//! wait has a deadline that only a broken program reaches.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

/// Longest wait for a server to be ready. Generous: a loaded two-core machine makes RSA keys meanwhile.
pub const READY_MAX: Duration = Duration::from_secs(60);

/// Longest wait for the last output after a program has ended: a grandchild may hold the pipe open.
const LAST_OUTPUT_MAX: Duration = Duration::from_secs(5);

/// Pause between two tries to connect; ends early when the program does.
const CONNECT_AGAIN: Duration = Duration::from_millis(10);

/// What a failure message shows of one stream, in bytes: the first quarter and the last three.
const SHOWN_MAX: usize = 12 * 1024;

/// Which output of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A running program. Dropping it kills it with everything in its process group.
#[derive(Debug)]
pub struct Process {
    name: String,
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Transcript>,
    stderr: Arc<Transcript>,
}

/// How a program ended and what it printed.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// `None`: it did not end before the deadline and was killed.
    pub status: Option<ExitStatus>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Process {
    /// Starts `command` in a process group of its own with all three streams piped.
    ///
    /// # Errors
    /// What the system says when the program cannot be started, for example that it is not there.
    pub fn start(name: &str, command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("start {command:?}: {e}")))?;
        let stdin = child.stdin.take();
        let stdout = Transcript::follow(child.stdout.take());
        let stderr = Transcript::follow(child.stderr.take());
        let command = format!("{command:?}");
        Ok(Self { name: name.to_owned(), command, child, stdin, stdout, stderr })
    }

    /// Process id, for signals and for `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to the program's standard input.
    ///
    /// # Errors
    /// `BrokenPipe` when the program has closed it or `close_stdin` was called.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(bytes)?;
        stdin.flush()
    }

    /// Ends the program's standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until a line of `stream` contains `needle` and returns that line.
    ///
    /// # Errors
    /// A text with the program's output when it ends or `READY_MAX` passes first.
    pub fn wait_for_line(&self, stream: Stream, needle: &str) -> Result<String, String> {
        self.wait_for_output(stream, READY_MAX, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let complete = text.rfind('\n').map_or("", |end| &text[..end]);
            complete.lines().find(|line| line.contains(needle)).map(str::to_owned)
        })
        .map_err(|why| format!("{}: no line with {needle:?}: {why}\n{}", self.name, self.log()))
    }

    /// Waits until `find` answers on everything that `stream` has printed so far.
    ///
    /// # Errors
    /// `"ended"` or `"timed out"`.
    pub fn wait_for_output<T>(
        &self,
        stream: Stream,
        longest: Duration,
        find: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, &'static str> {
        self.transcript(stream).wait(longest, find)
    }

    /// Waits until something accepts connections at `address`.
    ///
    /// # Errors
    /// A text with the program's output when it ends or `READY_MAX` passes first.
    pub fn wait_for_port(&mut self, address: SocketAddr) -> Result<(), String> {
        let deadline = Instant::now() + READY_MAX;
        while TcpStream::connect(address).is_err() {
            if self.wait_exit(CONNECT_AGAIN).is_some() {
                return Err(format!("{} ended before it listened\n{}", self.name, self.log()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} never listened\n{}", self.name, self.log()));
            }
        }
        Ok(())
    }

    /// Sends a signal to the program alone, not to its group.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits at most `longest` for the program to end; `None` when it still runs.
    pub fn wait_exit(&mut self, longest: Duration) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        let pidfd = pidfd_open(self.pid()?, PidfdFlags::empty()).ok()?;
        let timeout = Timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
        self.child.try_wait().ok().flatten()
    }

    /// Ends standard input, waits at most `longest` for the program, and collects what it printed.
    pub fn finish(mut self, longest: Duration) -> Finished {
        self.close_stdin();
        let status = self.wait_exit(longest);
        if status.is_none() {
            self.kill();
        }
        let _ = self.stdout.wait(LAST_OUTPUT_MAX, |_| None::<()>);
        let _ = self.stderr.wait(LAST_OUTPUT_MAX, |_| None::<()>);
        Finished {
            command: self.command.clone(),
            status,
            stdout: self.stdout.lock().bytes.clone(),
            stderr: self.stderr.lock().bytes.clone(),
        }
    }

    /// Everything printed so far on `stream`.
    pub fn printed(&self, stream: Stream) -> Vec<u8> {
        self.transcript(stream).lock().bytes.clone()
    }

    /// What it printed so far on both streams, shortened, for a failure message.
    pub fn log(&self) -> String {
        let mut text = format!("--- {} ---\n", self.name);
        show(&mut text, "stdout", &self.stdout.lock().bytes);
        show(&mut text, "stderr", &self.stderr.lock().bytes);
        text
    }

    fn transcript(&self, stream: Stream) -> &Transcript {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn kill(&mut self) {
        // Only while it has not been waited for: afterwards the number may be somebody else's.
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), self.pid()) {
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Finished {
    /// True when the program ended by itself with status 0.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Exit status; `None` after a signal or a missed deadline.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Command, status and shortened output, for a failure message.
    pub fn describe(&self) -> String {
        let mut text = match self.status {
            Some(status) => format!("{}\n  ended with {status}\n", self.command),
            None => format!("{}\n  did not end in time\n", self.command),
        };
        show(&mut text, "stdout", &self.stdout);
        show(&mut text, "stderr", &self.stderr);
        text
    }
}

/// Runs a program to its end with `stdin` as its input.
///
/// # Panics
/// When the program cannot be started.
pub fn run(command: &mut Command, stdin: &[u8], longest: Duration) -> Finished {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut process = Process::start(&name, command).unwrap_or_else(|e| panic!("{e}"));
    // A program that does not read its input may still do what it is asked for.
    let _ = process.send(stdin);
    process.finish(longest)
}

/// Path of an installed program, also from `sbin`, which the PATH of ordinary users leaves out.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(OsStr::new(name)))
        .find(|file| file.is_file())
}

/// A loopback port that was free a moment ago. Whoever starts a server on it tries again with
/// another one if somebody was faster.
///
/// # Panics
/// When the machine has no free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound address").port()
}

/// What one stream of a program has printed, and whether more can come.
#[derive(Debug, Default)]
struct Transcript {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Printed {
    bytes: Vec<u8>,
    ended: bool,
}

impl Transcript {
    /// Collects `source` in a thread of its own until it ends.
    fn follow(source: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let transcript = Arc::new(Self::default());
        let Some(mut source) = source else {
            transcript.lock().ended = true;
            return transcript;
        };
        let filled = Arc::clone(&transcript);
        thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            loop {
                let len = source.read(&mut chunk).unwrap_or(0);
                let mut printed = filled.lock();
                printed.bytes.extend_from_slice(&chunk[..len]);
                printed.ended = len == 0;
                drop(printed);
                filled.changed.notify_all();
                if len == 0 {
                    return;
                }
            }
        });
        transcript
    }

    fn wait<T>(
        &self,
        longest: Duration,
        mut find: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, &'static str> {
        let deadline = Instant::now() + longest;
        let mut printed = self.lock();
        loop {
            if let Some(found) = find(&printed.bytes) {
                return Ok(found);
            }
            if printed.ended {
                return Err("ended");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("timed out");
            }
            printed =
                self.changed.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show(text: &mut String, stream: &str, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let (head, tail) = if bytes.len() <= SHOWN_MAX {
        (bytes, &[][..])
    } else {
        (&bytes[..SHOWN_MAX / 4], &bytes[bytes.len() - SHOWN_MAX * 3 / 4..])
    };
    let _ = writeln!(text, "  {stream}:");
    for line in String::from_utf8_lossy(head).lines() {
        let _ = writeln!(text, "    {line}");
    }
    if !tail.is_empty() {
        let _ = writeln!(text, "    … {} bytes left out …", bytes.len() - SHOWN_MAX);
        for line in String::from_utf8_lossy(tail).lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
}
