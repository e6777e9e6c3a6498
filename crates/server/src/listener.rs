//! Takes connections, within bounds, and runs each in a task of its own until the server stops.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sterna_audit::Audit;
use sterna_ssh_crypto::SystemRandom;
use sterna_ssh_tokio::{Driver, End, now};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

use crate::accept::{Accepted, Acceptor, Raw, lacks_descriptors};
use crate::banner::Banner;
use crate::builder::Builder;
use crate::connection::{ServerConnection, Shared};
use crate::defence::{Admit, Defence, DropReason, Visit};
use crate::door::{Brought, Door, Stream};
use crate::flood::Flood;
use crate::handover::Handover;
use crate::io_pool::IoPool;
use crate::limits::{DEFENCE_SAVE_PAUSE, IDLE_LOOK_PAUSE, PROXY_HEADER_TIME};
use crate::listening::Listening;
use crate::memory_watch::MemoryWatch;
use crate::observe::Figures;
use crate::places::{Place, Places};
use crate::proxy_header::{HeaderError, read_header};
use crate::refuse::Refusals;
use crate::shutdown::Shutdown;

/// Pause after a failed `accept`: what is short then, mostly file descriptors, takes time to come
/// back, and a tight loop would take the processor meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An SFTP server with open sockets.
pub struct Server {
    /// The last one is where connections are brought, if they are.
    listening: Vec<Listening>,
    brought: Option<(Door, Receiver<Brought>)>,
    shared: Arc<Shared>,
    defence: Arc<Defence>,
    banner: Banner,
    places: Arc<Places>,
    refusals: Refusals,
    memory: MemoryWatch,
    flood: Flood,
    handover: Handover,
}

/// A connection from a balancer, once its header was read, and whose it is; or the balancer, and what is
/// wrong with the header.
type Introduced = Result<(Arrival<tokio::net::TcpStream>, SocketAddr), (SocketAddr, HeaderError)>;

/// A connection that has a place.
struct Arrival<S = TcpStream> {
    accepted: Accepted<S>,
    place: Place,
}

impl Server {
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        listening: Vec<Listening>,
        brings: bool,
        shared: Arc<Shared>,
        defence: Arc<Defence>,
        banner: Banner,
    ) -> io::Result<Self> {
        let places = Arc::default();
        Ok(Self {
            handover: Handover::new(&listening)?,
            listening,
            brought: brings.then(|| Door::new(&places)),
            shared,
            defence,
            banner,
            places,
            refusals: Refusals::default(),
            memory: MemoryWatch::new(),
            flood: Flood::new(now()),
        })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listening.iter().filter_map(Listening::local_addr).collect()
    }

    /// Where the application brings connections, if it was built for that.
    pub fn door(&self) -> Option<Door> {
        self.brought.as_ref().map(|(door, _)| door.clone())
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

    /// How a successor gets the listening sockets while this server runs.
    pub fn handover(&self) -> Handover {
        self.handover.clone()
    }

    /// Serves until `stop` is done, then stops accepting. Sessions with nothing open leave at once;
    /// the others may go on for up to `patience` and are then told that the server stops. After a
    /// [`Handover`] it ends with the last session as well.
    ///
    /// # Cancelling
    /// Dropping the future cuts every connection at once.
    pub async fn run(mut self, stop: impl Future<Output = ()>, patience: Duration) {
        let shutdown = Shutdown::new();
        let (defence, shared) = (Arc::clone(&self.defence), Arc::clone(&self.shared));
        let logins = shared.logins.clone();
        let keeping = async { tokio::join!(keep(defence, logins), end_idle(shared)) };
        let mut keeping = std::pin::pin!(keeping);
        let mut acceptor = Acceptor::new();
        let mut introductions = JoinSet::new();
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        // Its own copy of the door would keep it open.
        let mut brought = self.brought.take().map(|(_, brought)| brought);
        let handover = self.handover.clone();
        let mut left = std::pin::pin!(handover.left());
        let mut has_left = false;
        while !(has_left && tasks.is_empty() && introductions.is_empty()) {
            tokio::select! {
                () = &mut stop => break,
                () = &mut left, if !has_left => {
                    tracing::info!(connections = tasks.len(), "the successor serves");
                    self.listening.iter_mut().for_each(Listening::close);
                    has_left = true;
                }
                accepted = acceptor.accept(&self.listening, &self.flood), if !has_left => match accepted {
                    Ok(accepted) => self.take(accepted, &shutdown, &mut introductions, &mut tasks),
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        if lacks_descriptors(&error) {
                            let why = "the server has no descriptors left; try again later";
                            acceptor.refuse_one(&self.listening, why).await;
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(stream) = next_of(&mut brought), if !has_left => {
                    self.take_brought(stream, &shutdown, &mut tasks);
                }
                Some(introduced) = introductions.join_next() => match introduced {
                    Ok(introduced) => self.take_introduced(introduced, &shutdown, &mut tasks),
                    Err(ended) => log_panic(Err(ended)),
                },
                Some(ended) = tasks.join_next() => log_panic(ended),
                _ = &mut keeping => {}
            }
        }
        drop((self.listening, brought));
        handover.close();
        introductions.abort_all();
        tracing::info!(connections = tasks.len(), "stopping");
        shutdown.finish(&mut tasks, patience, log_panic).await;
        save(&self.defence, &self.shared.logins).await;
    }

    /// Gives a connection its place, or says that there is none. What a balancer sends has to say first
    /// for whom it is.
    fn take(
        &mut self,
        accepted: Accepted,
        shutdown: &Shutdown,
        introductions: &mut JoinSet<Introduced>,
        tasks: &mut JoinSet<()>,
    ) {
        let now = now();
        let is_balancer = self.listening[accepted.listening].rules.is_balancer(accepted.peer);
        let Some(arrival) = self.give_place(accepted, now) else { return };
        if !is_balancer {
            let source = arrival.accepted.peer;
            return self.admit(arrival, source, now, shutdown, tasks);
        }
        introductions.spawn(async move {
            let balancer = arrival.accepted.peer;
            introduce(arrival).await.map_err(|error| (balancer, error))
        });
    }

    /// The same for one that the application brings.
    fn take_brought(
        &mut self,
        (socket, peer): Brought,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        let now = now();
        let accepted = Accepted { socket, peer, listening: self.listening.len() - 1 };
        if let Some(arrival) = self.give_place(accepted, now) {
            self.admit(arrival, peer, now, shutdown, tasks);
        }
    }

    fn give_place<S: Raw>(&mut self, accepted: Accepted<S>, now: Instant) -> Option<Arrival<S>> {
        if let Some(metrics) = &self.shared.metrics {
            metrics.connections.fetch_add(1, Ordering::Relaxed);
        }
        let limits = self.shared.limits.now();
        let place = if limits.memory.is_some_and(|max| self.memory.resident(now) > max) {
            Err(DropReason::MemoryFull)
        } else {
            self.places.take(&limits)
        };
        match place {
            Ok(place) => Some(Arrival { accepted, place }),
            Err(reason) => {
                self.refuse(accepted, reason, now);
                None
            }
        }
    }

    fn take_introduced(
        &mut self,
        introduced: Introduced,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        match introduced {
            Ok((arrival, source)) => self.admit(arrival, source, now(), shutdown, tasks),
            Err((balancer, error)) => {
                tracing::info!(%balancer, %error, "connection without a client");
            }
        }
    }

    /// Starts a connection's task, or closes the socket if the defence refuses it or its source has too
    /// many already.
    fn admit<S: Raw>(
        &mut self,
        Arrival { accepted, place }: Arrival<S>,
        source: SocketAddr,
        now: Instant,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        let admission = match self.defence.admit(source.ip(), now, &mut SystemRandom) {
            Admit::Yes(admission) => admission,
            Admit::Drop(reason) => {
                if reason == DropReason::Penalised {
                    self.flood.note(now);
                }
                return self.count_drop(reason);
            }
        };
        if self.shared.audit.as_ref().is_some_and(Audit::is_stopped) {
            let accepted = Accepted { peer: source, ..accepted };
            return self.refuse(accepted, DropReason::NoAudit, now);
        }
        let network = self.defence.network_of(source.ip());
        let limits = self.shared.limits.now();
        let place = match place.belongs_to(network, &limits) {
            Ok(place) => place,
            Err(reason) => return self.refuse(Accepted { peer: source, ..accepted }, reason, now),
        };
        let at = &mut self.listening[accepted.listening];
        let config = at.config(&self.defence, &self.banner, &limits);
        let visit = Visit::new(Arc::clone(&self.defence), source.ip(), &admission);
        let (shared, rules) = (Arc::clone(&self.shared), Arc::clone(&at.rules));
        let service = ServerConnection::new(shared, rules, source, admission, shutdown.watch());
        let stream = match accepted.socket.begin() {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%source, %error, "connection cannot be served"),
        };
        let driver = Driver::server(stream, config);
        tasks.spawn(run_connection(driver, service, source, visit, place));
    }

    fn refuse<S: Raw>(&self, accepted: Accepted<S>, reason: DropReason, now: Instant) {
        let Accepted { socket, peer, listening } = accepted;
        self.defence.log_drop(peer.ip(), reason, now);
        self.count_drop(reason);
        let why = format!("{reason}; try again later");
        self.refusals.refuse(socket, self.listening[listening].software(), &why);
    }

    fn count_drop(&self, reason: DropReason) {
        if let Some(metrics) = &self.shared.metrics {
            metrics.dropped(reason);
        }
    }
}

/// Waits for the header of a balancer's connection, which says whose it is: the client's, or its own.
async fn introduce(
    Arrival { accepted, place }: Arrival,
) -> Result<(Arrival<tokio::net::TcpStream>, SocketAddr), HeaderError> {
    let Accepted { socket, peer, listening } = accepted;
    let mut socket = socket.begin()?;
    let read = tokio::time::timeout(PROXY_HEADER_TIME, read_header(&mut socket)).await;
    let late = |_| Err(HeaderError::Malformed("no PROXY header in time".to_owned()));
    let client = read.unwrap_or_else(late)?;
    Ok((Arrival { accepted: Accepted { socket, peer, listening }, place }, client.unwrap_or(peer)))
}

// An `async fn` would keep two copies of what it is called with, for as long as a session lasts.
#[allow(clippy::manual_async_fn)]
fn run_connection(
    driver: Driver<impl Stream>,
    mut service: ServerConnection,
    source: SocketAddr,
    visit: Visit,
    place: Place,
) -> impl Future<Output = ()> {
    async move {
        let _place = place;
        let began = now();
        let result = driver.run(&mut service).await;
        let now = now();
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

/// Ends sessions on which nothing moves, for as long as the server lives.
async fn end_idle(shared: Arc<Shared>) {
    loop {
        let longest = shared.limits.now().idle;
        tokio::time::sleep(longest.map_or(IDLE_LOOK_PAUSE, |it| (it / 4).min(IDLE_LOOK_PAUSE)))
            .await;
        let Some(longest) = longest else { continue };
        let sessions = shared.sessions.end_idle(longest);
        if sessions > 0 {
            tracing::info!(sessions, "idle sessions are ended");
        }
    }
}

/// Keeps what the defence learns, from time to time. Ends with the server.
async fn keep(defence: Arc<Defence>, pool: IoPool) {
    loop {
        tokio::time::sleep(DEFENCE_SAVE_PAUSE).await;
        save(&defence, &pool).await;
    }
}

/// Keeps it now, on a thread that may block.
async fn save(defence: &Arc<Defence>, pool: &IoPool) {
    let (done, saved) = oneshot::channel();
    let (defence, now) = (Arc::clone(defence), now());
    pool.run(move || {
        defence.log_drops(now);
        if let Err(error) = defence.save(now) {
            tracing::warn!(%error, "penalties were not saved");
        }
        // Nobody waits if the server was dropped.
        let _ = done.send(());
    });
    // An error is a panic, which the pool has told of.
    let _ = saved.await;
}

/// The next connection that the application brings; never one if it brings none.
async fn next_of(brought: &mut Option<Receiver<Brought>>) -> Option<Brought> {
    match brought {
        Some(brought) => brought.recv().await,
        None => std::future::pending().await,
    }
}

/// A panic is a bug of ours; it ends one connection and is seen.
fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
