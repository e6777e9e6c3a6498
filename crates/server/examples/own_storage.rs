//! A server with a storage of its own: one file for every number, made when it is opened.
//!
//! `cargo run -p sterna-server --example own_storage`, then `sftp -P 2022 guest@localhost` with the
//! password that it prints, and `get /7.txt`.

use std::error::Error as AnyError;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sterna_identity::{Directory, PasswordHash, User};
use sterna_server::Server;
use sterna_server::sftp::SessionPolicy;
use sterna_ssh_crypto::SystemRandom;
use sterna_storage::{Attrs, Backend, Error, ErrorKind, File, Memory, OpenHow, ReadOnly, Result};

/// `/N.txt` holds the first thousand multiples of N.
struct Multiples;

impl Backend for Multiples {
    fn open(&self, path: &[u8], _how: &OpenHow) -> Result<Box<dyn File>> {
        let number = |name: &str| name.strip_prefix('/')?.strip_suffix(".txt")?.parse().ok();
        let n: u32 = std::str::from_utf8(&self.realpath(path)?)
            .ok()
            .and_then(number)
            .ok_or(Error::new(ErrorKind::NotFound, "open"))?;
        let lines: String =
            (1..=1000).map(|k| format!("{k} x {n} = {}\n", k * u64::from(n))).collect();
        // A file in memory lives on when its tree is gone.
        let how = OpenHow { read: true, write: true, create: true, ..OpenHow::default() };
        let file = Memory::new().open(b"/table", &how)?;
        file.write_at(lines.as_bytes(), 0)?;
        Ok(file)
    }

    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        match &*self.realpath(path)? {
            b"/" => Memory::new().stat(b"/", follow),
            file => self.open(file, &OpenHow::default())?.stat(),
        }
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        Memory::new().realpath(path)
    }
}

/// The server, ready to run, for the user `guest` with this password.
pub fn server(
    listen: SocketAddr,
    state_dir: &Path,
    password: &str,
) -> std::result::Result<Server, Box<dyn AnyError>> {
    let hash = PasswordHash::make(password.as_bytes(), &mut SystemRandom)?;
    let guest = User { password: Some(hash), ..User::new("guest", "/") };
    let storage = Arc::new(ReadOnly::new(Arc::new(Multiples)));
    Ok(Server::builder()
        .listen(listen)
        .state_dir(state_dir)?
        .users(Directory::new([guest])?)
        .storage(move |user| Ok((storage.clone(), SessionPolicy::of_user(user))))
        .bind()?)
}

#[allow(dead_code)] // the test has no main
#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn AnyError>> {
    let state_dir = std::env::temp_dir().join("own_storage");
    let server = server("127.0.0.1:2022".parse()?, &state_dir, "multiply")?;
    println!("sftp -P 2022 guest@localhost (password: multiply)");
    server.run(std::future::pending(), Duration::ZERO).await;
    Ok(())
}
