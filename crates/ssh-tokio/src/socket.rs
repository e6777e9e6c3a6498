//! What a TCP socket is told before a connection runs on it.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Bytes that the kernel takes ahead of what the path takes: two of our largest writes. What lies there
/// is sealed, so nothing can overtake it, and the kernel would take megabytes.
const KERNEL_AHEAD_LEN: u32 = 512 * 1024;

/// Makes small messages leave at once, and keeps the queue in front of the path short. Nothing is said
/// about the sizes of the kernel's buffers, which would stop it from adapting them to the path.
///
/// # Errors
/// What the system says. The connection works all the same.
pub fn prepare_socket(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_notsent_lowat(KERNEL_AHEAD_LEN)?;
    Ok(())
}
