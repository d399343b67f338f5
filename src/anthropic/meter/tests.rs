use std::io::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

macro_rules! wire {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wire/", $name))
    };
}

const SSE: ResponseHead<'static> = ResponseHead {
    endpoint: Endpoint::Messages,
    status: 200,
    content_type: Some("text/event-stream; charset=utf-8"),
    content_encoding: None,
    stream_requested: true,
};

const JSON: ResponseHead<'static> =
    ResponseHead { content_type: Some("application/json"), stream_requested: false, ..SSE };

const BEDROCK: ResponseHead<'static> = ResponseHead {
    endpoint: Endpoint::Bedrock,
    content_type: Some("application/vnd.amazon.eventstream"),
    ..SSE
};

/// Feeds chunks, and says in which chunk the first token and the end were seen.
fn run<'a>(
    head: &ResponseHead<'_>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Metered, Option<usize>, Option<usize>) {
    let mut meter = Meter::new(head);
    let (mut first, mut end) = (None, None);
    for (index, chunk) in chunks.into_iter().enumerate() {
        let seen = meter.observe(chunk);
        assert!(!(seen.first_token && first.is_some()), "the first token came twice");
        assert!(!(seen.end && end.is_some()), "the end came twice");
        first = first.or(seen.first_token.then_some(index));
        end = end.or(seen.end.then_some(index));
    }
    (meter.finish(), first, end)
}

fn metered(head: &ResponseHead<'_>, body: &[u8]) -> Metered {
    run(head, [body]).0
}

/// Where `needle` begins, counted in bytes.
fn find(body: &[u8], needle: &str) -> usize {
    memchr::memmem::find(body, needle.as_bytes()).unwrap()
}

/// Input, output, cache write, cache read.
type Counts = (u64, u64, u64, u64);

fn counts(metered: &Metered) -> Option<Counts> {
    let usage = metered.usage.as_ref()?;
    Some((
        usage.input_tokens?,
        usage.output_tokens?,
        usage.cache_creation_input_tokens?,
        usage.cache_read_input_tokens?,
    ))
}

#[test]
fn captured_streams_give_their_usage() {
    const FIRST: Counts = (4, 74, 12_200, 0);
    const CUT: Counts = (4, 1, 12_200, 0);
    let table: [(&[u8], &str, Counts, &str); 8] = [
        (wire!("tool_use.sse"), "claude-opus-5-5", FIRST, "tool_use"),
        (wire!("end_turn.sse"), "claude-opus-5-5", (6, 21, 210, 12_200), "end_turn"),
        (wire!("haiku.sse"), "claude-haiku-4-5", FIRST, "tool_use"),
        (wire!("subagent.sse"), "claude-opus-5-5", (4, 95, 12_000, 0), "tool_use"),
        (wire!("sdk.sse"), "claude-sonnet-5", (9, 1, 0, 0), "end_turn"),
        (wire!("max_tokens.sse"), "claude-opus-5-5", (12, 64, 0, 0), "max_tokens"),
        (wire!("refusal.sse"), "claude-opus-5-5", (12, 1, 0, 0), "refusal"),
        (wire!("web_search.sse"), "claude-opus-5-5", (2_100, 88, 0, 9_000), "end_turn"),
    ];
    for (body, model, expected, stop) in table {
        let metered = metered(&SSE, body);
        assert_eq!(counts(&metered), Some(expected));
        assert_eq!(metered.model.as_deref(), Some(model));
        assert_eq!(metered.stop_reason.as_deref(), Some(stop));
        assert!(metered.complete && metered.ended && metered.flags.is_empty(), "{metered:?}");
        assert!(metered.message_id.as_deref().is_some_and(|id| id.starts_with("msg_")));
    }
    let first = metered(&SSE, wire!("tool_use.sse")).usage.unwrap();
    let split = first.cache_creation.unwrap();
    assert_eq!(split.ephemeral_5m_input_tokens, Some(11_000));
    assert_eq!(split.ephemeral_1h_input_tokens, Some(1_200));
    assert_eq!(first.service_tier.as_deref(), Some("standard"));
    let search = metered(&SSE, wire!("web_search.sse")).usage.unwrap();
    assert_eq!(search.server_tool_use.unwrap().web_search_requests, Some(1));

    let cuts: [&[u8]; 5] = [
        wire!("cut.sse"),
        wire!("cut_early.sse"),
        wire!("cut_clean.sse"),
        wire!("cut_tool.sse"),
        wire!("garbage.sse"),
    ];
    for body in cuts {
        let metered = metered(&SSE, body);
        assert_eq!(counts(&metered), Some(CUT));
        assert_eq!((metered.complete, metered.ended), (false, false));
        assert_eq!(metered.flags, [Flag::Partial]);
    }
    let errors: [(&[u8], &str); 2] = [
        (wire!("error_overloaded.sse"), "overloaded_error"),
        (wire!("error_api.sse"), "api_error"),
    ];
    for (body, name) in errors {
        let metered = metered(&SSE, body);
        assert_eq!(metered.error_type.as_deref(), Some(name));
        assert_eq!((metered.complete, metered.ended), (false, true));
        assert_eq!((counts(&metered), &metered.flags[..]), (Some(CUT), &[Flag::Partial][..]));
    }
}

#[test]
fn every_form_says_the_same() {
    let mut streamed = metered(&SSE, wire!("tool_use.sse"));
    // Content is counted in server-sent events only.
    let content = std::mem::take(&mut streamed.streamed);
    assert_eq!(content, Streamed { text: 12, thinking: 38, tool_input: 60 });
    let whole = metered(&JSON, wire!("tool_use.json"));
    assert_eq!(streamed, whole);
    let mut bedrock = metered(&BEDROCK, wire!("tool_use.eventstream"));
    assert_eq!(bedrock.model.take().as_deref(), Some("us.anthropic.claude-opus-5-5"));
    assert!(bedrock.message_id.take().is_some_and(|id| id.starts_with("msg_bdrk_")));
    let plain = Metered { model: None, message_id: None, ..streamed };
    assert_eq!(bedrock, plain);
    let second = metered(&BEDROCK, wire!("end_turn.eventstream"));
    assert_eq!(second.usage, metered(&SSE, wire!("end_turn.sse")).usage);
    assert!(second.complete && second.ended && second.flags.is_empty());
}

/// What the API writes, what gateways make of it (blanks, sorted keys), each with a name or not.
#[test]
fn content_is_counted_alike_however_a_gateway_writes_it() {
    let long = "y".repeat(300);
    let contents = [
        ("text", "text_delta", r#"a \"quoted\" \\"#),
        ("partial_json", "input_json_delta", r#"{\"k\": \"v\\\\\"}"#),
        ("thinking", "thinking_delta", long.as_str()),
        ("text", "text_delta", ""),
        ("signature", "signature_delta", "never"),
    ];
    for (key, kind, content) in contents {
        let forms = [
            format!(
                r#"{{"type":"content_block_delta","index":10,"delta":{{"type":"{kind}","{key}":"{content}"}}}}"#
            ),
            format!(
                r#"{{"type": "content_block_delta", "index": 10, "delta": {{"type": "{kind}", "{key}": "{content}"}} }}"#
            ),
            format!(
                r#"{{"delta":{{"{key}":"{content}","type":"{kind}"}},"index":10,"type":"content_block_delta"}}"#
            ),
            format!(
                r#"{{ "delta" : {{ "type" : "{kind}", "{key}" : "{content}" }}, "index" : 10, "type" : "content_block_delta" }}"#
            ),
        ];
        for (form, name) in forms
            .iter()
            .flat_map(|form| ["", "event: content_block_delta\n"].map(|name| (form, name)))
        {
            let body = format!("{name}data: {form}\n\n{name}data: {form}\n\n");
            for size in 1..=body.len() {
                let streamed = run(&SSE, body.as_bytes().chunks(size)).0.streamed;
                let counts = [streamed.text, streamed.tool_input, streamed.thinking];
                let of = ["text", "partial_json", "thinking"];
                let expected = of.map(|one| if one == key { 2 * content.len() as u64 } else { 0 });
                assert_eq!(counts, expected, "{size} {body}");
            }
        }
    }
}

#[test]
fn the_first_token_and_the_end_are_seen_in_their_chunk() {
    let body: &[u8] = wire!("tool_use.sse");
    let (_, first, end) = run(&SSE, body.chunks(1));
    // A line is known at its end, before the blank line that makes a client act on it.
    let name = "event: content_block_start\n";
    assert_eq!(first, Some(find(body, name) + name.len() - 1));
    let name = "event: message_stop\n";
    assert_eq!(end, Some(find(body, name) + name.len() - 1));

    let events: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    let lines = events.len();
    let (_, _, end) = run(&SSE, events);
    assert_eq!(end, Some(lines - 3));

    let body: &[u8] = wire!("error_api.sse");
    let (_, _, end) = run(&SSE, [&body[..700], &body[700..]]);
    assert_eq!(end, Some(1));
    let (_, first, end) = run(&SSE, [wire!("cut_early.sse").as_slice()]);
    assert_eq!((first, end), (Some(0), None));

    // A type that is not in a line's head is known when the event is whole, however it is cut.
    let line = format!("data: {{{}\"type\":\"message_stop\"}}\n", " ".repeat(130));
    let (_, _, end) = run(&SSE, [line.as_bytes(), b"\n"]);
    assert_eq!(end, Some(1));
    let (_, _, end) = run(&SSE, line.as_bytes().chunks(1).chain([b"\n".as_slice()]));
    assert_eq!(end, Some(line.len()));

    let body: &[u8] = wire!("tool_use.eventstream");
    let (_, first, end) = run(&BEDROCK, body.chunks(1));
    assert_eq!(end, Some(body.len() - 1));
    assert!(first.is_some_and(|at| at < body.len() / 2));
    let (_, first, end) = run(&JSON, wire!("sdk.json").chunks(7));
    assert_eq!((first, end), (Some(0), None));
}

#[test]
fn error_bodies_give_their_type_and_no_usage() {
    let head = ResponseHead { status: 529, ..JSON };
    let metered_529 = metered(&head, wire!("overloaded_529.json"));
    assert_eq!(metered_529.error_type.as_deref(), Some("overloaded_error"));
    assert_eq!((metered_529.usage, &metered_529.flags[..]), (None, &[][..]));
    let metered_402 = metered(&ResponseHead { status: 402, ..JSON }, wire!("billing_402.json"));
    assert_eq!(metered_402.error_type.as_deref(), Some("billing_error"));
    let vertex = br#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#;
    let vertex = metered(&ResponseHead { status: 429, ..JSON }, vertex);
    assert_eq!(vertex.error_type.as_deref(), Some("RESOURCE_EXHAUSTED"));
    // A proxy's page is no JSON, and that is nothing to report.
    let page = metered(&ResponseHead { status: 502, ..JSON }, b"<html>502</html>");
    assert_eq!(page, Metered::default());
    let unmetered = ResponseHead { endpoint: Endpoint::CountTokens, status: 404, ..JSON };
    let unmetered = metered(&unmetered, br#"{"error":{"type":"not_found_error"}}"#);
    assert_eq!(unmetered.error_type.as_deref(), Some("not_found_error"));
}

#[test]
fn what_cannot_be_read_is_flagged() {
    let flags = |head: &ResponseHead<'_>, body: &[u8]| metered(head, body).flags;
    let html = ResponseHead { content_type: Some("text/html"), ..JSON };
    let unreadable = [Flag::Unparseable, Flag::UsageUnknown];
    assert_eq!(flags(&html, b"<html>log in</html>"), unreadable);
    assert_eq!(flags(&JSON, b"{\"usage\":{}} trailing"), unreadable);
    assert_eq!(flags(&JSON, b"{\"usage\":{\"input_to"), [Flag::UsageUnknown]);
    assert_eq!(flags(&JSON, b""), [Flag::UsageUnknown]);
    assert_eq!(flags(&SSE, b""), [Flag::UsageUnknown]);
    assert_eq!(flags(&SSE, b"event: message_start\ndata: {oops\n\n"), unreadable);
    assert_eq!(flags(&BEDROCK, b"\0\0\0\x04\0\0\0\0\0\0\0\0rest"), unreadable);
    let coded = ResponseHead { content_encoding: Some("gzip, br"), ..SSE };
    assert_eq!(flags(&coded, wire!("sdk.sse")), unreadable);
    assert_eq!(Meter::new(&coded).form(), Form::Opaque);
    let gzip = ResponseHead { content_encoding: Some("gzip"), ..SSE };
    assert_eq!(flags(&gzip, wire!("sdk.sse")), unreadable);

    let unasked = ResponseHead { stream_requested: true, ..JSON };
    let unasked = metered(&unasked, wire!("sdk.json"));
    assert_eq!((unasked.flags.as_slice(), unasked.complete), (&[Flag::JsonForStream][..], true));
    let other = ResponseHead { endpoint: Endpoint::CountTokens, ..JSON };
    assert_eq!(metered(&other, b"{\"input_tokens\":12}"), Metered::default());
    let refused = json!({"stop_reason": "refusal", "stop_details": {"category": "bio"}});
    let refused = metered(&JSON, refused.to_string().as_bytes());
    assert_eq!(refused.refusal_category.as_deref(), Some("bio"));
}

#[test]
fn the_grammar_of_streams_is_accepted_in_full() {
    let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":3}}}"#;
    let long = "x".repeat(300);
    for body in [
        format!("event: message_start\ndata: {start}\n\n"),
        format!("data: {start}\nevent: message_start\n\n"),
        format!("data:{start}\n\n"),
        format!("\u{feff}:comment\r\rdata: {start}\r\r"),
        format!("event: message_start\r\ndata: {start}\r\nid: 7\r\n\r\n"),
        format!("event: message\ndata: {start}\n\n"),
        format!("data: {start}"),
        format!("data: {{\"pad\":\"{long}\",\ndata: {}\n\n", &start[1..]),
        format!("event: {long}\ndata: {start}\n\ndata: [DONE]\n\n"),
    ] {
        let metered = metered(&SSE, body.as_bytes());
        assert_eq!(metered.usage.unwrap().input_tokens, Some(3), "{body}");
        assert_eq!(metered.flags, [Flag::Partial], "{body}");
    }
    // The data of an event that is named otherwise says nothing.
    let hidden = format!("event: content_block_delta\ndata: {start}\n\n");
    assert_eq!(metered(&SSE, hidden.as_bytes()).usage, None);
}

#[test]
fn bounds_hold() {
    let huge = "x".repeat(2 << 20);
    let start = json!({"message": {"usage": {"input_tokens": 1}, "content": huge}}).to_string();
    let body =
        format!("event: message_start\ndata: {start}\n\nevent: message_stop\ndata: {{}}\n\n");
    let (long, _, end) = run(&SSE, body.as_bytes().chunks(9_000));
    assert_eq!(long.flags, [Flag::InspectionTruncated, Flag::UsageUnknown]);
    assert!(long.complete && end.is_some());
    // The event after an overlong one is read, in whatever pieces both came.
    let next =
        format!("{body}data: {{\"type\":\"message_delta\",\"usage\":{{\"output_tokens\":5}}}}\n\n");
    for size in [9_000, next.len()] {
        let usage = run(&SSE, next.as_bytes().chunks(size)).0.usage.unwrap();
        assert_eq!(usage.output_tokens, Some(5), "{size}");
    }

    let document = json!({"content": huge.repeat(3), "usage": {"input_tokens": 1}}).to_string();
    let long = metered(&JSON, document.as_bytes());
    assert_eq!(long.flags, [Flag::InspectionTruncated, Flag::UsageUnknown]);

    let mut frame = (3_u32 << 20).to_be_bytes().to_vec();
    frame.resize(3 << 20, 0);
    frame.extend_from_slice(wire!("tool_use.eventstream"));
    for size in [5, 4_096, frame.len()] {
        let (stepped, ..) = run(&BEDROCK, frame.chunks(size));
        assert_eq!(counts(&stepped), Some((4, 74, 12_200, 0)), "{size}");
        assert_eq!(stepped.flags, [Flag::InspectionTruncated]);
    }
}

#[test]
fn a_bomb_is_stopped_at_the_bound() {
    let mut body = wire!("cut.sse").to_vec();
    body.resize(80 << 20, b':');
    body.extend_from_slice(b"\n\nevent: message_stop\ndata: {}\n\n");
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let packed = encode(coding, &body);
        assert!(packed.len() < body.len() / 500, "{coding}: {}", packed.len());
        let head = ResponseHead { content_encoding: Some(coding), ..SSE };
        let (bomb, _, end) = run(&head, [packed.as_slice(), packed.as_slice()]);
        assert_eq!(counts(&bomb), Some((4, 1, 12_200, 0)), "{coding}");
        assert_eq!(bomb.flags, [Flag::InspectionTruncated, Flag::Partial], "{coding}");
        assert_eq!(end, None);
    }
}

#[test]
fn bedrock_exceptions_end_the_stream() {
    let mut headers = Vec::new();
    let pairs = [(":exception-type", "throttlingException"), (":message-type", "exception")];
    for (name, value) in pairs {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.extend_from_slice(&[7, 0, u8::try_from(value.len()).unwrap()]);
        headers.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&length(headers.len() + 18));
    frame.extend_from_slice(&length(headers.len()));
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(b"{}\0\0\0\0");
    let (failed, _, end) = run(&BEDROCK, [frame.as_slice()]);
    assert_eq!(failed.error_type.as_deref(), Some("throttlingException"));
    assert_eq!((failed.ended, failed.complete, end), (true, false, Some(0)));
    assert_eq!(failed.flags, [Flag::UsageUnknown]);
}

/// One coding, flushed after every line: as a server sends a stream.
fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    encode_parts(coding, body).concat()
}

fn encode_parts(coding: &str, body: &[u8]) -> Vec<Vec<u8>> {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    macro_rules! through {
        ($new:expr, $encoder:ident => $finish:expr) => {{
            let mut $encoder = $new;
            let mut parts = Vec::new();
            for line in lines {
                $encoder.write_all(line).unwrap();
                $encoder.flush().unwrap();
                parts.push(std::mem::take($encoder.get_mut()));
            }
            parts.push($finish);
            parts
        }};
    }
    let level = Compression::default();
    match coding {
        "gzip" => through!(GzEncoder::new(Vec::new(), level), it => it.finish().unwrap()),
        "deflate" => through!(ZlibEncoder::new(Vec::new(), level), it => it.finish().unwrap()),
        "raw" => through!(DeflateEncoder::new(Vec::new(), level), it => it.finish().unwrap()),
        "zstd" => {
            let encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            through!(encoder, it => it.finish().unwrap())
        }
        _ => {
            let encoder = brotli::CompressorWriter::new(Vec::new(), 4_096, 3, 20);
            through!(encoder, it => it.into_inner())
        }
    }
}

#[test]
fn codings_change_nothing() {
    let body: &[u8] = wire!("tool_use.sse");
    let plain = metered(&SSE, body);
    let lines = body.split_inclusive(|byte| *byte == b'\n').count();
    for coding in ["gzip", "deflate", "raw", "br", "zstd"] {
        let name = if coding == "raw" { "deflate" } else { coding };
        let head = ResponseHead { content_encoding: Some(name), ..SSE };
        let parts = encode_parts(coding, body);
        let (by_line, _, end) = run(&head, parts.iter().map(Vec::as_slice));
        assert_eq!(by_line, plain, "{coding}");
        // The end is seen in the chunk that carries it, not when the coding ends.
        assert_eq!(end, Some(lines - 3), "{coding}");
        let whole = parts.concat();
        assert_eq!(run(&head, whole.chunks(1)).0, plain, "{coding}");
        assert_eq!(metered(&head, &whole), plain, "{coding}");
        let cut = run(&head, whole[..whole.len() / 2].chunks(5)).0;
        assert_eq!(counts(&cut), Some((4, 1, 12_200, 0)), "{coding}");
        assert_eq!(cut.flags, [Flag::Partial], "{coding}");
    }
}

/// Usage objects with fields that are there, null, or no count.
fn any_usage() -> impl Strategy<Value = Value> {
    let count = prop_oneof![
        4 => any::<u32>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(json!("12")),
    ];
    let names = prop_oneof![
        Just("input_tokens"),
        Just("output_tokens"),
        Just("cache_read_input_tokens"),
        Just("cache_creation_input_tokens"),
    ];
    prop::collection::btree_map(names, count, 0..5).prop_map(|fields| json!(fields))
}

fn any_event() -> impl Strategy<Value = Value> {
    prop_oneof![
        any_usage().prop_map(|usage| json!({"type": "message_start", "message": {"usage": usage}})),
        (any_usage(), any::<bool>()).prop_map(|(usage, last)| {
            let stop = last.then_some("end_turn");
            json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage})
        }),
        "\\PC{0,200}".prop_map(|text| json!({"type": "content_block_delta", "text": text})),
        Just(json!({"type": "ping"})),
        Just(json!({"type": "message_stop"})),
        Just(json!({"type": "error", "error": {"type": "api_error"}})),
    ]
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let shape = (any_event(), 0..4_u8, prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]);
    prop::collection::vec(shape, 0..8).prop_map(|events| {
        let event = |(data, shape, eol): (Value, u8, &str)| {
            let name = data["type"].as_str().unwrap();
            match shape {
                0 => format!("event: {name}{eol}data: {data}{eol}{eol}"),
                1 => format!("data: {data}{eol}event: {name}{eol}{eol}"),
                2 => format!(": note{eol}data:{data}{eol}{eol}"),
                _ => format!("event:{name}{eol}data: {{{eol}data: {}{eol}{eol}", {
                    let text = data.to_string();
                    text[1..].to_owned()
                }),
            }
        };
        events.into_iter().map(event).collect::<String>().into_bytes()
    })
}

proptest! {
    #[test]
    fn chunks_make_no_difference(body in any_stream(), size in 1_usize..40) {
        prop_assert_eq!(run(&SSE, body.chunks(size)).0, metered(&SSE, &body));
    }

    #[test]
    fn two_cuts_make_no_difference(a in 0_usize..2_860, b in 0_usize..2_860) {
        let body: &[u8] = wire!("tool_use.sse");
        let (a, b) = (a.min(b).min(body.len()), a.max(b).min(body.len()));
        let cut = [&body[..a], &body[a..b], &body[b..]];
        prop_assert_eq!(run(&SSE, cut).0, metered(&SSE, body));
    }

    #[test]
    fn frames_torn_anywhere_make_no_difference(size in 1_usize..1_000) {
        let body: &[u8] = wire!("tool_use.eventstream");
        prop_assert_eq!(run(&BEDROCK, body.chunks(size)).0, metered(&BEDROCK, body));
    }

    #[test]
    fn streamed_or_not_the_usage_is_the_same(usage in any_usage()) {
        let start = json!({"type": "message_start", "message": {"usage": usage}});
        let document = metered(&JSON, json!({"usage": usage}).to_string().as_bytes());
        let stream = format!("data: {start}\n\nevent: message_stop\ndata: {{}}\n\n");
        let stream = metered(&SSE, stream.as_bytes());
        prop_assert_eq!(stream.usage, document.usage);
        prop_assert_eq!(stream.flags, document.flags);
    }

    #[test]
    fn any_bytes_are_taken(
        body in prop::collection::vec(any::<u8>(), 0..300),
        size in 1_usize..20,
        coding in prop::sample::select(vec!["", "gzip", "br", "zstd", "deflate"]),
    ) {
        for head in [SSE, JSON, BEDROCK] {
            let head = ResponseHead { content_encoding: Some(coding), ..head };
            let whole = metered(&head, &body);
            prop_assert!(whole.usage.is_none());
            prop_assert_eq!(run(&head, body.chunks(size)).0.usage, None);
        }
    }

    #[test]
    fn damage_is_taken(at in any::<prop::sample::Index>(), byte: u8, size in 1_usize..80) {
        let bodies: [(ResponseHead<'_>, &[u8]); 3] = [
            (SSE, wire!("tool_use.sse")),
            (JSON, wire!("tool_use.json")),
            (BEDROCK, wire!("tool_use.eventstream")),
        ];
        for (head, body) in bodies {
            let mut body = body.to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            prop_assert_eq!(run(&head, body.chunks(size)).0, metered(&head, &body));
        }
    }
}

#[test]
fn the_reason_of_an_error_is_derived_from_its_text_however_it_is_split() {
    let long = "prompt is too long: 215000 tokens > 200000 maximum";
    let credit = "Your credit balance is too low to access the Anthropic API.";
    let error = |kind: &str, text: &str| {
        json!({"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"})
            .to_string()
    };
    let vague = "invalid_request_error";
    let context = Some("context_length_exceeded");
    let bedrock = json!({"message": "Input is too long for requested model."}).to_string();
    let vertex = json!({"error": {"code": 400, "message": "Prompt is too long: 1 tokens > 0",
        "status": "INVALID_ARGUMENT"}});
    let table = [
        (error(vague, long), Some(vague), context),
        (error(vague, credit), Some(vague), Some("credit_balance_too_low")),
        (error(vague, "messages: at least one is required"), Some(vague), None),
        (error("overloaded_error", long), Some("overloaded_error"), None),
        (bedrock, None, context),
        (vertex.to_string(), Some("INVALID_ARGUMENT"), context),
        (error(vague, &format!("{long} \" \\ \u{e9}\u{1f980}")), Some(vague), context),
    ];
    let head = ResponseHead { status: 400, ..JSON };
    for (body, kind, class) in table {
        for size in [1, 2, 7, body.len()] {
            let metered = run(&head, body.as_bytes().chunks(size)).0;
            assert_eq!((metered.error_type.as_deref(), metered.error_class), (kind, class));
            assert!(metered.usage.is_none() && metered.flags.is_empty());
        }
        // What is not whole says nothing.
        let cut = run(&head, [&body.as_bytes()[..body.len() / 2]]).0;
        assert_eq!(cut.error_class, None);
    }
    // In a stream that has begun, too.
    let event = format!("event: error\ndata: {}\n\n", error(vague, long));
    for size in [1, 5, event.len()] {
        let metered = run(&SSE, event.as_bytes().chunks(size)).0;
        assert_eq!(metered.error_class, context);
    }
}

#[test]
fn bedrock_names_its_errors_in_a_header() {
    let head = ResponseHead { status: 400, endpoint: Endpoint::Bedrock, ..JSON };
    let header = "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/";
    let named = |body: &str| {
        let mut meter = Meter::new(&head).with_error_header(Some(header));
        meter.observe(body.as_bytes());
        let metered = meter.finish();
        (metered.error_type, metered.error_class)
    };
    let validation = Some("ValidationException".to_owned());
    let long = r#"{"message":"Input is too long for requested model."}"#;
    assert_eq!(named(long), (validation.clone(), Some("context_length_exceeded")));
    assert_eq!(named(r#"{"message":"temperature"}"#), (validation.clone(), None));
    assert_eq!(named("<html>"), (validation, None));
    let own = r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#;
    assert_eq!(named(own), (Some("api_error".to_owned()), None), "the body's word comes first");
}
