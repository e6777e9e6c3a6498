//! Connecting again in the middle of something: as before, and without asking a person twice.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::auth::asks_for_password;
use crate::prompt::{HostKeyQuestion, Prompt};
use crate::{Error, Session, SessionBuilder, Sftp};

/// An SFTP channel, and the connection on which it runs if that is an SSH connection of ours.
#[derive(Clone)]
pub struct Connection {
    pub sftp: Sftp,
    pub session: Option<Session>,
}

/// A way to reach a server once more after its connection was lost.
pub trait Reconnect: Send + Sync {
    /// Connects, logs in, opens an SFTP channel.
    ///
    /// # Errors
    /// [`Error::Connect`] and [`Error::Interrupted`] mean that a later try may succeed; after any other
    /// error nobody should try again.
    fn reconnect(&self) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>>;

    /// The same for one more connection beside those that there are, which is good to have: nobody is asked
    /// for anything.
    ///
    /// # Errors
    /// There is none to be had; this is what it says unless it is overridden.
    fn connect_beside(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        let why = "one connection is all that there is".into();
        Box::pin(async { Err(Error::Interrupted { doing: "connect once more", why }) })
    }
}

/// Connects to one server as often as is needed.
///
/// What a person answered in a login that succeeded is remembered for the next one: the password, the
/// passphrases of keys, the question about the host key. Codes for one time are asked for each time. A
/// host key that the person has not accepted in the first login is refused in later ones.
pub struct Connector {
    builder: SessionBuilder,
    memory: Arc<Memory>,
}

impl Connector {
    pub fn new(builder: SessionBuilder) -> Self {
        let memory = Arc::new(Memory { person: builder.prompter(), answers: Mutex::default() });
        Self { builder: builder.prompt(memory.clone()), memory }
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// As [`SessionBuilder::connect`].
    ///
    /// # Cancelling
    /// Dropping the future ends the connection.
    pub async fn connect(&self) -> Result<Session, Error> {
        self.memory.begin();
        let result = self.builder.clone().connect().await;
        self.memory.end(result.is_ok());
        result
    }
}

impl Reconnect for Connector {
    fn reconnect(&self) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        Box::pin(async move {
            let session = self.connect().await?;
            Ok(Connection { sftp: session.sftp().await?, session: Some(session) })
        })
    }

    fn connect_beside(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + '_>> {
        Box::pin(async move {
            let prompt = Arc::new(FromMemory(self.memory.clone()));
            let session = self.builder.clone().prompt(prompt).connect().await?;
            Ok(Connection { sftp: session.sftp().await?, session: Some(session) })
        })
    }
}

/// Answers what was answered before, and nothing else.
struct FromMemory(Arc<Memory>);

impl FromMemory {
    fn recall(&self, question: &Question) -> Option<Zeroizing<String>> {
        self.0.answers().proven.get(question).cloned()
    }
}

impl Prompt for FromMemory {
    fn host_key(&self, question: &HostKeyQuestion) -> Option<String> {
        self.recall(&Question::host_key(question)).map(|answer| answer.to_string())
    }

    /// A second attempt would give what was refused.
    fn password(&self, user: &str, host: &str, attempt: u32) -> Option<Zeroizing<String>> {
        self.recall(&Question::password(user, host)).filter(|_| attempt == 1)
    }

    fn passphrase(&self, file: &Path, attempt: u32) -> Option<Zeroizing<String>> {
        self.recall(&Question::Passphrase(file.to_owned())).filter(|_| attempt == 1)
    }

    fn question(&self, text: &str, echo: bool) -> Option<Zeroizing<String>> {
        self.recall(&Question::Words(text.to_owned())).filter(|_| !echo)
    }

    fn inform(&self, _: &str) {}

    fn is_attended(&self) -> bool {
        false
    }
}

/// A person in front of whom stands a memory of what was answered already.
struct Memory {
    person: Arc<dyn Prompt>,
    answers: Mutex<Answers>,
}

/// Bounded by what one login may ask, see `limits`.
#[derive(Default)]
struct Answers {
    /// From logins that succeeded.
    proven: HashMap<Question, Zeroizing<String>>,
    /// From the login under way: the last to each question.
    given: HashMap<Question, Zeroizing<String>>,
    /// Proven ones that the login under way has had. A server that asks again wants another.
    used: HashSet<Question>,
    has_logged_in: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Question {
    HostKey {
        host: String,
        fingerprint: String,
    },
    Password {
        user: String,
        host: String,
    },
    Passphrase(PathBuf),
    /// In the server's words.
    Words(String),
}

impl Question {
    fn host_key(question: &HostKeyQuestion) -> Self {
        let HostKeyQuestion { host, fingerprint, .. } = question;
        Self::HostKey { host: host.clone(), fingerprint: fingerprint.clone() }
    }

    fn password(user: &str, host: &str) -> Self {
        Self::Password { user: user.to_owned(), host: host.to_owned() }
    }
}

impl Memory {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        let mut answers = self.answers();
        answers.given.clear();
        answers.used.clear();
    }

    fn end(&self, succeeded: bool) {
        let mut answers = self.answers();
        let given = std::mem::take(&mut answers.given);
        if succeeded {
            answers.proven.extend(given);
            answers.has_logged_in = true;
        }
    }

    fn recall(&self, question: &Question) -> Option<Zeroizing<String>> {
        let mut answers = self.answers();
        let answer = answers.proven.get(question)?.clone();
        answers.used.insert(question.clone()).then_some(answer)
    }

    /// The remembered answer, else the person's. The person answers without the lock held.
    fn answer(
        &self,
        question: Question,
        ask: impl FnOnce(&dyn Prompt) -> Option<Zeroizing<String>>,
    ) -> Option<Zeroizing<String>> {
        if let Some(answer) = self.recall(&question) {
            return Some(answer);
        }
        let answer = ask(self.person.as_ref())?;
        self.answers().given.insert(question, answer.clone());
        Some(answer)
    }
}

impl Prompt for Memory {
    fn host_key(&self, question: &HostKeyQuestion) -> Option<String> {
        let asked = Question::host_key(question);
        if self.answers().has_logged_in {
            return self.answers().proven.get(&asked).map(|answer| answer.to_string());
        }
        let ask = |person: &dyn Prompt| person.host_key(question).map(Zeroizing::new);
        self.answer(asked, ask).map(|answer| answer.to_string())
    }

    fn password(&self, user: &str, host: &str, attempt: u32) -> Option<Zeroizing<String>> {
        let question = Question::password(user, host);
        self.answer(question, |person| person.password(user, host, attempt))
    }

    fn passphrase(&self, file: &Path, attempt: u32) -> Option<Zeroizing<String>> {
        let question = Question::Passphrase(file.to_owned());
        self.answer(question, |person| person.passphrase(file, attempt))
    }

    fn question(&self, text: &str, echo: bool) -> Option<Zeroizing<String>> {
        if echo || !asks_for_password(text) {
            return self.person.question(text, echo);
        }
        self.answer(Question::Words(text.to_owned()), |person| person.question(text, echo))
    }

    fn inform(&self, text: &str) {
        // Banners and warnings of the first login are not news in the next one.
        if !self.answers().has_logged_in {
            self.person.inform(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with a number that counts up, so that every answer shows when it was given.
    #[derive(Default)]
    struct Person {
        asked: Mutex<Vec<String>>,
    }

    impl Person {
        fn next(&self, what: &str) -> String {
            let mut asked = self.asked.lock().unwrap();
            asked.push(what.to_owned());
            asked.len().to_string()
        }
    }

    impl Prompt for Person {
        fn host_key(&self, question: &HostKeyQuestion) -> Option<String> {
            Some(self.next(&question.fingerprint))
        }

        fn password(&self, user: &str, _: &str, _: u32) -> Option<Zeroizing<String>> {
            Some(Zeroizing::new(self.next(user)))
        }

        fn passphrase(&self, file: &Path, _: u32) -> Option<Zeroizing<String>> {
            Some(Zeroizing::new(self.next(&file.display().to_string())))
        }

        fn question(&self, text: &str, _: bool) -> Option<Zeroizing<String>> {
            Some(Zeroizing::new(self.next(text)))
        }
    }

    fn memory() -> (Arc<Person>, Memory) {
        let person = Arc::new(Person::default());
        (person.clone(), Memory { person, answers: Mutex::default() })
    }

    fn host_key(memory: &Memory, fingerprint: &str) -> Option<String> {
        memory.host_key(&HostKeyQuestion {
            host: "h".to_owned(),
            key_type: "ssh-ed25519",
            fingerprint: fingerprint.to_owned(),
            other_types_known: false,
        })
    }

    fn password(memory: &Memory) -> String {
        memory.password("alice", "h", 1).unwrap().to_string()
    }

    #[test]
    fn the_last_answer_of_a_login_that_succeeded_is_given_again_and_nobody_is_asked() {
        let (person, memory) = memory();
        memory.begin();
        assert_eq!((password(&memory), password(&memory)), ("1".into(), "2".into()));
        memory.end(true);

        memory.begin();
        assert_eq!(password(&memory), "2");
        assert_eq!(person.asked.lock().unwrap().len(), 2);

        // It was right and is not any more: the person knows the new one.
        assert_eq!(password(&memory), "3");
        memory.end(true);
        memory.begin();
        assert_eq!(password(&memory), "3");
    }

    #[test]
    fn what_was_answered_in_a_login_that_failed_is_forgotten() {
        let (_, memory) = memory();
        memory.begin();
        assert_eq!(password(&memory), "1");
        memory.end(false);

        memory.begin();
        assert_eq!(password(&memory), "2");
    }

    #[test]
    fn codes_for_one_time_are_asked_for_each_time_and_passwords_by_question_are_not() {
        let (_, memory) = memory();
        let ask = |text: &str| memory.question(text, false).unwrap().to_string();
        memory.begin();
        assert_eq!((ask("(a@h) Password: "), ask("(a@h) Code: ")), ("1".into(), "2".into()));
        memory.end(true);

        memory.begin();
        assert_eq!((ask("(a@h) Password: "), ask("(a@h) Code: ")), ("1".into(), "3".into()));
    }

    #[test]
    fn a_host_key_that_was_accepted_is_accepted_again_and_no_other() {
        let (person, memory) = memory();
        memory.begin();
        assert_eq!(host_key(&memory, "SHA256:a").as_deref(), Some("1"));
        memory.end(true);

        memory.begin();
        assert_eq!(host_key(&memory, "SHA256:a").as_deref(), Some("1"));
        assert_eq!(host_key(&memory, "SHA256:b"), None);
        assert_eq!(person.asked.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_connection_beside_gets_what_was_proven_and_the_person_hears_nothing() {
        let (person, memory) = memory();
        memory.begin();
        password(&memory);
        memory.end(false);
        memory.begin();
        let proven = password(&memory);
        memory.question("Password: ", false).unwrap();
        memory.end(true);
        let asked = person.asked.lock().unwrap().len();
        let beside = FromMemory(Arc::new(memory));

        for _ in 0..3 {
            assert_eq!(beside.password("alice", "h", 1).unwrap().to_string(), proven);
        }
        assert!(beside.password("alice", "h", 2).is_none(), "that one was refused");
        assert!(beside.password("bob", "h", 1).is_none());
        assert!(beside.question("Password: ", false).is_some());
        assert!(beside.question("Code: ", false).is_none());
        assert!(beside.passphrase(Path::new("/key"), 1).is_none());
        assert!(!beside.is_attended());
        assert_eq!(person.asked.lock().unwrap().len(), asked);
    }
}
