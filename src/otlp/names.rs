//! The names of the OpenTelemetry GenAI conventions, and ours beside them.
//!
//! The conventions are in development and were renamed after 1.41. All of both generations that is
//! written here stands in this file (sources: semantic-conventions 1.41, `docs/gen-ai`; and the
//! repository semantic-conventions-genai, `client-inference.md`, `gen-ai-token-metrics.md`,
//! `migration.md`). What is the same in both has one constant.

pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const PROVIDER: &str = "gen_ai.provider.name";
pub(super) const CONVERSATION: &str = "gen_ai.conversation.id";
pub(super) const AGENT_ID: &str = "gen_ai.agent.id";
pub(super) const AGENT_NAME: &str = "gen_ai.agent.name";
pub(super) const TOOL_NAME: &str = "gen_ai.tool.name";
pub(super) const TOOL_CALL: &str = "gen_ai.tool.call.id";
pub(super) const TOOL_TYPE: &str = "gen_ai.tool.type";
pub(super) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(super) const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub(super) const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
pub(super) const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub(super) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub(super) const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub(super) const INPUT: &str = "gen_ai.usage.input_tokens";
pub(super) const OUTPUT: &str = "gen_ai.usage.output_tokens";
pub(super) const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
pub(super) const ERROR: &str = "error.type";
pub(super) const SERVER: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const STATUS: &str = "http.response.status_code";
pub(super) const METHOD: &str = "http.request.method";

/// Latest.
pub(super) const CACHE_WRITE: &str = "gen_ai.usage.cache_write.input_tokens";
/// 1.41.
pub(super) const CACHE_CREATION: &str = "gen_ai.usage.cache_creation.input_tokens";
/// Latest; proposed, not accepted yet.
pub(super) const COST: &str = "gen_ai.usage.cost.amount";
pub(super) const COST_CURRENCY: &str = "gen_ai.usage.cost.currency";
pub(super) const COST_SOURCE: &str = "gen_ai.usage.cost.source";

/// Ours: the amount as exact decimal text, and in whole nano-dollars for sums.
pub(super) const USD: &str = "claude.cost.usd";
pub(super) const USD_NANO: &str = "claude.cost.usd_nano";
pub(super) const USD_ESTIMATED: &str = "claude.cost.estimated_usd";
pub(super) const USD_NOTIONAL: &str = "claude.cost.notional_usd";
pub(super) const USD_SAVED: &str = "claude.cost.cache_savings_usd";
pub(super) const PRICING: &str = "claude.cost.pricing";
pub(super) const CACHE_WRITE_1H: &str = "claude.usage.cache_write_1h_tokens";
pub(super) const TEAM: &str = "claude.team";
pub(super) const PROJECT: &str = "claude.project";
pub(super) const USER: &str = "claude.user";
pub(super) const OUTCOME: &str = "claude.outcome";
pub(super) const FLAGS: &str = "claude.flags";
pub(super) const ATTEMPT: &str = "claude.attempt";
pub(super) const PARENT_AGENT: &str = "claude.parent_agent.id";
/// The API's `request-id`: joins Claude Code's own telemetry.
pub(super) const REQUEST_ID: &str = "claude.request_id";
pub(super) const EXCHANGE: &str = "weighbridge.exchange";
/// The closing's place in the ledger: where an auditor looks.
pub(super) const SEQUENCE: &str = "weighbridge.sequence";
pub(super) const QUERY_EXCHANGES: &str = "claude.query.exchanges";
/// Of a tool call: how it ended, who denied it, what is missing, sizes of input and output.
pub(super) const TOOL_STATE: &str = "claude.tool.state";
pub(super) const TOOL_DENIED_BY: &str = "claude.tool.denied_by";
pub(super) const TOOL_GAPS: &str = "claude.tool.gaps";
pub(super) const TOOL_SERVER: &str = "claude.tool.mcp_server";
pub(super) const TOOL_INPUT_BYTES: &str = "claude.tool.input_bytes";
pub(super) const TOOL_OUTPUT_BYTES: &str = "claude.tool.output_bytes";
pub(super) const RESPONSE_LENGTH: &str = "response.length";

/// Metrics: latest name, and that of 1.41 where it had one.
pub(super) const DURATION: [&str; 2] =
    ["gen_ai.client.inference.duration", "gen_ai.client.operation.duration"];
pub(super) const FIRST_CHUNK_METRIC: [&str; 2] =
    ["gen_ai.client.inference.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk"];
/// Latest: counters by kind. All four are in the order of [`super::usage::Tokens`].
pub(super) const TOKEN_COUNTERS: [&str; 4] = [
    "gen_ai.client.inference.usage.input_tokens",
    "gen_ai.client.inference.usage.output_tokens",
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "gen_ai.client.inference.usage.cache_write.input_tokens",
];
/// 1.41: one histogram, its kind in an attribute.
pub(super) const TOKEN_USAGE: &str = "gen_ai.client.token.usage";
pub(super) const TOKEN_TYPE: &str = "gen_ai.token.type";
/// Latest, required beside token counters; the API does not say which modality.
pub(super) const TOKEN_MODALITY: &str = "gen_ai.token.modality";
pub(super) const COST_METRIC: &str = "claude.cost.usd";

/// Event of a call that went wrong.
pub(super) const EXCEPTION_EVENT: &str = "gen_ai.client.operation.exception";
