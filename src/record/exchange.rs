//! An exchange in the ledger: what was known when it opened and when it closed.
//!
//! Fields are in alphabetical order because the serialised bytes are canonical and hashed.
//! Everything that came from outside is an [`Identifier`], a number or one of our own enums: free
//! text does not fit (`privacy`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::batch::BatchTally;
use crate::accounting::{Flag, Money, TokenKind, Usage};
use crate::privacy::Identifier;

/// Why an exchange closed. Exactly one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The response was relayed to its end. The status may still be an error of the API's.
    Completed,
    /// The upstream failed: no connection, a cut, an error event in the stream.
    UpstreamError,
    /// The client went away before the end.
    ClientLeft,
    /// A deadline passed.
    TimedOut,
    /// The sidecar itself stopped or crashed.
    Interrupted,
    /// The sidecar answered instead of the API; nothing was sent upstream.
    Refused,
}

impl Outcome {
    /// The name used in entries, labels and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::UpstreamError => "upstream_error",
            Outcome::ClientLeft => "client_left",
            Outcome::TimedOut => "timed_out",
            Outcome::Interrupted => "interrupted",
            Outcome::Refused => "refused",
        }
    }
}

/// Which form of the API a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`: free of charge.
    CountTokens,
    /// Anything below `/v1/messages/batches`.
    Batches,
    /// `POST /v1/complete` and `/v1/chat/completions`: older and other forms of asking a model.
    /// Relayed, recorded, not metered.
    Completions,
    /// `/v1/models`.
    Models,
    /// Bedrock's `invoke` and `converse`, and their streams.
    Bedrock,
    /// Vertex's `rawPredict` and `streamRawPredict`.
    Vertex,
    /// Anything else: relayed, recorded, not metered.
    Other,
}

impl Endpoint {
    /// The name used in entries, labels and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Endpoint::Messages => "messages",
            Endpoint::CountTokens => "count_tokens",
            Endpoint::Batches => "batches",
            Endpoint::Completions => "completions",
            Endpoint::Models => "models",
            Endpoint::Bedrock => "bedrock",
            Endpoint::Vertex => "vertex",
            Endpoint::Other => "other",
        }
    }

    /// Whether a response of this endpoint reports usage that is billed.
    #[must_use]
    pub const fn is_metered(self) -> bool {
        matches!(self, Endpoint::Messages | Endpoint::Bedrock | Endpoint::Vertex)
    }
}

/// What is known before anything is sent upstream (R1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The client's agent id: a sub-agent's own; absent for the main agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Identifier>,
    /// 1 for the first attempt of a logical call, 2 for its first repetition, …
    pub attempt: u32,
    /// The id of the first attempt's exchange: groups the attempts of one logical call.
    pub call: String,
    /// Which form of the API.
    pub endpoint: Endpoint,
    /// This exchange's id (UUID v7).
    pub exchange: String,
    /// Fingerprint of the credential (truncated SHA-256); absent where none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The most output tokens the caller allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// HTTP method.
    pub method: Identifier,
    /// The model asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Identifier>,
    /// The agent that started this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_agent: Option<Identifier>,
    /// Where the model runs, where that decides the price and the model's name does not say it
    /// ([`crate::accounting::price_book::Platform::name`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Identifier>,
    /// From the credential, never from a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Bytes of the request's body, where it was collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    /// How many results of tools are new with the request.
    #[serde(default, skip_serializing_if = "is_none")]
    pub returned: u64,
    /// The client's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// 1 where a stream was asked for, else 0.
    pub streamed: u8,
    /// 1 where the credential is a subscription login: nothing is billed by the token, amounts are
    /// notional.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub subscription: u8,
    /// Asserted facts (`x-weighbridge-*`, `metadata.user_id`): tags, never identity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Identifier>,
    /// Who pays, from the credential; `unattributed` otherwise.
    pub team: String,
    /// The client's W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Identifier>,
    /// From the credential, never from a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What is known when the end of the response has been seen (R2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// What a fetch of a batch's results held; the results that cost something are entries of
    /// their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchTally>,
    /// The money. Absent where nothing can have been billed (refusals, errors, unmetered paths)
    /// and where usage is unknown; `usd` inside is absent where the model is unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeRecord>,
    /// From the first byte of the request to this entry, in microseconds.
    pub duration_us: u64,
    /// What the error is where its type does not say it: `context_length_exceeded`,
    /// `credit_balance_too_low`. Derived from the API's text, which is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<Identifier>,
    /// The API's error type, ours where we refused: `overloaded_error`, `rate_limit_error`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<Identifier>,
    /// The exchange this closes.
    pub exchange: String,
    /// What a reader of the figures must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// From the first byte of the request to the first content of the answer, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_us: Option<u64>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Identifier>,
    /// Why it closed.
    pub outcome: Outcome,
    /// The API's `request-id`: joins the client's own telemetry and the provider's support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Identifier>,
    /// Bytes of the response's body sent on to the client.
    pub response_bytes: u64,
    /// Status sent to the client; absent where the client left before the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `end_turn`, `tool_use`, `max_tokens`, `refusal`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Identifier>,
    /// What was used; absent means *unknown*, never zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// A charge as it is written down: amounts, and the table that gave the rates. Amounts of
/// different standing (paid, estimated, notional, list) are never added together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRecord {
    /// What prompt caching saved: cache reads and writes at the price of uncached input, minus
    /// what they cost. Negative where writes cost more than reads saved; absent without caching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_savings_usd: Option<Money>,
    /// Upper end of `estimated_usd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_max_usd: Option<Money>,
    /// Lower end of the estimate for output that a cut stream never reported. Not part of `usd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_usd: Option<Money>,
    /// The line items with a quantity above zero; their sum is `usd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineRecord>,
    /// The sum at list price, where a negotiated price makes it differ from `usd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_usd: Option<Money>,
    /// 1 where a subscription login pays a flat fee: the amounts are notional, nothing is billed
    /// by them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub notional: u8,
    /// The pricing table's version and content hash.
    pub pricing: String,
    /// The exact sum of what is paid (contracted); absent means unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<Money>,
    /// The upper end, where what the API reports leaves a range; `usd` is then the lower one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_max: Option<Money>,
}

/// One line of a charge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRecord {
    /// A token kind's name or a server tool's (`web_search`, `code_execution`).
    pub kind: String,
    /// Amount at list price, where a negotiated price makes it differ from `usd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_usd: Option<Money>,
    /// Model of this line where it is not the exchange's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Identifier>,
    /// How many: tokens, requests, or seconds of code execution.
    pub quantity: u64,
    /// Exact amount (contracted).
    pub usd: Money,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_none(count: &u64) -> bool {
    *count == 0
}

impl LineRecord {
    /// The token kind, where this line is about tokens.
    #[must_use]
    pub fn token_kind(&self) -> Option<TokenKind> {
        TokenKind::ALL.into_iter().find(|kind| kind.name() == self.kind)
    }
}
