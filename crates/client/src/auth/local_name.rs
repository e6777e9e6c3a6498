//! What this machine is called, as host-based logins say it.
//!
//! The name must be the one that OpenSSH's `ssh-keysign` finds out for itself: it signs for no other.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use socket2::SockRef;

/// The name of the address that the connection comes from, in lower case and without a dot at its end;
/// if that has none, or there is no socket, what the machine calls itself. Asks the resolver: this may
/// wait.
pub(super) fn local_name(socket: Option<&OwnedFd>) -> String {
    let of_address =
        socket.and_then(local_address).and_then(|ip| dns_lookup::lookup_addr(&ip).ok());
    let name = of_address
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn local_address(socket: &OwnedFd) -> Option<IpAddr> {
    let address = SockRef::from(socket).local_addr().ok()?.as_socket()?;
    Some(address.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn without_a_socket_it_is_what_the_machine_calls_itself() {
        let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();

        assert_eq!(local_name(None), own.trim_end_matches('.'));
    }

    #[test]
    fn the_address_is_that_of_this_end() {
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());

        assert_eq!(local_address(&socket), Some([127, 0, 0, 1].into()));
    }
}
