//! The commands' end: ask, wait, read.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use super::{PEER_WAIT, REPLY_LEN_MAX, REPLY_WAIT, Reply, Request, own_sockets_in, socket_in};
use crate::{
    failure::{Failure, Result, io_reason},
    output::display_name,
};

/// Asks the server with this state directory that takes connections; `None` if there is none.
///
/// # Errors
/// There is one and it does not answer, or not to this user.
pub fn ask(state_dir: &Path, request: &Request) -> Result<Option<Reply>> {
    ask_at(&socket_in(state_dir), request)
}

/// Asks every server with this state directory: also those that only finish their sessions after an upgrade.
///
/// # Errors
/// As [`ask`].
pub fn ask_all(state_dir: &Path, request: &Request) -> Result<Vec<Reply>> {
    let asked = own_sockets_in(state_dir).into_iter().map(|path| ask_at(&path, request));
    asked.filter_map(Result::transpose).collect()
}

fn ask_at(path: &Path, request: &Request) -> Result<Option<Reply>> {
    let shown = || display_name(path.as_os_str().as_encoded_bytes());
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                io::ErrorKind::PermissionDenied => Err(Failure::io(shown(), &error)
                    .hint("only root and the user that the server runs as may ask it")),
                _ => Err(Failure::io(shown(), &error)),
            };
        }
    };
    match exchange(stream, request) {
        Ok(reply) => Ok(Some(reply)),
        Err(error) => {
            let why = format!("the server does not answer: {}", io_reason(&error));
            Err(Failure::incomplete(shown(), why).hint("the server's log may say why"))
        }
    }
}

fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Reply> {
    stream.set_write_timeout(Some(PEER_WAIT))?;
    stream.set_read_timeout(Some(REPLY_WAIT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    stream.take(REPLY_LEN_MAX).read_to_end(&mut reply)?;
    if reply.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up"));
    }
    Ok(serde_json::from_slice(&reply)?)
}
