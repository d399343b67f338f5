//! The API's rate limits, from the head of an answer.

/// What the `anthropic-ratelimit-*` headers of one answer say; each may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// How much is allowed, in the order of [`RateLimits::KINDS`].
    pub limit: [Option<u64>; RateLimits::KINDS.len()],
    /// How much of it is left.
    pub remaining: [Option<u64>; RateLimits::KINDS.len()],
}

/// What all names of these headers begin with.
const PREFIX: &str = "anthropic-ratelimit-";

impl RateLimits {
    /// What is limited, as labels say it.
    pub const KINDS: [&'static str; 4] = ["requests", "tokens", "input_tokens", "output_tokens"];

    /// From the headers of an answer, names in lower case. `None` where no header is about limits.
    pub fn read<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Option<RateLimits> {
        let mut limits = RateLimits::default();
        for (name, value) in headers {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                limits.take(rest, value);
            }
        }
        (limits != RateLimits::default()).then_some(limits)
    }

    fn take(&mut self, name: &str, value: &[u8]) {
        let place = |kind: &str| match kind {
            "requests" => Some(0),
            "tokens" => Some(1),
            "input-tokens" => Some(2),
            "output-tokens" => Some(3),
            _ => None,
        };
        let (side, kind) = if let Some(kind) = name.strip_suffix("-limit") {
            (&mut self.limit, kind)
        } else if let Some(kind) = name.strip_suffix("-remaining") {
            (&mut self.remaining, kind)
        } else {
            return;
        };
        if let Some(known) = place(kind).and_then(|place| side.get_mut(place)) {
            *known = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Option<RateLimits> {
        RateLimits::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn limits_are_read_by_name_and_the_rest_is_left_alone() {
        let limits = read(&[
            ("content-type", "text/event-stream"),
            ("anthropic-ratelimit-requests-limit", "4000"),
            ("anthropic-ratelimit-requests-remaining", "3999"),
            ("anthropic-ratelimit-requests-reset", "2026-11-25T00:00:00Z"),
            ("anthropic-ratelimit-output-tokens-remaining", " 0 "),
            ("anthropic-ratelimit-input-tokens-limit", "many"),
            ("anthropic-ratelimit-unified-status", "allowed"),
        ]);
        let expected = RateLimits {
            limit: [Some(4000), None, None, None],
            remaining: [Some(3999), None, None, Some(0)],
        };
        assert_eq!(limits, Some(expected));
        assert_eq!(read(&[("anthropic-organization-id", "x")]), None);
    }
}
