//! The format of a pricing table, as TOML spells it. An unknown key is an error: a misspelt
//! `fast` must not silently mean "no fast mode".

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Spanned;

use crate::accounting::TokenKind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) table: Header,
    pub(super) source: BTreeMap<String, Spanned<Source>>,
    pub(super) modifier: Modifiers,
    pub(super) tool: Tools,
    pub(super) rule: Rules,
    pub(super) model: Vec<Spanned<Model>>,
    /// Negotiated prices; mostly in files of their own.
    #[serde(default, rename = "override")]
    pub(super) overrides: Vec<Spanned<Override>>,
}

/// A file that has negotiated prices and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideTable {
    #[serde(rename = "override")]
    pub(super) overrides: Vec<Spanned<Override>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) schema: u32,
    pub(super) version: String,
    /// The day on which the prices were last compared with their sources.
    pub(super) checked: Day,
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
    pub(super) retrieved: Day,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::accounting) enum SourceKind {
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
    pub(super) batch: Spanned<Modifier>,
    pub(super) inference_geo_us: Spanned<Modifier>,
    pub(super) bedrock_regional: Spanned<Modifier>,
    pub(super) bedrock_gov: Spanned<Modifier>,
    pub(super) vertex_regional: Spanned<Modifier>,
    pub(super) foundry_us_data_zone: Spanned<Modifier>,
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
    pub(super) web_search: Vec<Spanned<Tool>>,
    pub(super) web_fetch: Vec<Spanned<Tool>>,
    pub(super) code_execution: Vec<Spanned<ContainerTool>>,
}

/// A tool that is paid by the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) from: Option<Day>,
    pub(super) to: Option<Day>,
    pub(super) price_per_1000: String,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
}

/// A tool that is paid by the time its container runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerTool {
    pub(super) from: Option<Day>,
    pub(super) to: Option<Day>,
    pub(super) price_per_hour: String,
    pub(super) minimum_seconds: u64,
    /// Per organisation. How much of it is left is nothing that a response says.
    pub(super) free_hours_per_month: u64,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    pub(super) refusal: Vec<Spanned<RefusalRule>>,
    pub(super) usage: Vec<Spanned<UsageRule>>,
}

/// From when on which refusals before any output are billed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusalRule {
    pub(super) from: Day,
    pub(super) to: Option<Day>,
    pub(super) billing: RefusalBilling,
    pub(super) categories: Vec<String>,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RefusalBilling {
    /// The named categories are billed as a normal request.
    Billed,
    /// The rule began on one of these days: billed or not.
    Uncertain,
}

/// How one type of `usage.iterations` is billed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageRule {
    pub(super) iteration: String,
    pub(super) bills: Role,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
}

/// What an iteration is to the bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::accounting) enum Role {
    /// An attempt at the answer: contained in the top level where it served.
    Attempt,
    /// An attempt of another model after one that declined.
    Fallback,
    /// Beside the answer and not in the top level.
    Aside,
}

/// A negotiated price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    pub(super) from: Day,
    pub(super) to: Option<Day>,
    pub(super) team: Option<String>,
    pub(super) model: Option<String>,
    pub(super) kind: Option<TokenKind>,
    pub(super) discount: Option<String>,
    pub(super) rate: Option<String>,
    /// The contract it stands in.
    pub(super) source: String,
}

/// One line that says it all.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.map(TokenKind::name);
        for (name, value) in [
            ("team", self.team.as_deref()),
            ("model", self.model.as_deref()),
            ("kind", kind),
            ("discount", self.discount.as_deref()),
            ("rate", self.rate.as_deref()),
        ] {
            if let Some(value) = value {
                write!(f, "{name}={value} ")?;
            }
        }
        write!(f, "from={}", self.from.0)?;
        self.to.map_or(Ok(()), |to| write!(f, " to={}", to.0))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) id: String,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    pub(super) period: Vec<Spanned<Period>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Period {
    pub(super) from: Day,
    pub(super) to: Option<Day>,
    pub(super) state: State,
    pub(super) sources: Vec<String>,
    pub(super) confidence: Option<Confidence>,
    pub(super) tier: Vec<Spanned<Tier>>,
    pub(super) fast: Option<Vec<Spanned<Tier>>>,
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
    pub(super) input: Spanned<String>,
    pub(super) cache_write_5m: Spanned<String>,
    pub(super) cache_write_1h: Spanned<String>,
    pub(super) cache_read: Spanned<String>,
    pub(super) output: Spanned<String>,
}

/// A TOML local date: a day without time and zone, read as a UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
