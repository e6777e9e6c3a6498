//! TCP connections: which addresses, in which order, from which of ours, how often.

use std::net::{IpAddr, SocketAddr};

use sterna_ssh_tokio::prepare_socket;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::timed_out;
use crate::Error;
use crate::error::io_reason;
use crate::limits::{CONNECT_ADDRESSES_MAX, CONNECT_RETRY_PAUSE, CONNECT_STAGGER};
use crate::ssh_config::{AddressFamily, HostSettings};

/// Connects as `settings` say.
///
/// # Errors
/// [`Error::Connect`] with the last reason.
pub(super) async fn dial(settings: &HostSettings) -> Result<TcpStream, Error> {
    let mut tries_left = settings.connection_attempts;
    loop {
        tries_left = tries_left.saturating_sub(1);
        match dial_once(settings).await {
            Err(error) if tries_left > 0 => tracing::debug!(%error, tries_left, "trying again"),
            done => return done,
        }
        sleep(CONNECT_RETRY_PAUSE).await;
    }
}

/// Connects to the first address that answers. The next one is tried after a failure or a short
/// silence, beside those that are still on their way (RFC 8305 in short).
async fn dial_once(settings: &HostSettings) -> Result<TcpStream, Error> {
    let failed = |why: String| Error::Connect { host: settings.host.clone(), why };
    let attempt = async {
        let origin = Origin::new(settings).await.map_err(failed)?;
        let found = lookup_host((settings.host.as_str(), settings.port)).await;
        let addresses = found.map_err(|e| failed(format!("no such host: {}", io_reason(&e))))?;
        let addresses = interleaved(addresses.collect(), settings.address_family);
        if addresses.is_empty() {
            return Err(failed("the name has no usable address".into()));
        }
        connect_first(&addresses, &origin).await.map_err(failed)
    };
    let stream = timeout(settings.connect_timeout, attempt).await;
    let stream = stream.map_err(|_| timed_out(settings, "no address answers"))??;
    let _ = prepare_socket(&stream);
    Ok(stream)
}

/// Our end of the connections to come.
#[derive(Clone)]
struct Origin {
    /// `BindAddress`: what its name stands for. Empty: any.
    addresses: Vec<IpAddr>,
    /// `BindInterface`.
    interface: Option<String>,
    keep_alive: bool,
}

impl Origin {
    async fn new(settings: &HostSettings) -> Result<Self, String> {
        let mut addresses = Vec::new();
        if let Some(name) = &settings.bind_address {
            let found = lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|e| format!("BindAddress {name}: {}", io_reason(&e)))?;
            addresses.extend(found.map(|address| address.ip()));
        }
        let interface = settings.bind_interface.clone();
        Ok(Self { addresses, interface, keep_alive: settings.tcp_keep_alive })
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, String> {
        let reason = |error: std::io::Error| io_reason(&error);
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(reason)?;
        if self.keep_alive {
            socket.set_keepalive(true).map_err(reason)?;
        }
        if let Some(interface) = &self.interface {
            let bound = socket.bind_device(Some(interface.as_bytes()));
            bound.map_err(|e| format!("BindInterface {interface}: {}", io_reason(&e)))?;
        }
        if !self.addresses.is_empty() {
            let ours = self.addresses.iter().find(|ours| ours.is_ipv4() == address.is_ipv4());
            let ours = ours.ok_or("BindAddress has no address of this kind")?;
            let bound = socket.bind(SocketAddr::new(*ours, 0));
            bound.map_err(|e| format!("BindAddress {ours}: {}", io_reason(&e)))?;
        }
        socket.connect(address).await.map_err(reason)
    }
}

async fn connect_first(addresses: &[SocketAddr], origin: &Origin) -> Result<TcpStream, String> {
    if let [address] = *addresses {
        return origin.connect(address).await.map_err(|why| format!("{address}: {why}"));
    }
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.iter();
    let mut last_error = String::from("nothing was tried");
    let mut try_next = true;
    loop {
        if try_next && let Some(address) = waiting.next().copied() {
            let origin = origin.clone();
            attempts.spawn(async move { (address, origin.connect(address).await) });
        } else if attempts.is_empty() {
            return Err(last_error);
        }
        try_next = tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(why))) => {
                    last_error = format!("{address}: {why}");
                    true
                }
                Err(error) => {
                    last_error = error.to_string();
                    true
                }
            },
            () = sleep(CONNECT_STAGGER), if waiting.len() > 0 => true,
        };
    }
}

/// Addresses of the wanted family, the two families taking turns in the resolver's order.
fn interleaved(addresses: Vec<SocketAddr>, family: AddressFamily) -> Vec<SocketAddr> {
    let wanted = |a: &SocketAddr| match family {
        AddressFamily::Any => true,
        AddressFamily::V4 => a.is_ipv4(),
        AddressFamily::V6 => a.is_ipv6(),
    };
    let wanted: Vec<_> = addresses.into_iter().filter(wanted).collect();
    let first_is_v6 = wanted.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let len = first.len().max(second.len());
    let turns = (0..len).flat_map(|n| [first.get(n), second.get(n)]).flatten().copied();
    turns.take(CONNECT_ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_take_turns() {
        let all =
            ["[::1]:22", "[::2]:22", "[::3]:22", "1.1.1.1:22"].map(|a| a.parse().unwrap()).to_vec();

        let order = |family| {
            interleaved(all.clone(), family).iter().map(|a| a.ip().to_string()).collect::<Vec<_>>()
        };

        assert_eq!(order(AddressFamily::Any), ["::1", "1.1.1.1", "::2", "::3"]);
        assert_eq!(order(AddressFamily::V4), ["1.1.1.1"]);
    }

    #[tokio::test]
    async fn a_connection_comes_from_the_address_that_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut settings = HostSettings::defaults("127.0.0.1", "u", None);
        settings.port = listener.local_addr().unwrap().port();
        settings.bind_address = Some("127.0.0.9".into());

        let (stream, accepted) = tokio::join!(dial(&settings), listener.accept());

        assert_eq!(stream.unwrap().local_addr().unwrap().ip().to_string(), "127.0.0.9");
        assert_eq!(accepted.unwrap().1.ip().to_string(), "127.0.0.9");
        settings.bind_address = Some("::1".into());
        let error = dial(&settings).await.unwrap_err().to_string();
        assert!(error.contains("BindAddress"), "{error}");
    }
}
