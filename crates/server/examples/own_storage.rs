//! A server with a storage of its own: one file for every number, computed when it is read.
//!
//! `cargo run --example own_storage`, then `sftp -P 2022 guest@localhost` with the password that it
//! prints, and `get /7.txt`.

use std::io::IoSliceMut;
use std::sync::Arc;
use std::time::Duration;

use sterna_identity::{Directory, PasswordHash, User};
use sterna_server::Server;
use sterna_server::sftp::SessionPolicy;
use sterna_ssh_crypto::SystemRandom;
use sterna_storage::{Attrs, Backend, Error, ErrorKind, File, FileKind, OpenHow, Result, Time};

/// `/N.txt` holds the first thousand multiples of N.
struct Multiples;

struct Table(Vec<u8>);

impl Multiples {
    fn table(path: &[u8]) -> Option<Table> {
        let name = std::str::from_utf8(path).ok()?.strip_prefix('/')?.strip_suffix(".txt")?;
        let n: u32 = name.parse().ok()?;
        let lines = (1..=1000u64).map(|k| format!("{k} x {n} = {}\n", k * u64::from(n)));
        Some(Table(lines.collect::<String>().into_bytes()))
    }
}

impl Backend for Multiples {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        if how.write || how.create {
            return Err(Error::new(ErrorKind::ReadOnly, "open"));
        }
        let table = Self::table(path).ok_or(Error::new(ErrorKind::NotFound, "open"))?;
        Ok(Box::new(table))
    }

    fn stat(&self, path: &[u8], _follow: bool) -> Result<Attrs> {
        match Self::table(path) {
            Some(table) => table.stat(),
            None if path == b"/" => Ok(attrs(FileKind::Directory, 0)),
            None => Err(Error::new(ErrorKind::NotFound, "stat")),
        }
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        let names: Vec<_> =
            path.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".").collect();
        Ok([b"/", names.join(&b'/').as_slice()].concat())
    }
}

impl File for Table {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        let mut rest = self.0.get(offset as usize..).unwrap_or_default();
        let before = rest.len();
        for buffer in buffers {
            let (now, later) = rest.split_at(rest.len().min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            rest = later;
        }
        Ok(before - rest.len())
    }

    fn stat(&self) -> Result<Attrs> {
        Ok(attrs(FileKind::Regular, self.0.len() as u64))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn attrs(kind: FileKind, size: u64) -> Attrs {
    let time = Time::default();
    let mode = if kind == FileKind::Directory { 0o555 } else { 0o444 };
    Attrs {
        kind,
        size,
        mode,
        uid: 0,
        gid: 0,
        accessed: time,
        modified: time,
        changed: time,
        links: 1,
        id: (0, 0),
    }
}

/// The server, ready to run, for the user `guest` with this password.
pub fn server(
    listen: std::net::SocketAddr,
    state_dir: &std::path::Path,
    password: &str,
) -> std::result::Result<Server, Box<dyn std::error::Error>> {
    let hash = PasswordHash::make(password.as_bytes(), &mut SystemRandom)?;
    let guest = User { password: Some(hash), ..User::new("guest", "/") };
    let server = Server::builder()
        .listen(listen)
        .state_dir(state_dir)?
        .users(Directory::new([guest])?)
        .storage(|user| Ok((Arc::new(Multiples), SessionPolicy::of_user(user))))
        .bind()?;
    Ok(server)
}

#[allow(dead_code)] // the test has no main
#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let state_dir = std::env::temp_dir().join("own_storage");
    let server = server("127.0.0.1:2022".parse()?, &state_dir, "multiply")?;
    println!("sftp -P 2022 guest@localhost (password: multiply)");
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    server.run(stop, Duration::from_secs(5)).await;
    Ok(())
}
