//! Accepts connections, within bounds, and runs each in a task of its own until the server stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sterna_audit::Audit;
use sterna_ssh_crypto::SystemRandom;
use sterna_ssh_proto::ServerConfig;
use sterna_ssh_tokio::{Driver, End, prepare_socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::banner::Banner;
use crate::builder::Builder;
use crate::connection::{ServerConnection, Shared};
use crate::defence::{Admit, Defence, DefenceSettings, DropReason, Visit};
use crate::limits::DEFENCE_SAVE_PAUSE;
use crate::observe::Figures;
use crate::shutdown::Shutdown;

/// Pause after a failed `accept`: what is short then, mostly file descriptors, takes time to come
/// back, and a tight loop would take the processor meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An SFTP server with open sockets.
pub struct Server {
    sockets: Vec<TcpListener>,
    config: Arc<ServerConfig>,
    shared: Arc<Shared>,
    defence: Arc<Defence>,
    /// Those that `config` was last brought up to.
    settings: Arc<DefenceSettings>,
    banner: Banner,
    connections: Arc<Semaphore>,
}

impl Server {
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        sockets: Vec<TcpListener>,
        config: ServerConfig,
        shared: Arc<Shared>,
        defence: Arc<Defence>,
        connections_max: usize,
    ) -> Self {
        Self {
            sockets,
            config: Arc::new(config),
            shared,
            settings: defence.settings(),
            defence,
            banner: Banner::default(),
            connections: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub(crate) fn with_banner(self, banner: Banner) -> Self {
        Self { banner, ..self }
    }

    /// Where it listens, with the ports that the system chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Its figures, if it was built with them.
    pub fn figures(&self) -> Option<Figures> {
        let metrics = Arc::clone(self.shared.metrics.as_ref()?);
        Some(Figures::new(metrics, Arc::clone(&self.shared)))
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
    pub async fn run(mut self, stop: impl Future<Output = ()>, patience: Duration) {
        let shutdown = Shutdown::new();
        let mut keeping = std::pin::pin!(keep(Arc::clone(&self.defence)));
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
                () = &mut keeping => {}
            }
        }
        drop(self.sockets);
        tracing::info!(connections = tasks.len(), "stopping");
        shutdown.finish(&mut tasks, patience, log_panic).await;
        save(&self.defence).await;
    }

    /// Starts a connection's task, or closes the socket if the defence refuses it or there are too
    /// many already.
    fn take(
        &mut self,
        socket: TcpStream,
        source: SocketAddr,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        let now = Instant::now();
        if let Some(metrics) = &self.shared.metrics {
            metrics.connections.fetch_add(1, Ordering::Relaxed);
        }
        let admission = match self.defence.admit(source.ip(), now, &mut SystemRandom) {
            Admit::Yes(admission) => admission,
            Admit::Drop(reason) => return self.count_drop(reason),
        };
        if self.shared.audit.as_ref().is_some_and(Audit::is_stopped) {
            self.defence.log_drop(source.ip(), DropReason::NoAudit, now);
            return self.count_drop(DropReason::NoAudit);
        }
        let Ok(place) = Arc::clone(&self.connections).try_acquire_owned() else {
            self.defence.log_drop(source.ip(), DropReason::ServerFull, now);
            return self.count_drop(DropReason::ServerFull);
        };
        if let Err(error) = prepare_socket(&socket) {
            tracing::debug!(%source, %error, "socket option refused");
        }
        let visit = Visit::new(Arc::clone(&self.defence), source.ip(), &admission);
        let service =
            ServerConnection::new(Arc::clone(&self.shared), source, admission, shutdown.watch());
        let driver = Driver::server(socket, self.config());
        tasks.spawn(run_connection(driver, service, source, visit, place));
    }

    fn count_drop(&self, reason: DropReason) {
        if let Some(metrics) = &self.shared.metrics {
            metrics.dropped(reason);
        }
    }

    /// What a new connection is offered, with the defence's settings and the banner of this moment.
    fn config(&mut self) -> Arc<ServerConfig> {
        let settings = self.defence.settings();
        if !Arc::ptr_eq(&settings, &self.settings) {
            let config = Arc::make_mut(&mut self.config);
            config.login_grace = settings.login_grace;
            config.auth_failures_max = settings.max_auth_tries;
            self.settings = settings;
        }
        if let Some(text) = self.banner.changed_from(self.config.banner.as_deref()) {
            Arc::make_mut(&mut self.config).banner = text;
        }
        Arc::clone(&self.config)
    }
}

// An `async fn` would keep two copies of what it is called with, for as long as a session lasts.
#[allow(clippy::manual_async_fn)]
fn run_connection(
    driver: Driver<TcpStream>,
    mut service: ServerConnection,
    source: SocketAddr,
    visit: Visit,
    place: OwnedSemaphorePermit,
) -> impl Future<Output = ()> {
    async move {
        let _place = place;
        let began = Instant::now();
        let result = driver.run(&mut service).await;
        let now = Instant::now();
        visit.end(&result, now);
        let seconds = now.duration_since(began).as_secs();
        service.note_end(match &result {
            Ok(End::Disconnected) => "the client left".to_owned(),
            Ok(End::PeerClosed) => "the client closed the connection".to_owned(),
            Err(error) => error.to_string(),
        });
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
}

/// Keeps what the defence learns, from time to time. Ends with the server.
async fn keep(defence: Arc<Defence>) {
    loop {
        tokio::time::sleep(DEFENCE_SAVE_PAUSE).await;
        save(&defence).await;
    }
}

/// Keeps it now, on a thread that may block.
async fn save(defence: &Arc<Defence>) {
    let defence = Arc::clone(defence);
    let saved = tokio::task::spawn_blocking(move || {
        let now = Instant::now();
        defence.log_drops(now);
        defence.save(now)
    });
    if let Ok(Err(error)) = saved.await {
        tracing::warn!(%error, "penalties were not saved");
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
