use std::pin::Pin;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::sftp::script::against;
use crate::transfer::{Options, Summary, Transfer};

#[test]
fn pauses_double_and_stay_within_their_bounds() {
    assert_eq!(pause_before(1, 0.0), Duration::ZERO);
    assert_eq!(pause_before(1, 1.0), RECONNECT_JITTER_MAX);
    assert_eq!(pause_before(2, 1.0), RECONNECT_PAUSE_START);
    assert_eq!(pause_before(4, 1.0), RECONNECT_PAUSE_START * 4);
    assert_eq!(pause_before(4, 0.0), RECONNECT_PAUSE_START * 2);
    assert_eq!(pause_before(u32::MAX, 1.0), RECONNECT_PAUSE_MAX);
    assert!((0..100).map(|_| random_part()).all(|part| (0.0..1.0).contains(&part)));
}

/// A server that opens no further channel on a connection, and some number of further connections.
struct Narrow(AtomicU32);

impl Reconnect for Narrow {
    fn reconnect(&self) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        unreachable!("nothing was lost")
    }

    fn connect_beside(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        let left = self.0.fetch_sub(1, Ordering::Relaxed);
        Box::pin(async move {
            if left == 0 {
                return Err(unreachable());
            }
            Ok(Connection { sftp: cut_at_once().await, session: None })
        })
    }
}

#[tokio::test]
async fn where_a_connection_has_no_more_channels_there_are_a_few_more_connections() {
    for (allowed, made) in [(0, 0), (2, 2), (100, CONNECTIONS_BESIDE_MAX)] {
        let sftp = cut_at_once().await;
        let narrow = Arc::new(Narrow(AtomicU32::new(allowed)));
        let context = Transfer::new(&sftp).reconnect(narrow.clone()).context(None);
        let further = async || context.lanes.further(std::slice::from_ref(&sftp), 7).await.len();

        assert_eq!(further().await, 0, "the connection may have more channels");
        context.lanes.state().is_widest = true;
        assert_eq!(further().await, made);
        assert_eq!(further().await, made, "the same ones");
    }
}

/// What becomes of every try to connect again.
#[derive(Clone)]
enum Tries {
    Fail(Error),
    /// A connection that is cut at its first request.
    Cut,
    /// Nothing, for ever.
    Hang,
}

struct Network {
    tries: Tries,
    count: AtomicU32,
}

impl Reconnect for Network {
    fn reconnect(&self) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        self.count.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            match &self.tries {
                Tries::Fail(error) => Err(error.clone()),
                Tries::Cut => Ok(Connection { sftp: cut_at_once().await, session: None }),
                Tries::Hang => std::future::pending().await,
            }
        })
    }
}

async fn cut_at_once() -> Sftp {
    against(async |mut script| drop(script.request().await)).await
}

/// Downloads a file over a connection that is cut at once; how it ended, and the tries that were made.
async fn download(tries: Tries, retries: u32, cancel: Cancel) -> (Summary, u32) {
    let network = Arc::new(Network { tries, count: AtomicU32::new(0) });
    let here = tempfile::tempdir().unwrap();
    let options = Options { retries, ..Options::default() };
    let sftp = cut_at_once().await;
    let transfer = Transfer::new(&sftp).options(options).reconnect(network.clone()).cancel(cancel);
    let summary = transfer.get(&[b"/f"], here.path()).await.unwrap();
    (summary, network.count.load(Ordering::Relaxed))
}

fn unreachable() -> Error {
    Error::Connect { host: "h".into(), why: "no route".into() }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_connect_again_gives_up_after_so_many_tries_and_says_7() {
    let began = Instant::now();

    let (summary, tries) = download(Tries::Fail(unreachable()), 4, Cancel::new()).await;

    assert_eq!((summary.exit_code(), summary.failed, tries), (7, 1, 4), "{:?}", summary.errors);
    // Pauses of 1, 2 and 4 seconds, or half of that.
    let waited = began.elapsed().as_secs_f64();
    assert!((3.5..7.2).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn connections_on_which_nothing_advances_are_given_up_too() {
    let (summary, tries) = download(Tries::Cut, 4, Cancel::new()).await;

    assert_eq!((summary.exit_code(), summary.failed, tries), (7, 1, 4), "{:?}", summary.errors);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_and_a_host_key_that_is_not_trusted_end_it_at_once() {
    let (user, host, why) = ("u".to_owned(), "h".to_owned(), "no".to_owned());
    let auth = Error::Auth { user, host: host.clone(), why: why.clone() };
    for (error, code) in [(auth, 5), (Error::HostKey { host, why }, 4)] {
        let (summary, tries) = download(Tries::Fail(error), 10, Cancel::new()).await;

        assert_eq!((summary.exit_code(), tries), (code, 1), "{:?}", summary.errors);
    }
}

#[tokio::test(start_paused = true)]
async fn no_retries_means_that_nobody_connects_again() {
    let (summary, tries) = download(Tries::Cut, 0, Cancel::new()).await;

    assert_eq!((summary.exit_code(), summary.failed, tries), (7, 1, 0), "{:?}", summary.errors);
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_stop_while_it_waits_for_a_connection_is_heard_at_once() {
    for tries in [Tries::Hang, Tries::Fail(unreachable())] {
        let cancel = Cancel::new();
        let stop = cancel.clone();
        let began = Instant::now();
        tokio::spawn(async move {
            sleep(Duration::from_secs(20)).await;
            stop.cancel();
        });

        let (summary, _) = download(tries, 100, cancel).await;

        assert_eq!(summary.exit_code(), 7, "{:?}", summary.errors);
        assert_eq!(began.elapsed().as_secs(), 20);
    }
}
