//! The method `hostbased`: this machine vouches for its user (RFC 4252 §9; HBA-1, HBA-4).
//!
//! The signature is the machine's: made here if its private keys can be read, else by OpenSSH's
//! `ssh-keysign`.

use std::path::Path;

use sterna_ssh_crypto::{CertificateKind, OfferedKey, PrivateKey, names};
use sterna_ssh_proto::ClientAuth;

use super::key_file::{public_line, read_private, with_suffix};
use super::local_name::local_name;
use super::{Progress, Round, accepted_algorithms, keysign, progress_of};
use crate::ssh_config::local_user;
use crate::{Error, display_name};

/// Where OpenSSH keeps a machine's host keys.
const HOST_KEY_DIRECTORY: &str = "/etc/ssh";

const HOST_KEYS: [&str; 3] = ["ssh_host_ed25519_key", "ssh_host_ecdsa_key", "ssh_host_rsa_key"];

/// A key of this machine or a certificate of one.
struct HostKey {
    offer: OfferedKey,
    /// None: only the helper can sign with it.
    private: Option<PrivateKey>,
}

impl Round<'_> {
    pub(super) async fn host_based(&mut self) -> Result<Progress, Error> {
        let accepted = accepted_algorithms(
            "HostbasedAcceptedAlgorithms",
            self.credentials.settings.hostbased_accepted_algorithms.as_ref(),
        )?;
        let socket = self.credentials.socket.as_ref();
        let socket = socket.and_then(|socket| socket.try_clone().ok());
        let (mut keys, client_host) = self
            .with_prompt(move |_| {
                (host_keys(Path::new(HOST_KEY_DIRECTORY)), local_name(socket.as_ref()) + ".")
            })
            .await?;
        if keys.is_empty() {
            tracing::info!(directory = HOST_KEY_DIRECTORY, "this machine has no host keys");
        }
        for algorithm in accepted.iter() {
            // Each key has one attempt, by the first algorithm that fits it.
            while let Some(index) =
                keys.iter().position(|key| key.offer.algorithms().contains(&algorithm.as_str()))
            {
                let key = keys.remove(index);
                match self.vouch(algorithm, &key, &client_host).await? {
                    Progress::Nothing => {}
                    progress => return Ok(progress),
                }
            }
        }
        Ok(Progress::Nothing)
    }

    async fn vouch(
        &mut self,
        algorithm: &str,
        key: &HostKey,
        client_host: &str,
    ) -> Result<Progress, Error> {
        let (key_blob, client_user) = (key.offer.to_wire(), local_user());
        let data = self
            .login
            .host_based_signed_bytes(algorithm, &key_blob, client_host, &client_user)
            .await?;
        let signature = match &key.private {
            Some(key) => {
                key.sign(names::signature_algorithm(algorithm), &data).map_err(|e| e.to_string())
            }
            None => keysign::sign(self.credentials.socket.as_ref(), &data).await,
        };
        let signature = match signature {
            Ok(signature) => signature,
            Err(why) => {
                self.inform(&format!("host-based login: {}", display_name(why.as_bytes())));
                return Ok(Progress::Nothing);
            }
        };
        tracing::info!(algorithm, client_host, client_user, "host-based login");
        let attempt = ClientAuth::HostBased {
            algorithm: algorithm.to_owned(),
            key_blob,
            client_host: client_host.into(),
            client_user: client_user.into_bytes(),
            signature,
        };
        self.attempt(&format!("host key {}", key.offer.type_name()), attempt).await.map(progress_of)
    }
}

/// The keys of this machine, each with its certificate in front.
fn host_keys(directory: &Path) -> Vec<HostKey> {
    let mut keys = Vec::new();
    for name in HOST_KEYS {
        let path = directory.join(name);
        let private = || PrivateKey::from_text(&read_private(&path).ok()?, None).ok();
        let certificate = public_line(&with_suffix(&path, "-cert.pub"))
            .filter(|key| key.certificate().is_some_and(|c| c.kind == CertificateKind::Host));
        let plain = private().map(|key| OfferedKey::from(key.public().clone()));
        let plain = plain.or_else(|| {
            public_line(&with_suffix(&path, ".pub")).filter(|key| key.certificate().is_none())
        });
        let of_one_key = |offer: OfferedKey| {
            let private = private().filter(|key| key.public() == offer.key());
            HostKey { offer, private }
        };
        keys.extend(certificate.into_iter().chain(plain).map(of_one_key));
    }
    keys
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::{KeyType, SystemRandom};

    use super::*;

    #[test]
    fn keys_that_cannot_be_read_are_left_to_the_helper() {
        let directory = tempfile::tempdir().unwrap();
        let key = |kind| PrivateKey::generate(kind, &mut SystemRandom).unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
        };
        let (mine, hidden) = (key(KeyType::EcdsaP256), key(KeyType::Ed25519));
        write("ssh_host_ecdsa_key", &mine.to_openssh_text(""));
        write("ssh_host_ed25519_key.pub", &hidden.public().to_openssh("root@host"));

        let keys = host_keys(directory.path());

        let found: Vec<_> = keys.iter().map(|k| (k.offer.key(), k.private.is_some())).collect();
        assert_eq!(found, [(hidden.public(), false), (mine.public(), true)]);
        assert!(host_keys(&directory.path().join("nothing")).is_empty());
    }
}
