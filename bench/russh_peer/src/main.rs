//! A minimal SFTP server from the published crates russh and russh-sftp, to be measured beside others.
//!
//! One user, one public key, the files below one directory. It confines nobody: for loopback only. Its
//! settings are russh's own, but for Nagle's algorithm and for an answer to "none" without a delay.

mod files;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey, PublicKey, load_public_key};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, Server, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId};

const USAGE: &str = "usage: russh-peer PORT DIRECTORY USER PUBLIC_KEY_FILE";

struct Peer(Arc<Login>);

/// Who may come, and to what.
struct Login {
    user: String,
    key: PublicKey,
    root: PathBuf,
}

struct Connection {
    login: Arc<Login>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Server for Peer {
    type Handler = Connection;

    fn new_client(&mut self, _: Option<SocketAddr>) -> Connection {
        Connection { login: self.0.clone(), channels: HashMap::new() }
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let expected = &self.login;
        let right = user == expected.user && key.public_key.key_data() == expected.key.key_data();
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.close(channel)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.remove(&id) {
            Some(channel) if name == "sftp" => {
                session.channel_success(id)?;
                let files = files::Files::new(self.login.root.clone());
                russh_sftp::server::run(channel.into_stream(), files).await;
                Ok(())
            }
            _ => session.channel_failure(id),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, root, user, key] = args.as_slice() else { return Err(USAGE.into()) };
    let host_key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
    let config = Config {
        keys: vec![host_key],
        auth_rejection_time_initial: Some(Duration::ZERO),
        nodelay: true,
        ..Config::default()
    };
    let login = Login { user: user.clone(), key: load_public_key(key)?, root: root.into() };
    Peer(Arc::new(login)).run_on_address(Arc::new(config), ("127.0.0.1", port.parse()?)).await?;
    Ok(())
}
