//! JSON read with an eye for keys that come twice: two counts for one field are no count.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A value, and whether any object in it names a key twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The value; of a key that comes twice, the last.
    pub value: Value,
    /// Some object names a key twice.
    pub has_duplicate: bool,
}

/// Reads one JSON value.
///
/// # Errors
///
/// The text is not one JSON value.
pub fn parse(text: &str) -> Result<Parsed, serde_json::Error> {
    let seen = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Seed(&seen).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Parsed { value, has_duplicate: seen.get() })
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
    use super::*;

    #[test]
    fn reads_what_serde_json_reads_and_sees_keys_that_come_twice() {
        let plain = r#"{"a":[1,-2,1.5,null,true,"x"],"b":{"a":{}},"c":18446744073709551615}"#;
        let parsed = parse(plain).unwrap();
        assert_eq!(parsed.value, serde_json::from_str::<Value>(plain).unwrap());
        assert!(!parsed.has_duplicate);
        let twice = parse(r#"[{"a":{"b":1,"c":0,"b":2}}]"#).unwrap();
        assert_eq!((&twice.value[0]["a"]["b"], twice.has_duplicate), (&Value::from(2), true));
        for wrong in ["", "{", "{} {}", "nul", &"[".repeat(1000)] {
            assert!(parse(wrong).is_err(), "{wrong:.9}");
        }
    }
}
