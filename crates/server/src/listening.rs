//! Where a server listens: an address, what holds for who comes through it, and its socket, opened here
//! or taken over from whoever had it before.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use ipnet::IpNet;
use sterna_ssh_proto::ServerConfig;

use crate::banner::Banner;
use crate::defence::{Defence, DefenceSettings, is_in};
use crate::listening_socket::ListeningSocket;
use crate::server_limits::ServerLimits;

/// Channels that may be open beside those on which something runs: just opened, or closed by one side.
const SPARE_CHANNELS: usize = 6;

/// Backlog of a listening socket: what arrives in the moment that a busy server needs to look.
const LISTEN_BACKLOG: i32 = 1024;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAt {
    pub address: SocketAddr,
    pub rules: Arc<ListenerRules>,
}

/// What holds for connections through one listener, beside what holds for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerRules {
    /// Balancers: a connection from them begins with a PROXY header, which says who the client is.
    pub proxy_from: Vec<IpNet>,
    /// Only users of one of these groups may log in; `None`: everybody.
    pub groups: Option<Vec<String>>,
    /// Nothing may be changed.
    pub read_only: bool,
    /// Shown before login in place of the server's text.
    pub banner: Option<String>,
}

impl From<SocketAddr> for ListenAt {
    fn from(address: SocketAddr) -> Self {
        Self { address, rules: Arc::default() }
    }
}

impl ListenerRules {
    /// Whether `peer` is a balancer, which has to say for whom it connects.
    pub(crate) fn is_balancer(&self, peer: SocketAddr) -> bool {
        is_in(peer.ip(), &self.proxy_from)
    }
}

/// A listening socket with what a connection through it is offered.
pub(crate) struct Listening {
    /// `None` once a successor has it, and where the application brings connections.
    socket: Option<ListeningSocket>,
    pub(crate) rules: Arc<ListenerRules>,
    config: Arc<ServerConfig>,
    /// Those that `config` was last brought up to.
    settings: Arc<DefenceSettings>,
}

impl Listening {
    pub(crate) fn new(
        socket: Option<ListeningSocket>,
        rules: Arc<ListenerRules>,
        config: &Arc<ServerConfig>,
        settings: Arc<DefenceSettings>,
    ) -> Self {
        let mut config = Arc::clone(config);
        if rules.banner.is_some() {
            Arc::make_mut(&mut config).banner.clone_from(&rules.banner);
        }
        Self { socket, rules, config, settings }
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    /// The next connection; never one when the socket is closed.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.socket.as_ref().map_or(Poll::Pending, |socket| socket.poll_accept(cx))
    }

    /// Another descriptor of the socket; `None` if it is closed.
    pub(crate) fn copy(&self) -> io::Result<Option<OwnedFd>> {
        self.socket.as_ref().map(ListeningSocket::copy).transpose()
    }

    /// Nobody comes through it any more.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }

    /// What a new connection is offered, by the settings of this moment.
    pub(crate) fn config(
        &mut self,
        defence: &Defence,
        banner: &Banner,
        limits: &ServerLimits,
    ) -> Arc<ServerConfig> {
        let channels_max = limits.channels + SPARE_CHANNELS;
        if self.config.channels_max != channels_max {
            Arc::make_mut(&mut self.config).channels_max = channels_max;
        }
        let settings = defence.settings();
        if !Arc::ptr_eq(&settings, &self.settings) {
            let config = Arc::make_mut(&mut self.config);
            config.login_grace = settings.login_grace;
            config.auth_failures_max = settings.max_auth_tries;
            self.settings = settings;
        }
        if self.rules.banner.is_none()
            && let Some(text) = banner.changed_from(self.config.banner.as_deref())
        {
            Arc::make_mut(&mut self.config).banner = text;
        }
        Arc::clone(&self.config)
    }

    /// The name that the server gives itself in its version line.
    pub(crate) fn software(&self) -> &str {
        &self.config.common.software_version
    }
}

/// A socket that listens on `address`: the one of `inherited` that has it, or a new one. For
/// [`Builder::inherited`](crate::Builder::inherited), before the rights to open it are given up.
///
/// # Errors
/// If the address cannot be used.
pub fn listening_socket(
    address: SocketAddr,
    inherited: &mut Vec<TcpListener>,
) -> io::Result<TcpListener> {
    let has_it = |socket: &TcpListener| {
        // A port that the system chose for a predecessor is as good as any other.
        let fits = |own: SocketAddr| address.port() == 0 && own.ip() == address.ip();
        socket.local_addr().is_ok_and(|own| own == address || fits(own))
    };
    match inherited.iter().position(has_it) {
        Some(at) => Ok(inherited.swap_remove(at)),
        None => open(address),
    }
}

/// The same for the tasks of this process.
pub(crate) fn socket_for(
    address: SocketAddr,
    inherited: &mut Vec<TcpListener>,
) -> io::Result<ListeningSocket> {
    ListeningSocket::new(listening_socket(address, inherited)?)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for old connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` means everything, IPv4 too; a system that cannot do both says so at connect.
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}
