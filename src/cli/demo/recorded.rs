//! What the ledger says of the demo's calls, read as `weighbridge exchanges` reads it.

use std::path::{Path, PathBuf};

use super::super::{CliError, exchanges};
use crate::accounting::{Money, TokenKind, Usage};
use crate::index::Filter;
use crate::report::exchange::Exchange;

/// Far more than the script makes.
const CALLS_MAX: u32 = 10_000;

/// One exchange, as far as the story tells of it.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) id: String,
    /// The first attempt's exchange.
    pub(super) call: String,
    pub(super) attempt: u64,
    pub(super) opened_at: i64,
    pub(super) model: String,
    pub(super) session: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) outcome: String,
    pub(super) status: u64,
    pub(super) streamed: bool,
    pub(super) partial: bool,
    pub(super) unpriced: bool,
    pub(super) usd: Option<Money>,
    pub(super) request_id: Option<String>,
    tokens: Vec<(TokenKind, u64)>,
}

impl Recorded {
    fn of(one: &Exchange<'_>) -> Result<Recorded, serde_json::Error> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let usage: Option<Usage> = one.usage.map(serde_json::from_str).transpose()?;
        Ok(Recorded {
            id: one.id.to_owned(),
            call: one.call.to_owned(),
            attempt: one.attempt.unwrap_or(1),
            opened_at: one.opened_at,
            model: own(one.model).unwrap_or_default(),
            session: own(one.session),
            agent: own(one.agent),
            outcome: own(one.outcome).unwrap_or_default(),
            status: one.status.unwrap_or_default(),
            streamed: one.streamed.unwrap_or_default(),
            partial: one.flags.is_some_and(|flags| flags.contains("\"partial\"")),
            unpriced: one.unpriced,
            usd: one.usd,
            request_id: own(one.request_id),
            tokens: usage.map(|usage| usage.tokens()).unwrap_or_default(),
        })
    }

    /// The API answered it whole.
    pub(super) fn is_answered(&self) -> bool {
        self.outcome == "completed" && self.status == 200
    }

    /// The sidecar answered it itself.
    pub(super) fn is_refused(&self) -> bool {
        self.outcome == "refused"
    }

    /// How many tokens of a kind.
    pub(super) fn tokens(&self, kind: TokenKind) -> u64 {
        self.tokens.iter().filter(|(one, _)| *one == kind).map(|(_, count)| count).sum()
    }

    /// All tokens written to the cache.
    pub(super) fn cache_written(&self) -> u64 {
        self.tokens(TokenKind::CacheWrite5m) + self.tokens(TokenKind::CacheWrite1h)
    }

    /// Everything that went in.
    pub(super) fn prompt(&self) -> u64 {
        self.tokens(TokenKind::Input) + self.tokens(TokenKind::CacheRead) + self.cache_written()
    }
}

/// All exchanges, the oldest first.
pub(super) fn all(dir: &Path) -> Result<Vec<Recorded>, CliError> {
    let directories: [PathBuf; 1] = [dir.to_owned()];
    exchanges::newest(&directories, &Filter::default(), CALLS_MAX, Recorded::of)
}
