//! A server that runs short of descriptors: who comes is told, who is there goes on.

use std::{
    fs,
    io::Read as _,
    net::TcpStream,
    process::{Child, Command},
    time::Duration,
};

use crate::{
    live::{HASH, QUIET},
    support::{port_of, spawn_until_listening, sterna},
};

/// Descriptors of the server: what it has open itself, and some dozen connections.
const DESCRIPTORS: usize = 64;

struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let settings = format!(
            "listen = ['127.0.0.1:0']\nstate_dir = 'state'\n[limits]\nconnections = 1000\n\
             [defence]\n{QUIET}\n[[user]]\nname = 'alice'\nroot = 'root'\npassword = '{HASH}'\n"
        );
        fs::write(dir.path().join("sterna.toml"), settings).unwrap();
        let mut command = Command::new("sh");
        command.current_dir(dir.path()).args([
            "-c",
            &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" serve --config sterna.toml"),
            env!("CARGO_BIN_EXE_sterna"),
        ]);
        let (child, greeting) = spawn_until_listening(&mut command);
        Self { child, port: port_of(&greeting), dir }
    }

    /// A connection and the first words of the server.
    fn connect(&self) -> (TcpStream, String) {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut said = Vec::new();
        let mut part = [0; 256];
        // A greeting with what comes behind it: key exchange, or why not.
        while said.len() < 64 {
            match socket.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(len) => said.extend_from_slice(&part[..len]),
            }
        }
        (socket, String::from_utf8_lossy(&said).into_owned())
    }

    fn login(&self) -> Option<i32> {
        let mut client = sterna();
        client.args(["ls", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o"]);
        client.args(["UserKnownHostsFile=/dev/null", "-P", &self.port.to_string()]);
        client.env("STERNA_PASSWORD", "Hello world!").env("HOME", self.dir.path());
        client.arg("alice@127.0.0.1:/").output().unwrap().status.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn without_descriptors_who_comes_is_told_and_who_is_there_goes_on() {
    let server = Server::start();
    assert_eq!(server.login(), Some(0));

    let mut held = Vec::new();
    let refused = loop {
        let (socket, said) = server.connect();
        assert!(said.starts_with("SSH-2.0-"), "{said:?}");
        if said.contains("no descriptors left") {
            break said;
        }
        held.push(socket);
        assert!(held.len() < DESCRIPTORS, "nobody was refused");
    };

    assert!(refused.contains("try again later"), "{refused:?}");
    assert!(held.len() > 8, "{}", held.len());
    drop(held);
    // The server sees the ends of these in its own time.
    let mut tries = 0;
    while server.login() != Some(0) {
        tries += 1;
        assert!(tries < 50, "there are descriptors again");
    }
}
