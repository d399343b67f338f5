//! How many output tokens a cut stream had, from what was streamed of it.
//!
//! A stream that ends early never says how much it put out: `message_start` has a placeholder of a
//! few tokens. What is left is the length of what was streamed. How many bytes make a token differs
//! by model, language and content by a factor of three, so the ratio comes from this deployment's
//! own completed answers, per model and kind of content; where there are too few of them, a wide
//! published range stands in. The result is always a range and never part of a bill.

use std::collections::{HashMap, VecDeque};

/// Models whose ratios are kept; a further one is not learned.
const MODELS_MAX: usize = 64;
/// Answers that are remembered per model and kind: the latest.
const ANSWERS_MAX: usize = 32;
/// Fewer answers than this do not make a ratio.
const ANSWERS_MIN: usize = 5;
/// Answers shorter than this say little: the fixed tokens around them weigh too much.
const BYTES_MIN: u64 = 200;
/// What is learned is no sharper than this part of it, either way: a cut can be anywhere.
const MARGIN_PART: u64 = 20;
/// Bytes per token where nothing was learned: from dense code or non-Latin text to plain English.
const UNLEARNED: [Ratio; 2] = [Ratio { bytes: 3, tokens: 2 }, Ratio { bytes: 5, tokens: 1 }];

/// Bytes of content that were streamed, by kind, as they stand in the stream's JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// Text.
    pub text: u64,
    /// Thinking, where it is shown; often a summary of what is billed.
    pub thinking: u64,
    /// Input of tools, which is JSON.
    pub tool_input: u64,
}

impl Streamed {
    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Streamed::default()
    }
}

/// Tokens, at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// At least.
    pub low: u64,
    /// At most.
    pub high: u64,
}

/// What the completed answers of this deployment say.
#[derive(Debug, Default)]
pub struct Calibration {
    models: HashMap<String, Kinds>,
}

/// Text and tool input have one ratio each, and one together: most answers of agents have both.
#[derive(Debug, Default)]
struct Kinds {
    text: Answers,
    tool_input: Answers,
    both: Answers,
    thinking: Answers,
}

/// Bytes that made so many tokens; neither is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ratio {
    bytes: u64,
    tokens: u64,
}

impl Ratio {
    /// Tokens of so many bytes, rounded down or up.
    fn tokens(self, bytes: u64, up: bool) -> u64 {
        let product = u128::from(bytes).saturating_mul(self.tokens.into());
        let by = u128::from(self.bytes.max(1));
        let tokens = if up { product.div_ceil(by) } else { product.div_euclid(by) };
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Default)]
struct Answers(VecDeque<Ratio>);

impl Answers {
    fn learn(&mut self, bytes: u64, tokens: u64) {
        if bytes < BYTES_MIN || tokens == 0 {
            return;
        }
        if self.0.len() >= ANSWERS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Ratio { bytes, tokens });
    }

    /// The densest and the sparsest tenth are left out.
    fn range(&self, bytes: u64) -> Range {
        if self.0.len() < ANSWERS_MIN {
            let [dense, sparse] = UNLEARNED;
            return Range { low: sparse.tokens(bytes, false), high: dense.tokens(bytes, true) };
        }
        let [dense, sparse] = {
            let mut sorted: Vec<Ratio> = self.0.iter().copied().collect();
            let cross = |a: &Ratio, b: &Ratio| u128::from(a.bytes).saturating_mul(b.tokens.into());
            sorted.sort_by(|a, b| cross(a, b).cmp(&cross(b, a)));
            let tenth = sorted.len().div_euclid(10);
            let last = sorted.len().saturating_sub(1).saturating_sub(tenth);
            let at = |place: usize, or: Ratio| sorted.get(place).copied().unwrap_or(or);
            [at(tenth, UNLEARNED[0]), at(last, UNLEARNED[1])]
        };
        let (low, high) = (sparse.tokens(bytes, false), dense.tokens(bytes, true));
        Range {
            low: low.saturating_sub(low.div_ceil(MARGIN_PART)),
            high: high.saturating_add(high.div_ceil(MARGIN_PART)),
        }
    }
}

impl Calibration {
    /// Learns from a completed stream: what was streamed, and the output tokens that were billed,
    /// those of thinking among them where the API says them apart.
    pub fn learn(&mut self, model: &str, streamed: &Streamed, output: u64, thinking: Option<u64>) {
        if !self.models.contains_key(model) {
            if self.models.len() >= MODELS_MAX {
                return;
            }
            self.models.insert(model.to_owned(), Kinds::default());
        }
        let Some(kinds) = self.models.get_mut(model) else { return };
        match (streamed.thinking, thinking) {
            // Tokens of thinking cannot be told from the others.
            (1.., None) => return,
            (1.., Some(tokens)) => kinds.thinking.learn(streamed.thinking, tokens),
            (0, _) => {}
        }
        let visible = output.saturating_sub(thinking.unwrap_or(0));
        let bytes = streamed.text.saturating_add(streamed.tool_input);
        kinds.visible(streamed).learn(bytes, visible);
    }

    /// The output tokens of a stream that was cut after so much.
    #[must_use]
    pub fn estimate(&mut self, model: &str, streamed: &Streamed) -> Range {
        let mut unknown = Kinds::default();
        let kinds = self.models.get_mut(model).unwrap_or(&mut unknown);
        let thinking = kinds.thinking.range(streamed.thinking);
        let bytes = streamed.text.saturating_add(streamed.tool_input);
        let visible = kinds.visible(streamed).range(bytes);
        Range {
            low: visible.low.saturating_add(thinking.low),
            high: visible.high.saturating_add(thinking.high),
        }
    }
}

impl Kinds {
    fn visible(&mut self, streamed: &Streamed) -> &mut Answers {
        match (streamed.text, streamed.tool_input) {
            (_, 0) => &mut self.text,
            (0, _) => &mut self.tool_input,
            _ => &mut self.both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: u64) -> Streamed {
        Streamed { text: bytes, ..Streamed::default() }
    }

    #[test]
    fn an_unknown_model_gets_a_wide_range() {
        let range = Calibration::default().estimate("claude-x", &text(1000));
        assert_eq!(range, Range { low: 200, high: 667 });
    }

    #[test]
    fn what_was_learned_narrows_the_range_for_its_model_and_kind_alone() {
        let mut calibration = Calibration::default();
        for bytes in [2900, 3000, 3000, 3100, 3000] {
            calibration.learn("claude-x", &text(bytes), 1000, None);
        }
        assert_eq!(calibration.estimate("claude-x", &text(3000)), Range { low: 918, high: 1087 });
        let wide = Range { low: 600, high: 2000 };
        assert_eq!(calibration.estimate("claude-y", &text(3000)), wide);
        let tool = Streamed { tool_input: 3000, ..Streamed::default() };
        assert_eq!(calibration.estimate("claude-x", &tool), wide);
    }

    #[test]
    fn thinking_is_learned_apart_and_only_where_its_tokens_are_known() {
        let mut calibration = Calibration::default();
        let streamed = Streamed { thinking: 1000, ..text(3000) };
        for _ in 0..ANSWERS_MIN {
            calibration.learn("claude-x", &streamed, 1500, None);
        }
        assert_eq!(calibration.estimate("claude-x", &text(3000)).low, 600);
        for _ in 0..ANSWERS_MIN {
            calibration.learn("claude-x", &streamed, 1500, Some(500));
        }
        assert_eq!(calibration.estimate("claude-x", &text(3000)), Range { low: 950, high: 1050 });
        assert_eq!(calibration.estimate("claude-x", &streamed), Range { low: 1425, high: 1575 });
    }

    #[test]
    fn memory_is_bounded_and_the_latest_answers_count() {
        let mut calibration = Calibration::default();
        for name in 0..MODELS_MAX + 9 {
            calibration.learn(&name.to_string(), &text(1000), 1, None);
        }
        assert_eq!(calibration.models.len(), MODELS_MAX);
        for tokens in (0..ANSWERS_MAX * 3).map(|n| if n < ANSWERS_MAX { 900 } else { 300 }) {
            calibration.learn("0", &text(900), tokens, None);
        }
        assert_eq!(calibration.models["0"].text.0.len(), ANSWERS_MAX);
        assert_eq!(calibration.estimate("0", &text(900)), Range { low: 285, high: 315 });
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let all = Streamed { text: u64::MAX, thinking: u64::MAX, tool_input: u64::MAX };
        let mut calibration = Calibration::default();
        for _ in 0..ANSWERS_MAX {
            calibration.learn("claude-x", &all, u64::MAX, Some(u64::MAX));
        }
        assert_eq!(calibration.estimate("claude-x", &all).high, u64::MAX);
    }
}
