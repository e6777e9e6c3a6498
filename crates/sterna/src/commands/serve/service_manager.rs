//! What a service manager (systemd) is told, and the sockets that it has opened for us. Without one nothing
//! happens here.

use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::settings::Settings;

/// Descriptors that belong to those sockets, by the numbers that the protocol gives them (`sd_listen_fds(3)`).
pub fn inherited_descriptors() -> Vec<i32> {
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok());
    (FIRST_DESCRIPTOR..).take(count.unwrap_or(0)).collect()
}

/// The first of them.
const FIRST_DESCRIPTOR: i32 = 3;

/// Sockets that were opened before the server was started (socket activation).
pub fn inherited_sockets() -> Vec<TcpListener> {
    let mut from = ListenFd::from_env();
    (0..from.len())
        .filter_map(|at| match from.take_tcp_listener(at) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "a socket from the service manager cannot be used");
                None
            }
        })
        .collect()
}

/// What the service manager opened is served, too, whether the settings name its address or not; and they
/// alone if the settings name none.
pub fn listen_where_inherited(settings: &mut Settings, inherited: &[TcpListener]) {
    let listen = &mut settings.listen;
    let addresses: Vec<_> = inherited.iter().filter_map(|s| s.local_addr().ok()).collect();
    if settings.listens_by_default && !addresses.is_empty() {
        listen.clear();
    }
    for address in addresses {
        if !listen.iter().any(|at| at.address == address) {
            listen.push(address.into());
        }
    }
}

/// Connections are taken.
pub fn tell_ready() {
    tell(&[NotifyState::Ready]);
}

/// Settings are read again; [`tell_ready`] follows.
pub fn tell_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "service manager: no clock"),
    }
}

/// Nobody new is taken.
pub fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// From now on that process is the service.
pub fn tell_successor(pid: u32) {
    tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
}

/// Says from time to time that the server is alive, if the service manager wants to hear it.
pub async fn keep_watchdog_quiet() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut beats = tokio::time::interval(limit / 2);
    loop {
        beats.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
