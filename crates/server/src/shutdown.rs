//! An orderly end in a stated time: nobody new, busy sessions may finish, then everybody is told and
//! goes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// After the time to finish, this long is given to the goodbyes. Longer than the driver itself
/// waits for a peer that does not read.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How far the server's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Who has nothing open and nothing to do leaves.
    Finishing,
    /// Everybody leaves.
    Ending,
}

/// Tells all connections that the server stops.
pub(crate) struct Shutdown {
    phase: watch::Sender<Phase>,
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving) }
    }

    /// A connection's view of it.
    pub(crate) fn watch(&self) -> ShutdownWatch {
        let next = after(Phase::Serving, self.phase.subscribe());
        ShutdownWatch { phase: Phase::Serving, next }
    }

    /// Waits up to `patience` for the connections to end, then tells those that are left to go, and
    /// cuts who does not.
    pub(crate) async fn finish(
        self,
        tasks: &mut JoinSet<()>,
        patience: Duration,
        ended: impl Fn(Result<(), JoinError>),
    ) {
        for (phase, time) in [(Phase::Finishing, patience), (Phase::Ending, LAST_WORDS)] {
            self.phase.send_replace(phase);
            let all_gone = async {
                while let Some(result) = tasks.join_next().await {
                    ended(result);
                }
            };
            if tokio::time::timeout(time, all_gone).await.is_ok() {
                return;
            }
            tracing::info!(connections = tasks.len(), ?phase, "still there after its time");
        }
        tasks.shutdown().await;
    }
}

/// Follows the phases inside a connection's task.
pub(crate) struct ShutdownWatch {
    phase: Phase,
    next: NextPhase,
}

type NextPhase = Pin<Box<dyn Future<Output = (Phase, watch::Receiver<Phase>)> + Send>>;

impl ShutdownWatch {
    /// The phase of this moment; wakes `cx` at the next one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Phase {
        while self.phase != Phase::Ending
            && let Poll::Ready((phase, watch)) = self.next.as_mut().poll(cx)
        {
            self.phase = phase;
            self.next = after(phase, watch);
        }
        self.phase
    }
}

/// Done in the first phase after `phase`.
fn after(phase: Phase, mut watch: watch::Receiver<Phase>) -> NextPhase {
    Box::pin(async move {
        let next = watch.wait_for(|now| *now > phase).await.map(|now| *now);
        // An error means that the server itself is gone: that is the end as well.
        (next.unwrap_or(Phase::Ending), watch)
    })
}
