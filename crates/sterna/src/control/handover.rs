//! Handing over to a successor: descriptors travel over the control socket, and the old server takes nobody
//! new once the new one says that it serves.

use std::{
    io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use sterna_server::Handover;

use super::{PEER_WAIT, REQUEST_LEN_MAX, Reply, Request, socket_in};

/// Listening sockets of one server: what one message carries, without the two of its output.
const SOCKETS_MAX: usize = 64;

/// Standard output and standard error come first.
const OUTPUTS: usize = 2;

/// A successor may take so long to get ready: a hundred thousand users are read in some seconds.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(120);

/// The old server's end.
pub struct HandoverFrom {
    handover: Handover,
    /// Another listening socket that the successor gets.
    other: Mutex<Option<OwnedFd>>,
    /// Called when it has left, with the successor's process number; says how many sessions go on.
    left: Box<dyn Fn(u32) -> usize + Send + Sync>,
}

impl HandoverFrom {
    pub fn new(
        handover: Handover,
        other: Option<OwnedFd>,
        left: impl Fn(u32) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self { handover, other: Mutex::new(other), left: Box::new(left) }
    }

    /// Gives the sockets to who is at the other end, and leaves when that one serves. Blocks. If it
    /// does not come to serve, nothing has changed.
    pub(super) fn run(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PEER_WAIT))?;
        stream.set_read_timeout(Some(SUCCESSOR_WAIT))?;
        let mut sockets = self.handover.sockets()?;
        if let Some(other) = &*self.other.lock().unwrap_or_else(PoisonError::into_inner) {
            sockets.push(other.try_clone()?);
        }
        if self.handover.has_left() || sockets.len() > SOCKETS_MAX {
            let why = match self.handover.has_left() {
                true => "this server has handed over already".to_owned(),
                false => format!("more than {SOCKETS_MAX} listening sockets"),
            };
            return write_line(stream, &Reply::Refused { why });
        }
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let mut descriptors = vec![stdout.as_fd(), stderr.as_fd()];
        descriptors.extend(sockets.iter().map(OwnedFd::as_fd));
        send(stream, &Reply::HandOver { pid: process::id() }, &descriptors)?;
        tracing::info!(sockets = sockets.len(), "a successor has the listening sockets");
        let mut line = Vec::new();
        BufReader::new(stream.take(REQUEST_LEN_MAX)).read_until(b'\n', &mut line)?;
        match serde_json::from_slice(&line) {
            Ok(Request::Serving { .. }) if self.handover.has_left() => {
                write_line(stream, &Reply::Refused { why: "another one was faster".to_owned() })
            }
            Ok(Request::Serving { pid }) => {
                self.handover.leave();
                *self.other.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let sessions = (self.left)(pid);
                write_line(stream, &Reply::Left { sessions })
            }
            _ => {
                tracing::warn!("the successor did not come to serve; this server goes on");
                Ok(())
            }
        }
    }
}

/// What a successor has got.
pub struct TakenOver {
    pub sockets: Vec<TcpListener>,
    /// Where the old server writes to.
    stdout: OwnedFd,
    stderr: OwnedFd,
    pub pid: u32,
    stream: UnixStream,
}

impl TakenOver {
    /// Asks the server with this state directory for its sockets.
    ///
    /// # Errors
    /// There is none, or it does not give them.
    pub fn from(state_dir: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket_in(state_dir))?;
        stream.set_write_timeout(Some(PEER_WAIT))?;
        stream.set_read_timeout(Some(PEER_WAIT))?;
        write_line(&stream, &Request::HandOver)?;
        let (reply, descriptors) = receive(&stream)?;
        let mut descriptors = descriptors.into_iter();
        match (reply, descriptors.next(), descriptors.next()) {
            (Reply::HandOver { pid }, Some(stdout), Some(stderr)) => {
                let sockets = descriptors.map(TcpListener::from).collect();
                Ok(Self { sockets, stdout, stderr, pid, stream })
            }
            (Reply::Refused { why }, ..) => Err(io::Error::other(why)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not an answer to that")),
        }
    }

    /// Tells the old server that this one serves, calls `told` with the number of sessions that go on there,
    /// and then lets everything that is said go where the old one's words went.
    ///
    /// # Errors
    /// The old server does not answer, or the outputs cannot be taken over.
    pub fn serving(self, told: impl FnOnce(usize) -> io::Result<()>) -> io::Result<()> {
        write_line(&self.stream, &Request::Serving { pid: process::id() })?;
        let mut line = Vec::new();
        BufReader::new((&self.stream).take(REQUEST_LEN_MAX)).read_until(b'\n', &mut line)?;
        let Ok(Reply::Left { sessions }) = serde_json::from_slice(&line) else {
            return Err(io::Error::other("the old server did not leave"));
        };
        told(sessions)?;
        rustix::stdio::dup2_stdout(&self.stdout)?;
        rustix::stdio::dup2_stderr(&self.stderr)?;
        Ok(())
    }
}

fn write_line(mut stream: &UnixStream, message: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// A line, with descriptors that come with its first byte.
fn send(stream: &UnixStream, reply: &Reply, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX + OUTPUTS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)?;
    // A line this short goes at once or not at all, but that is the system's affair.
    let mut stream = stream;
    stream.write_all(&line[sent..])
}

fn receive(stream: &UnixStream) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX + OUTPUTS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut line = vec![0; REQUEST_LEN_MAX as usize];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut line)], &mut ancillary, flags)?;
    let descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
    line.truncate(got.bytes);
    if !line.ends_with(b"\n") {
        BufReader::new(stream.take(REQUEST_LEN_MAX)).read_until(b'\n', &mut line)?;
    }
    Ok((serde_json::from_slice(&line)?, descriptors))
}
