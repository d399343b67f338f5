//! The lines the index reads, borrowed from the batch's buffer and parsed once.
//!
//! Numbers are `i64` because that is what a column holds; only fields with a column are named.
//! They are text here, not the enums of `record`, so that a line of a newer version with a new
//! outcome or flag is still counted.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::batches::row_id;
use crate::accounting::{Money, TokenKind};
use crate::record::Reattributed;
use crate::record::encoding::{KindFinder, Text};

mod tools;

pub(super) use tools::{Committed, Hook, RuleApplied, ToolsAsked, ToolsReturned};

/// What the kinds of entry about batches begin with.
const BATCH_MARK: &[u8] = b"batch_";
/// The kinds of entry that tell somebody something.
const NOTICES: [&str; 3] = ["budget_crossed", "budget_rearmed", "error_class_seen"];
/// Kinds of token.
const KINDS: usize = TokenKind::ALL.len();

/// A line that matters to the index.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time; a box would be one for every line")]
pub(super) enum Fact<'a> {
    Opened(Envelope<'a, Opened<'a>>),
    Closed(Envelope<'a, Closed<'a>>),
    Batch(BatchFact<'a>),
    Reattributed(Box<Envelope<'a, Reattributed>>),
    Asked(Box<Envelope<'a, ToolsAsked<'a>>>),
    Returned(Box<Envelope<'a, ToolsReturned<'a>>>),
    Hook(Box<Envelope<'a, Hook<'a>>>),
    Rule(Box<Envelope<'a, RuleApplied<'a>>>),
    /// A notice of this kind.
    Notice(&'static str, Box<Envelope<'a, &'a RawValue>>),
    /// Some other kind of entry.
    Other,
}

/// A line about a message batch.
#[derive(Debug)]
pub(super) enum BatchFact<'a> {
    Created(Envelope<'a, BatchCreated<'a>>),
    Result(Box<Envelope<'a, BatchResult<'a>>>),
}

/// What every line has.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a, B> {
    pub(super) body: B,
    #[serde(rename = "i")]
    pub(super) index: i64,
    #[serde(borrow)]
    pub(super) instance: Cow<'a, str>,
    #[serde(rename = "t")]
    pub(super) wall_ns: i64,
}

/// Who made a batch.
#[derive(Debug, Deserialize)]
pub(super) struct BatchCreated<'a> {
    #[serde(borrow)]
    pub(super) batch: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) project: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) team: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) user: Option<Text<'a>>,
}

/// A priced result of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct BatchResult<'a> {
    #[serde(borrow)]
    pub(super) batch: Cow<'a, str>,
    #[serde(borrow)]
    charge: Option<Charge<'a>>,
    created: Option<i64>,
    #[serde(borrow)]
    flags: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) item: Cow<'a, str>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    project: Option<Text<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    team: Cow<'a, str>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<Text<'a>>,
}

impl<'a> Envelope<'a, BatchResult<'a>> {
    /// As an exchange that was opened when the batch was made, as far as that is known, and is
    /// closed.
    pub(super) fn into_exchange(self) -> (Envelope<'a, Opened<'a>>, Envelope<'a, Closed<'a>>) {
        let Envelope { body, index, instance, wall_ns } = self;
        let id: Cow<'a, str> = Cow::Owned(row_id(&body.batch, &body.item));
        let opened = Opened {
            agent: None,
            attempt: 1,
            call: id.clone(),
            endpoint: Cow::Borrowed("batches"),
            exchange: id.clone(),
            key: body.key,
            model: None,
            parent_agent: None,
            project: body.project,
            session: None,
            streamed: 0,
            tags: None,
            team: body.team,
            user: body.user,
        };
        let closed = Closed {
            batch: None,
            charge: body.charge,
            duration_us: None,
            error_class: None,
            error_type: None,
            exchange: id,
            flags: body.flags,
            first_token_us: None,
            model: body.model,
            outcome: Cow::Borrowed("completed"),
            request_id: None,
            status: None,
            stop_reason: body.stop_reason,
            usage: body.usage,
        };
        let opened_at = body.created.unwrap_or(wall_ns);
        (
            Envelope { body: opened, index, instance: instance.clone(), wall_ns: opened_at },
            Envelope { body: closed, index, instance, wall_ns },
        )
    }
}

/// The fields of an opening that have a column.
#[derive(Debug, Deserialize)]
pub(super) struct Opened<'a> {
    #[serde(borrow)]
    pub(super) agent: Option<Text<'a>>,
    pub(super) attempt: u32,
    #[serde(borrow)]
    pub(super) call: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) endpoint: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) exchange: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) parent_agent: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) project: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) session: Option<Text<'a>>,
    pub(super) streamed: u8,
    #[serde(borrow)]
    pub(super) tags: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) team: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) user: Option<Text<'a>>,
}

/// The fields of a closing that have a column.
#[derive(Debug, Deserialize)]
pub(super) struct Closed<'a> {
    #[serde(borrow)]
    pub(super) batch: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) charge: Option<Charge<'a>>,
    pub(super) duration_us: Option<i64>,
    #[serde(borrow)]
    pub(super) error_class: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) error_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) exchange: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) flags: Option<&'a RawValue>,
    pub(super) first_token_us: Option<i64>,
    #[serde(borrow)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) outcome: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) request_id: Option<Text<'a>>,
    pub(super) status: Option<u16>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
}

/// A charge. What is rare is absent in most lines and costs nothing there.
#[derive(Debug, Deserialize)]
pub(super) struct Charge<'a> {
    pub(super) cache_savings_usd: Option<Money>,
    pub(super) estimated_max_usd: Option<Money>,
    pub(super) estimated_usd: Option<Money>,
    #[serde(borrow)]
    pub(super) lines: Option<&'a RawValue>,
    pub(super) list_usd: Option<Money>,
    pub(super) notional: Option<u8>,
    #[serde(borrow)]
    pub(super) pricing: Cow<'a, str>,
    pub(super) usd: Option<Money>,
    pub(super) usd_max: Option<Money>,
}

impl Charge<'_> {
    /// Whether something was billed that has no known amount, not even an estimate.
    pub(super) fn is_unpriced(&self) -> bool {
        self.usd.is_none() && self.estimated_usd.is_none()
    }
}

impl Closed<'_> {
    /// The tokens that are billed, would be with a known rate, or are covered by a subscription,
    /// in the order of [`TokenKind::ALL`]: the quantities of the charge's lines. What the API
    /// reported and does not bill (a refusal before any output) counts nothing.
    pub(super) fn billed_tokens(&self) -> [Option<i64>; KINDS] {
        let reported = self.usage.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let (Some(tokens), Some(charge)) = (reported, &self.charge) else { return [None; KINDS] };
        let tokens: Tokens = tokens;
        if charge.is_unpriced() {
            return tokens.by_kind();
        }
        match (charge.usd, charge.lines) {
            // Only the parts of a call are billed otherwise than the whole is reported: everywhere
            // else the lines hold the same counts and need not be read.
            (Some(_), Some(lines)) if tokens.iterations.is_some() => {
                by_kind_of(lines).unwrap_or_else(|| tokens.by_kind())
            }
            (Some(_), Some(_)) => tokens.by_kind(),
            (Some(_), None) => [Some(0); KINDS],
            (None, _) => [None; KINDS],
        }
    }
}

/// The quantities of line items by kind, whatever their model.
fn by_kind_of(lines: &RawValue) -> Option<[Option<i64>; KINDS]> {
    let lines: Vec<Line<'_>> = serde_json::from_str(lines.get()).ok()?;
    let mut counts = [Some(0_i64); KINDS];
    for line in lines {
        let place = TokenKind::ALL.iter().position(|kind| kind.name() == line.kind);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count = count.map(|sum| sum.saturating_add(line.quantity));
        }
    }
    Some(counts)
}

/// What counts of a line item.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    quantity: i64,
}

/// The token counts of a usage object.
#[derive(Debug, Default, Deserialize)]
struct Tokens {
    #[serde(rename = "input_tokens")]
    input: Option<i64>,
    #[serde(rename = "output_tokens")]
    output: Option<i64>,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: Option<i64>,
    cache_creation_input_tokens: Option<i64>,
    cache_creation: Option<Split>,
    /// Whether there are parts that are billed one by one.
    iterations: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
struct Split {
    ephemeral_1h_input_tokens: Option<i64>,
    ephemeral_5m_input_tokens: Option<i64>,
}

impl Tokens {
    fn by_kind(&self) -> [Option<i64>; KINDS] {
        let (short, long) = self.cache_writes();
        [self.input, self.output, self.cache_read, short, long]
    }

    /// Cache writes for five minutes and for one hour. A split that does not add up to the total
    /// is stale: then the total counts, as writes for five minutes, which is how it is priced.
    fn cache_writes(&self) -> (Option<i64>, Option<i64>) {
        let total = self.cache_creation_input_tokens;
        let Some(split) = &self.cache_creation else { return (total, total.map(|_| 0)) };
        let (short, long) = (split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens);
        let sum = short.unwrap_or(0).saturating_add(long.unwrap_or(0));
        match total {
            Some(total) if total != sum => (Some(total), Some(0)),
            _ => (short, long),
        }
    }
}

/// Parses what the index keeps of a line.
#[derive(Debug, Default)]
pub(super) struct LineParser(KindFinder);

impl LineParser {
    /// `None` where the line is damaged.
    pub(super) fn parse<'a>(&self, line: &'a [u8]) -> Option<Fact<'a>> {
        match self.0.kind(line)? {
            b"opened" => serde_json::from_slice(line).ok().map(Fact::Opened),
            b"closed" => serde_json::from_slice(line).ok().map(Fact::Closed),
            b"hook" => serde_json::from_slice(line).ok().map(Fact::Hook),
            b"tools_asked" => serde_json::from_slice(line).ok().map(Fact::Asked),
            b"tools_returned" => serde_json::from_slice(line).ok().map(Fact::Returned),
            b"rule_applied" => serde_json::from_slice(line).ok().map(Fact::Rule),
            b"reattributed" => serde_json::from_slice(line).ok().map(Fact::Reattributed),
            kind if kind.starts_with(BATCH_MARK) => self.parse_batch(line).map(Fact::Batch),
            kind => match NOTICES.into_iter().find(|known| known.as_bytes() == kind) {
                Some(known) => {
                    serde_json::from_slice(line).ok().map(|line| Fact::Notice(known, line))
                }
                None => serde_json::from_slice::<&RawValue>(line).ok().map(|_| Fact::Other),
            },
        }
    }

    /// `None` where the line is not about a batch, or damaged.
    pub(super) fn parse_batch<'a>(&self, line: &'a [u8]) -> Option<BatchFact<'a>> {
        match self.0.kind(line)? {
            b"batch_result" => serde_json::from_slice(line).ok().map(BatchFact::Result),
            b"batch_created" => serde_json::from_slice(line).ok().map(BatchFact::Created),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_follow_the_split_unless_it_is_stale() {
        let writes = |usage: &str| serde_json::from_str::<Tokens>(usage).unwrap().cache_writes();
        let split =
            r#""cache_creation":{"ephemeral_1h_input_tokens":2,"ephemeral_5m_input_tokens":3}"#;
        assert_eq!(writes("{}"), (None, None));
        assert_eq!(writes(r#"{"cache_creation_input_tokens":7}"#), (Some(7), Some(0)));
        assert_eq!(writes(&format!("{{{split}}}")), (Some(3), Some(2)));
        let with = |total| format!("{{{split},\"cache_creation_input_tokens\":{total}}}");
        assert_eq!(writes(&with(5)), (Some(3), Some(2)));
        assert_eq!(writes(&with(0)), (Some(0), Some(0)));
    }

    #[test]
    fn the_tokens_that_count_are_those_that_are_billed() {
        let tokens = |usage: &str, charge: &str| {
            let line = format!(
                r#"{{"charge":{charge},"duration_us":1,"exchange":"e","outcome":"completed","usage":{usage}}}"#
            );
            serde_json::from_str::<Closed<'_>>(&line).unwrap().billed_tokens()
        };
        let plain = r#"{"input_tokens":700,"output_tokens":90}"#;
        let parts = r#"{"input_tokens":700,"iterations":[{"type":"x"}],"output_tokens":90}"#;
        let lines = r#"[{"kind":"input","quantity":700,"usd":"1"},
            {"kind":"input","model":"m","quantity":5000,"usd":"1"},
            {"kind":"web_search","quantity":3,"usd":"1"},
            {"kind":"output","model":"m","quantity":600,"usd":"1"}]"#;
        let priced = format!(r#"{{"lines":{lines},"pricing":"p","usd":"3"}}"#);
        let reported = [Some(700), Some(90), None, None, None];
        assert_eq!(tokens(plain, &priced), reported);
        assert_eq!(tokens(parts, &priced), [Some(5700), Some(600), Some(0), Some(0), Some(0)]);
        assert_eq!(tokens(parts, r#"{"pricing":"p"}"#), reported, "unpriced");
        assert_eq!(tokens(plain, r#"{"pricing":"p","usd":"0"}"#), [Some(0); KINDS], "free");
        assert_eq!(tokens(plain, "null"), [None; KINDS], "not billed");
        assert_eq!(tokens("null", &priced), [None; KINDS], "unknown");
    }

    #[test]
    fn the_kind_is_the_one_of_the_envelope() {
        let parser = LineParser::default();
        let other = br#"{"body":{"x":",\"kind\":\"opened\""},"i":0,"kind":"started","v":1}"#;
        assert!(matches!(parser.parse(other), Some(Fact::Other)));
        for damaged in [&b"{}"[..], b"", br#"{"i":0,"kind":"opened","v":1}"#, b",\"kind\":\"gap\""]
        {
            assert!(parser.parse(damaged).is_none(), "{}", String::from_utf8_lossy(damaged));
        }
    }
}
