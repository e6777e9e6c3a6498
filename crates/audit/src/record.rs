//! What happened, as plain data, and its line of JSON.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::chain::Place;
use crate::limits::VALUE_LEN_MAX;

/// One thing that happened. Made where it happened: its time is that of its making.
#[derive(Clone, Debug)]
pub struct Record {
    event: &'static str,
    time: SystemTime,
    session: Option<Arc<str>>,
    user: Option<Vec<u8>>,
    source: Option<String>,
    result: Cow<'static, str>,
    rule: Option<Cow<'static, str>>,
    details: Vec<(&'static str, Value)>,
}

/// A detail of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    /// A name that may not be text. Where it is none, its bytes follow in hexadecimal, under the same key
    /// with `_hex` behind it.
    Bytes(Vec<u8>),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
}

impl Record {
    /// `event` happened now, and went well unless [`Record::result`] says otherwise.
    pub fn new(event: &'static str) -> Self {
        Self {
            event,
            time: SystemTime::now(),
            session: None,
            user: None,
            source: None,
            result: Cow::Borrowed("ok"),
            rule: None,
            details: Vec::new(),
        }
    }

    /// The session in which it happened.
    #[must_use]
    pub fn session(mut self, id: Arc<str>) -> Self {
        self.session = Some(id);
        self
    }

    /// Who did it, or said to be.
    #[must_use]
    pub fn user(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// From where: an address, with a port where there is one.
    #[must_use]
    pub fn source(mut self, source: impl ToString) -> Self {
        self.source = Some(source.to_string());
        self
    }

    /// `ok`, or what went wrong.
    #[must_use]
    pub fn result(mut self, result: impl Into<Cow<'static, str>>) -> Self {
        self.result = result.into();
        self
    }

    /// The rule that decided.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// One thing more. Keys are lower-case words and are not repeated.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.details.push((key, value.into()));
        self
    }

    /// The same, if there is something to say.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// How long it took, in milliseconds, as `duration_ms`.
    #[must_use]
    pub fn duration(self, length: Duration) -> Self {
        self.with("duration_ms", u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn time(&self) -> SystemTime {
        self.time
    }

    /// Appends the line that follows `before`, without its last brace: a signature may come.
    pub(crate) fn encode_open(&self, before: Place, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{{\"seq\":{},\"time\":\"", before.seq + 1).as_bytes());
        out.extend_from_slice(rfc3339(self.time).as_bytes());
        out.push(b'"');
        text(out, "event", self.event);
        if let Some(session) = &self.session {
            text(out, "session", session);
        }
        if let Some(user) = &self.user {
            bytes(out, "user", user);
        }
        if let Some(source) = &self.source {
            text(out, "source", source);
        }
        text(out, "result", &self.result);
        if let Some(rule) = &self.rule {
            text(out, "rule", rule);
        }
        for (name, value) in &self.details {
            match value {
                Value::Text(value) => text(out, name, value),
                Value::Bytes(value) => bytes(out, name, value),
                Value::Number(number) => {
                    key(out, name);
                    out.extend_from_slice(number.to_string().as_bytes());
                }
                Value::Flag(flag) => {
                    key(out, name);
                    out.extend_from_slice(if *flag { b"true" } else { b"false" });
                }
                Value::List(items) => {
                    key(out, name);
                    out.push(b'[');
                    for (at, item) in items.iter().enumerate() {
                        if at > 0 {
                            out.push(b',');
                        }
                        string(out, item);
                    }
                    out.push(b']');
                }
            }
        }
        text(out, "prev", &before.hash.to_string());
    }
}

/// UTC, to the microsecond; the beginning of 1970 for times that the calendar does not have.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, value: &str) {
    let mut end = value.len().min(VALUE_LEN_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    // Writing to memory cannot fail, and neither can a string.
    let _ = serde_json::to_writer(out, &value[..end]);
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    string(out, value);
    if value.len() > VALUE_LEN_MAX {
        key(out, &format!("{name}_len"));
        out.extend_from_slice(value.len().to_string().as_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(value) => text(out, name, value),
        Err(_) => {
            let kept = &value[..value.len().min(VALUE_LEN_MAX)];
            text(out, name, &String::from_utf8_lossy(kept));
            key(out, &format!("{name}_hex"));
            out.push(b'"');
            out.extend_from_slice(hex::encode(kept).as_bytes());
            out.push(b'"');
            if value.len() > VALUE_LEN_MAX {
                key(out, &format!("{name}_len"));
                out.extend_from_slice(value.len().to_string().as_bytes());
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<String>> for Value {
    fn from(items: Vec<String>) -> Self {
        Self::List(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINE_LEN_MAX;

    fn line(record: &Record) -> serde_json::Value {
        let mut out = Vec::new();
        record.encode_open(Place::START, &mut out);
        out.push(b'}');
        assert!(!out.contains(&b'\n') && out.len() < LINE_LEN_MAX);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_record_is_one_line_of_json_in_which_names_lose_nothing() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001);
        let record = Record { time, ..Record::new("rename") }
            .session("abc".into())
            .user("al\"ice\n".as_bytes())
            .source("[2001:db8::1]:22")
            .result("failure")
            .rule("read_only")
            .with("path", &b"/in/\xff\xfe"[..])
            .with("to", &b"/in/\xc3\xa4"[..])
            .with("bytes", u64::MAX)
            .with("list", vec!["a".to_owned(), "b\u{1}".to_owned()])
            .with("flag", true)
            .with_some("nothing", None::<u64>);

        let line = line(&record);

        assert_eq!(line["seq"], 1);
        assert_eq!(line["time"], "2023-11-14T22:13:20.000001Z");
        assert_eq!(line["user"], "al\"ice\n");
        assert_eq!(line["path"], "/in/\u{fffd}\u{fffd}");
        assert_eq!(line["path_hex"], "2f696e2ffffe");
        assert_eq!(line["to"], "/in/ä");
        assert_eq!(line["bytes"], u64::MAX);
        assert_eq!(line["list"][1], "b\u{1}");
        assert_eq!(line["prev"], "0".repeat(64));
        assert!(line.get("nothing").is_none() && line.get("to_hex").is_none());
    }

    #[test]
    fn the_longest_record_fits_a_line() {
        let long = vec![1_u8; 40_000];
        let odd = [&[0xff][..], &long].concat();
        let record = Record::new("rename")
            .user(odd.clone())
            .with("path", odd.clone())
            .with("to", odd)
            .with("text", long);

        let line = line(&record);

        assert_eq!(line["to_len"], 40_001);
        assert_eq!(line["text_len"], 40_000);
        assert_eq!(line["text"].as_str().unwrap().len(), VALUE_LEN_MAX);
    }
}
