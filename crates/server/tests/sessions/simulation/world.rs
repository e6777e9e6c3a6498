//! One server and what is around it: a disk that fails, pools whose jobs run when it is their turn, time that jumps.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sterna_identity::{
    Attempt, Credential, Decision, Login, Method, Progress, Reason, Refusal, User,
};
use sterna_server::defence::{Defence, DefenceSettings, Offence};
use sterna_server::sftp::{Resources, SessionPolicy};
use sterna_server::{
    Authenticator, Door, HostKeys, IoPool, LiveLimits, Server, ServerLimits, Sessions,
};
use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use sterna_ssh_proto::WindowBudget;
use sterna_storage::{Backend, Folder, OnClose, OpenHow, Uploads};
use sterna_testkit::Seed;
use sterna_testkit::storage::{Disk, Faulty, Plan};
use sterna_testkit::wire::ClientEnd;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::model::{DIRECT_DIR, FINAL_DIR, FIXED_DIR, Model};

/// The password of everybody.
pub const PASSWORD: &[u8] = b"correct horse";

/// Names that all clients write.
pub const SHARED: [&[u8]; 2] = [b"/in/shared-0", b"/in/shared-1"];

/// Who looks after the jobs of all pools.
const WORKERS: usize = 3;

/// Jobs from the front of a queue that may be the next one.
const OVERTAKEN_MAX: usize = 8;

macro_rules! counts {
    ($($name:ident),* $(,)?) => {
        /// What happened, counted; for the test of the test.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $(pub $name: u64,)*
        }

        impl Counts {
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            pub fn each(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

counts!(
    requests,
    refused,
    uploads,
    syncs,
    read_bytes,
    digests,
    copies,
    renames,
    removes,
    cuts,
    kicked,
    jumps,
    lost_sessions,
    power_cuts,
);

/// What the clients of one run share.
pub struct World {
    pub model: RefCell<Model>,
    pub counts: RefCell<Counts>,
    pub door: Door,
    pub disk: Disk,
    /// Syncing a file keeps its name, too.
    pub has_journal: bool,
    /// Grows with each event that may end sessions that did nothing wrong.
    pub excuses: Cell<u64>,
    /// The server ends.
    pub is_over: Cell<bool>,
    /// Connections whose other end is gone without a word.
    pub silent: RefCell<Vec<ClientEnd>>,
    prints: bool,
    /// Everything that happened, as one number.
    trace: RefCell<DefaultHasher>,
}

impl World {
    /// Something happened; printed if `STERNA_TRACE` is set.
    pub fn note(&self, what: impl Hash + Debug) {
        if self.prints {
            eprintln!("{what:?}");
        }
        what.hash(&mut *self.trace.borrow_mut());
    }

    pub fn trace(&self) -> u64 {
        self.trace.borrow().finish()
    }

    pub fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.counts.borrow_mut());
    }

    pub fn excuse(&self) {
        self.excuses.set(self.excuses.get() + 1);
    }
}

/// The server and its surroundings, for who starts and ends it.
pub struct Stage {
    pub world: Rc<World>,
    resources: Resources,
    logins: IoPool,
    queued: Arc<Notify>,
    sessions: Arc<Sessions>,
    defence: Arc<Defence>,
    windows: Arc<WindowBudget>,
    windows_len: u64,
    plan: Arc<Plan>,
    server: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
    is_cut: bool,
}

/// Lets everybody in who knows the password.
struct Anybody(Arc<Sessions>);

impl Authenticator for Anybody {
    fn authenticate(&self, _: &mut Progress, attempt: &Attempt<'_>) -> Decision {
        let reason = match attempt.credential {
            Credential::Password(password) if password == PASSWORD => {
                let name = String::from_utf8_lossy(attempt.user).into_owned();
                let user = Arc::new(User::new(name, "/"));
                return Decision::Accept(Login {
                    user,
                    restrictions: Default::default(),
                    proofs: Vec::new(),
                });
            }
            Credential::Password(_) => Reason::WrongPassword,
            _ => Reason::NothingOffered,
        };
        let refusal = Refusal { reason, place: None, detail: String::new() };
        Decision::Reject { refusal, methods: vec![Method::Password] }
    }

    fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.0)
    }
}

impl Stage {
    /// Puts everything up as `random` says, on a disk that holds what the model says. With `may_be_cut` the power may go.
    pub fn start(
        random: &mut Seed,
        disk: Disk,
        has_journal: bool,
        model: Model,
        may_be_cut: bool,
    ) -> Self {
        if random.below(4) > 0 {
            disk.answers_at_once(random.next_u64());
        }
        let plan = match random.below(3) {
            0 => Plan::none(),
            1 => Plan::often(150, random.next_u64()),
            _ => Plan::often(20, random.next_u64()),
        };
        if random.below(3) == 0 {
            disk.syncs_fail(5, random.next_u64());
        }
        let is_cut = may_be_cut && random.below(2) == 0;
        if is_cut {
            disk.cut_at(disk.calls() + random.below(4000) as u64);
        }

        // All workers at once: how many jobs come together depends on how long they took lately.
        let queued = Arc::new(Notify::new());
        let pool = || {
            let queued = Arc::clone(&queued);
            IoPool::without_threads(move || queued.notify_waiters())
        };
        let resources = Resources { io: pool(), syncs: pool(), long: pool(), ..Resources::new(1) };
        let logins = pool();
        let sessions = Arc::<Sessions>::default();
        let settings = DefenceSettings { per_source_penalties: None, ..DefenceSettings::default() };
        let now = tokio::time::Instant::now().into_std();
        let defence = Defence::new(settings, now, SystemTime::now());
        let limits = ServerLimits {
            idle: Some(Duration::from_secs(2 * 3600)),
            handles: 1 + random.below(20),
            handles_total: 20 + random.below(100),
            requests: 1 + random.below(64),
            ..ServerLimits::default()
        };
        let limits = Arc::new(LiveLimits::new(limits));
        let policy = SessionPolicy::default().within(&limits.now());
        let host_key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
        let below: Arc<dyn Backend> = Arc::new(Faulty::new(Arc::new(disk.clone()), &plan));
        let uploads = Uploads::new();
        let windows_len = [0, 1 << 20, 1 << 30][random.below(3)];
        let windows = Arc::new(WindowBudget::new(windows_len));
        let budget = Arc::clone(&windows);
        let rekey = if random.below(3) == 0 { 100_000 } else { 1 << 30 };
        let server = Server::builder()
            .streams(Arc::default())
            .host_keys(HostKeys::new([host_key]))
            .authenticator(Anybody(Arc::clone(&sessions)))
            .storage(move |user| {
                let folders = [Folder { path: FINAL_DIR.as_bytes().to_vec(), on_close: true }];
                let (below, uploads) = (Arc::clone(&below), Arc::clone(&uploads));
                let name = user.name.as_bytes();
                Ok((Arc::new(OnClose::new(below, name, &folders, uploads)), policy.clone()))
            })
            .resources(resources.clone())
            .logins(logins.clone())
            .login_delay_secret([7; 32])
            .limits(limits)
            .defence(Arc::clone(&defence))
            .ssh(move |config| {
                config.common.window_budget = budget;
                config.common.rekey_bytes = rekey;
            })
            .bind()
            .unwrap();
        let world = Rc::new(World {
            model: RefCell::new(model),
            counts: RefCell::default(),
            door: server.door().unwrap(),
            disk,
            has_journal,
            excuses: Cell::new(0),
            is_over: Cell::new(false),
            silent: RefCell::default(),
            prints: std::env::var_os("STERNA_TRACE").is_some(),
            trace: RefCell::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let patience = Duration::from_secs(random.below(20) as u64);
        let stopped = async {
            let _ = stopped.await;
        };
        let server = tokio::spawn(server.run(stopped, patience));
        let stage = Self {
            world,
            resources,
            logins,
            queued,
            sessions,
            defence,
            windows,
            windows_len,
            plan,
            server,
            stop: Some(stop),
            is_cut,
        };
        for _ in 0..WORKERS {
            let random = Seed::new(random.next_u64());
            tokio::task::spawn_local(work(
                stage.pools(),
                Arc::clone(&stage.queued),
                Rc::clone(&stage.world),
                random,
            ));
        }
        stage
    }

    fn pools(&self) -> [IoPool; 4] {
        let Resources { io, syncs, long, .. } = &self.resources;
        [io.clone(), syncs.clone(), long.clone(), self.logins.clone()]
    }

    /// Lets things happen to the sessions, until it is dropped.
    pub fn direct(&self, mut random: Seed) -> JoinHandle<()> {
        let (world, sessions) = (Rc::clone(&self.world), Arc::clone(&self.sessions));
        let handles = self.resources.handles.clone();
        tokio::task::spawn_local(async move {
            for _ in 0..random.below(8) {
                tokio::time::sleep(Duration::from_millis(random.below(20_000) as u64)).await;
                match random.below(6) {
                    0 | 1 => {
                        let lot = random.below(4);
                        // In the order of their sources: the list's own says who logged in when.
                        let which = |port: u16| usize::from(port) % 4 == lot;
                        world.excuse();
                        let told = sessions.end_where(|info| which(info.source.port()), "enough");
                        world.count(|counts| counts.kicked += told.len() as u64);
                    }
                    2 => {
                        world.excuse();
                        world.count(|counts| counts.jumps += 1);
                        let by = Duration::from_secs(random.below(6 * 3600) as u64);
                        tokio::time::advance(by).await;
                        world.excuse();
                    }
                    3 => world.disk.move_clock(-(random.below(10_000) as i64)),
                    4 => handles.set_max(random.below(5)),
                    _ => handles.set_max(100),
                }
            }
        })
    }

    /// Ends the server: in peace, or by dropping it with all that it does. Then everything must be as it was before.
    pub async fn end(mut self, in_peace: bool) {
        self.world.is_over.set(true);
        // It has taken everybody who has come: what it does first with several things to do is chance.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        if in_peace {
            // It waits for nothing else.
            drop(self.stop.take());
        } else {
            self.server.abort();
        }
        let ended = (&mut self.server).await;
        assert!(ended.is_ok() || !in_peace, "the server's task: {ended:?}");
        let is_done = || {
            self.sessions.is_empty()
                && [&self.resources.io, &self.resources.syncs, &self.resources.long, &self.logins]
                    .iter()
                    .all(|pool| pool.queued() == 0)
        };
        for _ in 0..10_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if is_done() && tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0 {
                break;
            }
        }

        assert_eq!(self.sessions.len(), 0, "sessions that have ended");
        let queued = self.pools().map(|pool| pool.queued());
        assert_eq!(queued, [0; 4], "jobs that nobody runs: io, syncs, long, logins");
        let panics = self.pools().map(|pool| pool.panics());
        assert_eq!(panics, [0; 4], "jobs that panicked: io, syncs, long, logins");
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(tasks, 0, "tasks of the server");
        assert_eq!(self.world.door.connections(), 0, "places of connections");
        assert_eq!(self.resources.handles.used(), 0, "the handle budget");
        assert_eq!(self.resources.buffers.in_use(), 0, "buffers");
        assert_eq!(self.windows.left(), self.windows_len, "the window budget");
        assert_eq!(self.plan.open(), 0, "files and directories above the faults");
        assert_eq!(self.world.disk.open_count(), 0, "files and directories of the disk");
        let now: Instant = tokio::time::Instant::now().into_std();
        let crashed = self.defence.list(now).iter().any(|it| it.offence == Offence::Crash);
        assert!(!crashed, "a connection panicked before its login");
    }

    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// A disk with what is there before the first client comes.
pub fn furnish(disk: &Disk, random: &mut Seed) -> Model {
    let mut model = Model::default();
    for dir in [FINAL_DIR, DIRECT_DIR, FIXED_DIR] {
        disk.mkdir(dir.as_bytes(), None).unwrap();
    }
    let how = OpenHow { write: true, create: true, ..OpenHow::default() };
    for (number, len_max) in [1, 5_000, 80_000, 400_000].into_iter().enumerate() {
        let version = model.new_version(random.below(len_max) as u64);
        let name = format!("{FIXED_DIR}/{number}").into_bytes();
        disk.open(&name, &how).unwrap().write_at(&version.bytes(0..version.len), 0).unwrap();
        model.fixed.push((name, version));
    }
    for name in SHARED {
        let version = model.new_version(random.below(50_000) as u64);
        disk.open(name, &how).unwrap().write_at(&version.bytes(0..version.len), 0).unwrap();
        model.share(name, version);
    }
    disk.settle();
    model
}

/// Runs jobs of all pools, in an order and at times that `random` says.
async fn work(pools: [IoPool; 4], queued: Arc<Notify>, world: Rc<World>, mut random: Seed) {
    loop {
        let full: Vec<_> = pools.iter().filter(|pool| pool.queued() > 0).collect();
        if full.is_empty() {
            queued.notified().await;
            continue;
        }
        match random.below(20) {
            0 => tokio::time::sleep(Duration::from_millis(random.below(300) as u64)).await,
            1..=8 => tokio::task::yield_now().await,
            _ => {}
        }
        let full: Vec<_> = pools.iter().filter(|pool| pool.queued() > 0).collect();
        if full.is_empty() {
            continue;
        }
        let pool = full[random.below(full.len())];
        let at = random.below(pool.queued().min(OVERTAKEN_MAX));
        world.note(("job", at, world.disk.calls()));
        pool.run_one(at);
        tokio::task::yield_now().await;
    }
}

/// Where connection number `number` of client `client` comes from: each has a source of its own.
pub fn source(client: usize, number: usize) -> SocketAddr {
    SocketAddr::from(([10, client as u8, number as u8, 1], 1000 + client as u16))
}
