//! `AddKeysToAgent`: a key from a file that was good for the login goes to the agent, with its
//! certificate, so that its passphrase need not be typed again.

use std::sync::Arc;

use sterna_ssh_crypto::Certificate;

use super::Round;
use super::key_file::KeyFile;
use crate::display_name;
use crate::ssh_config::AddKeys;

/// A key that was good for a step of the login.
pub(super) struct UsedKey {
    pub(super) file: Arc<KeyFile>,
    pub(super) certificate: Option<Certificate>,
}

impl Round<'_> {
    /// Hands the key that was used to the agent, as the settings say. A failure is told and is no
    /// failure of the login.
    pub(super) async fn remember_key(&mut self) {
        let how = self.credentials.settings.add_keys_to_agent;
        let (Some(used), Some(agent)) = (self.used_key.take(), self.agent.clone()) else { return };
        let Ok(key) = used.file.open(None) else { return };
        let name = display_name(used.file.path().as_os_str().as_encoded_bytes());
        match how.when {
            AddKeys::Never => return,
            AddKeys::Always => {}
            AddKeys::Ask => {
                let question = format!("Add the key {name} to the agent? (yes / no): ");
                match self.ask(question, true).await {
                    Ok(Some(answer)) if answer.trim() == "yes" => {}
                    _ => return,
                }
            }
        }
        let certificates = std::iter::once(None).chain(used.certificate.as_ref().map(Some));
        for certificate in certificates {
            if let Err(why) = agent.add(&key, certificate, &name, how.confirm, how.lifetime).await {
                self.inform(&format!("warning: key {name} was not added to the agent: {why}"));
                return;
            }
        }
        tracing::info!(key = name, "added to the agent");
    }
}
