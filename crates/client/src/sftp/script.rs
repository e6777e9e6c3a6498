//! A scripted server for tests: what it answers, and when, is up to the test.

use sterna_sshwire::{put_string, put_u32};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Sftp, SftpOptions};

/// The server's end of a stream.
pub(crate) struct Script {
    pub(crate) io: DuplexStream,
}

impl Script {
    /// Says VERSION 3 with these extensions, and has read INIT.
    pub(crate) async fn greeting(io: DuplexStream, extensions: &[(&str, &str)]) -> Self {
        let mut script = Self { io };
        let mut version = vec![2, 0, 0, 0, 3];
        for (name, value) in extensions {
            put_string(&mut version, name.as_bytes());
            put_string(&mut version, value.as_bytes());
        }
        script.packet(&version).await;
        let mut init = [0; 9];
        script.io.read_exact(&mut init).await.unwrap();
        script
    }

    async fn packet(&mut self, body: &[u8]) {
        let mut out = Vec::new();
        put_string(&mut out, body);
        self.io.write_all(&out).await.unwrap();
    }

    /// Reads one request: its type, id and the rest.
    pub(crate) async fn request(&mut self) -> (u8, u32, Vec<u8>) {
        let len = self.io.read_u32().await.unwrap() as usize;
        let mut body = vec![0; len];
        self.io.read_exact(&mut body).await.unwrap();
        (body[0], u32::from_be_bytes(body[1..5].try_into().unwrap()), body[5..].to_vec())
    }

    pub(crate) async fn reply(&mut self, wire_type: u8, id: u32, fields: &[u8]) {
        let mut body = vec![wire_type];
        put_u32(&mut body, id);
        body.extend_from_slice(fields);
        self.packet(&body).await;
    }

    /// A STATUS with this code and no text.
    pub(crate) async fn status(&mut self, id: u32, code: u32) {
        let mut fields = Vec::new();
        put_u32(&mut fields, code);
        put_string(&mut fields, b"");
        put_string(&mut fields, b"");
        self.reply(101, id, &fields).await;
    }

    /// A NAME reply with these names.
    pub(crate) async fn names(&mut self, id: u32, names: &[&[u8]]) {
        let mut fields = Vec::new();
        put_u32(&mut fields, names.len() as u32);
        for name in names {
            put_string(&mut fields, name);
            put_string(&mut fields, b"long");
            put_u32(&mut fields, 0);
        }
        self.reply(104, id, &fields).await;
    }
}

/// Starts a client against `play`, which begins after VERSION 3 without extensions.
pub(crate) async fn against<F>(play: impl FnOnce(Script) -> F) -> Sftp
where
    F: Future<Output = ()> + Send + 'static,
{
    against_offering(&[], play).await
}

/// As [`against`], with these extensions in VERSION: names and values.
pub(crate) async fn against_offering<F>(
    extensions: &[(&str, &str)],
    play: impl FnOnce(Script) -> F,
) -> Sftp
where
    F: Future<Output = ()> + Send + 'static,
{
    let (ours, io) = tokio::io::duplex(1 << 20);
    let (sftp, script) =
        tokio::join!(Sftp::over(ours, SftpOptions::default()), Script::greeting(io, extensions));
    tokio::spawn(play(script));
    sftp.unwrap()
}
