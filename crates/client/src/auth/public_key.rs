//! The method `publickey`: each key is shown first, and signs only if the server would take it
//! (RFC 4252 §7; PUB-1). A key without choice or trouble signs at once, which saves a round trip.

use sterna_ssh_crypto::{OfferedKey, PublicKey, names};
use sterna_ssh_proto::ClientAuth;

use super::keys::{self, Identity, Signer};
use super::remember::UsedKey;
use super::{Progress, Round, progress_of};
use crate::prompt::Prompt;
use crate::session::login::Turn;
use crate::{Error, display_name};

impl Round<'_> {
    pub(super) async fn public_keys(&mut self) -> Result<Progress, Error> {
        let mut identities = self.identities().await?;
        let mut result = Progress::Nothing;
        let is_only = identities.len() == 1;
        for identity in &mut identities {
            let Some(offer) = self.offer_of(identity).await? else { continue };
            if self.spent.contains(offer.key())
                || self.refused_at_once.as_ref() == Some(offer.key())
            {
                continue;
            }
            match self.public_key(identity, &offer, is_only).await? {
                Progress::Nothing => {}
                progress => {
                    self.spent.push(offer.key().clone());
                    result = progress;
                    break;
                }
            }
        }
        self.identities = Some(identities);
        Ok(result)
    }

    /// Tries the one key that a person named for this server in place of asking what the server takes,
    /// if the server has announced to take such keys. `None` if nothing was sent: there are several keys
    /// to choose from, or something comes before keys, or the key cannot sign at once.
    pub(super) async fn key_at_once(&mut self) -> Result<Option<Turn>, Error> {
        let settings = self.credentials.settings;
        let comes_first = settings
            .preferred_authentications
            .iter()
            .find(|method| method.as_str() != "hostbased" || settings.hostbased_authentication);
        if comes_first.is_none_or(|method| method != "publickey")
            || !settings.pubkey_authentication.is_on()
            || !settings.identity_files_named
            || settings.agent.is_some()
        {
            return Ok(None);
        }
        let identities = self.identities().await?;
        let turn = match &identities[..] {
            [identity] => self.only_key_at_once(identity).await?,
            _ => None,
        };
        self.identities = Some(identities);
        // Any other answer is none to this attempt.
        Ok(turn.filter(|turn| matches!(turn, Turn::LoggedIn | Turn::Refused { .. })))
    }

    async fn only_key_at_once(&mut self, identity: &Identity) -> Result<Option<Turn>, Error> {
        let (Some(offer), Signer::File(file)) = (&identity.offer, &identity.signer) else {
            return Ok(None);
        };
        let announced = self.login.server_signature_algorithms().await?;
        let algorithm = algorithm_for(offer, &announced, &self.key_algorithms)
            .filter(|algorithm| is_announced(algorithm, &announced));
        let Some(algorithm) = algorithm.filter(|_| file.is_open()) else { return Ok(None) };
        self.keys_offered += 1;
        let turn = self.attempt_signed(identity, offer, algorithm, offer.to_wire()).await?;
        match &turn {
            Some(Turn::LoggedIn | Turn::Refused { partial: true, .. }) => {
                self.spent.push(offer.key().clone());
            }
            _ => self.refused_at_once = Some(offer.key().clone()),
        }
        Ok(turn)
    }

    /// What there is to log in with; the caller puts it back.
    async fn identities(&mut self) -> Result<Vec<Identity>, Error> {
        if let Some(identities) = self.identities.take() {
            return Ok(identities);
        }
        // Only an agent wants to know.
        let binding = match self.credentials.settings.agent {
            Some(_) => self.login.session_binding().await?,
            None => None,
        };
        let files = std::mem::take(&mut self.files);
        let collected = keys::collect(self.credentials, files, binding).await;
        self.agent = collected.agent;
        Ok(collected.identities)
    }

    /// What is shown of a key. Of some encrypted files that is known only once they are open.
    async fn offer_of(&mut self, identity: &mut Identity) -> Result<Option<OfferedKey>, Error> {
        if let (None, Signer::File(file)) = (&identity.offer, &identity.signer) {
            let (file, ask) = (file.clone(), !self.credentials.settings.batch_mode);
            let opened = self.with_prompt(move |prompt| file.open(ask.then_some(prompt))).await?;
            match opened {
                Ok(key) => identity.offer = Some(key.public().clone().into()),
                Err(why) => self.say_unusable(identity, &why),
            }
        }
        Ok(identity.offer.clone())
    }

    async fn public_key(
        &mut self,
        identity: &Identity,
        offer: &OfferedKey,
        is_only: bool,
    ) -> Result<Progress, Error> {
        let announced = self.login.server_signature_algorithms().await?;
        let Some(algorithm) = algorithm_for(offer, &announced, &self.key_algorithms) else {
            let label = &identity.label;
            tracing::debug!(label, "no algorithm in common with the server for this key");
            return Ok(Progress::Nothing);
        };
        let blob = offer.to_wire();
        self.keys_offered += 1;
        let signs_at_once =
            is_only && matches!(&identity.signer, Signer::File(file) if file.is_open());
        if !signs_at_once
            && let Some(progress) = self.query(&identity.label, &algorithm, &blob).await?
        {
            return Ok(progress);
        }
        let turn = self.attempt_signed(identity, offer, algorithm, blob).await?;
        Ok(turn.map_or(Progress::Nothing, progress_of))
    }

    /// One attempt with a signature; `None` if there is none, which is told.
    async fn attempt_signed(
        &mut self,
        identity: &Identity,
        offer: &OfferedKey,
        algorithm: String,
        blob: Vec<u8>,
    ) -> Result<Option<Turn>, Error> {
        let message = self.login.signed_bytes(&algorithm, &blob).await?;
        let signature = match self.sign(identity, offer, &algorithm, message).await? {
            Ok(signature) => signature,
            Err(why) => {
                self.say_unusable(identity, &why);
                return Ok(None);
            }
        };
        let auth = ClientAuth::PublicKey { algorithm, key_blob: blob, signature };
        let turn = self.attempt(&identity.label, auth).await?;
        if matches!(turn, Turn::LoggedIn | Turn::Refused { partial: true, .. })
            && let Signer::File(file) = &identity.signer
        {
            let certificate = offer.certificate().cloned();
            self.used_key = Some(UsedKey { file: file.clone(), certificate });
        }
        Ok(Some(turn))
    }

    /// Asks whether the server would take a key. `None` if so.
    async fn query(
        &mut self,
        label: &str,
        algorithm: &str,
        blob: &[u8],
    ) -> Result<Option<Progress>, Error> {
        let query = ClientAuth::PublicKeyQuery {
            algorithm: algorithm.to_owned(),
            key_blob: blob.to_owned(),
        };
        match self.attempt(label, query).await? {
            Turn::KeyAccepted { algorithm: theirs, key_blob }
                if theirs == algorithm && key_blob == blob =>
            {
                Ok(None)
            }
            // An acceptance of something else is not an acceptance (PUB-1).
            Turn::KeyAccepted { .. } => {
                Err(self.error("the server accepted a key that was not offered".into()))
            }
            turn => Ok(Some(progress_of(turn))),
        }
    }

    /// The signature for a login by `offer` under `algorithm`. What it names is the algorithm of the
    /// key inside, also for a certificate (CRT-7).
    async fn sign(
        &self,
        identity: &Identity,
        offer: &OfferedKey,
        algorithm: &str,
        message: Vec<u8>,
    ) -> Result<Result<Vec<u8>, String>, Error> {
        let algorithm = names::signature_algorithm(algorithm).to_owned();
        let is_token =
            matches!(offer.key(), PublicKey::SkEd25519 { .. } | PublicKey::SkEcdsaP256 { .. });
        match &identity.signer {
            Signer::Agent { .. } if is_token && !self.credentials.prompt.is_attended() => {
                Ok(Err("nobody is there to confirm it".to_owned()))
            }
            Signer::Agent { agent, blob } => {
                if is_token {
                    self.inform(&format!(
                        "confirm your presence on the security key of {}",
                        identity.label
                    ));
                }
                Ok(agent.sign(blob, &algorithm, &message, is_token).await)
            }
            Signer::File(file) => {
                let (file, expected) = (file.clone(), offer.key().clone());
                let ask = !self.credentials.settings.batch_mode;
                // RSA takes milliseconds; the others take less than the way to another thread.
                let is_quick = file.is_open() && !matches!(expected, PublicKey::Rsa(_));
                let sign = move |prompt: &dyn Prompt| {
                    let key = file.open(ask.then_some(prompt))?;
                    if *key.public() != expected {
                        return Err("the public half beside it belongs to another key".to_owned());
                    }
                    key.sign(&algorithm, &message).map_err(|e| e.to_string())
                };
                match is_quick {
                    true => Ok(sign(&**self.credentials.prompt)),
                    false => self.with_prompt(sign).await,
                }
            }
        }
    }

    fn say_unusable(&self, identity: &Identity, why: &str) {
        self.inform(&format!("{}: {}", identity.label, display_name(why.as_bytes())));
    }
}

/// The algorithm to offer a key with: the first of `allowed` that is one of its own and that the server
/// announced (RFC 8308), as itself or as the signature algorithm under it.
///
/// Without an announcement, the key's first. Lists of old servers leave out what they take anyway;
/// only RSA keys have a choice that matters.
fn algorithm_for(offer: &OfferedKey, announced: &[String], allowed: &[String]) -> Option<String> {
    let own = offer.algorithms();
    let mut usable = allowed.iter().filter(|a| own.contains(&a.as_str()));
    let listed = usable.clone().find(|algorithm| is_announced(algorithm, announced));
    let has_a_choice = own.len() > 1 && !announced.is_empty();
    listed.or_else(|| usable.next().filter(|_| !has_a_choice)).cloned()
}

/// Whether the server takes signatures of `algorithm`, as itself or as the one under it.
fn is_announced(algorithm: &str, announced: &[String]) -> bool {
    let signature = names::signature_algorithm(algorithm);
    announced.iter().any(|a| a == algorithm || a == signature)
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};

    use super::*;

    #[test]
    fn rsa_takes_the_first_algorithm_that_both_sides_have_and_others_have_no_choice() {
        let offer = |kind| -> OfferedKey {
            PrivateKey::generate(kind, &mut SystemRandom).unwrap().public().clone().into()
        };
        let (rsa, ed25519) = (offer(KeyType::Rsa { bits: 2048 }), offer(KeyType::Ed25519));
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let all = list(names::USER_KEY_DEFAULT);
        let choose = |key, announced: &[&str], allowed: &[String]| {
            algorithm_for(key, &list(announced), allowed)
        };

        assert_eq!(choose(&rsa, &[], &all).as_deref(), Some("rsa-sha2-512"));
        assert_eq!(choose(&rsa, &["rsa-sha2-256"], &all).as_deref(), Some("rsa-sha2-256"));
        assert_eq!(choose(&rsa, &["ssh-rsa"], &all), None, "never by SHA-1");
        let own_order = list(&["rsa-sha2-256", "rsa-sha2-512"]);
        let both = ["rsa-sha2-512", "rsa-sha2-256"];
        assert_eq!(choose(&rsa, &both, &own_order).as_deref(), Some("rsa-sha2-256"));
        assert_eq!(choose(&ed25519, &both, &all).as_deref(), Some("ssh-ed25519"));
        assert_eq!(choose(&ed25519, &[], &own_order), None, "not among the accepted ones");
    }
}
