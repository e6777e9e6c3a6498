//! Refuses a connection kindly: says why in the way that SSH clients show, spends nothing else on it.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use sterna_ssh_crypto::SystemRandom;
use sterna_ssh_proto::{Reason, encode_refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use crate::accept::Raw;

/// Refused connections that are told why at a time; more are just closed.
const REFUSED_MAX: usize = 64;

/// For so long a refused peer may take its answer. Closing at once would send a reset, behind which
/// the peer does not see what was said.
const REFUSED_TIME: Duration = Duration::from_secs(2);

/// Bytes of a refused peer that are thrown away: its version line and its first message.
const REFUSED_INPUT_MAX: u64 = 16 * 1024;

/// Says no to connections.
pub(crate) struct Refusals {
    places: Arc<Semaphore>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(REFUSED_MAX)) }
    }
}

impl Refusals {
    /// The same without a descriptor to spare: what the socket takes at once, and the end.
    pub(crate) fn refuse_at_once(mut socket: &TcpStream, software: &str, why: &str) {
        // Whether it gets there is not waited for.
        let _ = socket.write(&refusal(software, why));
    }

    /// Tells the peer `why` and closes the connection, in a task of its own.
    pub(crate) fn refuse(&self, socket: impl Raw, software: &str, why: &str) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let Ok(mut socket) = socket.begin() else { return };
        let words = refusal(software, why);
        tokio::spawn(async move {
            let _place = place;
            let told = async {
                socket.write_all(&words).await?;
                socket.shutdown().await?;
                let mut rest = (&mut socket).take(REFUSED_INPUT_MAX);
                tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
            };
            // Whether it took the answer is its own affair.
            let _ = tokio::time::timeout(REFUSED_TIME, told).await;
        });
    }
}

/// What a refused peer is told.
fn refusal(software: &str, why: &str) -> Vec<u8> {
    encode_refusal(software, Reason::TooManyConnections, why, &mut SystemRandom)
}
