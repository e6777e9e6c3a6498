//! What the core tells the application, and the answers that it takes back by value.

use sterna_ssh_crypto::{OfferedKey, TokenUse};
use zeroize::Zeroizing;

/// A channel of this connection, by our own number. Numbers are used again after closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub(crate) u32);

impl ChannelId {
    /// Our number of the channel, for tables and logs.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// One thing that happened. Only file data is borrowed; everything else is small and owned.
#[derive(Debug)]
pub enum Event<'i> {
    // ---- to a server ----
    /// Somebody asks to come in. Nothing else is read until [`Connection::answer_auth`] is called.
    ///
    /// [`Connection::answer_auth`]: crate::Connection::answer_auth
    AuthRequest(AuthRequest),
    /// Please sign this with a host key. Nothing else is read until
    /// [`Connection::answer_signature`](crate::Connection::answer_signature) is called.
    Sign(SignRequest),

    // ---- to a client ----
    /// Is this the right host? Nothing else is read until
    /// [`Connection::answer_host_key`](crate::Connection::answer_host_key) is called.
    HostKey(HostKeyQuestion),
    /// It is the client's turn to try a method. Before the first attempt `can_continue` is empty.
    AuthTurn {
        can_continue: Vec<String>,
        partial: bool,
    },
    /// The server would accept a signature by this key.
    PublicKeyAccepted {
        algorithm: String,
        key_blob: Vec<u8>,
    },
    /// The server asks this person: keyboard-interactive. Answered by
    /// [`ClientAuth::PromptAnswers`], also when there are no prompts; or another attempt is made.
    Prompted(Prompts),
    /// The password is right or not, and must be changed in any case:
    /// [`ClientAuth::PasswordChange`], or another attempt.
    PasswordExpired {
        prompt: String,
    },
    /// Text for the user, of any length up to `TEXT_LEN_MAX`; hostile until filtered.
    Banner(String),
    /// The server has these host keys (public key blobs); unproven.
    HostKeysAnnounced(Vec<Vec<u8>>),
    /// The server proved to hold these of the announced keys. Empty if it failed for any.
    HostKeysProved(Vec<Vec<u8>>),

    // ---- to both ----
    /// The user is logged in.
    Authenticated {
        user: Vec<u8>,
    },
    /// A session channel is open. To the client: the one it asked for.
    ChannelOpened(ChannelId),
    ChannelOpenFailed {
        channel: ChannelId,
        reason: u32,
        text: String,
    },
    /// The peer asks something of a channel. `Subsystem`, `Exec` and `Shell` need an
    /// [`answer_request`](crate::Connection::answer_request); the rest is already answered.
    ChannelRequest {
        channel: ChannelId,
        request: ChannelRequest,
    },
    /// The answer to our own `request_subsystem` or `request_exec`.
    ChannelRequestDone {
        channel: ChannelId,
        accepted: bool,
    },
    /// Data. Give the credit back with [`consume`](crate::Connection::consume) once it is used.
    ChannelData {
        channel: ChannelId,
        data: &'i [u8],
    },
    /// Text of the other side's standard error. Its credit goes back by itself.
    ChannelStderr {
        channel: ChannelId,
        data: &'i [u8],
    },
    ChannelEof(ChannelId),
    /// Both sides have closed; the number is free again.
    ChannelClosed(ChannelId),
    /// There is room to send again.
    ChannelWritable(ChannelId),
    /// The peer ended the connection. Text is hostile until filtered.
    Disconnected {
        reason: u32,
        text: String,
    },
}

/// A login attempt (RFC 4252 §5).
#[derive(Debug)]
pub struct AuthRequest {
    pub user: Vec<u8>,
    pub method: AuthMethod,
}

/// The method of a login attempt, with what it brings.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthMethod {
    None,
    Password {
        password: Zeroizing<Vec<u8>>,
    },
    PasswordChange {
        old: Zeroizing<Vec<u8>>,
        new: Zeroizing<Vec<u8>>,
    },
    /// Would this key do? Answered by [`AuthAnswer::PublicKeyOk`] or a rejection; costs no attempt.
    PublicKeyQuery {
        algorithm: String,
        key: OfferedKey,
    },
    /// A signed attempt. An `Accept` counts only if the signature is valid; the core sees to it.
    PublicKey {
        algorithm: String,
        key: OfferedKey,
        signature: SignatureCheck,
    },
    /// The client's host vouches for its user (RFC 4252 §9). An `Accept` counts only if the signature
    /// is valid. Nothing is known about the host's key yet.
    HostBased {
        algorithm: String,
        key: OfferedKey,
        /// As sent: OpenSSH's clients end it with a dot.
        client_host: Vec<u8>,
        client_user: Vec<u8>,
        signature_valid: bool,
    },
    /// Wants to be asked; answered by [`AuthAnswer::Prompt`] or a rejection. `submethods` is a hint.
    KeyboardInteractive {
        submethods: Vec<u8>,
    },
    /// Answers to an [`AuthAnswer::Prompt`], as many as there were prompts. Any other request ends the
    /// dialogue.
    PromptAnswers {
        answers: Vec<Zeroizing<Vec<u8>>>,
    },
    /// A method, key type or algorithm that this side does not know.
    Other {
        name: String,
    },
}

/// What a signature of a user's key is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// It does not fit: no answer makes this a login.
    Invalid,
    /// It fits.
    Valid,
    /// It fits, and was made by a security key: whether a touch or more is needed is for the
    /// application to judge.
    ValidByToken(TokenUse),
}

impl SignatureCheck {
    pub fn is_valid(self) -> bool {
        !matches!(self, Self::Invalid)
    }
}

/// What a server asks in keyboard-interactive (RFC 4256 §3.2). At a client all texts are hostile until
/// filtered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    pub name: String,
    pub instruction: String,
    /// May be empty: then only the texts are shown. Up to `PROMPTS_MAX`.
    pub prompts: Vec<Prompt>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

/// What the server says to an [`AuthRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthAnswer {
    Accept,
    /// This step was right; these methods may follow.
    Partial {
        methods: Vec<String>,
    },
    /// No. These methods can continue.
    Reject {
        methods: Vec<String>,
    },
    /// Only to a [`AuthMethod::PublicKeyQuery`]: go on and sign.
    PublicKeyOk,
    /// Only to [`AuthMethod::KeyboardInteractive`] and [`AuthMethod::PromptAnswers`]: ask this.
    Prompt(Prompts),
    /// Only to [`AuthMethod::Password`] and [`AuthMethod::PasswordChange`]: the password must be
    /// changed first; `prompt` is shown (RFC 4252 §8).
    ChangePassword {
        prompt: String,
    },
}

/// One attempt of a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientAuth {
    None,
    Password {
        password: Zeroizing<Vec<u8>>,
    },
    PublicKeyQuery {
        algorithm: String,
        key_blob: Vec<u8>,
    },
    /// After [`Event::PasswordExpired`].
    PasswordChange {
        old: Zeroizing<Vec<u8>>,
        new: Zeroizing<Vec<u8>>,
    },
    /// `signature` is a signature blob over
    /// [`public_key_signed_bytes`](crate::Connection::public_key_signed_bytes).
    PublicKey {
        algorithm: String,
        key_blob: Vec<u8>,
        signature: Vec<u8>,
    },
    /// `signature` is a signature blob over
    /// [`host_based_signed_bytes`](crate::Connection::host_based_signed_bytes).
    HostBased {
        algorithm: String,
        key_blob: Vec<u8>,
        client_host: Vec<u8>,
        client_user: Vec<u8>,
        signature: Vec<u8>,
    },
    /// `submethods` is a comma list of what to be asked, as a hint; mostly empty.
    KeyboardInteractive {
        submethods: String,
    },
    /// Only after [`Event::Prompted`]: one answer for each prompt.
    PromptAnswers {
        answers: Vec<Zeroizing<Vec<u8>>>,
    },
}

/// Something to be signed by a host key.
#[derive(Debug)]
pub struct SignRequest {
    /// Which key, as its public key blob; never a certificate.
    pub key_blob: Vec<u8>,
    /// The signature algorithm, for example `rsa-sha2-512`.
    pub algorithm: String,
    pub data: Vec<u8>,
}

/// A server's host key, whose signature over the exchange is already verified.
#[derive(Debug)]
pub struct HostKeyQuestion {
    /// The negotiated algorithm.
    pub algorithm: String,
    pub key: OfferedKey,
}

/// What ties an agent's signatures to one connection (`session-bind@openssh.com`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionBinding {
    /// The server's host key or certificate of the first exchange.
    pub host_key: Vec<u8>,
    pub session_id: Vec<u8>,
    /// The host key's signature over the session identifier.
    pub signature: Vec<u8>,
}

/// A request on a channel (RFC 4254 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelRequest {
    Subsystem(Vec<u8>),
    Exec(Vec<u8>),
    Shell,
    Env {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    ExitStatus(u32),
    ExitSignal {
        name: String,
        text: String,
    },
    /// The peer reads no more of our output (`eow@openssh.com`).
    EndOfWrite,
    /// Anything else; refused already.
    Other {
        name: String,
    },
}
