//! Usage, blocks and events as Bedrock's Converse API writes them, in the words of the Messages
//! API.

use serde_json::{Map, Value, json};

/// Converse's name of a count, and the Messages API's.
const COUNTS: [(&str, &str); 4] = [
    ("inputTokens", "input_tokens"),
    ("outputTokens", "output_tokens"),
    ("cacheReadInputTokens", "cache_read_input_tokens"),
    ("cacheWriteInputTokens", "cache_creation_input_tokens"),
];
/// Converse's times to live, and where the Messages API puts the writes for them.
const LIVES: [(&str, &str); 2] =
    [("5m", "ephemeral_5m_input_tokens"), ("1h", "ephemeral_1h_input_tokens")];
/// The tier that every price list is about.
const DEFAULT_TIER: &str = "default";

/// The same usage; `None` where it is not in Converse's form. Values are passed on as they are:
/// what is no count is found where all usage is read. A tier with a price of its own becomes one
/// that no table knows.
pub(super) fn usage(usage: &Value, tier: Option<&Value>) -> Option<Value> {
    let is_converse = COUNTS.iter().any(|(name, _)| usage.get(name).is_some());
    if !is_converse {
        return None;
    }
    let mut same = Map::new();
    for (theirs, ours) in COUNTS {
        if let Some(value) = usage.get(theirs) {
            same.insert(ours.to_owned(), value.clone());
        }
    }
    let mut split = Map::new();
    let details = usage.get("cacheDetails").and_then(Value::as_array);
    for detail in details.into_iter().flatten() {
        let life = detail.get("ttl").and_then(Value::as_str);
        let known = LIVES.iter().find(|(name, _)| Some(*name) == life);
        let Some((_, ours)) = known else { continue };
        let more = detail.get("inputTokens").cloned().unwrap_or_default();
        let both = match (split.get(*ours).and_then(Value::as_u64), more.as_u64()) {
            (Some(sum), Some(more)) => json!(sum.saturating_add(more)),
            _ => more,
        };
        split.insert((*ours).to_owned(), both);
    }
    if !split.is_empty() {
        same.insert("cache_creation".to_owned(), Value::Object(split));
    }
    let tier = tier.and_then(|tier| tier.get("type")).and_then(Value::as_str);
    if let Some(tier) = tier.filter(|tier| *tier != DEFAULT_TIER) {
        same.insert("service_tier".to_owned(), Value::from(format!("bedrock_{tier}")));
    }
    Some(Value::Object(same))
}

/// The same block of content: Converse says by a key what it is. `None` where it is not one that is
/// known; the block is left as it is then.
pub(super) fn block(block: &mut Value) -> Option<Value> {
    let (name, mut inner) = {
        let object = block.as_object_mut()?;
        let names =
            ["text", "image", "document", "toolUse", "toolResult", "reasoningContent", "json"];
        let name = names.into_iter().find(|name| object.contains_key(*name))?;
        (name, object.get_mut(name)?.take())
    };
    let mut of = |name: &str| inner.get_mut(name).map(Value::take).unwrap_or_default();
    Some(match name {
        "text" => json!({"type": "text", "text": inner}),
        "json" => json!({"type": "text", "text": inner.to_string()}),
        "toolUse" => json!({"type": "tool_use", "name": of("name"), "input": of("input")}),
        "toolResult" => json!({"type": "tool_result", "content": of("content")}),
        "reasoningContent" => {
            let text = of("reasoningText").get_mut("text").map(Value::take);
            json!({"type": "thinking", "thinking": text})
        }
        _ => {
            let format = of("format");
            let family = if name == "image" { "image" } else { "application" };
            let media = format!("{family}/{}", format.as_str().unwrap_or("unknown"));
            let source = source(of("source"), &media);
            json!({"type": name, "title": of("name"), "context": of("context"), "source": source})
        }
    })
}

/// Where an image or a document is from.
fn source(mut source: Value, media: &str) -> Value {
    let mut of = |name: &str| source.get_mut(name).map(Value::take).filter(|it| !it.is_null());
    if let Some(data) = of("bytes") {
        return json!({"type": "base64", "media_type": media, "data": data});
    }
    if let Some(text) = of("text") {
        return json!({"type": "text", "data": text});
    }
    if let Some(content) = of("content") {
        return json!({"type": "content", "content": content});
    }
    source
}

/// The same event of a stream; `None` where it holds no content.
pub(super) fn event(name: &[u8], mut event: Value) -> Option<Value> {
    let index = event.get("contentBlockIndex").cloned();
    match name {
        b"contentBlockStart" => {
            let block = block(event.get_mut("start")?)?;
            Some(json!({"type": "content_block_start", "index": index, "content_block": block}))
        }
        b"contentBlockDelta" => {
            let delta = event.get_mut("delta")?;
            let mut text = |path: &str| delta.pointer_mut(path).map(Value::take);
            let delta = if let Some(text) = text("/text") {
                json!({"text": text})
            } else if let Some(input) = text("/toolUse/input") {
                json!({"partial_json": input})
            } else {
                json!({"thinking": text("/reasoningContent/text")?})
            };
            Some(json!({"type": "content_block_delta", "index": index, "delta": delta}))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_counts_in_other_words() {
        let theirs = json!({
            "inputTokens": 4, "outputTokens": 74, "totalTokens": 12_278,
            "cacheReadInputTokens": 0, "cacheWriteInputTokens": 12_200,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 1_200}, {"ttl": "5m", "inputTokens": 11_000}],
        });
        let ours = json!({
            "input_tokens": 4, "output_tokens": 74, "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 12_200,
            "cache_creation":
                {"ephemeral_1h_input_tokens": 1_200, "ephemeral_5m_input_tokens": 11_000},
        });
        assert_eq!(usage(&theirs, Some(&json!({"type": "default"}))), Some(ours.clone()));
        let flex = usage(&theirs, Some(&json!({"type": "flex"}))).unwrap();
        assert_eq!(flex["service_tier"], "bedrock_flex");
        assert_eq!(usage(&ours, None), None);
        let damaged = usage(&json!({"inputTokens": -3}), None).unwrap();
        assert_eq!(damaged, json!({"input_tokens": -3}));
    }
}
