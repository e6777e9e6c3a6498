//! The questions a person may be asked, as a trait: a terminal, a dialog, or nobody.

use zeroize::Zeroizing;

/// Asks a person. Methods may block (they run on a thread for blocking work).
///
/// `None` means there is nobody to ask or the person gave up.
pub trait Prompt: Send + Sync {
    /// Shows the question about an unknown host key and returns what was typed. The caller judges
    /// it: only `yes` or the exact fingerprint passes (HKV-3).
    fn host_key(&self, question: &HostKeyQuestion) -> Option<String>;

    /// The password of `user` at `host`. `attempt` counts from 1.
    fn password(&self, user: &str, host: &str, attempt: u32) -> Option<Zeroizing<String>>;

    /// The passphrase of a private key file. `attempt` counts from 1.
    fn passphrase(&self, file: &std::path::Path, attempt: u32) -> Option<Zeroizing<String>>;

    /// One question in words that are already safe to print: of the server (keyboard-interactive), for a
    /// new password, whether a key goes to the agent. `echo` says whether the answer may be seen while
    /// it is typed.
    fn question(&self, text: &str, echo: bool) -> Option<Zeroizing<String>> {
        let _ = (text, echo);
        None
    }

    /// Something to tell the person: a banner of the server, a warning. Already safe to print.
    fn inform(&self, text: &str) {
        let _ = text;
    }

    /// Whether a person may be asked to do something else, such as to touch a security key.
    fn is_attended(&self) -> bool {
        true
    }
}

/// What is known about a host key that is to be accepted or not.
#[derive(Clone, Debug)]
pub struct HostKeyQuestion {
    /// `host` or `[host]:port`, as it will be recorded.
    pub host: String,
    /// `ssh-ed25519`, …
    pub key_type: &'static str,
    /// `SHA256:…`
    pub fingerprint: String,
    /// The name is known with keys of other types only.
    pub other_types_known: bool,
}

/// Nobody to ask: every question is answered with "no".
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn host_key(&self, _: &HostKeyQuestion) -> Option<String> {
        None
    }

    fn password(&self, _: &str, _: &str, _: u32) -> Option<Zeroizing<String>> {
        None
    }

    fn passphrase(&self, _: &std::path::Path, _: u32) -> Option<Zeroizing<String>> {
        None
    }
}
