//! The API's usage objects merged into one [`Usage`].
//!
//! `message_start` has the whole object with a placeholder output count; every `message_delta` is
//! *cumulative* and has some fields. So per field the last value that is there and not null holds,
//! and nothing is ever added up. What a delta leaves out (the split by time to live, tier,
//! geography, speed) stays as `message_start` said.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::accounting::usage::{CacheCreation, OutputTokensDetails, ServerToolUse};
use crate::accounting::{Flag, Iteration, Usage};

/// The longest tier, geography, speed, iteration type or model: these reach the ledger as they are.
const WORD_BYTES_MAX: usize = 64;

/// The most iterations that are kept one by one: an entry of the ledger is bounded. One response
/// has a handful; what comes after is added to the last one of its type and model.
const ITERATIONS_MAX: usize = 24;

/// The largest count: 2⁶³. Beyond it a value is damage, not usage.
const COUNT_MAX: u64 = 1 << 63;

/// The counters of a usage itself.
const COUNTERS: [&str; 4] =
    ["cache_creation_input_tokens", "cache_read_input_tokens", "input_tokens", "output_tokens"];

/// An iteration whose type cannot be written down; no price list knows it.
const UNREADABLE_TYPE: &str = "unreadable";

/// Usage under construction.
#[derive(Debug, Default)]
pub struct UsageMerge {
    usage: Usage,
    /// Output tokens of the last delta; the start's count is a placeholder and may be higher.
    output_reported: Option<u64>,
    flags: BTreeSet<Flag>,
}

impl UsageMerge {
    /// Merges the usage of `message_start` or of a whole message.
    pub fn start(&mut self, usage: &Value) {
        self.merge(usage);
    }

    /// Merges the usage of a `message_delta`.
    pub fn delta(&mut self, usage: &Value) {
        self.merge(usage);
        let reported = usage.get("output_tokens").and_then(Value::as_u64);
        if reported.is_some() {
            if reported < self.output_reported {
                self.flags.insert(Flag::UsageAnomaly);
            }
            self.output_reported = reported;
        }
    }

    /// The usage, `None` where no field was ever seen, and what must be known about it.
    #[must_use]
    pub fn finish(self) -> (Option<Usage>, BTreeSet<Flag>) {
        let seen = self.usage != Usage::default();
        (seen.then_some(self.usage), self.flags)
    }

    fn merge(&mut self, value: &Value) {
        let mut fields = Fields { value, flags: &mut self.flags };
        if !fields.is_object() {
            return;
        }
        let usage = &mut self.usage;
        fields.count("input_tokens", &mut usage.input_tokens);
        fields.count("output_tokens", &mut usage.output_tokens);
        fields.count("cache_creation_input_tokens", &mut usage.cache_creation_input_tokens);
        fields.count("cache_read_input_tokens", &mut usage.cache_read_input_tokens);
        fields.word("service_tier", &mut usage.service_tier);
        fields.word("inference_geo", &mut usage.inference_geo);
        fields.word("speed", &mut usage.speed);
        fields.cache_creation(&mut usage.cache_creation);
        if let Some(mut inner) = fields.object("output_tokens_details") {
            let details = usage.output_tokens_details.get_or_insert(OutputTokensDetails::default());
            inner.count("thinking_tokens", &mut details.thinking_tokens);
        }
        if let Some(mut inner) = fields.object("server_tool_use") {
            let tools = usage.server_tool_use.get_or_insert(ServerToolUse::default());
            inner.count("web_fetch_requests", &mut tools.web_fetch_requests);
            inner.count("web_search_requests", &mut tools.web_search_requests);
            inner.other_meters(&["web_fetch_requests", "web_search_requests"]);
        }
        fields.iterations(&mut usage.iterations);
        fields.other_tokens();
    }
}

/// The fields of one object of the API's, read with tolerance: null is absent, and what is not a
/// count or a plain word becomes absent and is flagged.
struct Fields<'v, 'f> {
    value: &'v Value,
    flags: &'f mut BTreeSet<Flag>,
}

impl<'v> Fields<'v, '_> {
    fn is_object(&mut self) -> bool {
        if !self.value.is_object() && !self.value.is_null() {
            self.flags.insert(Flag::UsageAnomaly);
        }
        self.value.is_object()
    }

    fn present(&self, key: &str) -> Option<&'v Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    fn count(&mut self, key: &str, field: &mut Option<u64>) {
        let Some(value) = self.present(key) else { return };
        *field = value.as_u64().filter(|count| *count <= COUNT_MAX);
        if field.is_none() {
            self.flags.insert(Flag::UsageAnomaly);
        }
    }

    /// Counters that this version does not know: what they count may cost something.
    fn other_meters(&mut self, known: &[&str]) {
        let counts = self.value.as_object().into_iter().flatten();
        let mut others = counts.filter(|(key, _)| !known.contains(&key.as_str()));
        if others.any(|(_, count)| count.as_f64().is_some_and(|count| count != 0.0)) {
            self.flags.insert(Flag::UnknownMeter);
        }
    }

    /// Counters of tokens beside those that this version knows.
    fn other_tokens(&mut self) {
        let counts = self.value.as_object().into_iter().flatten();
        let others = counts.filter(|(key, _)| !COUNTERS.contains(&key.as_str()));
        let mut others = others.filter(|(key, _)| key.ends_with("_tokens"));
        if others.any(|(_, count)| count.as_f64().is_some_and(|count| count != 0.0)) {
            self.flags.insert(Flag::UnknownMeter);
        }
    }

    fn word(&mut self, key: &str, field: &mut Option<String>) {
        let Some(value) = self.present(key) else { return };
        *field = value.as_str().filter(|text| is_word(text)).map(str::to_owned);
        if field.is_none() {
            self.flags.insert(Flag::UsageAnomaly);
        }
    }

    fn object(&mut self, key: &str) -> Option<Fields<'v, '_>> {
        let value = self.value.get(key)?;
        let mut inner = Fields { value, flags: self.flags };
        inner.is_object().then_some(inner)
    }

    fn cache_creation(&mut self, field: &mut Option<CacheCreation>) {
        let Some(mut inner) = self.object("cache_creation") else { return };
        let split = field.get_or_insert(CacheCreation::default());
        inner.count("ephemeral_1h_input_tokens", &mut split.ephemeral_1h_input_tokens);
        inner.count("ephemeral_5m_input_tokens", &mut split.ephemeral_5m_input_tokens);
    }

    fn iterations(&mut self, field: &mut Vec<Iteration>) {
        let Some(value) = self.present("iterations") else { return };
        let Some(list) = value.as_array() else {
            self.flags.insert(Flag::UsageAnomaly);
            return;
        };
        let mut kept: Vec<Iteration> = Vec::with_capacity(list.len().min(ITERATIONS_MAX));
        for value in list {
            let one = Fields { value, flags: self.flags }.iteration();
            if kept.len() < ITERATIONS_MAX {
                kept.push(one);
                continue;
            }
            self.flags.insert(Flag::InspectionTruncated);
            let alike = |known: &&mut Iteration| known.kind == one.kind && known.model == one.model;
            if !kept.iter_mut().rev().find(alike).is_some_and(|last| added(last, &one)) {
                self.flags.insert(Flag::UsageAnomaly);
            }
        }
        *field = kept;
    }

    fn iteration(&mut self) -> Iteration {
        let mut iteration = Iteration::default();
        let mut kind = None;
        self.word("type", &mut kind);
        iteration.kind = kind.unwrap_or_else(|| {
            self.flags.insert(Flag::UsageAnomaly);
            UNREADABLE_TYPE.to_owned()
        });
        self.word("model", &mut iteration.model);
        self.count("input_tokens", &mut iteration.input_tokens);
        self.count("output_tokens", &mut iteration.output_tokens);
        self.count("cache_creation_input_tokens", &mut iteration.cache_creation_input_tokens);
        self.count("cache_read_input_tokens", &mut iteration.cache_read_input_tokens);
        self.cache_creation(&mut iteration.cache_creation);
        iteration
    }
}

/// Adds the counts of one iteration to another's; says whether they fit.
fn added(sum: &mut Iteration, one: &Iteration) -> bool {
    let split = (sum.cache_creation.take().unwrap_or_default(), one.cache_creation);
    let (mut total, more) = (split.0, split.1.unwrap_or_default());
    let mut fit = true;
    for (field, more) in [
        (&mut sum.input_tokens, one.input_tokens),
        (&mut sum.output_tokens, one.output_tokens),
        (&mut sum.cache_creation_input_tokens, one.cache_creation_input_tokens),
        (&mut sum.cache_read_input_tokens, one.cache_read_input_tokens),
        (&mut total.ephemeral_1h_input_tokens, more.ephemeral_1h_input_tokens),
        (&mut total.ephemeral_5m_input_tokens, more.ephemeral_5m_input_tokens),
    ] {
        let Some(more) = more else { continue };
        let both = field.unwrap_or(0).checked_add(more).filter(|both| *both <= COUNT_MAX);
        fit &= both.is_some();
        *field = both.or(*field);
    }
    sum.cache_creation = (total != CacheCreation::default()).then_some(total);
    fit
}

fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(start: Value, deltas: &[Value]) -> (Option<Usage>, Vec<Flag>) {
        let mut merge = UsageMerge::default();
        merge.start(&start);
        deltas.iter().for_each(|delta| merge.delta(delta));
        let (usage, flags) = merge.finish();
        (usage, flags.into_iter().collect())
    }

    #[test]
    fn a_counter_of_tokens_that_is_not_known_is_flagged() {
        let known = json!({"input_tokens": 1, "output_tokens": 2, "audio_tokens": 0});
        assert_eq!(merged(known, &[]).1, []);
        let new = json!({"output_tokens": 2, "audio_output_tokens": 9});
        assert_eq!(merged(json!({"input_tokens": 1}), &[new]).1, [Flag::UnknownMeter]);
    }

    #[test]
    fn the_last_value_that_is_there_holds() {
        let start = json!({
            "input_tokens": 2679, "output_tokens": 8, "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 0, "service_tier": "standard", "inference_geo": "us",
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        });
        let delta = json!({
            "input_tokens": 10_682, "output_tokens": 2, "cache_read_input_tokens": null,
            "server_tool_use": {"web_search_requests": 1},
            "output_tokens_details": {"thinking_tokens": 1},
        });
        let (usage, flags) = merged(start, &[json!({"output_tokens": 2}), delta]);
        let usage = usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (Some(10_682), Some(2)));
        assert_eq!(usage.cache_read_input_tokens, Some(5));
        assert_eq!(usage.cache_creation.unwrap().ephemeral_1h_input_tokens, Some(4));
        assert_eq!(usage.service_tier.as_deref(), Some("standard"));
        assert_eq!(usage.server_tool_use.unwrap().web_search_requests, Some(1));
        assert_eq!(usage.output_tokens_details.unwrap().thinking_tokens, Some(1));
        assert!(flags.is_empty(), "{flags:?}");
    }

    #[test]
    fn what_is_not_a_count_is_unknown() {
        for bad in [json!(-1), json!(1.5), json!("7"), json!(u64::MAX), json!([1]), json!(true)] {
            let (usage, flags) = merged(json!({"input_tokens": bad, "output_tokens": 1}), &[]);
            assert_eq!(usage.unwrap().input_tokens, None);
            assert_eq!(flags, [Flag::UsageAnomaly]);
        }
        let (usage, flags) = merged(json!({"input_tokens": COUNT_MAX}), &[]);
        assert_eq!((usage.unwrap().input_tokens, flags.len()), (Some(COUNT_MAX), 0));
    }

    #[test]
    fn nothing_seen_is_unknown() {
        for empty in [json!({}), json!(null), json!({"input_tokens": null, "new": 4})] {
            assert_eq!(merged(empty, &[]), (None, vec![]));
        }
        assert_eq!(merged(json!("12"), &[]), (None, vec![Flag::UsageAnomaly]));
    }

    #[test]
    fn a_count_that_falls_is_flagged_and_taken() {
        let deltas = [json!({"output_tokens": 9}), json!({}), json!({"output_tokens": 7})];
        let (usage, flags) = merged(json!({"output_tokens": 1}), &deltas);
        assert_eq!(usage.unwrap().output_tokens, Some(7));
        assert_eq!(flags, [Flag::UsageAnomaly]);
    }

    #[test]
    fn iterations_are_kept_and_free_text_is_not() {
        let delta = json!({"iterations": [
            {"type": "compaction", "input_tokens": 4, "output_tokens": 2, "model": null},
            {"type": "fallback_message", "model": "claude-opus-5-5", "cache_creation":
                {"ephemeral_1h_input_tokens": 6}},
            {"type": "a word with blanks", "model": "x".repeat(65)},
        ]});
        let (usage, flags) = merged(json!({"speed": "free text"}), &[delta]);
        let usage = usage.unwrap();
        let kinds: Vec<&str> = usage.iterations.iter().map(|part| part.kind.as_str()).collect();
        assert_eq!(kinds, ["compaction", "fallback_message", UNREADABLE_TYPE]);
        assert_eq!(usage.iterations[0].output_tokens, Some(2));
        assert_eq!(usage.iterations[1].model.as_deref(), Some("claude-opus-5-5"));
        assert_eq!((&usage.iterations[2].model, &usage.speed), (&None, &None));
        assert_eq!(flags, [Flag::UsageAnomaly]);
        let one = json!({"type": "message", "input_tokens": 3, "output_tokens": 1});
        let many = json!({"iterations": vec![one; ITERATIONS_MAX + 2]});
        let (usage, flags) = merged(many, &[]);
        let kept = usage.unwrap().iterations;
        let input: u64 = kept.iter().filter_map(|one| one.input_tokens).sum();
        assert_eq!((kept.len(), input), (ITERATIONS_MAX, 3 * (ITERATIONS_MAX as u64 + 2)));
        assert_eq!(flags, [Flag::InspectionTruncated]);
    }

    #[test]
    fn a_meter_that_nobody_knows_is_flagged() {
        let of = |tools: Value| merged(json!({"input_tokens": 1, "server_tool_use": tools}), &[]).1;
        assert_eq!(of(json!({"web_search_requests": 2, "new_requests": 0, "note": "x"})), []);
        assert_eq!(of(json!({"code_execution_requests": 1})), [Flag::UnknownMeter]);
    }
}
