//! Events against the published OCSF schema: facts taken out of it by
//! `tests/fixtures/ocsf/extract.py`.

use regex::Regex;
use serde_json::{Map, Value};

/// 1.9.0 is not tagged: the facts are those of commit a5cfc68 (2026-07), whose `version.json` says
/// 1.9.0-dev.
const FACTS: [(&str, &str); 2] = [
    ("1.6.0", include_str!("../fixtures/ocsf/1.6.0.json")),
    ("1.9.0", include_str!("../fixtures/ocsf/1.9.0-dev.json")),
];

/// One version of the schema.
pub struct Schema {
    version: &'static str,
    facts: Value,
}

/// What is wrong with one event, each with its place.
struct Check<'s> {
    facts: &'s Value,
    /// Profiles that the event declares.
    profiles: Vec<&'s str>,
    problems: Vec<String>,
}

impl Schema {
    pub fn of(version: &str) -> Schema {
        let (version, text) = FACTS.into_iter().find(|(name, _)| *name == version).unwrap();
        Schema { version, facts: serde_json::from_str(text).unwrap() }
    }

    /// The name of a class, where the facts have it.
    pub fn class(&self, uid: u64) -> Option<&str> {
        self.facts["classes"][uid.to_string()]["name"].as_str()
    }

    /// Everything that the schema does not allow.
    pub fn problems(&self, event: &Value) -> Vec<String> {
        let number = |name: &str| event[name].as_u64().unwrap_or(u64::MAX);
        let class = &self.facts["classes"][number("class_uid").to_string()];
        let Some(whole) = event.as_object().filter(|_| class.is_object()) else {
            return vec![format!("class_uid: {} is no class of the facts", event["class_uid"])];
        };
        let declared = event["metadata"]["profiles"].as_array().into_iter().flatten();
        let profiles = declared.filter_map(Value::as_str).collect();
        let mut check = Check { facts: &self.facts, profiles, problems: Vec::new() };
        check.object("", class, whole);
        for profile in check.profiles.clone() {
            if !class["profiles"].as_array().unwrap().contains(&profile.into()) {
                check.problem("metadata.profiles", &format!("the class has no {profile}"));
            }
        }
        if number("category_uid") != class["category_uid"].as_u64().unwrap() {
            check.problem("category_uid", "is not that of the class");
        }
        let kind = number("class_uid").wrapping_mul(100).wrapping_add(number("activity_id"));
        if number("type_uid") != kind {
            check.problem("type_uid", "is not class_uid * 100 + activity_id");
        }
        if event["metadata"]["version"] != self.version {
            check.problem("metadata.version", "is not the schema's");
        }
        check.problems
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl<'s> Check<'s> {
    fn problem(&mut self, path: &str, what: &str) {
        self.problems.push(format!("{path}: {what}"));
    }

    /// Whether an attribute is there at all: some are of a profile.
    fn holds(&self, attribute: &Value) -> bool {
        attribute["profile"].as_str().is_none_or(|profile| self.profiles.contains(&profile))
    }

    /// A class or an object.
    fn object(&mut self, path: &str, facts: &Value, found: &Map<String, Value>) {
        let attributes = facts["attributes"].as_object().unwrap();
        for (name, attribute) in attributes {
            let is_due = attribute["requirement"] == "required" && self.holds(attribute);
            if is_due && !found.contains_key(name) {
                self.problem(&below(path, name), "is required");
            }
        }
        for (name, value) in found {
            let path = below(path, name);
            match attributes.get(name) {
                Some(attribute) if self.holds(attribute) => {
                    self.attribute(&path, attribute, value);
                    self.sibling(&path, attribute, value, found);
                }
                Some(attribute) => {
                    self.problem(&path, &format!("needs profile {}", attribute["profile"]));
                }
                None => self.problem(&path, "is unknown"),
            }
        }
        for (constraint, names) in facts["constraints"].as_object().into_iter().flatten() {
            let names = names.as_array().unwrap();
            let there = names.iter().filter(|n| found.contains_key(n.as_str().unwrap())).count();
            let is_met = match constraint.as_str() {
                "at_least_one" => there > 0,
                "just_one" => there == 1,
                _ => false,
            };
            if !is_met {
                self.problem(path, &format!("{constraint} of {names:?}: there are {there}"));
            }
        }
    }

    fn attribute(&mut self, path: &str, attribute: &Value, value: &Value) {
        if attribute["deprecated"] == true {
            self.problem(path, "is deprecated");
        }
        match (attribute["is_array"] == true, value) {
            (true, Value::Array(values)) => {
                for (at, value) in values.iter().enumerate() {
                    self.value(&format!("{path}[{at}]"), attribute, value);
                }
            }
            (true, _) => self.problem(path, "is not an array"),
            (false, _) => self.value(path, attribute, value),
        }
    }

    fn value(&mut self, path: &str, attribute: &Value, value: &Value) {
        let kind = attribute["type"].as_str().unwrap();
        let facts: &'s Value = self.facts;
        let known = &facts["objects"][kind];
        if kind == "object" {
            // Free: `unmapped`.
            if !value.is_object() {
                self.problem(path, "is not an object");
            }
        } else if known.is_object() {
            if known["deprecated"] == true {
                self.problem(path, &format!("{kind} is deprecated"));
            }
            match value.as_object() {
                Some(found) => self.object(path, known, found),
                None => self.problem(path, &format!("is not an object {kind}")),
            }
        } else {
            self.scalar(path, kind, value);
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if attribute["enum"].as_object().is_some_and(|known| !known.contains_key(&text)) {
            self.problem(path, &format!("{text} is not a known value"));
        }
    }

    fn scalar(&mut self, path: &str, kind: &str, value: &Value) {
        let facts = &self.facts["types"][kind];
        if !facts.is_object() {
            return self.problem(path, &format!("extract.py does not take {kind}: add it there"));
        }
        let is_right = match facts["type"].as_str().unwrap_or(kind) {
            "string_t" => value.as_str().is_some_and(|text| !text.is_empty()),
            "integer_t" | "long_t" => value.is_i64(),
            "float_t" => value.is_number(),
            "boolean_t" => value.is_boolean(),
            "json_t" => true,
            _ => false,
        };
        let text = value.as_str().unwrap_or_default();
        let regex = facts["regex"].as_str();
        let is_like = regex.is_none_or(|regex| Regex::new(regex).unwrap().is_match(text));
        let fits = facts["max_len"].as_u64().is_none_or(|most| text.len() as u64 <= most);
        let range = facts["range"].as_array();
        let is_within = range.is_none_or(|range| {
            value.as_i64() >= range[0].as_i64() && value.as_i64() <= range[1].as_i64()
        });
        if !(is_right && is_like && fits && is_within) {
            self.problem(path, &format!("{value} is no {kind}"));
        }
    }

    /// The name beside a number: that of the known value, or the source's own for 99.
    fn sibling(
        &mut self,
        path: &str,
        attribute: &Value,
        value: &Value,
        found: &Map<String, Value>,
    ) {
        let Some(sibling) = attribute["sibling"].as_str() else { return };
        let caption = &attribute["enum"][value.to_string()];
        match found.get(sibling) {
            None if value == 99 => self.problem(path, &format!("is 99 without {sibling}")),
            Some(name) if value != 99 && !caption.is_null() && name != caption => {
                self.problem(path, &format!("{sibling} is {name}, not {caption}"));
            }
            _ => {}
        }
    }
}
