//! The lines the exporter reads, parsed once: what spans, metrics and log records are made of.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::accounting::{Money, Usage};
use crate::record::encoding::{KindFinder, Text};
use crate::record::{HookEvent, Opening, ToolsAsked, ToolsReturned};

/// A line that matters to the exporter.
#[derive(Debug)]
pub(super) enum Fact<'a> {
    Opened(Box<Envelope<Opening>>),
    Closed(Box<Envelope<Closed<'a>>>),
    /// About tools, and what it is as a log record.
    Tools(Box<ToolFact>, Envelope<&'a RawValue>),
    /// Anything else, with its kind: a log record.
    Other(&'a str, Envelope<&'a RawValue>),
}

/// A line about tools.
#[derive(Debug)]
pub(super) enum ToolFact {
    Asked(ToolsAsked),
    Returned(ToolsReturned),
    Hook(Box<HookEvent>),
}

impl ToolFact {
    fn parse(kind: &[u8], body: &RawValue) -> Option<ToolFact> {
        let body = body.get();
        match kind {
            b"tools_asked" => serde_json::from_str(body).ok().map(ToolFact::Asked),
            b"tools_returned" => serde_json::from_str(body).ok().map(ToolFact::Returned),
            b"hook" => serde_json::from_str(body).ok().map(|event| ToolFact::Hook(Box::new(event))),
            _ => None,
        }
    }

    /// The kind of the entry.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            ToolFact::Asked(_) => "tools_asked",
            ToolFact::Returned(_) => "tools_returned",
            ToolFact::Hook(_) => "hook",
        }
    }
}

/// What every line has.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<B> {
    pub(super) body: B,
    #[serde(rename = "i")]
    pub(super) index: u64,
    #[serde(rename = "t")]
    pub(super) wall_ns: u64,
}

/// A closing. Outcome and flags are text, so that those of a newer version are kept.
#[derive(Debug, Deserialize)]
pub(super) struct Closed<'a> {
    #[serde(borrow)]
    pub(super) charge: Option<Charge<'a>>,
    pub(super) duration_us: u64,
    #[serde(borrow)]
    pub(super) error_class: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) error_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) exchange: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) flags: Vec<Text<'a>>,
    pub(super) first_token_us: Option<u64>,
    #[serde(borrow)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) outcome: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) request_id: Option<Text<'a>>,
    pub(super) response_bytes: u64,
    pub(super) status: Option<u16>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    pub(super) usage: Option<Usage>,
}

/// The amounts of a charge.
#[derive(Debug, Deserialize)]
pub(super) struct Charge<'a> {
    pub(super) cache_savings_usd: Option<Money>,
    pub(super) estimated_usd: Option<Money>,
    #[serde(default)]
    pub(super) notional: u8,
    #[serde(borrow)]
    pub(super) pricing: Cow<'a, str>,
    pub(super) usd: Option<Money>,
}

impl Closed<'_> {
    /// What went wrong, in one word; `None` where nothing did.
    pub(super) fn error(&self) -> Option<&str> {
        let named = self.error_class.as_ref().or(self.error_type.as_ref());
        let named = named.map(|name| &*name.0);
        named.or_else(|| (self.outcome != "completed").then_some(&*self.outcome))
    }
}

/// Parses lines.
#[derive(Debug, Default)]
pub(super) struct LineParser(KindFinder);

impl LineParser {
    /// `None` where the line is damaged.
    pub(super) fn parse<'a>(&self, line: &'a [u8]) -> Option<Fact<'a>> {
        Some(match self.0.kind(line)? {
            b"opened" => Fact::Opened(serde_json::from_slice(line).ok()?),
            b"closed" => Fact::Closed(serde_json::from_slice(line).ok()?),
            kind => {
                let entry: Envelope<&RawValue> = serde_json::from_slice(line).ok()?;
                match ToolFact::parse(kind, entry.body) {
                    Some(fact) => Fact::Tools(Box::new(fact), entry),
                    None => Fact::Other(std::str::from_utf8(kind).ok()?, entry),
                }
            }
        })
    }
}
