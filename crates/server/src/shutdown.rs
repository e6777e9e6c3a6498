//! An orderly end in a stated time: nobody new, busy sessions may finish, then everything is cut.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// Tells all connections that the server stops.
pub(crate) struct Shutdown {
    stops: watch::Sender<bool>,
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self { stops: watch::Sender::new(false) }
    }

    /// Done when the server stops.
    pub(crate) fn signal(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut stops = self.stops.subscribe();
        Box::pin(async move {
            // An error means that the server itself is gone: that is the end as well.
            let _ = stops.wait_for(|stops| *stops).await;
        })
    }

    /// Gives the signal, waits up to `patience` for the connections to end, and cuts the others.
    pub(crate) async fn finish(
        self,
        tasks: &mut JoinSet<()>,
        patience: Duration,
        ended: impl Fn(Result<(), JoinError>),
    ) {
        self.stops.send_replace(true);
        let all_gone = async {
            while let Some(result) = tasks.join_next().await {
                ended(result);
            }
        };
        if tokio::time::timeout(patience, all_gone).await.is_err() {
            tracing::info!(connections = tasks.len(), "cut after the time to finish");
            tasks.shutdown().await;
        }
    }
}
