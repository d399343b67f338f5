//! What the API says was used, in the API's own words.
//!
//! A field that the API did not send is `None`: unknown, never zero. Values that cannot be a count
//! (negative, fractional, beyond 2⁶³) are left out and leave [`Flag::UsageAnomaly`].

use serde::{Deserialize, Serialize};

/// The five kinds of token that have a rate of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Uncached input tokens.
    Input,
    /// Output tokens, thinking included.
    Output,
    /// Input tokens read from the prompt cache.
    CacheRead,
    /// Input tokens written to the cache for five minutes.
    #[serde(rename = "cache_write_5m")]
    CacheWrite5m,
    /// Input tokens written to the cache for one hour.
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
}

impl TokenKind {
    /// All kinds, in the order reports show them.
    pub const ALL: [TokenKind; 5] = [
        TokenKind::Input,
        TokenKind::Output,
        TokenKind::CacheRead,
        TokenKind::CacheWrite5m,
        TokenKind::CacheWrite1h,
    ];

    /// The name used in entries, metric labels and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TokenKind::Input => "input",
            TokenKind::Output => "output",
            TokenKind::CacheRead => "cache_read",
            TokenKind::CacheWrite5m => "cache_write_5m",
            TokenKind::CacheWrite1h => "cache_write_1h",
        }
    }
}

/// The usage of one exchange, as the API reported it. Field order is alphabetical because these
/// bytes are hashed (`record::encoding`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How the cache writes split by time to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation: Option<CacheCreation>,
    /// Input tokens written to the cache, all times to live together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Input tokens read from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_input_tokens: Option<u64>,
    /// Where inference ran: `us`, `global`, `not_available`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_geo: Option<String>,
    /// Uncached input tokens only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// The parts that are billed one by one (compaction, advisor, fallback).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iterations: Vec<Iteration>,
    /// Output tokens, thinking included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Parts of the output that are shown apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_details: Option<OutputTokensDetails>,
    /// Requests to tools that run on the API's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_tool_use: Option<ServerToolUse>,
    /// `standard`, `priority`, `batch`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// `fast` where the answer was served in fast mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
}

impl Usage {
    /// The counts by kind, known ones only: the one place that decides how cache writes split.
    /// Where no split by time to live came, or it does not add up to the total, the total is
    /// trusted and counted as five-minute writes, the API's default (facts: a fallback's split can
    /// be the declined attempt's).
    #[must_use]
    pub fn tokens(&self) -> Vec<(TokenKind, u64)> {
        let (five_minutes, one_hour) = match self.cache_creation {
            Some(split) if !self.has_stale_split() => {
                (split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens)
            }
            _ => (self.cache_creation_input_tokens, None),
        };
        let all = [
            (TokenKind::Input, self.input_tokens),
            (TokenKind::Output, self.output_tokens),
            (TokenKind::CacheRead, self.cache_read_input_tokens),
            (TokenKind::CacheWrite5m, five_minutes),
            (TokenKind::CacheWrite1h, one_hour),
        ];
        all.into_iter().filter_map(|(kind, count)| Some((kind, count?))).collect()
    }

    /// Whether the split by time to live contradicts the total.
    #[must_use]
    pub fn has_stale_split(&self) -> bool {
        let (Some(split), Some(total)) = (self.cache_creation, self.cache_creation_input_tokens)
        else {
            return false;
        };
        let one_hour = split.ephemeral_1h_input_tokens.unwrap_or(0);
        split.ephemeral_5m_input_tokens.unwrap_or(0).checked_add(one_hour) != Some(total)
    }
}

/// Cache writes by time to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheCreation {
    /// Tokens kept for one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_1h_input_tokens: Option<u64>,
    /// Tokens kept for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_5m_input_tokens: Option<u64>,
}

/// Parts of the output tokens; already contained in `output_tokens`, never added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTokensDetails {
    /// Tokens of thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_tokens: Option<u64>,
}

/// Requests to server tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerToolUse {
    /// Web fetches; free of charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_fetch_requests: Option<u64>,
    /// Web searches; billed per request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search_requests: Option<u64>,
}

/// One entry of `usage.iterations`: an attempt or a side call that is billed by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iteration {
    /// How the cache writes split by time to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation: Option<CacheCreation>,
    /// Cache writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Cache reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_input_tokens: Option<u64>,
    /// Uncached input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// The type, in the API's words: `message`, `compaction`, `advisor_message`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The model, where it differs from the exchange's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
}

/// Something about an exchange's figures that a reader must know. Never free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The copy that is looked at was cut at its bound; the client got every byte.
    InspectionTruncated,
    /// The response could not be read as what its content type says.
    Unparseable,
    /// A stream was asked for and one JSON body came: clients ask again, and both are billed.
    JsonForStream,
    /// `usage.iterations` holds a type without a billing rule: `usd` leaves it out, `usd_max` has
    /// it at its model's rates.
    #[serde(alias = "iterations")]
    UnknownIteration,
    /// The stream ended early: the output count is what had been reported, not the bill.
    Partial,
    /// A cloud client's start-up probe (`max_tokens: 1`).
    Probe,
    /// The time-to-live split does not add up to the total; the total is trusted.
    #[serde(alias = "stale_ttl_split")]
    CacheSplitMismatch,
    /// No time-to-live split came with the cache writes: counted as five-minute writes.
    #[serde(rename = "cache_split_missing_assumed_5m")]
    CacheSplitMissing,
    /// No rate is known for this model on this day: the amount is unknown, not zero.
    Unpriced,
    /// A modifier (tier, geography, speed) is not in the pricing table.
    UnknownModifier,
    /// A usage field held something that is not a count.
    UsageAnomaly,
    /// The API billed this or not: no usage was ever seen.
    UsageUnknown,
    /// A cut stream's unreported output was estimated; the estimate is not part of `usd`.
    Estimated,
    /// Nothing is billed for it: an error, or a batch item that did not succeed.
    NotBilled,
    /// Refused before any output, in a category that is not billed.
    #[serde(rename = "refusal_before_output_not_billed")]
    RefusalNotBilled,
    /// Refused before any output and it is not known whether that is billed: a range.
    #[serde(rename = "refusal_category_unknown")]
    RefusalUnknown,
    /// An attempt was declined before any output; whether it is billed depends on a category that
    /// the response does not show: a range.
    #[serde(rename = "declined_attempt_category_unknown")]
    DeclinedUnknown,
    /// Priority tier: list price; the invoice has the commitment instead.
    #[serde(rename = "priority_tier_list_equivalent_not_invoiced")]
    PriorityTier,
    /// Fast mode without a fast price on this day: priced as standard.
    #[serde(rename = "fast_without_rate_priced_standard")]
    FastWithoutRate,
    /// Fast mode does not exist in batches: priced as a standard batch.
    #[serde(rename = "fast_in_batch_priced_standard")]
    FastInBatch,
    /// An attempt beside the serving one may have run at another speed: a range.
    #[serde(rename = "attempt_speed_unknown")]
    AttemptSpeed,
    /// The price tier differs between the whole prompt and its single iterations: a range.
    #[serde(rename = "prompt_tier_ambiguous")]
    PromptTier,
    /// A price of this model changed on this day; the hour of the change is not published.
    PriceBoundaryDay,
    /// A counter has no price in the table: what it counts is not in the amount.
    UnknownMeter,
    /// Code execution ran, and what is left of the month's free time is not known: a range.
    #[serde(rename = "code_execution_allowance_unknown")]
    AllowanceUnknown,
    /// A line has no finite decimal amount and was rounded half-even at 10⁻¹⁸ USD.
    Rounded,
    /// A batch was not made through this sidecar and its price has changed within the time that
    /// results are kept: priced as on the day of the fetch.
    BatchDayUnknown,
}

impl Flag {
    /// The name used in entries and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Flag::InspectionTruncated => "inspection_truncated",
            Flag::Unparseable => "unparseable",
            Flag::JsonForStream => "json_for_stream",
            Flag::UnknownIteration => "unknown_iteration",
            Flag::Partial => "partial",
            Flag::Probe => "probe",
            Flag::CacheSplitMismatch => "cache_split_mismatch",
            Flag::CacheSplitMissing => "cache_split_missing_assumed_5m",
            Flag::Unpriced => "unpriced",
            Flag::UnknownModifier => "unknown_modifier",
            Flag::UsageAnomaly => "usage_anomaly",
            Flag::UsageUnknown => "usage_unknown",
            Flag::Estimated => "estimated",
            Flag::NotBilled => "not_billed",
            Flag::RefusalNotBilled => "refusal_before_output_not_billed",
            Flag::RefusalUnknown => "refusal_category_unknown",
            Flag::DeclinedUnknown => "declined_attempt_category_unknown",
            Flag::PriorityTier => "priority_tier_list_equivalent_not_invoiced",
            Flag::FastWithoutRate => "fast_without_rate_priced_standard",
            Flag::FastInBatch => "fast_in_batch_priced_standard",
            Flag::AttemptSpeed => "attempt_speed_unknown",
            Flag::PromptTier => "prompt_tier_ambiguous",
            Flag::PriceBoundaryDay => "price_boundary_day",
            Flag::UnknownMeter => "unknown_meter",
            Flag::AllowanceUnknown => "code_execution_allowance_unknown",
            Flag::Rounded => "rounded",
            Flag::BatchDayUnknown => "batch_day_unknown",
        }
    }

    /// What it says, in words for whoever reads the amount.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Flag::InspectionTruncated => {
                "the copy that is looked at was cut at its bound; the client got every byte"
            }
            Flag::Unparseable => "the response could not be read as what its content type says",
            Flag::JsonForStream => {
                "a stream was asked for and one JSON body came: clients ask again, and both are billed"
            }
            Flag::UnknownIteration => {
                "usage.iterations holds a type without a billing rule: usd leaves it out, usd_max has it at its model's rates"
            }
            Flag::Partial => {
                "the stream ended early: the output count is what had been reported, not the bill"
            }
            Flag::Probe => "a cloud client's start-up probe (max_tokens: 1)",
            Flag::CacheSplitMismatch => {
                "the time-to-live split does not add up to the total; the total is trusted"
            }
            Flag::CacheSplitMissing => {
                "no time-to-live split came with the cache writes: counted as five-minute writes"
            }
            Flag::Unpriced => {
                "no rate is known for this model and day, or no usage: the amount is unknown, not zero"
            }
            Flag::UnknownModifier => {
                "a modifier (tier, geography, speed) is not in the pricing table"
            }
            Flag::UsageAnomaly => "a usage field held something that is not a count",
            Flag::UsageUnknown => "the API billed this or not: no usage was ever seen",
            Flag::Estimated => {
                "a cut stream's unreported output was estimated; the estimate is not part of usd"
            }
            Flag::NotBilled => {
                "nothing is billed for it: an error, or a batch item that did not succeed"
            }
            Flag::RefusalNotBilled => "refused before any output, in a category that is not billed",
            Flag::RefusalUnknown => {
                "refused before any output and it is not known whether that is billed: a range"
            }
            Flag::DeclinedUnknown => {
                "an attempt was declined before any output; whether it is billed depends on a category that the response does not show: a range"
            }
            Flag::PriorityTier => {
                "priority tier: list price; the invoice has the commitment instead"
            }
            Flag::FastWithoutRate => {
                "fast mode without a fast price on this day: priced as standard"
            }
            Flag::FastInBatch => "fast mode does not exist in batches: priced as a standard batch",
            Flag::AttemptSpeed => {
                "an attempt beside the serving one may have run at another speed: a range"
            }
            Flag::PromptTier => {
                "the price tier differs between the whole prompt and its single iterations: a range"
            }
            Flag::PriceBoundaryDay => {
                "a price of this model changed on this day; the hour of the change is not published"
            }
            Flag::UnknownMeter => {
                "a counter has no price in the table: what it counts is not in the amount"
            }
            Flag::AllowanceUnknown => {
                "code execution ran, and what is left of the month's free time is not known: a range"
            }
            Flag::BatchDayUnknown => "a batch of unknown day: priced as on that of the fetch",
            Flag::Rounded => {
                "a line has no finite decimal amount and was rounded half-even at 10⁻¹⁸ USD"
            }
        }
    }
}
