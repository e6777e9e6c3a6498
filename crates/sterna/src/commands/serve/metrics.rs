//! Figures for Prometheus: a listener of its own that answers `GET /metrics` and nothing else.

use std::{io, sync::Arc, time::Duration};

use sterna_server::Figures;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Bytes of a request's head: a line, and what HTTP clients put behind it.
const HEAD_LEN_MAX: usize = 8 * 1024;

/// Connections that are served at a time; others wait.
const CONNECTIONS_MAX: usize = 4;

/// How long a request may take to arrive, and its answer to leave.
const PEER_WAIT: Duration = Duration::from_secs(10);

/// Pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener for whoever collects figures.
pub struct Metrics {
    listener: TcpListener,
}

impl Metrics {
    /// With a socket that listens already.
    pub fn over(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(socket)? })
    }

    /// Answers for ever.
    pub async fn run(self, figures: Figures) {
        let figures = Arc::new(figures);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "metrics: accept failed");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let figures = Arc::clone(&figures);
            tokio::spawn(async move {
                // Whoever is too slow, or leaves, has nobody to tell.
                let _ = serve(stream, figures).await;
                drop(place);
            });
        }
    }
}

/// One request and its answer.
async fn serve(mut stream: TcpStream, figures: Arc<Figures>) -> io::Result<()> {
    let head = timeout(PEER_WAIT, read_head(&mut stream)).await??;
    let (status, body) = match asked(&head) {
        Asked::Metrics => {
            // It looks at files of the system.
            let page = tokio::task::spawn_blocking(move || figures.render()).await;
            ("200 OK", page.map_err(io::Error::other)?)
        }
        Asked::Elsewhere => ("404 Not Found", "only /metrics is here\n".to_owned()),
        Asked::Otherwise => ("405 Method Not Allowed", "only GET is understood\n".to_owned()),
        Asked::Nothing => ("400 Bad Request", "not an HTTP request\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    timeout(PEER_WAIT, stream.write_all(answer.as_bytes())).await??;
    stream.shutdown().await
}

/// Everything up to the empty line, or to the bound.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut bounded = stream.take(HEAD_LEN_MAX as u64);
    while !head.ends_with(b"\r\n\r\n") && bounded.read_buf(&mut head).await? > 0 {}
    Ok(head)
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Metrics,
    Elsewhere,
    Otherwise,
    Nothing,
}

fn asked(head: &[u8]) -> Asked {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, path, version] = words[..] else { return Asked::Nothing };
    if !head.ends_with(b"\r\n\r\n") || !version.starts_with(b"HTTP/1.") {
        return Asked::Nothing;
    }
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    match (method, path) {
        (b"GET", b"/metrics") => Asked::Metrics,
        (b"GET", _) => Asked::Elsewhere,
        _ => Asked::Otherwise,
    }
}

#[cfg(test)]
mod tests {
    use sterna_testkit::fuzz::each_of;

    use super::*;

    /// Seeded changes: none may cause a panic, or be taken for more than it is.
    #[test]
    fn requests_of_any_bytes_are_understood_or_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seeds = [
            &b"GET /metrics?a=b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"[..],
            b"GET / HTTP/1.0\r\n\r\nGET",
            b"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        ];
        let long = [seeds[0], &[b'x'; 2 * HEAD_LEN_MAX]].concat();
        let seeds: Vec<_> = seeds.into_iter().map(<[u8]>::to_vec).chain([long]).collect();
        each_of(&seeds, 20_000, |bytes| {
            let head = runtime.block_on(read_head(&mut &*bytes)).unwrap();
            assert!(head.len() <= HEAD_LEN_MAX && bytes.starts_with(&head));
            if asked(&head) == Asked::Metrics {
                assert!(head.starts_with(b"GET /metrics") && head.ends_with(b"\r\n\r\n"));
            }
        });
    }

    #[test]
    fn one_request_is_understood() {
        for (head, expected) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[..], Asked::Metrics),
            (b"GET /metrics?x=y HTTP/1.0\r\n\r\n", Asked::Metrics),
            (b"GET / HTTP/1.1\r\n\r\n", Asked::Elsewhere),
            (b"POST /metrics HTTP/1.1\r\n\r\n", Asked::Otherwise),
            (b"GET /metrics HTTP/1.1\r\n", Asked::Nothing),
            (b"GET /metrics\r\n\r\n", Asked::Nothing),
            (b"SSH-2.0-x\r\n\r\n", Asked::Nothing),
            (b"", Asked::Nothing),
        ] {
            assert_eq!(asked(head), expected, "{}", head.escape_ascii());
        }
    }
}
