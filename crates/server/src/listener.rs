//! Accepts connections, within bounds, and runs each in a task of its own until the server stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sterna_ssh_proto::ServerConfig;
use sterna_ssh_tokio::Driver;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::builder::{Builder, Limits};
use crate::connection::{ServerConnection, Shared};
use crate::shutdown::Shutdown;

/// Pause after a failed `accept`: what is short then, mostly file descriptors, takes time to come
/// back, and a tight loop would take the processor meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An SFTP server with open sockets.
pub struct Server {
    sockets: Vec<TcpListener>,
    config: Arc<ServerConfig>,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
}

impl Server {
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        sockets: Vec<TcpListener>,
        config: Arc<ServerConfig>,
        shared: Arc<Shared>,
        limits: Limits,
    ) -> Self {
        let semaphore = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            sockets,
            config,
            shared,
            connections: semaphore(limits.connections_max),
            unauthenticated: semaphore(limits.unauthenticated_max),
        }
    }

    /// Where it listens, with the ports that the system chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// SHA-256 fingerprints of the host keys, as clients show them, with the type of each.
    pub fn fingerprints(&self) -> Vec<(String, String)> {
        let of =
            |key: &sterna_ssh_crypto::PublicKey| (key.key_type().to_owned(), key.fingerprint());
        self.shared.host_keys.public().map(of).collect()
    }

    /// Serves until `stop` is done, then stops accepting. Sessions with nothing open leave at once;
    /// the others may go on for up to `patience` and are then told that the server stops.
    ///
    /// # Cancelling
    /// Dropping the future cuts every connection at once.
    pub async fn run(self, stop: impl Future<Output = ()>, patience: Duration) {
        let shutdown = Shutdown::new();
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = accept(&self.sockets) => match accepted {
                    Ok((socket, source)) => self.take(socket, source, &shutdown, &mut tasks),
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = tasks.join_next() => log_panic(ended),
            }
        }
        drop(self.sockets);
        tracing::info!(connections = tasks.len(), "stopping");
        shutdown.finish(&mut tasks, patience, log_panic).await;
    }

    /// Starts a connection's task, or closes the socket if there are too many already.
    fn take(
        &self,
        socket: TcpStream,
        source: SocketAddr,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        let permits = (
            Arc::clone(&self.connections).try_acquire_owned(),
            Arc::clone(&self.unauthenticated).try_acquire_owned(),
        );
        let (Ok(place), Ok(unauthenticated)) = permits else {
            tracing::warn!(%source, "connection refused: too many");
            return;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%source, %error, "no TCP_NODELAY");
        }
        let service = ServerConnection::new(
            Arc::clone(&self.shared),
            source,
            unauthenticated,
            shutdown.watch(),
        );
        let driver = Driver::server(socket, Arc::clone(&self.config));
        tasks.spawn(run_connection(driver, service, source, place));
    }
}

async fn run_connection(
    driver: Driver<TcpStream>,
    mut service: ServerConnection,
    source: SocketAddr,
    _place: OwnedSemaphorePermit,
) {
    let began = Instant::now();
    let result = driver.run(&mut service).await;
    let seconds = began.elapsed().as_secs();
    match (service.user(), result) {
        (Some(user), Ok(_)) => tracing::info!(user, %source, seconds, "session ended"),
        (Some(user), Err(error)) => {
            tracing::info!(user, %source, seconds, %error, "session ended");
        }
        // Port scanners and health checks: no line for each unless somebody looks for it.
        (None, Ok(_)) => tracing::debug!(%source, seconds, "left without login"),
        (None, Err(error)) => tracing::info!(%source, seconds, %error, "left without login"),
    }
}

/// The next connection of any socket.
async fn accept(sockets: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| {
        for socket in sockets {
            if let ready @ std::task::Poll::Ready(_) = socket.poll_accept(cx) {
                return ready;
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// A panic is a bug of ours; it ends one connection and is seen.
fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
