//! Connections that the application brings itself: over anything that carries bytes both ways. They are counted,
//! judged and served as those of the listening sockets are.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::limits::BROUGHT_MAX;
use crate::places::Places;

/// What a connection may run on.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// A connection and who is behind it.
pub(crate) type Brought = (Box<dyn Stream>, SocketAddr);

/// Where connections are brought to a [`Server`](crate::Server) that was built with
/// [`Builder::streams`](crate::Builder::streams). Clones lead to the same server.
#[derive(Clone)]
pub struct Door {
    brought: Sender<Brought>,
    places: Arc<Places>,
}

impl Door {
    pub(crate) fn new(places: &Arc<Places>) -> (Self, Receiver<Brought>) {
        let (brought, taken) = channel(BROUGHT_MAX);
        (Self { brought, places: Arc::clone(places) }, taken)
    }

    /// Brings a connection; rules and penalties are those of `source`. False if the server is gone, or has not come
    /// to take the last ones: then the stream is dropped.
    pub fn bring(&self, stream: impl Stream, source: SocketAddr) -> bool {
        self.brought.try_send((Box::new(stream), source)).is_ok()
    }

    /// Connections of the server that have a place at this moment, whichever way they came.
    pub fn connections(&self) -> usize {
        self.places.taken()
    }
}
