//! Raw bytes towards a server: what it offers before keys, and SFTP without a client in between.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use sterna_testkit::openssh::Login;
use sterna_testkit::processes::{Process, Stream};

use crate::binary::is_baseline;
use crate::steps::{Failure, Outcome};

/// Longest wait for a byte of an answer. A server may take its time; one that is broken takes all.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The same towards OpenSSH in a baseline run, which leaves broken peers to its login grace time.
pub const BASELINE_ANSWER_MAX: Duration = Duration::from_secs(2);

/// Our version line in raw connections.
pub const VERSION_LINE: &[u8] = b"SSH-2.0-interop_raw\r\n";

/// Number of the message KEXINIT (RFC 4253 §7.1).
pub const KEXINIT: u8 = 20;

/// Name-lists of a KEXINIT that we look at, in wire order (RFC 4253 §7.1).
#[derive(Clone, Debug)]
pub struct Offer {
    pub kex: Vec<String>,
    pub host_keys: Vec<String>,
    pub ciphers: Vec<String>,
    pub macs: Vec<String>,
}

/// A TCP connection with deadlines on every read and write.
///
/// # Errors
/// What the system says when nobody listens.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(if is_baseline() { BASELINE_ANSWER_MAX } else { ANSWER_MAX }))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

/// Reads the version line, up to and without the line end.
///
/// # Errors
/// `UnexpectedEof` when the connection ends first.
pub fn read_version(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// Reads one packet before keys and returns its payload (RFC 4253 §6).
///
/// # Errors
/// `UnexpectedEof` when the connection ends first, `InvalidData` for impossible lengths.
pub fn read_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut packet)?;
    let padding = usize::from(*packet.first().ok_or(io::ErrorKind::InvalidData)?);
    let end = packet.len().checked_sub(padding).ok_or(io::ErrorKind::InvalidData)?;
    Ok(packet.get(1..end).ok_or(io::ErrorKind::InvalidData)?.to_vec())
}

/// `payload` as a packet before keys.
pub fn packet(payload: &[u8]) -> Vec<u8> {
    // The whole is a multiple of eight, and at least four bytes are padding (RFC 4253 §6).
    let padding = 4 + (8 - (5 + payload.len() + 4) % 8) % 8;
    let length = u32::try_from(1 + payload.len() + padding).expect("a small packet");
    let padding_len = u8::try_from(padding).expect("less than twelve");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(padding_len);
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// What a server offers in its KEXINIT.
///
/// # Errors
/// When it closes first or sends something else.
pub fn offer_of(address: SocketAddr) -> io::Result<Offer> {
    let mut stream = connect(address)?;
    stream.write_all(VERSION_LINE)?;
    read_version(&mut stream)?;
    let payload = read_packet(&mut stream)?;
    parse_offer(&payload)
}

/// What the client that `start` runs against this address offers in its KEXINIT.
///
/// # Errors
/// When it closes first or sends something else.
pub fn offer_of_client(start: impl FnOnce(u16) -> Process) -> io::Result<Offer> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let process = start(listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(VERSION_LINE)?;
    read_version(&mut stream)?;
    let payload = read_packet(&mut stream)?;
    drop(process);
    parse_offer(&payload)
}

/// The name-lists of a KEXINIT (RFC 4253 §7.1).
fn parse_offer(payload: &[u8]) -> io::Result<Offer> {
    if payload.first() != Some(&KEXINIT) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Message number and cookie come first.
    let mut rest = payload.get(17..).ok_or(io::ErrorKind::InvalidData)?;
    let mut lists = Vec::new();
    for _ in 0..6 {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or(io::ErrorKind::InvalidData)?;
        let (list, tail) = tail
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or(io::ErrorKind::InvalidData)?;
        lists.push(String::from_utf8_lossy(list).split(',').map(str::to_owned).collect());
        rest = tail;
    }
    let mut lists = lists.into_iter();
    let mut next = || lists.next().unwrap_or_default();
    Ok(Offer {
        kex: next(),
        host_keys: next(),
        ciphers: next(),
        macs: {
            next();
            next()
        },
    })
}

/// A KEXINIT payload that asks for these lists in both directions.
pub fn kexinit(kex: &str, host_key: &str, cipher: &str, mac: &str) -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend([7; 16]);
    for list in [kex, host_key, cipher, cipher, mac, mac, "none", "none", "", ""] {
        payload.extend(u32::try_from(list.len()).expect("a short list").to_be_bytes());
        payload.extend(list.as_bytes());
    }
    payload.extend([0; 5]);
    payload
}

/// SFTP packets through `ssh -s` or on the standard streams of a server program.
#[derive(Debug)]
pub struct RawSftp {
    process: Process,
    seen: usize,
}

impl RawSftp {
    /// Opens the SFTP subsystem with OpenSSH's `ssh` as a mere pipe.
    ///
    /// # Panics
    /// When `ssh` cannot be started.
    pub fn open(login: &Login) -> Self {
        let mut ssh = Command::new("ssh");
        ssh.arg("-p").arg(login.port.to_string()).args(login.options());
        ssh.args(["-s"]).arg(login.destination()).arg("sftp").env_remove("SSH_AUTH_SOCK");
        Self::over(Process::start("ssh -s", &mut ssh).unwrap_or_else(|e| panic!("{e}")))
    }

    /// Talks to a program that has SFTP on its standard streams.
    pub fn over(process: Process) -> Self {
        Self { process, seen: 0 }
    }

    /// Sends bytes as they are. A server that has closed already is not an error.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.process.send(bytes);
    }

    /// Sends a packet: length, type, body.
    pub fn send_packet(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len() + 1).expect("a small packet");
        self.send(&[&length.to_be_bytes()[..], &[kind], body].concat());
    }

    /// The next packet, type first; `None` when the server has closed.
    ///
    /// # Errors
    /// `Failed` when the server neither answers nor closes.
    pub fn receive(&mut self) -> Outcome<Option<Vec<u8>>> {
        let seen = self.seen;
        let next = self.process.wait_for_output(Stream::Stdout, ANSWER_MAX, |printed| {
            let (length, rest) = printed.get(seen..)?.split_first_chunk::<4>()?;
            rest.get(..u32::from_be_bytes(*length) as usize).map(<[u8]>::to_vec)
        });
        match next {
            Ok(packet) => {
                self.seen += 4 + packet.len();
                Ok(Some(packet))
            }
            Err("ended") => Ok(None),
            Err(why) => Err(Failure::Failed(format!("no answer: {why}\n{}", self.process.log()))),
        }
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}
