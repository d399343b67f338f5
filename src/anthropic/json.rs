//! JSON read with an eye for keys that come twice: two counts for one field are no count.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A value, and whether any object in it names a key twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The value; of a key that comes twice, the last.
    pub value: Value,
    /// Some object names a key twice.
    pub has_duplicate: bool,
}

/// Objects and lists in each other, where a number is too large to be read the usual way.
const DEPTH_MAX: usize = 32;

/// Reads one JSON value. A number that is too large for any type (`1e400`) becomes its text: it
/// is JSON, and no count, and does not hide what stands beside it. Half a surrogate pair, which
/// JavaScript writes as it is, becomes the replacement character.
///
/// # Errors
///
/// The text is not one JSON value.
pub fn parse(text: &str) -> Result<Parsed, serde_json::Error> {
    match parse_whole(text) {
        Err(error) if error.is_syntax() => match whole_surrogates(text) {
            Some(text) => parse_whole(&text),
            None => Err(error),
        },
        parsed => parsed,
    }
}

/// The text with `\ufffd` for each half of a surrogate pair that stands alone; `None` where none
/// does.
fn whole_surrogates(text: &str) -> Option<String> {
    let half = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        let code = u16::from_str_radix(digits, 16).ok()?;
        (0xd800..0xe000).contains(&code).then_some(code)
    };
    let (mut whole, mut at, mut kept) = (String::new(), 0, 0);
    while let Some(next) = memchr::memchr(b'\\', &text.as_bytes()[at..]) {
        at += next;
        match (half(at), half(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..)) => at += 12,
            (Some(_), _) => {
                whole.push_str(text.get(kept..at)?);
                whole.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
            // The byte behind it belongs to it, which may be a second one.
            (None, _) => at = (at + 2).min(text.len()),
        }
    }
    whole.push_str(text.get(kept..)?);
    (kept > 0).then_some(whole)
}

fn parse_whole(text: &str) -> Result<Parsed, serde_json::Error> {
    let seen = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = match Seed(&seen).deserialize(&mut deserializer) {
        Ok(value) => value,
        Err(error) if error.is_syntax() => {
            seen.set(false);
            let raw: Option<&RawValue> = serde_json::from_str(text).ok();
            let Some(value) = raw.and_then(|raw| with_any_number(raw, &seen, DEPTH_MAX)) else {
                return Err(error);
            };
            return Ok(Parsed { value, has_duplicate: seen.get() });
        }
        Err(error) => return Err(error),
    };
    deserializer.end()?;
    Ok(Parsed { value, has_duplicate: seen.get() })
}

/// The value of a text that is JSON; `None` where it is too deep.
fn with_any_number(raw: &RawValue, seen: &Cell<bool>, depth: usize) -> Option<Value> {
    let (text, depth) = (raw.get(), depth.checked_sub(1)?);
    match text.as_bytes().first()? {
        b'{' => {
            let Entries(entries) = serde_json::from_str(text).ok()?;
            let mut map = Map::new();
            for (key, value) in entries {
                if map.insert(key, with_any_number(value, seen, depth)?).is_some() {
                    seen.set(true);
                }
            }
            Some(Value::Object(map))
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let items = items.into_iter().map(|item| with_any_number(item, seen, depth));
            items.collect::<Option<Vec<_>>>().map(Value::Array)
        }
        b'-' | b'0'..=b'9' => Some(serde_json::from_str(text).unwrap_or_else(|_| text.into())),
        _ => serde_json::from_str(text).ok(),
    }
}

/// An object's entries as they stand.
struct Entries<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

#[derive(Clone, Copy)]
struct Seed<'c>(&'c Cell<bool>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if map.insert(key, value).is_some() {
                self.0.set(true);
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_serde_json_reads_and_sees_keys_that_come_twice() {
        let plain = r#"{"a":[1,-2,1.5,null,true,"x"],"b":{"a":{}},"c":18446744073709551615}"#;
        let parsed = parse(plain).unwrap();
        assert_eq!(parsed.value, serde_json::from_str::<Value>(plain).unwrap());
        assert!(!parsed.has_duplicate);
        let twice = parse(r#"[{"a":{"b":1,"c":0,"b":2}}]"#).unwrap();
        assert_eq!((&twice.value[0]["a"]["b"], twice.has_duplicate), (&Value::from(2), true));
        let huge = parse(r#"{"id":7,"usage":{"a":[1e400,-2,"x"],"b":null,"b":true}}"#).unwrap();
        assert_eq!(huge.value, json!({"id": 7, "usage": {"a": ["1e400", -2, "x"], "b": true}}));
        assert!(huge.has_duplicate);
        for (half, whole) in [
            (
                r#"{"a":"\ud83d","b":"\ude00\ud83d"}"#,
                json!({"a": "\u{fffd}", "b": "\u{fffd}\u{fffd}"}),
            ),
            (r#"["\ud83d\ude00","\\ud83d","\udfff"]"#, json!(["😀", "\\ud83d", "\u{fffd}"])),
            (
                r#"{"\ud83d":1e400,"x":"\uD83Dé\n"}"#,
                json!({"\u{fffd}": "1e400", "x": "\u{fffd}é\n"}),
            ),
        ] {
            assert_eq!(parse(half).unwrap().value, whole, "{half}");
        }
        let deep = format!("{}1e400{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        for wrong in [
            &deep,
            r#"["\ud83d"#,
            r#"["\ud8"]"#,
            r#"["\ud83d\q"]"#,
            "[1e400,]",
            "1e400 1",
            "",
            "{",
            "{} {}",
            "nul",
            &"[".repeat(1000),
        ] {
            assert!(parse(wrong).is_err(), "{wrong:.9}");
        }
    }
}
