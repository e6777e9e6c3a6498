//! The PROXY header that a balancer sends before a client's first byte: who the client is. Versions 1
//! and 2 of HAProxy's protocol.

use std::fmt;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A header of version 1 at most, in bytes, as the protocol says.
const V1_LEN_MAX: usize = 107;

/// Bytes before the length of a version 2 header ends.
const V2_HEAD_LEN: usize = 16;

/// Bytes behind those: addresses of UNIX sockets take 216, and no balancer adds more than a certificate.
const V2_REST_LEN_MAX: usize = 4096;

/// A header of either version at most, in bytes.
#[cfg(test)]
pub(crate) const HEADER_LEN_MAX: usize = V2_HEAD_LEN + V2_REST_LEN_MAX;

/// So much is read before it is clear which version it is: less than the shortest header has.
const START_LEN: usize = 12;

const V2_START: &[u8; START_LEN] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a connection from a balancer cannot be served.
#[derive(Debug)]
pub(crate) enum HeaderError {
    Io(std::io::Error),
    /// Not a header, or not one that can be used.
    Malformed(String),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Malformed(why) => f.write_str(why),
        }
    }
}

impl From<std::io::Error> for HeaderError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the header and not a byte behind it. `None`: the balancer speaks for itself (a health check),
/// or does not say for whom.
///
/// # Errors
/// The stream failed or ended, or this is no header.
pub(crate) async fn read_header(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, HeaderError> {
    let mut header = vec![0; START_LEN];
    from.read_exact(&mut header).await?;
    if header[..] == V2_START[..] {
        header.resize(V2_HEAD_LEN, 0);
        from.read_exact(&mut header[START_LEN..]).await?;
        let len = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if len > V2_REST_LEN_MAX {
            return Err(HeaderError::Malformed(format!("PROXY header of {len} bytes")));
        }
        header.resize(V2_HEAD_LEN + len, 0);
        from.read_exact(&mut header[V2_HEAD_LEN..]).await?;
    } else {
        // One by one: what comes behind the line belongs to the client.
        while !header.ends_with(b"\r\n") {
            if header.len() == V1_LEN_MAX || !header.starts_with(b"PROXY ") {
                return Err(HeaderError::Malformed("no PROXY header".to_owned()));
            }
            header.push(from.read_u8().await?);
        }
    }
    client_in(&header)
}

/// Who the client is, by a whole header.
pub(crate) fn client_in(header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let malformed = |why: String| HeaderError::Malformed(format!("bad PROXY header: {why}"));
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Ok(match (header.command, &header.addresses) {
            (v2::Command::Local, _) => None,
            (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            (v2::Command::Proxy, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
        }),
        HeaderResult::V1(Err(error)) => Err(malformed(error.to_string())),
        HeaderResult::V2(Err(error)) => Err(malformed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// What a reader makes of `bytes`, which arrive in pieces of `piece`, and what is left behind.
    fn read(bytes: &[u8], piece: usize) -> (Result<Option<SocketAddr>, HeaderError>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut near, mut far) = tokio::io::duplex(piece);
            let sent = bytes.to_vec();
            let sender = tokio::spawn(async move {
                // The reader may go before it has taken everything.
                let _ = far.write_all(&sent).await;
            });
            let found = read_header(&mut near).await;
            let mut rest = Vec::new();
            near.read_to_end(&mut rest).await.unwrap();
            sender.await.unwrap();
            (found, rest)
        })
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = V2_START.to_vec();
        header.extend([0x20 | command, family]);
        header.extend((addresses.len() as u16).to_be_bytes());
        header.extend(addresses);
        header
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 22];

    #[test]
    fn the_client_is_told_and_its_own_bytes_stay() {
        let mut ipv6 = [0; 36];
        ipv6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        ipv6[15] = 1;
        ipv6[32..34].copy_from_slice(&443u16.to_be_bytes());
        // A type-length-value behind the addresses.
        let with_tlv = [&IPV4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        let table: &[(Vec<u8>, Option<&str>)] = &[
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 22\r\n".to_vec(), Some("192.0.2.7:12345")),
            (b"PROXY TCP6 2001:db8::1 ::1 443 22\r\n".to_vec(), Some("[2001:db8::1]:443")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(1, 0x11, &IPV4), Some("192.0.2.7:12345")),
            (v2(1, 0x11, &with_tlv), Some("192.0.2.7:12345")),
            (v2(1, 0x21, &ipv6), Some("[2001:db8::1]:443")),
            (v2(0, 0x11, &IPV4), None),
            (v2(1, 0, &[]), None),
        ];
        for (header, client) in table {
            for piece in [1, 3, 4096] {
                let sent = [&header[..], b"SSH-2.0-x\r\n"].concat();

                let (found, rest) = read(&sent, piece);

                let expected = client.map(|text| text.parse().unwrap());
                assert_eq!(found.unwrap(), expected, "{}", header.escape_ascii());
                assert_eq!(rest, b"SSH-2.0-x\r\n");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_within_its_bounds() {
        let long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let huge = [&V2_START[..], &[0x21, 0x11, 0xff, 0xff], &[0; 70_000]].concat();
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"PROXY TCP4 192.0.2.7\r\n",
            b"PROXY TCP4 192.0.2.700 198.51.100.1 12345 22\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 99999\r\n",
            b"PROXY",
            b"",
            &long,
            &huge,
            &v2(7, 0x11, &IPV4),
            &v2(1, 0x11, &IPV4[..5]),
        ] {
            let (found, rest) = read(bytes, 4096);

            assert!(found.is_err(), "{}", bytes.escape_ascii());
            assert!(bytes.len() - rest.len() <= V1_LEN_MAX, "read no more than it had to");
        }
    }
}
