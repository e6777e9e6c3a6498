//! The driver and the core under OpenSSH's own client: an echo server with a key login.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::task::Context;

use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom, names};
use sterna_ssh_proto::{
    AuthAnswer, AuthMethod, ChannelId, ChannelRequest, Error, Event, ServerConfig,
};
use sterna_ssh_tokio::{Driver, Link, Service};
use sterna_testkit::openssh::CHEAP_KEX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

/// Sends back what it gets on every channel, and ends it after the client's EOF.
struct Echo {
    host_key: Arc<PrivateKey>,
    waiting: HashMap<ChannelId, (Vec<u8>, bool)>,
}

impl Service for Echo {
    fn handle_event(&mut self, event: Event<'_>, link: &mut Link<'_>) -> Result<(), Error> {
        let (connection, output, now) = (&mut *link.connection, &mut *link.output, link.now);
        match event {
            Event::Sign(request) => {
                let signature = self.host_key.sign(&request.algorithm, &request.data).ok();
                connection.answer_signature(signature, now, output)
            }
            Event::AuthRequest(request) => {
                let answer = match request.method {
                    AuthMethod::PublicKeyQuery { .. } => AuthAnswer::PublicKeyOk,
                    AuthMethod::PublicKey { signature, .. } if signature.is_valid() => {
                        AuthAnswer::Accept
                    }
                    _ => AuthAnswer::Reject { methods: vec!["publickey".to_owned()] },
                };
                connection.answer_auth(answer, now, output)
            }
            Event::ChannelRequest { channel, request } => {
                let exec = matches!(request, ChannelRequest::Exec(_));
                connection.answer_request(channel, exec, output);
                Ok(())
            }
            Event::ChannelData { channel, data } => {
                self.waiting.entry(channel).or_default().0.extend_from_slice(data);
                Ok(())
            }
            Event::ChannelEof(channel) => {
                self.waiting.entry(channel).or_default().1 = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn poll(&mut self, _: &mut Context<'_>, link: &mut Link<'_>) -> Result<(), Error> {
        let (connection, output) = (&mut *link.connection, &mut *link.output);
        self.waiting.retain(|channel, (data, eof)| {
            let sent = connection.send_data(*channel, &[data], output);
            data.drain(..sent);
            connection.consume(*channel, sent, output);
            let done = *eof && data.is_empty();
            if done {
                connection.send_exit_status(*channel, 7, output);
                connection.send_eof(*channel, output);
                connection.close(*channel, output);
            }
            !done
        });
        Ok(())
    }
}

struct Stage {
    dir: tempfile::TempDir,
    port: u16,
}

/// An echo server on a loopback port, and a user key for it.
async fn start(config: impl FnOnce(&mut ServerConfig)) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
    let path = dir.path().join("id");
    std::fs::write(&path, key.to_openssh_text("test").as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let host_key = Arc::new(PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap());
    let mut server = ServerConfig::new(vec![host_key.public().clone()]);
    config(&mut server);
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (server, host_key) = (server.clone(), host_key.clone());
            tokio::spawn(async move {
                let mut echo = Echo { host_key, waiting: HashMap::new() };
                Driver::server(socket, server).run(&mut echo).await
            });
        }
    });
    Stage { dir, port }
}

impl Stage {
    /// Echoes `data` through `ssh` with further options; its exit status and standard error.
    async fn echo(&self, options: &[&str], data: Vec<u8>) -> (Vec<u8>, Option<i32>, String) {
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"])
            .arg("-i")
            .arg(self.dir.path().join("id"))
            .args(["-p", &self.port.to_string()])
            .args(options)
            .args(["alice@127.0.0.1", "echo"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("OpenSSH's client is installed");
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let writer = tokio::spawn(async move {
            stdin.write_all(&data).await?;
            stdin.shutdown().await
        });
        let mut back = Vec::new();
        stdout.read_to_end(&mut back).await.unwrap();
        let _ = writer.await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        (back, output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 % 251) as u8).collect()
}

/// The names that both `ssh -Q kind` and we know.
fn common(kind: &str, ours: &[&'static str]) -> Vec<&'static str> {
    let output = std::process::Command::new("ssh").args(["-Q", kind]).output().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    ours.iter().copied().filter(|n| theirs.lines().any(|l| l == *n)).collect()
}

#[tokio::test]
async fn every_common_key_exchange_logs_in() {
    let stage = start(|_| {}).await;
    let methods = common("kex", names::KEX_DEFAULT);
    assert!(methods.len() > 5, "{methods:?}");
    for kex in methods {
        let option = format!("KexAlgorithms={kex}");
        let (back, status, log) = stage.echo(&["-o", &option], data(100_000)).await;
        assert_eq!(status, Some(7), "{kex}: {log}");
        assert!(back == data(100_000), "{kex}: {log}");
    }
}

#[tokio::test]
async fn every_common_cipher_and_mac_echoes() {
    let stage = start(|_| {}).await;
    let kex = format!("KexAlgorithms={CHEAP_KEX}");
    for cipher in common("cipher", names::CIPHER_DEFAULT) {
        for mac in common("mac", names::MAC_DEFAULT) {
            let options = [format!("Ciphers={cipher}"), format!("MACs={mac}")];
            let options = ["-o", &options[0], "-o", &options[1], "-o", &kex];
            let (back, status, log) = stage.echo(&options, data(1_000_000)).await;
            assert_eq!(status, Some(7), "{cipher} {mac}: {log}");
            assert!(back == data(1_000_000), "{cipher} {mac}: {log}");
        }
    }
}

/// Both sides renew keys under load: OpenSSH each MiB, we each 700,000 bytes. By the key exchange that both take by
/// themselves under one cipher; it is OpenSSH's dearest, so the other ciphers do with a cheap one.
#[tokio::test]
async fn keys_are_renewed_under_load_by_both_sides() {
    let stage = start(|config| config.common.rekey_bytes = 700_000).await;
    let cheap = format!("KexAlgorithms={CHEAP_KEX}");
    for (cipher, kex) in [
        ("chacha20-poly1305@openssh.com", None),
        ("aes256-gcm@openssh.com", Some(&cheap)),
        ("aes128-ctr", Some(&cheap)),
    ] {
        let cipher_option = format!("Ciphers={cipher}");
        let mut options = vec!["-o", "RekeyLimit=1M", "-o", &cipher_option];
        options.extend(kex.into_iter().flat_map(|kex| ["-o", kex]));
        let (back, status, log) = stage.echo(&options, data(20_000_000)).await;
        assert_eq!(status, Some(7), "{cipher}: {log}");
        assert!(back == data(20_000_000), "{cipher}: {log}");
    }
}

#[tokio::test]
async fn compression_echoes() {
    let stage = start(|_| {}).await;
    let (back, status, log) = stage.echo(&["-C"], data(3_000_000)).await;
    assert_eq!(status, Some(7), "{log}");
    assert!(back == data(3_000_000));
}
