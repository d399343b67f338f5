//! How the simulated API counts a prompt: about four characters a token, and a prompt cache that
//! finds the longest known beginning.

use std::collections::HashSet;

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::bill::Tokens;

/// Characters of JSON that make one token.
const CHARACTERS_PER_TOKEN: usize = 4;

/// How long a part of the prompt is to be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeToLive {
    FiveMinutes,
    OneHour,
}

/// Where a block of a prompt ends.
struct Boundary {
    /// Tokens up to here.
    tokens: u64,
    /// Everything up to here, the model included.
    prefix: u64,
    /// The client wants the prompt up to here kept.
    keep: Option<TimeToLive>,
}

/// The beginnings of prompts that are kept. A demo is over before anything in it expires, and its
/// handful of prompts bounds it.
#[derive(Debug, Default)]
pub(super) struct PromptCache(HashSet<u64>);

impl PromptCache {
    /// Counts a request's prompt: what is read from the cache, what is written, what is neither.
    pub(super) fn weigh(&mut self, request: &Value) -> Tokens {
        let boundaries = boundaries(request);
        let known = boundaries.iter().filter(|boundary| self.0.contains(&boundary.prefix));
        let cache_read = known.map(|boundary| boundary.tokens).max().unwrap_or(0);
        let mut tokens = Tokens { cache_read, ..Tokens::default() };
        let mut covered = cache_read;
        for boundary in &boundaries {
            let Some(keep) = boundary.keep else { continue };
            let written = boundary.tokens.saturating_sub(covered);
            match keep {
                TimeToLive::FiveMinutes => tokens.cache_write_5m += written,
                TimeToLive::OneHour => tokens.cache_write_1h += written,
            }
            covered = covered.max(boundary.tokens);
            self.0.insert(boundary.prefix);
        }
        let total = boundaries.last().map_or(0, |boundary| boundary.tokens);
        tokens.input = total.saturating_sub(covered);
        tokens
    }
}

/// How many tokens a text has.
pub(super) fn count(text: &str) -> u64 {
    text.len().div_ceil(CHARACTERS_PER_TOKEN) as u64
}

/// The prompt's blocks in the API's order: tools, system, messages.
fn boundaries(request: &Value) -> Vec<Boundary> {
    let mut hasher = Xxh3::new();
    hasher.update(request["model"].as_str().unwrap_or_default().as_bytes());
    let mut tokens = 0;
    let tools = std::iter::once(&request["tools"]).filter(|tools| !tools.is_null());
    let system = parts(&request["system"]);
    let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let said = messages.iter().flat_map(|message| parts(&message["content"]));
    let blocks = tools.chain(system).chain(said);
    let mut boundary = |block: &Value| {
        let keep = match (block.get("cache_control"), &block["cache_control"]["ttl"]) {
            (None, _) => None,
            (Some(_), ttl) if ttl == "1h" => Some(TimeToLive::OneHour),
            (Some(_), _) => Some(TimeToLive::FiveMinutes),
        };
        let mut block = block.clone();
        if let Some(fields) = block.as_object_mut() {
            fields.remove("cache_control");
        }
        let text = block.to_string();
        hasher.update(text.as_bytes());
        tokens += count(&text);
        Boundary { tokens, prefix: hasher.digest(), keep }
    };
    blocks.map(&mut boundary).collect()
}

/// A content: a list of blocks, or one text.
fn parts(content: &Value) -> impl Iterator<Item = &Value> {
    let list = content.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().chain(content.is_string().then_some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_kept_is_read_the_next_time() {
        let mut cache = PromptCache::default();
        let block = |text: &str| json!({"type": "text", "text": text});
        let kept = |text: &str, ttl: &str| {
            let mut block = block(text);
            block["cache_control"] = json!({"type": "ephemeral", "ttl": ttl});
            block
        };
        let size = |text: &str| count(&block(text).to_string());
        let ask = |messages: Vec<Value>| {
            json!({"model": "m", "system": [kept("rules", "1h")],
                "messages": [{"role": "user", "content": messages}]})
        };
        let first = cache.weigh(&ask(vec![kept("a question", "5m"), block("now")]));
        assert_eq!((first.cache_write_1h, first.cache_read), (size("rules"), 0));
        assert_eq!((first.cache_write_5m, first.input), (size("a question"), size("now")));
        let second = cache.weigh(&ask(vec![block("a question"), kept("more", "5m")]));
        assert_eq!(second.cache_read, size("rules") + size("a question"));
        assert_eq!((second.cache_write_5m, second.input), (size("more"), 0));
        let mut other = ask(vec![block("a question")]);
        other["model"] = json!("n");
        assert_eq!(cache.weigh(&other).cache_read, 0, "a cache belongs to one model");
    }
}
