//! A TCP proxy that behaves like a long path: delay and rate in each direction, and cuts on purpose.
//!
//! The path ends and begins TCP anew, so the kernel's own windows see no delay: what is measured here
//! is what SSH, SFTP and the programs make of a long path.

mod cut;
mod link;
mod pump;
mod queue;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};

use cut::{Counted, Cut, How};
use link::Path;
use pump::{Links, SOCKET_BUFFER_LEN};

/// Carries TCP connections over a path with delay and limited rate.
///
/// Prints "listening on ADDR:PORT" when it is ready, and runs until it is ended.
#[derive(Debug, Parser)]
#[command(name = "delay_proxy")]
struct Args {
    /// Where clients connect; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server behind the path.
    #[arg(long)]
    to: SocketAddr,
    /// Round trip in milliseconds, half of it in each direction.
    #[arg(long, default_value_t = 100.0)]
    rtt_ms: f64,
    /// Rate in each direction in Mbit/s, shared by all connections; 0 is without limit.
    #[arg(long, default_value_t = 1000.0)]
    rate_mbit: f64,
    /// What the router in front of the path holds, in KiB.
    #[arg(long, default_value_t = 1024)]
    router_kib: usize,
    /// Cuts a connection after so many delivered bytes.
    #[arg(long)]
    cut_after: Option<u64>,
    /// Which bytes count towards it.
    #[arg(long, value_enum, default_value_t = Counted::Both)]
    cut_counts: Counted,
    /// What the two ends see of the cut.
    #[arg(long, value_enum, default_value_t = How::Reset)]
    cut_how: How,
    /// Only the first so many connections are cut; later ones live.
    #[arg(long, default_value_t = u64::MAX)]
    cut_times: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let bytes_per_s = if args.rate_mbit > 0.0 { args.rate_mbit * 1e6 / 8.0 } else { f64::INFINITY };
    let links = Arc::new(Links::new(Path {
        one_way: Duration::from_secs_f64(args.rtt_ms / 2000.0),
        bytes_per_s,
        router_len: args.router_kib * 1024,
    }));

    let listener =
        Socket::new(Domain::for_address(args.listen), Type::STREAM, Some(Protocol::TCP))?;
    listener.set_reuse_address(true)?;
    // Accepted sockets have it from here.
    limit_buffers(&listener)?;
    listener.bind(&args.listen.into())?;
    listener.listen(1024)?;
    let listener = std::net::TcpListener::from(listener);
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    io::stdout().flush()?;

    for (count, client) in (0..).zip(listener.incoming()) {
        let (client, accepted) = (client?, Instant::now());
        let (links, to) = (Arc::clone(&links), args.to);
        let cut = args
            .cut_after
            .filter(|_| count < args.cut_times)
            .map(|after| Cut::new(after, args.cut_counts, args.cut_how));
        thread::spawn(move || {
            if let Err(error) = serve(&links, client, accepted, to, cut) {
                eprintln!("delay_proxy: {error}");
            }
        });
    }
    Ok(())
}

/// One connection, from its handshake to its end.
fn serve(
    links: &Arc<Links>,
    client: TcpStream,
    accepted: Instant,
    to: SocketAddr,
    cut: Option<Cut>,
) -> io::Result<()> {
    // A server sees the last step of TCP's handshake after three halves of a round trip.
    thread::sleep(3 * links.path.one_way);
    let server = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    limit_buffers(&server)?;
    server.connect(&to.into())?;
    pump::join(links, client, accepted, server.into(), cut)
}

fn limit_buffers(socket: &Socket) -> io::Result<()> {
    socket.set_recv_buffer_size(SOCKET_BUFFER_LEN)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_LEN)
}
