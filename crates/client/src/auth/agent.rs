//! The agent's protocol, as far as a login needs it: list the keys, sign, tell it which connection that is
//! for, hand it a key (AGT-1 to AGT-3; RFC 9987; OpenSSH PROTOCOL.agent).

use std::path::Path;
use std::time::Duration;

use sterna_ssh_crypto::{Certificate, OfferedKey, PrivateKey};
use sterna_ssh_proto::SessionBinding;
use sterna_sshwire::{Reader, put_string, put_u8, put_u32};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::limits::{
    AGENT_COMMENT_LEN_MAX, AGENT_KEYS_MAX, AGENT_MESSAGE_LEN_MAX, AGENT_TIMEOUT,
    AGENT_TOUCH_TIMEOUT,
};

const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const ADD_IDENTITY: u8 = 17;
const ADD_ID_CONSTRAINED: u8 = 25;
const EXTENSION: u8 = 27;
const FLAG_RSA_SHA2_256: u32 = 2;
const FLAG_RSA_SHA2_512: u32 = 4;
const CONSTRAIN_LIFETIME: u8 = 1;
const CONSTRAIN_CONFIRM: u8 = 2;

/// A connection to an agent. After any fault it is not used again: answers come strictly in order,
/// and a late one would be taken for the next.
pub(crate) struct Agent {
    stream: Mutex<Option<UnixStream>>,
}

/// A key or certificate that the agent holds.
pub(crate) struct AgentKey {
    pub(crate) key: OfferedKey,
    pub(crate) comment: String,
}

impl Agent {
    /// Connects to the agent's socket.
    pub(crate) async fn connect(socket: &Path) -> std::io::Result<Self> {
        Ok(Self { stream: Mutex::new(Some(UnixStream::connect(socket).await?)) })
    }

    /// Tells the agent which connection its signatures are for, so that it can keep to a key's
    /// restrictions (`session-bind@openssh.com`). Agents that do not know this refuse, which is no
    /// fault.
    pub(crate) async fn bind(&self, binding: &SessionBinding) -> Result<bool, String> {
        let mut request = vec![EXTENSION];
        put_string(&mut request, b"session-bind@openssh.com");
        put_string(&mut request, &binding.host_key);
        put_string(&mut request, &binding.session_id);
        put_string(&mut request, &binding.signature);
        // Not for forwarding.
        put_u8(&mut request, 0);
        let reply = self.exchange(&request, AGENT_TIMEOUT).await?;
        Ok(reply.first() == Some(&SUCCESS))
    }

    /// The keys that the agent offers; those that we cannot use are left out.
    pub(crate) async fn keys(&self) -> Result<Vec<AgentKey>, String> {
        let reply = self.exchange(&[REQUEST_IDENTITIES], AGENT_TIMEOUT).await?;
        let bad =
            |e: sterna_sshwire::DecodeError| format!("the agent's answer cannot be read: {e}");
        let mut r = Reader::new(&reply);
        if r.u8("type").map_err(bad)? != IDENTITIES_ANSWER {
            return Err("the agent does not list its keys".into());
        }
        let count = r.u32("count").map_err(bad)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let blob = r.string("key", AGENT_MESSAGE_LEN_MAX).map_err(bad)?;
            let comment = r.string("comment", AGENT_MESSAGE_LEN_MAX).map_err(bad)?;
            if let Ok(key) = OfferedKey::from_wire(blob)
                && keys.len() < AGENT_KEYS_MAX
            {
                let comment = &comment[..comment.len().min(AGENT_COMMENT_LEN_MAX)];
                keys.push(AgentKey { key, comment: crate::display_name(comment) });
            }
        }
        Ok(keys)
    }

    /// A signature blob over `message`, by exactly `algorithm`. `blob` is what the agent knows the key
    /// by. If it is a security key, a person may take long to touch it.
    pub(crate) async fn sign(
        &self,
        blob: &[u8],
        algorithm: &str,
        message: &[u8],
        is_token: bool,
    ) -> Result<Vec<u8>, String> {
        let mut request = Vec::with_capacity(message.len() + blob.len() + 16);
        put_u8(&mut request, SIGN_REQUEST);
        put_string(&mut request, blob);
        put_string(&mut request, message);
        put_u32(
            &mut request,
            match algorithm {
                "rsa-sha2-256" => FLAG_RSA_SHA2_256,
                "rsa-sha2-512" => FLAG_RSA_SHA2_512,
                _ => 0,
            },
        );
        let longest = if is_token { AGENT_TOUCH_TIMEOUT } else { AGENT_TIMEOUT };
        let reply = self.exchange(&request, longest).await?;
        let mut r = Reader::new(&reply);
        if r.u8("type") != Ok(SIGN_RESPONSE) {
            return Err("the agent did not sign: it is locked, its user said no, or the key is \
                        restricted to other hosts"
                .into());
        }
        let signature = r.string("signature", AGENT_MESSAGE_LEN_MAX).map_err(|e| e.to_string())?;
        // An agent that ignores the flags signs by SHA-1: that is not what was agreed (AGT-2).
        let by = Reader::new(signature).string("algorithm", 64).unwrap_or_default();
        if by != algorithm.as_bytes() {
            return Err(format!(
                "the agent signed by \"{}\" instead of {algorithm}",
                crate::display_name(by)
            ));
        }
        Ok(signature.to_vec())
    }

    /// Hands a key to the agent, alone or with a certificate. With `confirm` the agent asks its user
    /// before each use; after `lifetime` (whole seconds) it forgets the key.
    pub(crate) async fn add(
        &self,
        key: &PrivateKey,
        certificate: Option<&Certificate>,
        comment: &str,
        confirm: bool,
        lifetime: Option<Duration>,
    ) -> Result<(), String> {
        let is_constrained = confirm || lifetime.is_some();
        let fields = key.to_agent_wire(certificate);
        // Large enough, so that no copy of a secret is left behind.
        let mut request = Zeroizing::new(Vec::with_capacity(fields.len() + comment.len() + 32));
        put_u8(&mut request, if is_constrained { ADD_ID_CONSTRAINED } else { ADD_IDENTITY });
        request.extend_from_slice(&fields);
        put_string(&mut request, comment.as_bytes());
        if let Some(lifetime) = lifetime {
            put_u8(&mut request, CONSTRAIN_LIFETIME);
            put_u32(&mut request, u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX));
        }
        if confirm {
            put_u8(&mut request, CONSTRAIN_CONFIRM);
        }
        let reply = self.exchange(&request, AGENT_TIMEOUT).await?;
        if reply.first() == Some(&SUCCESS) { Ok(()) } else { Err("the agent refused it".into()) }
    }

    async fn exchange(&self, request: &[u8], longest: Duration) -> Result<Vec<u8>, String> {
        let mut guard = self.stream.lock().await;
        let mut stream = guard.take().ok_or("the agent failed before")?;
        let reply = timeout(longest, talk(&mut stream, request)).await;
        let reply = reply.map_err(|_| "the agent does not answer".to_owned())?;
        let reply = reply.map_err(|e| format!("the agent: {e}"))?;
        *guard = Some(stream);
        Ok(reply)
    }
}

async fn talk(stream: &mut UnixStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(request.len() + 4));
    put_string(&mut message, request);
    stream.write_all(&message).await?;
    let len = stream.read_u32().await? as usize;
    if len == 0 || len > AGENT_MESSAGE_LEN_MAX {
        return Err(std::io::Error::other(format!("an answer of {len} bytes")));
    }
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// An agent that answers each request with the next of `replies`.
    async fn scripted(replies: Vec<Vec<u8>>) -> (Agent, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for reply in replies {
                let len = stream.read_u32().await.unwrap();
                let mut request = vec![0; len as usize];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        (Agent::connect(&socket).await.unwrap(), directory)
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, body);
        out
    }

    #[tokio::test]
    async fn a_lying_count_or_length_is_an_error_and_allocates_nothing() {
        let (agent, _dir) =
            scripted(vec![framed(&[IDENTITIES_ANSWER, 0xff, 0xff, 0xff, 0xff])]).await;
        assert!(agent.keys().await.is_err());

        let (agent, _dir) = scripted(vec![vec![0xff; 8]]).await;
        assert!(agent.keys().await.is_err());
        assert_eq!(agent.keys().await.err().unwrap(), "the agent failed before");
    }

    #[tokio::test]
    async fn a_success_where_keys_or_signatures_belong_is_an_error() {
        let (agent, _dir) = scripted(vec![framed(&[6]), framed(&[6])]).await;
        assert!(agent.keys().await.is_err());
        assert!(agent.sign(b"k", "ssh-ed25519", b"m", false).await.is_err());
    }

    #[tokio::test]
    async fn a_signature_by_another_algorithm_is_refused() {
        let mut blob = Vec::new();
        put_string(&mut blob, b"ssh-rsa");
        put_string(&mut blob, b"sig");
        let mut body = vec![SIGN_RESPONSE];
        put_string(&mut body, &blob);
        let (agent, _dir) = scripted(vec![framed(&body)]).await;

        let error = agent.sign(b"k", "rsa-sha2-512", b"m", false).await.unwrap_err();

        assert!(error.contains("ssh-rsa"), "{error}");
    }

    /// An agent that says yes to everything, and what it was asked.
    async fn obedient() -> (Agent, tempfile::TempDir, tokio::sync::mpsc::Receiver<Vec<u8>>) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        let (requests, asked) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Ok(len) = stream.read_u32().await {
                let mut request = vec![0; len as usize];
                stream.read_exact(&mut request).await.unwrap();
                requests.send(request).await.unwrap();
                stream.write_all(&framed(&[SUCCESS])).await.unwrap();
            }
        });
        (Agent::connect(&socket).await.unwrap(), directory, asked)
    }

    #[tokio::test]
    async fn a_binding_names_the_host_key_the_session_and_no_forwarding() {
        let (agent, _dir, mut asked) = obedient().await;
        let binding = SessionBinding {
            host_key: b"key".to_vec(),
            session_id: b"id".to_vec(),
            signature: b"sig".to_vec(),
        };

        assert_eq!(agent.bind(&binding).await, Ok(true));

        let mut expected = vec![EXTENSION];
        for text in [&b"session-bind@openssh.com"[..], b"key", b"id", b"sig"] {
            put_string(&mut expected, text);
        }
        expected.push(0);
        assert_eq!(asked.recv().await.unwrap(), expected);
        // SSH_AGENT_EXTENSION_FAILURE of an agent that does not know it is no fault.
        let (agent, _dir) = scripted(vec![framed(&[28]), framed(&[5])]).await;
        assert_eq!(agent.bind(&binding).await, Ok(false));
        assert!(agent.sign(b"k", "ssh-ed25519", b"m", false).await.unwrap_err().contains("locked"));
    }

    #[tokio::test]
    async fn a_key_is_handed_over_with_what_restricts_it() {
        let (agent, _dir, mut asked) = obedient().await;
        let key = PrivateKey::from_ed25519_seed(&[7; 32]).unwrap();
        let hour = Some(Duration::from_secs(3600));

        agent.add(&key, None, "c", false, None).await.unwrap();
        agent.add(&key, None, "c", true, hour).await.unwrap();

        let mut plain = key.to_agent_wire(None).to_vec();
        put_string(&mut plain, b"c");
        assert_eq!(asked.recv().await.unwrap(), [&[17], &plain[..]].concat());
        let constraints = [CONSTRAIN_LIFETIME, 0, 0, 0x0e, 0x10, CONSTRAIN_CONFIRM];
        assert_eq!(asked.recv().await.unwrap(), [&[25], &plain[..], &constraints].concat());
        let (agent, _dir) = scripted(vec![framed(&[5])]).await;
        assert!(agent.add(&key, None, "c", false, None).await.is_err());
    }
}
