//! What a running server is asked by signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    End,
    Reload,
}

/// Signals as they come; each value of this hears all of them.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Only with a settings file: otherwise a closed terminal ends the server, as it should.
    hangup: Option<Signal>,
}

impl Signals {
    pub fn new(reloads: bool) -> Result<Self> {
        let on = |kind| signal(kind).map_err(|error| Failure::io("signals", &error));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: reloads.then(|| on(SignalKind::hangup())).transpose()?,
        })
    }

    pub async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => {
                    hangup.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            () = hangup => Asked::Reload,
        }
    }

    /// Done when the server was asked to end `times` times.
    pub async fn asked_to_end(&mut self, times: usize) {
        for _ in 0..times {
            while self.next().await != Asked::End {}
        }
    }
}
