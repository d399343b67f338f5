//! The forms in which a value can have slipped through, and the search for all of them at once.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::bytes::{Regex, RegexBuilder};

use super::planted::Canary;

/// A shorter needle could be found by chance.
const NEEDLE_BYTES_MIN: usize = 8;

/// Everything that `value` can look like. ASCII letters are compared without their case, so
/// upper and lower case differ here for the others only.
pub fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = value.as_bytes();
    let percent = |plain: fn(u8) -> bool| {
        let one = |byte: &u8| match plain(*byte) {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02x}"),
        };
        bytes.iter().map(one).collect::<String>()
    };
    let json = |plain: fn(char) -> bool| {
        let one = |c: char| match plain(c) {
            true => c.to_string(),
            false => c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect(),
        };
        value.chars().map(one).collect::<String>()
    };
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut all = vec![
        ("as it is", value.to_owned()),
        ("upper case", value.to_uppercase()),
        ("lower case", value.to_lowercase()),
        ("reversed", value.chars().rev().collect()),
        ("URL-escaped", percent(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))),
        ("URL-escaped whole", percent(|_| false)),
        ("JSON-escaped", json(|c| c.is_ascii())),
        ("JSON-escaped whole", json(|_| false)),
        ("hexadecimal", hex),
    ];
    for offset in 0..3 {
        let shifted = [&[0; 2][..offset], bytes].concat();
        // Characters that hold bits of a neighbour are left out.
        let (from, to) = ([0, 2, 3][offset], shifted.len() * 8 / 6);
        all.push(("base64", STANDARD_NO_PAD.encode(&shifted)[from..to].to_owned()));
        all.push(("base64 for URLs", URL_SAFE_NO_PAD.encode(&shifted)[from..to].to_owned()));
    }
    all.into_iter().map(|(form, text)| (form, text.into_bytes())).collect()
}

/// Finds every canary in every form.
pub struct Search {
    any: Regex,
    known: HashMap<Vec<u8>, (String, &'static str)>,
}

impl Search {
    pub fn new<'a>(canaries: impl IntoIterator<Item = &'a Canary>) -> Search {
        let mut known = HashMap::new();
        for canary in canaries {
            for (form, needle) in forms(&canary.value) {
                assert!(needle.len() >= NEEDLE_BYTES_MIN, "{canary:?} is too short");
                let what = (format!("{} ({})", canary.value, canary.place), form);
                known.entry(needle.to_ascii_lowercase()).or_insert(what);
            }
        }
        let text = |needle: &Vec<u8>| regex::escape(std::str::from_utf8(needle).expect("UTF-8"));
        let pattern = known.keys().map(text).collect::<Vec<_>>().join("|");
        let any = RegexBuilder::new(&pattern).size_limit(1 << 30).dfa_size_limit(1 << 28).build();
        Search { any: any.expect("a pattern"), known }
    }

    /// What is found: canary, its place, its form, and what stands around it.
    pub fn find(&self, bytes: &[u8]) -> Vec<String> {
        let folded = bytes.to_ascii_lowercase();
        let found = self.any.find_iter(&folded).map(|at| {
            let (canary, form) = &self.known[at.as_bytes()];
            let around = at.start().saturating_sub(120)..(at.end() + 60).min(bytes.len());
            let around = String::from_utf8_lossy(&bytes[around]).into_owned();
            format!("{canary}, {form}: {around:?}")
        });
        found.collect()
    }
}
