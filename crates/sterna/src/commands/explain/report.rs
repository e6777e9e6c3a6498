//! How a judgement is told, to people and to programs.

use jiff::Timestamp;
use serde_json::Value as Json;
use sterna_identity::{Finding, Login, Method, Place, Refusal};

use super::offer::{Offer, Outcome, Question, Verdict};
use crate::{
    commands::user::{shown, shown_name},
    output::Object,
};

/// Lines for people.
pub fn text(question: &Question<'_>, offer: &Offer, outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![format!(
        "{} from {} at {} by {}",
        shown_name(question.user),
        question.source,
        time(question.now),
        described(offer)
    )];
    let refusal = match &outcome.verdict {
        Verdict::KeptOut { refusal, .. } => Some(refusal),
        _ => None,
    };
    let rules = outcome.findings.iter().map(|found| found.rule);
    let width = rules.chain(refusal.map(|r| r.reason.rule())).map(str::len).max().unwrap_or(0);
    for Finding { rule, place, text } in &outcome.findings {
        let place = place.as_ref().map(|place| format!("{}: ", at(place))).unwrap_or_default();
        lines.push(format!("  ok  {rule:width$}  {place}{}", shown_name(text)));
    }
    if let Some(refusal) = refusal {
        let place = refusal.place.as_ref().map(|place| format!("{}: ", at(place)));
        let (rule, place) = (refusal.reason.rule(), place.unwrap_or_default());
        lines.push(format!("  NO  {rule:width$}  {place}{}", reason(refusal)));
    }
    lines.extend(outcome.notes.iter().map(|note| format!("  note: {note}")));
    lines.push(verdict(&outcome.verdict));
    match &outcome.verdict {
        Verdict::KeptOut { methods, .. } if !methods.is_empty() => {
            lines.push(format!("  may come next: {}", names(methods).join(", ")));
        }
        Verdict::LetIn(login) => lines.extend(session(login).map(|line| format!("  {line}"))),
        _ => {}
    }
    lines
}

/// The same for programs.
pub fn object(question: &Question<'_>, offer: &Offer, outcome: &Outcome) -> Object {
    let rules: Vec<Json> = outcome
        .findings
        .iter()
        .map(|found| {
            let object = Object::new().with("rule", found.rule);
            with_place(object, found.place.as_ref()).with("text", found.text.as_str()).into()
        })
        .collect();
    let object = Object::new()
        .with("user", question.user)
        .with("from", question.source.to_string())
        .with("at", question.now)
        .with("method", offer.method().name())
        .with_some("key", offer.key().map(|key| key.fingerprint()))
        .with("passed", rules)
        .with("notes", outcome.notes.clone());
    match &outcome.verdict {
        Verdict::LetIn(login) => {
            let (user, restrictions) = (&login.user, &login.restrictions);
            let start_dir = restrictions.start_dir.as_ref();
            let session = Object::new()
                .with_name("root", user.root.as_os_str().as_encoded_bytes())
                .with("read_only", user.read_only || restrictions.read_only)
                .with("sftp_only", restrictions.sftp_only)
                .with_some(
                    "start_dir",
                    start_dir.map(|dir| String::from_utf8_lossy(dir).into_owned()),
                )
                .with_some("umask", restrictions.umask.map(|mask| format!("{mask:03o}")));
            object.with("verdict", "let in").with("session", session)
        }
        Verdict::StepPassed(methods) => {
            object.with("verdict", "step passed").with("next", names(methods))
        }
        Verdict::KeptOut { refusal, methods } => {
            let object = object.with("verdict", "kept out").with("rule", refusal.reason.rule());
            with_place(object, refusal.place.as_ref())
                .with("reason", reason(refusal))
                .with("next", names(methods))
        }
        Verdict::Open(why) => object.with("verdict", "open").with("reason", why.as_str()),
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::LetIn(_) => "let in".to_owned(),
        Verdict::StepPassed(methods) => {
            format!("step passed, next: {}", names(methods).join(" or "))
        }
        Verdict::KeptOut { refusal, .. } => {
            let place = refusal.place.as_ref().map(|place| format!(" ({})", at(place)));
            let (rule, place) = (refusal.reason.rule(), place.unwrap_or_default());
            format!("kept out by {rule}{place}: {}", reason(refusal))
        }
        Verdict::Open(why) => format!("not decided: {why}"),
    }
}

/// What is offered, and what is assumed of it.
fn described(offer: &Offer) -> String {
    let method = offer.method().name();
    match offer {
        Offer::PublicKey(key) => {
            let what = if key.certificate().is_some() { " certificate" } else { "" };
            let key = format!("{} {}", key.type_name(), key.fingerprint());
            format!("{method}{what} {key}, its signature assumed to be valid")
        }
        Offer::Password => format!("{method}, assumed to be right"),
        Offer::KeyboardInteractive => format!("{method}, answers assumed to be right"),
        Offer::HostBased { key, host, user } => format!(
            "{method} as {} of {}, host key {} {}, its signature assumed to be valid",
            shown_name(user),
            shown_name(host),
            key.type_name(),
            key.fingerprint()
        ),
        Offer::Missing(..) => method.to_owned(),
    }
}

/// What the session may do.
fn session(login: &Login) -> impl Iterator<Item = String> {
    let (user, restrictions) = (&login.user, &login.restrictions);
    let start = restrictions.start_dir.as_ref();
    let may = match user.read_only || restrictions.read_only {
        true => "read only",
        false => "read and write",
    };
    let lines = [
        Some(format!("root: {}", shown(&user.root))),
        Some(format!("may: {may}")),
        restrictions.sftp_only.then(|| "the key or certificate forces SFTP".to_owned()),
        start.map(|dir| format!("starts in: {}", shown_name(&String::from_utf8_lossy(dir)))),
        restrictions.umask.map(|mask| format!("umask: {mask:03o}")),
    ];
    lines.into_iter().flatten()
}

/// Words without the place.
fn reason(refusal: &Refusal) -> String {
    let detail = if refusal.detail.is_empty() { "" } else { ": " };
    shown_name(&format!("{}{detail}{}", refusal.reason, refusal.detail))
}

fn with_place(object: Object, place: Option<&Place>) -> Object {
    match place {
        Some(place) => object
            .with_name("file", place.file.as_os_str().as_encoded_bytes())
            .with("line", place.line),
        None => object,
    }
}

fn at(place: &Place) -> String {
    format!("{}:{}", shown(&place.file), place.line)
}

fn names(methods: &[Method]) -> Vec<&'static str> {
    methods.iter().map(|method| method.name()).collect()
}

fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok());
    time.map_or_else(|| format!("@{seconds}"), |time| time.to_string())
}
