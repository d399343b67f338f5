//! One event as one line: JSON with stable names, or text for people. Never more than one line,
//! whatever the values hold.
//!
//! A text gets into a line in two ways: under a name that holds what we or the API made
//! ([`MACHINE_MADE`]), or redacted. A field that is new is redacted until somebody puts its name
//! there.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::privacy::known::Known;
use crate::privacy::{Redacted, Redactor};

/// Names that every JSON line may have; a field of that name gets a `_` behind it.
const RESERVED: [&str; 5] = ["timestamp", "level", "target", "instance", "boot"];

/// Fields whose texts are names and numbers of ours and of the API (identifiers, states, digests,
/// amounts, names in the configuration), addresses and files that the configuration names, and
/// records, whose types hold nothing else.
const MACHINE_MADE: [&str; 33] = [
    "admin",
    "agent",
    "body",
    "channel",
    "denied_by",
    "dir",
    "endpoint",
    "exchange",
    "exchange_usd",
    "file",
    "input_sha256",
    "key",
    "kind",
    "level",
    "listen",
    "metric",
    "outcome",
    "path",
    "pricing",
    "recorded",
    "session",
    "session_usd",
    "set_aside",
    "signal",
    "state",
    "status",
    "team",
    "to",
    "tool_name",
    "tool_use_id",
    "until",
    "upstream",
    "witness",
];

/// One value as it may be written.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// A number or a truth.
    Number(Value),
    /// A text under a name of [`MACHINE_MADE`].
    Name(String),
    /// Any other text.
    Text(Redacted),
}

impl Said {
    fn of(name: &str, text: &str) -> Said {
        if MACHINE_MADE.contains(&name) {
            return Said::Name(text.to_owned());
        }
        Said::Text(redacted(text))
    }

    fn text(&self) -> Option<&str> {
        match self {
            Said::Number(_) => None,
            Said::Name(text) => Some(text),
            Said::Text(text) => Some(text.as_str()),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.text()) {
            (Said::Number(number), _) => number.fmt(f),
            (_, text) => Value::from(text.unwrap_or_default()).fmt(f),
        }
    }
}

/// A text from anywhere.
fn redacted(text: &str) -> Redacted {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(Redactor::default).redact(text, &mut Known::default()).text
}

/// The facts of an event.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) message: Option<Redacted>,
    /// In the order of the source.
    pub(super) fields: Vec<(String, Said)>,
}

impl Facts {
    pub(super) fn of(event: &Event<'_>) -> Facts {
        let mut facts = Facts::default();
        event.record(&mut facts);
        facts
    }

    /// A message without fields yet.
    pub(super) fn saying(message: &str) -> Facts {
        Facts { message: Some(redacted(message)), fields: Vec::new() }
    }

    fn message(&self) -> &str {
        self.message.as_ref().map_or("", Redacted::as_str)
    }

    fn put(&mut self, field: &Field, value: Said) {
        let name = match field.name() {
            name if RESERVED.contains(&name) => format!("{name}_"),
            name => name.to_owned(),
        };
        self.fields.push((name, value));
    }
}

impl Visit for Facts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = Some(redacted(value)),
            name => self.put(field, Said::of(name, value)),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Said::Number(Value::from(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Said::Number(Value::from(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Said::Number(Value::from(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Said::Number(Value::from(value)));
    }
}

/// What stands around the facts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Nanoseconds since 1970 (UTC).
    pub(super) wall_ns: u64,
    pub(super) level: Level,
    pub(super) target: &'a str,
    /// The instance and this process, once they are known.
    pub(super) identity: Option<&'a (String, String)>,
}

/// The name of a level, as `log.level` has it.
pub(super) const fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn timestamp(wall_ns: u64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(wall_ns.into()).unwrap_or_default();
    format!("{moment:.3}")
}

/// `{"timestamp":…,"level":…,"message":…,…}` and a newline.
pub(super) fn json(frame: &Frame<'_>, facts: &Facts) -> String {
    let mut line = Line(String::with_capacity(256));
    line.put("timestamp", &Value::String(timestamp(frame.wall_ns)));
    line.put("level", &Value::from(level_name(frame.level)));
    line.put("message", &Value::from(facts.message()));
    for (name, value) in &facts.fields {
        line.put(name, value);
    }
    line.put("target", &Value::from(frame.target));
    if let Some((instance, boot)) = frame.identity {
        line.put("instance", &Value::from(instance.as_str()));
        line.put("boot", &Value::from(boot.as_str()));
    }
    line.0.push_str("}\n");
    line.0
}

/// A JSON object whose members stay in their order.
struct Line(String);

impl Line {
    fn put(&mut self, name: &str, value: &dyn fmt::Display) {
        let before = if self.0.is_empty() { '{' } else { ',' };
        // Writing into a string cannot fail.
        let _ = write!(self.0, "{before}{}:{value}", Value::from(name));
    }
}

/// `2026-11-25T02:13:00.123Z info  message  name=value` and a newline.
pub(super) fn text(frame: &Frame<'_>, facts: &Facts, is_coloured: bool) -> String {
    let colour = match frame.level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        Level::DEBUG | Level::TRACE => "2",
    };
    let paint = |text: &str, code: &str| match is_coloured {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let level = format!("{:<5}", level_name(frame.level));
    let mut line = format!("{} {}", paint(&timestamp(frame.wall_ns), "2"), paint(&level, colour));
    line.push(' ');
    harmless(&mut line, facts.message());
    for (name, value) in &facts.fields {
        line.push_str("  ");
        line.push_str(&paint(&format!("{name}="), "2"));
        match value.text() {
            Some(text) => harmless(&mut line, text),
            None => line.push_str(&value.to_string()),
        }
    }
    line.push('\n');
    line
}

/// Text without what a terminal obeys: line ends and other control characters are written out.
fn harmless(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let message = Some(redacted("two\nlines \u{1b}[2J"));
        let fields = vec![
            ("count".to_owned(), Said::Number(Value::from(3))),
            ("error".to_owned(), Said::of("error", "no \"room\"\r\nleft")),
        ];
        Facts { message, fields }
    }

    fn frame(identity: Option<&(String, String)>) -> Frame<'_> {
        let wall_ns = 1_764_036_780_123_456_789;
        Frame { wall_ns, level: Level::WARN, target: "weighbridge::app", identity }
    }

    #[test]
    fn json_is_one_line_with_stable_names() {
        let identity = ("wb-1".to_owned(), "b0".to_owned());
        let line = json(&frame(Some(&identity)), &facts());
        assert_eq!(line.matches('\n').count(), 1);
        let start =
            r#"{"timestamp":"2025-11-25T02:13:00.123Z","level":"warn","message":"two\nlines "#;
        assert!(line.starts_with(start), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["count"], &value["instance"]), (&Value::from(3), &Value::from("wb-1")));
        assert_eq!(value["error"], "no \"room\"\r\nleft");
        assert_eq!((&value["boot"], &value["target"]), (&"b0".into(), &"weighbridge::app".into()));
        let early: Value = serde_json::from_str(&json(&frame(None), &facts())).unwrap();
        assert!(early.get("instance").is_none());
    }

    #[test]
    fn a_text_is_redacted_unless_a_machine_made_it() {
        let said = |name: &str, text: &str| Said::of(name, text).to_string();
        let text = "patient Jane Roe, SSN 123-45-6789";
        assert_eq!(said("error", text), "\"patient [NAME], SSN [SSN]\"");
        assert_eq!(said("whatever_is_new", text), said("error", text));
        let id = "0199a0b2-7c11-7d3e-8f00-000000000001";
        assert_eq!(said("exchange", id), format!("\"{id}\""));
        for why in [
            "a sync failed (No space left on device (os error 28))",
            "cannot read /var/lib/weighbridge/segments/00000000000000000000.jsonl: Permission denied",
            "connection refused to 127.0.0.1:8484 after 3 attempts in 1500 ms",
            "The first call came: claude-opus-5-5, 12278 tokens, cost $0.066096. It is in the ledger.",
        ] {
            assert_eq!(said("error", why), Value::from(why).to_string());
        }
    }

    #[test]
    fn text_is_one_line_that_no_terminal_obeys() {
        let line = text(&frame(None), &facts(), false);
        let expected = "2025-11-25T02:13:00.123Z warn  two\\nlines \\u{1b}[2J  count=3  \
                        error=no \"room\"\\r\\nleft\n";
        assert_eq!(line, expected);
        assert!(text(&frame(None), &facts(), true).contains("\u{1b}[33mwarn"));
    }
}
