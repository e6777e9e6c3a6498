//! The server's end: a socket for its own user and root, few connections at a time, one request each.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
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

use super::{CONNECTIONS_MAX, PEER_WAIT, REQUEST_LEN_MAX, Reply, Request, socket_in};

/// A socket that commands can connect to.
pub struct Control {
    listener: UnixListener,
}

/// The socket in the file system; dropping it removes it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: one that another server put there later stays.
    id: (u64, u64),
}

impl Control {
    /// Makes the socket in `state_dir`, in place of one that a server left behind.
    ///
    /// # Errors
    /// Another server answers there, something else has the name, or the directory does not take it.
    pub fn bind(state_dir: &Path) -> io::Result<(Self, SocketFile)> {
        let path = socket_in(state_dir);
        match fs::symlink_metadata(&path) {
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a socket"));
            }
            Ok(_) if BlockingStream::connect(&path).is_ok() => {
                let why = "another server runs with this state directory";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
            }
            Ok(_) | Err(_) => {}
        }
        // Under its name only when it is as it should be; a rename replaces what was left behind.
        let fresh = path.with_extension(process::id().to_string());
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        let placed = fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::symlink_metadata(&fresh))
            .and_then(|meta| fs::rename(&fresh, &path).map(|()| meta));
        match placed {
            Ok(meta) => Ok((Self { listener }, SocketFile { path, id: (meta.dev(), meta.ino()) })),
            Err(error) => {
                let _ = fs::remove_file(&fresh);
                Err(error)
            }
        }
    }

    /// Answers requests for ever. `answer` may block.
    pub async fn run(self, answer: impl Fn(Request) -> Reply + Send + Sync + 'static) {
        let answer = Arc::new(answer);
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
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                if let Err(error) = serve(stream, answer).await {
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

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |meta: fs::Metadata| (meta.dev(), meta.ino()) == self.id;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // Nothing can be done; the next server replaces it.
            let _ = fs::remove_file(&self.path);
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

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (control, file) = Control::bind(dir.path()).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let second = Control::bind(dir.path()).map(drop).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(control);
        let (_other, other_file) = Control::bind(dir.path()).unwrap();
        drop(file);
        assert!(path.exists(), "it is another server's");
        drop(other_file);
        assert!(!path.exists());
        fs::write(&path, "notes").unwrap();
        assert!(Control::bind(dir.path()).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"notes");
    }

    #[test]
    fn one_line_is_answered_and_anything_else_refused() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let entered = runtime.enter();
        let (control, _file) = Control::bind(dir.path()).unwrap();
        drop(entered);
        runtime.spawn(control.run(|request| match request {
            Request::Penalties => Reply::Lifted { sources: 7 },
            _ => panic!("a bug"),
        }));
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
