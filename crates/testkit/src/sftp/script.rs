//! A server played by hand: the test reads each request and writes what it wants as the answer.

use sterna_sshwire::{put_string, put_u32};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The server's end of a stream.
#[derive(Debug)]
pub struct Script {
    pub io: DuplexStream,
}

impl Script {
    /// Says VERSION 3 with these extensions (names and values), and has read INIT.
    ///
    /// # Panics
    /// If the client is gone.
    pub async fn greeting(io: DuplexStream, extensions: &[(&str, &str)]) -> Self {
        let mut script = Self { io };
        let mut version = vec![2, 0, 0, 0, 3];
        for (name, value) in extensions {
            put_string(&mut version, name.as_bytes());
            put_string(&mut version, value.as_bytes());
        }
        script.packet(&version).await;
        let mut init = [0; 9];
        script.io.read_exact(&mut init).await.expect("INIT");
        script
    }

    async fn packet(&mut self, body: &[u8]) {
        let mut out = Vec::new();
        put_string(&mut out, body);
        self.io.write_all(&out).await.expect("the client reads");
    }

    /// Reads one request: its type, id and the rest.
    ///
    /// # Panics
    /// If the client is gone.
    pub async fn request(&mut self) -> (u8, u32, Vec<u8>) {
        let len = self.io.read_u32().await.expect("a request") as usize;
        let mut body = vec![0; len];
        self.io.read_exact(&mut body).await.expect("a whole request");
        let id = u32::from_be_bytes([body[1], body[2], body[3], body[4]]);
        (body[0], id, body[5..].to_vec())
    }

    /// Writes a reply of this type with these bytes behind its id.
    ///
    /// # Panics
    /// If the client is gone.
    pub async fn reply(&mut self, wire_type: u8, id: u32, fields: &[u8]) {
        let mut body = vec![wire_type];
        put_u32(&mut body, id);
        body.extend_from_slice(fields);
        self.packet(&body).await;
    }

    /// A STATUS with this code and no text.
    pub async fn status(&mut self, id: u32, code: u32) {
        let mut fields = Vec::new();
        put_u32(&mut fields, code);
        put_string(&mut fields, b"");
        put_string(&mut fields, b"");
        self.reply(101, id, &fields).await;
    }

    /// A NAME reply with these names.
    pub async fn names(&mut self, id: u32, names: &[&[u8]]) {
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
