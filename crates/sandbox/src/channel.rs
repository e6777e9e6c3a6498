//! Messages, with descriptors, between the processes of one program: a pair of `SOCK_SEQPACKET` sockets.
//!
//! Either side may be broken into, so neither believes the other: lengths are bounded, what does not fit is an error,
//! and descriptors that nobody asked for are closed.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// Bytes of one message: the longest two paths, or a value of an extended attribute, with room.
pub const MESSAGE_LEN_MAX: usize = 128 << 10;

/// Descriptors with one message.
pub const MESSAGE_DESCRIPTORS_MAX: usize = 4;

thread_local! {
    /// Into which a message is read before its length is known; one for all channels of a thread.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One end.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// One message, with what came with it.
#[derive(Debug, Default)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Both ends.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        for end in [&one, &other] {
            // A message must go in one piece; the kernel gives less if its administrator says so.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(end, 2 * MESSAGE_LEN_MAX);
        }
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Sends one message; waits while the other end takes nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] beyond [`MESSAGE_LEN_MAX`] and [`MESSAGE_DESCRIPTORS_MAX`], or if it is empty;
    /// [`io::ErrorKind::BrokenPipe`] if the other end is gone.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if bytes.is_empty()
            || bytes.len() > MESSAGE_LEN_MAX
            || descriptors.len() > MESSAGE_DESCRIPTORS_MAX
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS_MAX))];
        loop {
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            match sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
            {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next message; `None` once the other end is gone.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is longer than [`MESSAGE_LEN_MAX`] or has more descriptors than fit.
    pub fn receive(&self) -> io::Result<Option<Received>> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(MESSAGE_LEN_MAX, 0);
            self.receive_into(buffer)
        })
    }

    fn receive_into(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS_MAX))];
        loop {
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [IoSliceMut::new(buffer)];
            let got = match recvmsg(&self.socket, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => continue,
                Err(Errno::CONNRESET) => return Ok(None),
                got => got?,
            };
            let mut descriptors = Vec::new();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(all) = message {
                    descriptors.extend(all);
                }
            }
            // No message is empty, so nothing read is the end.
            if got.bytes == 0 {
                return Ok(None);
            }
            if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            return Ok(Some(Received { bytes: buffer[..got.bytes].to_vec(), descriptors }));
        }
    }
}

impl From<OwnedFd> for Channel {
    /// An end that came from another process.
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_bring_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();

        one.send(b"first", &[]).unwrap();
        one.send(&[7; MESSAGE_LEN_MAX], &[file.as_fd()]).unwrap();
        drop(one);

        assert_eq!(other.receive().unwrap().unwrap().bytes, b"first");
        let second = other.receive().unwrap().unwrap();
        assert_eq!(second.bytes.len(), MESSAGE_LEN_MAX);
        let mut copy = File::from(second.descriptors.into_iter().next().unwrap());
        let mut text = String::new();
        std::io::Seek::rewind(&mut copy).unwrap();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        assert!(other.receive().unwrap().is_none());
        assert_eq!(other.send(b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_does_not_fit_is_refused_on_both_sides() {
        let (one, other) = Channel::pair().unwrap();
        let many = [one.as_fd(); MESSAGE_DESCRIPTORS_MAX + 1];

        for refused in
            [one.send(&[0; MESSAGE_LEN_MAX + 1], &[]), one.send(b"", &[]), one.send(b"x", &many)]
        {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        // The other side does not keep to it.
        let long = vec![0; MESSAGE_LEN_MAX + 1];
        rustix::net::send(&one, &long, SendFlags::empty()).unwrap();
        assert_eq!(other.receive().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
