//! A minimal SFTP server from the published crate puressh, to be measured beside others.
//!
//! One user, one public key, the files below one directory, puressh's own SFTP server and its settings but
//! for the bounds that a measurement would run into. For loopback only.

use std::path::PathBuf;
use std::sync::Arc;

use puressh::auth::{AuthAttempt, AuthDecision, Authenticator};
use puressh::hostkey::Ed25519HostKey;
use puressh::key::PublicKey;
use puressh::server::{CommandHandler, Config, ExecResult, Server, SessionEnv, SubsystemHandler};
use puressh::sftp::{SftpServerOptions, SftpServerSession};
use puressh::stream::ChannelStream;

const USAGE: &str = "usage: puressh-peer PORT DIRECTORY USER PUBLIC_KEY_FILE";

/// Who may come.
#[derive(Clone)]
struct Login {
    user: String,
    key: Vec<u8>,
}

impl Authenticator for Login {
    fn evaluate(&mut self, attempt: AuthAttempt) -> AuthDecision {
        match attempt {
            AuthAttempt::PublicKey { user, public_blob, probe_only, verified, .. }
                if user == self.user && public_blob == self.key && (probe_only || verified) =>
            {
                AuthDecision::Accept
            }
            _ => AuthDecision::Reject,
        }
    }
}

struct Files {
    root: PathBuf,
}

impl SubsystemHandler for Files {
    fn handle(
        &self,
        _: &str,
        _: &SessionEnv,
        _: &str,
        stream: ChannelStream,
    ) -> puressh::Result<()> {
        // It takes whole paths, so it must answer REALPATH with whole paths: clients ask with what they got.
        let options =
            SftpServerOptions::new(&self.root).with_root(&self.root).hide_jail_in_realpath(false);
        // The client has gone when this fails: nobody is left to tell.
        let _ = SftpServerSession::new(options).run(stream);
        Ok(())
    }

    fn serves(&self, name: &str) -> bool {
        name == "sftp"
    }
}

struct NoCommands;

impl CommandHandler for NoCommands {
    fn handle(&self, _: &str, _: &SessionEnv, _: &str) -> ExecResult {
        ExecResult::new(vec![], b"SFTP only\n".to_vec(), 1)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, root, user, key] = args.as_slice() else { return Err(USAGE.into()) };
    let line = std::fs::read_to_string(key)?;
    let key = PublicKey::parse_authorized_keys_line(line.trim()).map_err(|e| format!("{e:?}"))?;
    let login = Login { user: user.clone(), key: key.wire_blob() };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let authenticator = Arc::new(move || -> Box<dyn Authenticator> { Box::new(login.clone()) });
    let config = Config::new(
        vec![Box::new(Ed25519HostKey::from_seed(seed))],
        authenticator,
        vec!["publickey"],
        Arc::new(NoCommands),
    );
    let config =
        config.with_subsystem(Arc::new(Files { root: root.into() })).with_max_connections(None);
    let address = ("127.0.0.1", port.parse::<u16>()?);
    let mut server = Server::bind(address, config).map_err(|e| format!("{e:?}"))?;
    server.serve().map_err(|e| format!("{e:?}"))?;
    Ok(())
}
