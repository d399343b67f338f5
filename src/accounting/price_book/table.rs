//! The format of a pricing table, as TOML spells it. An unknown key is an error: a misspelt
//! `fast` must not silently mean "no fast mode".

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) table: Header,
    pub(super) source: BTreeMap<String, Source>,
    pub(super) modifier: Modifiers,
    pub(super) tool: Tools,
    pub(super) model: Vec<Model>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) schema: u32,
    pub(super) version: String,
    #[expect(dead_code, reason = "the only value is the one that parses")]
    currency: Currency,
    #[expect(dead_code, reason = "the only value is the one that parses")]
    unit: Unit,
}

#[derive(Deserialize)]
enum Currency {
    #[serde(rename = "USD")]
    Usd,
}

#[derive(Deserialize)]
enum Unit {
    #[serde(rename = "usd_per_mtok")]
    UsdPerMtok,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) kind: SourceKind,
    pub(super) reference: String,
    #[expect(dead_code, reason = "for people; parsed so that it is a date")]
    retrieved: Day,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceKind {
    /// The provider's own price text.
    Official,
    /// The provider's own list of ids; says nothing of prices.
    Identifiers,
    /// Somebody else's table.
    ThirdParty,
    /// Found in no source.
    Unverified,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Confidence {
    /// Less than one official or two third-party sources, and the author knows it.
    Single,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Modifiers {
    pub(super) batch: Modifier,
    pub(super) inference_geo_us: Modifier,
    pub(super) bedrock_regional: Modifier,
    pub(super) bedrock_gov: Modifier,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Modifier {
    pub(super) num: u32,
    pub(super) den: u32,
    pub(super) from: Day,
    pub(super) released_from: Option<Day>,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tools {
    pub(super) web_search: Tool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) price_per_1000: String,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) id: String,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    pub(super) period: Vec<Period>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Period {
    pub(super) from: Day,
    pub(super) to: Option<Day>,
    pub(super) state: State,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
    pub(super) tier: Vec<Tier>,
    pub(super) fast: Option<Vec<Tier>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// In force; the only state that prices.
    Confirmed,
    /// Published for a day to come; may still be cancelled.
    Announced,
    /// Announced and cancelled; kept so that nobody schedules it again.
    Withdrawn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tier {
    pub(super) prompt_tokens_gt: u64,
    pub(super) input: String,
    pub(super) cache_write_5m: String,
    pub(super) cache_write_1h: String,
    pub(super) cache_read: String,
    pub(super) output: String,
}

/// A TOML local date: a day without time and zone, read as a UTC day.
#[derive(Clone, Copy)]
pub(super) struct Day(pub(super) Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = toml::value::Datetime::deserialize(deserializer)?;
        let (Some(date), None, None) = (value.date, value.time, value.offset) else {
            return Err(D::Error::custom("write a day without a time, like 2026-11-09"));
        };
        let narrow = |n: u16| i16::try_from(n).map_err(D::Error::custom);
        let part = |n: u8| i8::try_from(n).map_err(D::Error::custom);
        Date::new(narrow(date.year)?, part(date.month)?, part(date.day)?)
            .map(Day)
            .map_err(D::Error::custom)
    }
}
