//! Keyboard-interactive driven by a program or service (RFC 4256).
//!
//! A program lives as long as its dialogue. A service keeps dialogues apart by an id that we make up,
//! and forgets one that it hears no more of.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sterna_identity::hook::{Prompts, Questioner, Questions, Round};
use sterna_identity::limits::PASSWORD_LEN_MAX;
use sterna_ssh_crypto::{Random, SystemRandom};
use zeroize::Zeroizing;

use crate::gate::Gate;
use crate::hook::Asked;
use crate::http::Service;
use crate::limits::{
    CONCURRENT_MAX, DIALOGUES_MAX, PROMPTS_MAX, ROUND_LEN_MAX, ROUNDS_MAX, TEXT_LEN_MAX,
};
use crate::process::Running;
use crate::program::Program;
use crate::{Hook, HookError, VERSION, name};

/// Random bytes of a dialogue's id: nobody guesses one, and none comes twice.
const DIALOGUE_ID_LEN: usize = 16;

/// Lets a program or service ask whoever logs in.
#[derive(Debug)]
pub struct HookQuestioner {
    timeout: Duration,
    whom: Whom,
}

#[derive(Debug)]
enum Whom {
    Program { program: Program, gate: Arc<Gate> },
    Service { service: Arc<Service>, gate: Arc<Gate> },
}

impl HookQuestioner {
    /// The time-out of `hook` is for each round; nothing is cached.
    ///
    /// # Errors
    /// As [`Hook::check`], which also looks at the program or token.
    pub fn new(hook: &Hook) -> Result<Self, HookError> {
        let whom = match Asked::new(hook)? {
            Asked::Program(program) => Whom::Program { program, gate: Gate::new(DIALOGUES_MAX) },
            Asked::Service(service) => {
                Whom::Service { service: Arc::new(service), gate: Gate::new(CONCURRENT_MAX) }
            }
        };
        Ok(Self { timeout: hook.timeout, whom })
    }

    fn link(&self) -> Result<Link, HookError> {
        match &self.whom {
            Whom::Program { program, gate } => {
                let permit = gate.enter(Instant::now() + self.timeout)?;
                Ok(Link::Program(Running::start(program, &program.args, permit)?))
            }
            Whom::Service { service, gate } => {
                let mut id = [0; DIALOGUE_ID_LEN];
                SystemRandom.fill(&mut id);
                Ok(Link::Service {
                    service: Arc::clone(service),
                    gate: Arc::clone(gate),
                    dialogue: hex::encode(id),
                })
            }
        }
    }
}

impl Questioner for HookQuestioner {
    fn begin(
        &self,
        user: &str,
        known: bool,
        source: IpAddr,
        client_version: &[u8],
    ) -> Result<Box<dyn Questions>, String> {
        let user = name::usable(user.as_bytes()).ok_or("not a name to ask a program about")?;
        Ok(Box::new(Dialogue {
            link: Some(self.link().map_err(|error| error.to_string())?),
            timeout: self.timeout,
            about: About {
                user: user.to_owned(),
                known,
                source: source.to_canonical(),
                client_version: String::from_utf8_lossy(client_version).into_owned(),
            },
            rounds: 0,
            prompts: 0,
        }))
    }
}

/// Who is asked, for whoever asks.
#[derive(Debug, Serialize)]
struct About {
    user: String,
    known: bool,
    source: IpAddr,
    client_version: String,
}

/// One message of ours. Its `Debug` would show answers, so it has none.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialogue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<u32>,
    #[serde(flatten)]
    about: Option<&'a About>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Vec<&'a str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer<'a> {
    result: Option<AnswerResult>,
    #[serde(borrow)]
    instruction: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prompts: Option<Vec<AnswerPrompt<'a>>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnswerResult {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerPrompt<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    echo: bool,
}

#[derive(Debug)]
struct Dialogue {
    /// `None` once it is over.
    link: Option<Link>,
    timeout: Duration,
    about: About,
    /// Rounds so far.
    rounds: u32,
    /// Prompts of the last round, each of which wants an answer.
    prompts: usize,
}

#[derive(Debug)]
enum Link {
    Program(Running),
    Service { service: Arc<Service>, gate: Arc<Gate>, dialogue: String },
}

impl Questions for Dialogue {
    fn next(&mut self, answers: &[Zeroizing<Vec<u8>>]) -> Result<Round, String> {
        // Whatever goes wrong ends the dialogue: it is put back only if there is more to ask.
        let link = self.link.take().ok_or("the dialogue is over")?;
        let Some(answers) = readable(answers) else { return Ok(Round::Deny) };
        self.round(link, answers).map_err(|error| error.to_string())
    }
}

impl Dialogue {
    fn round(&mut self, mut link: Link, answers: Vec<&str>) -> Result<Round, HookError> {
        if answers.len() != self.prompts {
            return Err(HookError::failed("dialogue", "not as many answers as prompts"));
        }
        if self.rounds == ROUNDS_MAX {
            return Err(HookError::answer(format_args!("more than {ROUNDS_MAX} rounds")));
        }
        self.rounds += 1;
        let deadline = Instant::now() + self.timeout;
        let line = self.message(&link, answers)?.to_line()?;
        let text = match &mut link {
            Link::Program(running) => running.exchange(&line, ROUND_LEN_MAX, deadline)?,
            Link::Service { service, gate, .. } => {
                let _permit = gate.enter(deadline)?;
                service.post(&line, ROUND_LEN_MAX, deadline)?
            }
        };
        let round = read_round(&text)?;
        match (&round, link) {
            (Round::Ask(prompts), link) => {
                self.prompts = prompts.prompts.len();
                self.link = Some(link);
            }
            // It has said what it thinks; that counts if it then says no more and ends well.
            (Round::Allow | Round::Deny, Link::Program(running)) => {
                running.finish(b"", 0, deadline)?;
            }
            (Round::Allow | Round::Deny, Link::Service { .. }) => {}
        }
        Ok(round)
    }

    fn message<'a>(
        &'a self,
        link: &'a Link,
        answers: Vec<&'a str>,
    ) -> Result<Message<'a>, HookError> {
        let first = self.rounds == 1;
        let answers = (!first).then_some(answers);
        Ok(match link {
            Link::Program(_) => Message {
                version: first.then_some(VERSION),
                dialogue: None,
                round: None,
                about: first.then_some(&self.about),
                answers,
            },
            // Each of its requests stands alone.
            Link::Service { dialogue, .. } => Message {
                version: Some(VERSION),
                dialogue: Some(dialogue),
                round: Some(self.rounds),
                about: Some(&self.about),
                answers,
            },
        })
    }
}

impl Message<'_> {
    /// The message as one line of JSON, with its end.
    fn to_line(&self) -> Result<Zeroizing<Vec<u8>>, HookError> {
        // Room for all of it beforehand: a secret that moved would leave a copy behind. JSON writes a
        // byte as up to six.
        let answers = self.answers.iter().flatten().map(|answer| 6 * answer.len() + 3);
        let about =
            self.about.map_or(0, |about| 6 * (about.user.len() + about.client_version.len()));
        let len_max = answers.sum::<usize>() + about + 512;
        let mut line = Zeroizing::new(Vec::with_capacity(len_max));
        serde_json::to_writer(&mut *line, self)
            .map_err(|e| HookError::failed("write the question", e))?;
        line.push(b'\n');
        Ok(line)
    }
}

/// The answers as text; `None` for bytes that nobody meant to type.
fn readable(answers: &[Zeroizing<Vec<u8>>]) -> Option<Vec<&str>> {
    answers
        .iter()
        .map(|answer| {
            std::str::from_utf8(answer).ok().filter(|text| text.len() <= PASSWORD_LEN_MAX)
        })
        .collect()
}

fn read_round(text: &[u8]) -> Result<Round, HookError> {
    let answer: Answer<'_> = serde_json::from_slice(text).map_err(HookError::answer)?;
    match answer {
        Answer { result: Some(result), instruction: None, prompts: None } => Ok(match result {
            AnswerResult::Allow => Round::Allow,
            AnswerResult::Deny => Round::Deny,
        }),
        Answer { result: None, instruction, prompts: Some(prompts) } => {
            let instruction = instruction.unwrap_or_default();
            if prompts.len() > PROMPTS_MAX {
                return Err(HookError::answer(format_args!("more than {PROMPTS_MAX} prompts")));
            }
            let texts = prompts.iter().map(|prompt| &prompt.text).chain([&instruction]);
            if texts.into_iter().any(|text| text.len() > TEXT_LEN_MAX) {
                return Err(HookError::answer(format_args!(
                    "a text of more than {TEXT_LEN_MAX} bytes"
                )));
            }
            Ok(Round::Ask(Prompts {
                instruction: instruction.into_owned(),
                prompts: prompts
                    .into_iter()
                    .map(|prompt| (prompt.text.into_owned(), prompt.echo))
                    .collect(),
            }))
        }
        _ => Err(HookError::answer("neither prompts nor a result, or both")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_prompts_or_a_result() {
        let ask = |instruction: &str, prompts: &[(&str, bool)]| {
            Round::Ask(Prompts {
                instruction: instruction.to_owned(),
                prompts: prompts.iter().map(|(text, echo)| ((*text).to_owned(), *echo)).collect(),
            })
        };

        for (text, expected) in [
            (r#"{"result":"allow"}"#, Round::Allow),
            (r#" {"result":"deny"} "#, Round::Deny),
            (
                r#"{"instruction":"Hello","prompts":[{"text":"Gr\u00f6ße: ","echo":true}]}"#,
                ask("Hello", &[("Größe: ", true)]),
            ),
            (
                r#"{"prompts":[{"text":"a","echo":false},{"text":"b","echo":true}]}"#,
                ask("", &[("a", false), ("b", true)]),
            ),
            (
                r#"{"instruction":"Look at your phone","prompts":[]}"#,
                ask("Look at your phone", &[]),
            ),
        ] {
            assert_eq!(read_round(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in [
            "",
            "{}",
            "null",
            r#"{"result":"yes"}"#,
            r#"{"result":"allow"} {"result":"allow"}"#,
            r#"{"result":"allow","prompts":[]}"#,
            r#"{"result":"allow","user":"alice"}"#,
            r#"{"result":"allow","result":"deny"}"#,
            r#"{"instruction":"only"}"#,
            r#"{"prompts":[{"text":"a"}]}"#,
            r#"{"prompts":[{"text":"a","echo":"no"}]}"#,
            r#"{"prompts":[{"text":"a","echo":false,"secret":true}]}"#,
        ] {
            assert!(matches!(read_round(text.as_bytes()), Err(HookError::Answer(_))), "{text}");
        }
    }

    #[test]
    fn a_round_has_its_bounds() {
        let prompts = |count: usize, len: usize| {
            let prompt = format!(r#"{{"text":"{}","echo":false}}"#, "x".repeat(len));
            format!(r#"{{"prompts":[{}]}}"#, vec![prompt; count].join(","))
        };
        let instruction =
            |len: usize| format!(r#"{{"instruction":"{}","prompts":[]}}"#, "x".repeat(len));
        let reads = |text: String| read_round(text.as_bytes()).is_ok();

        assert!(reads(prompts(PROMPTS_MAX, 1)));
        assert!(!reads(prompts(PROMPTS_MAX + 1, 1)));
        assert!(reads(prompts(1, TEXT_LEN_MAX)));
        assert!(!reads(prompts(1, TEXT_LEN_MAX + 1)));
        assert!(reads(instruction(TEXT_LEN_MAX)));
        assert!(!reads(instruction(TEXT_LEN_MAX + 1)));
    }
}
