//! The server's end: a socket for its own user and root, few connections at a time, one request each.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _, symlink},
        net::UnixStream as BlockingStream,
    },
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use super::{
    CONNECTIONS_MAX, HandoverFrom, PEER_WAIT, REQUEST_LEN_MAX, Reply, Request, own_socket_in,
    own_sockets_in, socket_in,
};

/// A socket that commands can connect to.
pub struct Control {
    listener: UnixListener,
}

/// The socket in the file system, and the link to it; dropping it removes both.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Where commands look first; leads to `path` unless a successor has it.
    link: PathBuf,
}

/// What becomes of a server that answers already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// Two servers with one state directory are a mistake.
    Refuse,
    /// This is its successor: commands are to come here.
    Succeed,
}

impl Control {
    /// Makes the socket in `state_dir`, and leads commands to it. What servers left behind that were
    /// killed goes.
    ///
    /// # Errors
    /// Another server answers there, something else has the name, or the directory does not take it.
    pub fn bind(state_dir: &Path, other: Other) -> io::Result<(Self, SocketFile)> {
        let link = socket_in(state_dir);
        match fs::symlink_metadata(&link) {
            Ok(meta) if !meta.file_type().is_socket() && !meta.file_type().is_symlink() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a socket"));
            }
            Ok(_) if other == Other::Refuse && BlockingStream::connect(&link).is_ok() => {
                let why = "another server runs with this state directory";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
            }
            Ok(_) | Err(_) => {}
        }
        remove_left_behind(state_dir);
        let path = own_socket_in(state_dir, process::id());
        let listener = UnixListener::bind(&path)?;
        let file = SocketFile { path, link };
        // Commands find it only when it is as it should be; a rename replaces the link of an earlier server.
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600))?;
        file.lead_here()?;
        Ok((Self { listener }, file))
    }

    /// Answers requests for ever, and hands over to a successor if there is what it takes. `answer` may
    /// block.
    pub async fn run(
        self,
        answer: impl Fn(Request) -> Reply + Send + Sync + 'static,
        handover: Option<HandoverFrom>,
    ) {
        let (answer, handover) = (Arc::new(answer), handover.map(Arc::new));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "control socket: accept failed");
                    tokio::time::sleep(PEER_WAIT).await;
                    continue;
                }
            };
            let (answer, handover) = (Arc::clone(&answer), handover.clone());
            tokio::spawn(async move {
                if let Err(error) = serve(stream, answer, handover).await {
                    tracing::debug!(%error, "control socket");
                }
                drop(place);
            });
        }
    }
}

/// One request and its reply.
async fn serve(
    mut stream: UnixStream,
    answer: Arc<impl Fn(Request) -> Reply + Send + Sync + 'static>,
    handover: Option<Arc<HandoverFrom>>,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if !may_ask(uid, rustix::process::geteuid().as_raw()) {
        tracing::warn!(uid, "control socket: a stranger was turned away");
        return Ok(());
    }
    let mut line = Vec::new();
    let mut bounded = BufReader::new((&mut stream).take(REQUEST_LEN_MAX));
    timeout(PEER_WAIT, bounded.read_until(b'\n', &mut line)).await??;
    let reply = match serde_json::from_slice::<Request>(&line) {
        Ok(Request::HandOver) if line.ends_with(b"\n") => match handover {
            Some(handover) => {
                let stream = stream.into_std()?;
                let work = tokio::task::spawn_blocking(move || handover.run(&stream));
                return work.await.unwrap_or_else(|_| Err(io::Error::other("it panicked")));
            }
            None => refused("this server cannot hand over"),
        },
        Ok(request) if line.ends_with(b"\n") => {
            let work = tokio::task::spawn_blocking(move || answer(request));
            work.await.unwrap_or_else(|_| refused("the server failed; its log says more"))
        }
        _ => refused("not a request of one line that this server knows"),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    timeout(PEER_WAIT, stream.write_all(&text)).await??;
    stream.shutdown().await
}

/// Only the user that the server runs as, and root.
fn may_ask(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

fn refused(why: &str) -> Reply {
    Reply::Refused { why: why.to_owned() }
}

impl SocketFile {
    fn lead_here(&self) -> io::Result<()> {
        let fresh = self.path.with_extension("link");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        symlink(self.name(), &fresh)?;
        fs::rename(&fresh, &self.link)
    }

    /// The link is relative: the directory may be moved.
    fn name(&self) -> &Path {
        self.path.file_name().map_or(&self.path, Path::new)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nothing can be done about errors; the next server removes what is left.
        if fs::read_link(&self.link).is_ok_and(|leads_to| leads_to == self.name()) {
            let _ = fs::remove_file(&self.link);
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes sockets at which nobody answers.
fn remove_left_behind(state_dir: &Path) {
    for path in own_sockets_in(state_dir) {
        let refuses = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if BlockingStream::connect(&path).is_err_and(refuses) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn strangers_may_not_ask() {
        assert!(may_ask(1000, 1000) && may_ask(0, 1000) && may_ask(0, 0));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn the_socket_is_private_replaces_a_stale_one_and_goes_with_its_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_in(dir.path());
        let runtime = runtime();
        let _entered = runtime.enter();

        // What killed servers leave behind, the socket of an earlier version among it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(std::os::unix::net::UnixListener::bind(own_socket_in(dir.path(), 1)).unwrap());
        let (control, file) = Control::bind(dir.path(), Other::Refuse).unwrap();
        std::mem::forget(file);

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let second = Control::bind(dir.path(), Other::Refuse).map(drop).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(BlockingStream::connect(&path).is_ok(), "the first one goes on");
        // A successor has another process number.
        let own = own_socket_in(dir.path(), process::id());
        fs::rename(&own, own_socket_in(dir.path(), 1)).unwrap();
        let file = SocketFile { path: own_socket_in(dir.path(), 1), link: path.clone() };
        file.lead_here().unwrap();
        let (_other, other_file) = Control::bind(dir.path(), Other::Succeed).unwrap();
        assert!(BlockingStream::connect(&file.path).is_ok(), "the old one is reached by its name");
        assert_eq!(fs::read_link(&path).unwrap(), own.file_name().unwrap());
        drop((file, control));
        assert!(path.exists(), "it is another server's");
        drop(other_file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&path, "notes").unwrap();
        assert!(Control::bind(dir.path(), Other::Refuse).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"notes");
    }

    #[test]
    fn one_line_is_answered_and_anything_else_refused() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let entered = runtime.enter();
        let (control, _file) = Control::bind(dir.path(), Other::Refuse).unwrap();
        drop(entered);
        let answer = |request| match request {
            Request::Penalties => Reply::Lifted { sources: 7 },
            _ => panic!("a bug"),
        };
        runtime.spawn(control.run(answer, None));
        let long = format!("{{\"command\":\"reload\",\"file\":\"{}\"}}\n", "x".repeat(1 << 15));
        for (request, reply) in [
            ("{\"command\":\"penalties\"}\n", "\"sources\":7"),
            ("{\"command\":\"reload\",\"file\":null}\n", "the server failed"),
            ("{\"command\":\"penalties\"}", "not a request"),
            ("{\"command\":\"shutdown\"}\n", "not a request"),
            ("\n", "not a request"),
            ("\u{0}\n", "not a request"),
            (&long, "not a request"),
        ] {
            let mut stream = BlockingStream::connect(socket_in(dir.path())).unwrap();
            // The server may hang up before it took all of what is too long.
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut said = String::new();
            let _ = stream.read_to_string(&mut said);

            let start = &request[..request.len().min(40)];
            // What is too long may be answered by a reset.
            assert!(
                said.contains(reply) || request.len() > 40 && said.is_empty(),
                "{start}: {said}"
            );
        }
    }
}
