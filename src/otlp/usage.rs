//! The one place where the API's token counts become those of OpenTelemetry.
//!
//! The API's `input_tokens` are the uncached ones; those of the conventions *include* what was read
//! from and written to the cache (semantic-conventions-genai, `anthropic.md`: MUST).

use crate::accounting::{TokenKind, Usage};

/// Token counts as the conventions define them. Absent means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// All input, cached or not.
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    /// Part of the input.
    pub(super) cache_read: Option<u64>,
    /// Part of the input, both times to live.
    pub(super) cache_write: Option<u64>,
    /// Part of `cache_write`: those for one hour.
    pub(super) cache_write_1h: Option<u64>,
}

impl Tokens {
    pub(super) fn of(usage: &Usage) -> Tokens {
        let mut tokens = Tokens::default();
        let add = |sum: &mut Option<u64>, count: u64| {
            *sum = Some(sum.unwrap_or(0).saturating_add(count));
        };
        for (kind, count) in usage.tokens() {
            match kind {
                TokenKind::Output => add(&mut tokens.output, count),
                TokenKind::Input => {}
                TokenKind::CacheRead => add(&mut tokens.cache_read, count),
                TokenKind::CacheWrite5m => add(&mut tokens.cache_write, count),
                TokenKind::CacheWrite1h => {
                    add(&mut tokens.cache_write, count);
                    add(&mut tokens.cache_write_1h, count);
                }
            }
            if kind != TokenKind::Output {
                add(&mut tokens.input, count);
            }
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_includes_what_was_cached() {
        let usage: Usage = serde_json::from_str(
            r#"{"input_tokens":10,"output_tokens":7,"cache_read_input_tokens":100,
                "cache_creation_input_tokens":30,
                "cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10}}"#,
        )
        .unwrap();
        let expected = Tokens {
            input: Some(140),
            output: Some(7),
            cache_read: Some(100),
            cache_write: Some(30),
            cache_write_1h: Some(10),
        };
        assert_eq!(Tokens::of(&usage), expected);
        assert_eq!(Tokens::of(&Usage::default()), Tokens::default(), "unknown is not zero");
    }
}
