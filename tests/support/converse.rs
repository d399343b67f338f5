//! Bedrock's Converse API: the same answer in other words.

use super::eventstream::event;
use super::message::Figures;
use super::script::{Framing, Reply, Step};

/// What an answer came to.
pub const FIGURES: Figures = Figures::new(4, 11_000, 1_200, 300, 74);

fn usage() -> String {
    let Figures { input, write_5m, write_1h, read, output, .. } = FIGURES;
    let writes = write_5m + write_1h;
    format!(
        "{{\"inputTokens\":{input},\"outputTokens\":{output},\"totalTokens\":{},\
         \"cacheReadInputTokens\":{read},\"cacheWriteInputTokens\":{writes},\"cacheDetails\":[\
         {{\"ttl\":\"1h\",\"inputTokens\":{write_1h}}},\
         {{\"ttl\":\"5m\",\"inputTokens\":{write_5m}}}]}}",
        input + output + read + writes
    )
}

/// A whole answer, or a stream: there the usage comes after the end of the message.
pub fn answer(streamed: bool) -> Reply {
    let usage = usage();
    if !streamed {
        return Reply::json(
            200,
            format!(
                "{{\"metrics\":{{\"latencyMs\":900}},\"output\":{{\"message\":{{\"content\":[\
                 {{\"text\":\"hello\"}}],\"role\":\"assistant\"}}}},\"stopReason\":\"end_turn\",\
                 \"usage\":{usage}}}"
            ),
        );
    }
    let metadata = format!("{{\"metrics\":{{\"latencyMs\":900}},\"p\":\"ab\",\"usage\":{usage}}}");
    let events = [
        ("messageStart", "{\"p\":\"abc\",\"role\":\"assistant\"}"),
        ("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"hel\"},\"p\":\"a\"}"),
        ("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"lo\"},\"p\":\"a\"}"),
        ("contentBlockStop", "{\"contentBlockIndex\":0,\"p\":\"abcd\"}"),
        ("messageStop", "{\"p\":\"abcdef\",\"stopReason\":\"end_turn\"}"),
        ("metadata", metadata.as_str()),
    ];
    let mut reply = Reply::new(200, "application/vnd.amazon.eventstream", Vec::new());
    reply.steps = events.map(|(name, data)| Step::Bytes(event(name, data))).to_vec();
    (reply.framing, reply.encodable) = (Framing::Chunked, false);
    reply
}
