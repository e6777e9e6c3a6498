//! A world that does as it is told and counts, and connections that say what became of an attempt.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use sterna_identity::{
    Attempt, Credential, Decision, Directory, HostClaim, Login, LoginRules, Method, PasswordHash,
    Place, Progress, Signature, TotpSecret, Trace, User, UserKey, World, authenticate,
};
use sterna_ssh_crypto::{OfferedKey, PrivateKey, PublicKey, TokenUse};

/// 2005-03-18 01:58:31 UTC, a Friday; RFC 6238 Appendix B has its code.
pub const NOW: u64 = 1_111_111_111;
/// The code of [`NOW`] for [`totp`].
pub const CODE: &[u8] = b"050471";
/// The code of the step before.
pub const CODE_BEFORE: &[u8] = b"081804";
/// What everybody's password is that has one.
pub const PASSWORD: &[u8] = b"right";

pub const RIGHT: Credential<'_> = Credential::Password(PASSWORD);
pub const WRONG: Credential<'_> = Credential::Password(b"wrong");
pub const ASK_ME: Credential<'_> = Credential::KeyboardInteractive;

/// The key pair of a number. Users have 1 and up, authorities 100 and up, hosts 200 and up.
pub fn pair(seed: u8) -> PrivateKey {
    PrivateKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

pub fn public(seed: u8) -> PublicKey {
    pair(seed).public().clone()
}

pub fn offered(seed: u8) -> OfferedKey {
    public(seed).into()
}

/// The key as a line of a file has it.
pub fn line(seed: u8) -> String {
    public(seed).to_openssh("")
}

/// The key of a security key.
pub fn token_key() -> PublicKey {
    let mut blob = Vec::new();
    for field in [&b"sk-ssh-ed25519@openssh.com"[..], &[5; 32], b"ssh:"] {
        blob.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(field);
    }
    PublicKey::from_wire(&blob).unwrap()
}

pub fn used(touched: bool, user_verified: bool, counter: u32) -> Signature {
    Signature::ByToken(TokenUse { touched, user_verified, counter })
}

pub fn signed(key: &OfferedKey) -> Credential<'_> {
    Credential::PublicKey { key, signature: Signature::Valid }
}

pub fn signed_as(key: &OfferedKey, signature: Signature) -> Credential<'_> {
    Credential::PublicKey { key, signature }
}

pub fn host_claim<'a>(key: &'a OfferedKey, host: &'a str, user: &'a str) -> Credential<'a> {
    Credential::HostBased(HostClaim {
        key,
        client_host: host.as_bytes(),
        client_user: user.as_bytes(),
        signature_valid: true,
    })
}

/// The cheapest hash there is: these tests check decisions, not costs.
pub fn hash_of(text: &[u8]) -> PasswordHash {
    bcrypt::hash(text, 4).unwrap().parse().unwrap()
}

pub fn password() -> PasswordHash {
    static HASH: LazyLock<PasswordHash> = LazyLock::new(|| hash_of(PASSWORD));
    HASH.clone()
}

/// `12345678901234567890`, as in RFC 6238.
pub fn totp() -> TotpSecret {
    TotpSecret::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap()
}

pub fn place(line: usize) -> Place {
    Place { file: std::path::Path::new("users.toml").into(), line }
}

pub fn authorized(text: &str, at: usize) -> UserKey {
    UserKey { key: text.parse().unwrap(), place: Some(place(at)) }
}

/// A user with the lines of an authorized keys file, each in its own place.
pub fn user_with_keys(name: &str, lines: &[String]) -> User {
    let keys = lines.iter().enumerate().map(|(index, text)| authorized(text, index + 1));
    User { authorized_keys: keys.collect(), ..User::new(name, "/srv") }
}

/// Password, keys 1 and 2.
pub fn full_user(name: &str, methods: &[&str]) -> User {
    User {
        password: Some(password()),
        methods: methods.iter().map(|chain| chain.parse().unwrap()).collect(),
        ..user_with_keys(name, &[line(1), line(2)])
    }
}

pub fn directory(users: impl IntoIterator<Item = User>) -> Directory {
    Directory::new(users).unwrap()
}

pub fn with_rules(users: impl IntoIterator<Item = User>, rules: LoginRules) -> Directory {
    Directory::with_rules(users, rules).unwrap()
}

/// A world that remembers and counts.
#[derive(Default)]
pub struct Script {
    addresses: HashMap<&'static str, Vec<IpAddr>>,
    broken: bool,
    pub name_lookups: AtomicUsize,
    hashes: AtomicUsize,
    pub changed: Mutex<Vec<(String, Vec<u8>)>>,
    known_answers: Mutex<HashMap<(String, Vec<u8>), bool>>,
    steps: Mutex<HashMap<String, u64>>,
    codes: Mutex<HashSet<(String, [u8; 32])>>,
    counters: Mutex<HashMap<String, u32>>,
}

impl Script {
    /// One in which nothing can be written down.
    pub fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }

    pub fn resolving<const N: usize>(addresses: [(&'static str, Vec<IpAddr>); N]) -> Self {
        Self { addresses: addresses.into(), ..Self::default() }
    }

    pub fn hashes(&self) -> usize {
        self.hashes.load(Ordering::Relaxed)
    }

    fn state(&self) -> Result<(), String> {
        if self.broken { Err("disk is full".to_owned()) } else { Ok(()) }
    }
}

impl World for Script {
    fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        self.name_lookups.fetch_add(1, Ordering::Relaxed);
        self.addresses.get(host).cloned().unwrap_or_default()
    }

    fn verify_password(&self, hash: &PasswordHash, password: &[u8]) -> bool {
        self.hashes.fetch_add(1, Ordering::Relaxed);
        let question = (hash.as_str().to_owned(), password.to_vec());
        let mut known = self.known_answers.lock().unwrap();
        *known.entry(question).or_insert_with(|| hash.verify(password))
    }

    fn claim_totp_step(&self, user: &str, step: u64) -> Result<bool, String> {
        self.state()?;
        let mut steps = self.steps.lock().unwrap();
        if steps.get(user).is_some_and(|last| step <= *last) {
            return Ok(false);
        }
        steps.insert(user.to_owned(), step);
        Ok(true)
    }

    fn claim_recovery_code(&self, user: &str, code: &[u8; 32]) -> Result<bool, String> {
        self.state()?;
        Ok(self.codes.lock().unwrap().insert((user.to_owned(), *code)))
    }

    fn advance_counter(&self, key: &str, counter: u32) -> Result<bool, String> {
        self.state()?;
        let before = self.counters.lock().unwrap().insert(key.to_owned(), counter);
        Ok(before.is_none_or(|before| counter > before))
    }

    fn change_password(&self, user: &User, new: &[u8]) -> Result<(), String> {
        self.state()?;
        self.changed.lock().unwrap().push((user.name.clone(), new.to_vec()));
        Ok(())
    }
}

/// One connection and what it has proven.
pub struct Connection<'d> {
    directory: &'d Directory,
    world: &'d Script,
    progress: Progress,
    pub user: &'d str,
    pub source: IpAddr,
    pub now: u64,
    pub trace: Trace,
}

impl<'d> Connection<'d> {
    pub fn new(directory: &'d Directory, world: &'d Script, user: &'d str) -> Self {
        Self {
            directory,
            world,
            progress: Progress::default(),
            user,
            source: "192.0.2.7".parse().unwrap(),
            now: NOW,
            trace: Trace::on(),
        }
    }

    pub fn from(mut self, source: &str) -> Self {
        self.source = source.parse().unwrap();
        self
    }

    pub fn decide(&mut self, credential: Credential<'_>) -> Decision {
        let attempt = Attempt {
            user: self.user.as_bytes(),
            credential,
            source: self.source,
            client_version: b"SSH-2.0-test",
            groups: None,
            now: self.now,
        };
        self.trace = Trace::on();
        authenticate(self.directory, self.world, &mut self.progress, &attempt, &mut self.trace)
    }

    /// What became of it, in a word: `accept`, `key ok`, `next …`, `ask …`, `change …` or the reason
    /// of the refusal.
    pub fn says(&mut self, credential: Credential<'_>) -> String {
        match self.decide(credential) {
            Decision::Accept(_) => "accept".to_owned(),
            Decision::KeyOk => "key ok".to_owned(),
            Decision::Continue { methods, .. } => format!("next {}", names(&methods)),
            Decision::Ask(prompts) => {
                let texts: Vec<&str> =
                    prompts.prompts.iter().map(|(text, _)| text.trim()).collect();
                let instruction = prompts.instruction;
                let gap = if instruction.is_empty() { "" } else { " " };
                format!("ask {instruction}{gap}{}", texts.join(" "))
            }
            Decision::ChangePassword { prompt } => format!("change {prompt}"),
            Decision::Reject { refusal, .. } => format!("{:?}", refusal.reason),
        }
    }

    pub fn answers(&mut self, answers: &[&[u8]]) -> String {
        let answers: Vec<_> = answers.iter().map(|answer| answer.to_vec().into()).collect();
        self.says(Credential::Answers(&answers))
    }

    /// The login that this leads to.
    #[track_caller]
    pub fn login(&mut self, credential: Credential<'_>) -> Login {
        match self.decide(credential) {
            Decision::Accept(login) => login,
            other => panic!("{other:?}"),
        }
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

pub fn names(methods: &[Method]) -> String {
    methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(",")
}

/// What a new connection from the usual address says.
pub fn once(directory: &Directory, user: &str, credential: Credential<'_>) -> String {
    Connection::new(directory, &Script::default(), user).says(credential)
}

/// An external identity that always gives the same answer, and counts the questions.
pub struct Always {
    pub answer: Result<sterna_identity::hook::ExternalAnswer, String>,
    pub asked: AtomicUsize,
}

impl Always {
    pub fn new(answer: Result<sterna_identity::hook::ExternalAnswer, String>) -> Arc<Self> {
        Arc::new(Self { answer, asked: AtomicUsize::new(0) })
    }
}

impl sterna_identity::hook::ExternalIdentity for Always {
    fn ask(&self, _: &Attempt<'_>) -> Result<sterna_identity::hook::ExternalAnswer, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answer.clone()
    }
}
