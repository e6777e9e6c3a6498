//! Results for programs: one JSON object a line.
//!
//! File names are bytes and JSON strings are not. A name that is not UTF-8 is shown with U+FFFD
//! where it is not, and its exact bytes follow in base64 under the same key with `_base64`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// One line of output under construction. Keys keep the order in which they are added.
#[derive(Debug, Default)]
pub struct Object {
    line: String,
}

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with `"event":name`.
    pub fn event(name: &str) -> Self {
        Self::new().with("event", name)
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.push(key, &value.into());
        self
    }

    /// Adds the pair only if there is a value.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a name or path, in two forms if it is not UTF-8.
    #[must_use]
    pub fn with_name(self, key: &str, name: &[u8]) -> Self {
        match std::str::from_utf8(name) {
            Ok(text) => self.with(key, text),
            Err(_) => self
                .with(key, String::from_utf8_lossy(name).as_ref())
                .with(&format!("{key}_base64"), STANDARD.encode(name)),
        }
    }

    /// The finished line, without the line feed.
    pub fn into_line(self) -> String {
        if self.line.is_empty() { "{}".to_owned() } else { self.line + "}" }
    }

    fn push(&mut self, key: &str, value: &Value) {
        self.line.push(if self.line.is_empty() { '{' } else { ',' });
        // Both are values that always can be written.
        self.line.push_str(&Value::from(key).to_string());
        self.line.push(':');
        self.line.push_str(&value.to_string());
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        serde_json::from_str(&object.into_line()).unwrap_or(Self::Object(Map::new()))
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex_text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_in_the_order_they_went_in() {
        let line = Object::event("done").with_name("path", b"a\n\"b").with("bytes", 7_u64);

        assert_eq!(line.into_line(), r#"{"event":"done","path":"a\n\"b","bytes":7}"#);
    }

    #[test]
    fn a_name_that_is_not_utf_8_keeps_its_bytes() {
        let line = Object::new().with_name("path", b"\xff").into_line();

        assert_eq!(line, "{\"path\":\"\u{fffd}\",\"path_base64\":\"/w==\"}");
    }

    #[test]
    fn digests_are_lower_case_hexadecimal() {
        assert_eq!(hex_text(&[0, 0xAB, 0x0f]), "00ab0f");
    }
}
