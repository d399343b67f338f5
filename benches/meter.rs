//! What reading a request and a response costs: this runs on the path of every byte.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use weighbridge::anthropic::{Meter, RequestScanner, ResponseHead};
use weighbridge::record::exchange::Endpoint;

/// Bodies arrive in pieces of about this size.
const CHUNK_BYTES: usize = 16 * 1024;

/// Prose, code and escapes as in an agent's context.
const PARAGRAPH: &str = "The ward's intake list changed on 2026-11-20T08:15:00Z — see it.\n\
    \tfn main() {\n\t\tprintln!(\"line {}\", \"q\\\"uoted\");\n\t}\nThe reviewer read the plan and \
    found no change since the last run; the next step is to read the file again and compare. ";

/// A request like a coding agent's, of about `bytes` bytes.
fn request(bytes: usize) -> Vec<u8> {
    let mut messages: Vec<Value> = Vec::new();
    let mut used = 400;
    while used < bytes {
        let text = PARAGRAPH.repeat((bytes - used).min(3_000).div_ceil(PARAGRAPH.len()));
        let id = format!("toolu_{:06}", messages.len());
        let message = match messages.len() % 4 {
            0 => json!({"role": "user", "content": text}),
            1 => json!({"role": "assistant", "content": [
                {"type": "text", "text": "I read the file."},
                {"type": "tool_use", "id": id, "name": "read_file", "input": {"path": "/src/a.rs"}},
            ]}),
            2 => json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id,
                "content": [{"type": "text", "text": text}]}]}),
            _ => json!({"role": "assistant", "content": [{"type": "text", "text": text}]}),
        };
        used += message.to_string().len() + 1;
        messages.push(message);
    }
    let head = json!({
        "max_tokens": 4096, "metadata": {"user_id": "{\"session_id\":\"5a4b\"}"},
        "model": "claude-opus-5-5", "stream": true,
        "system": [{"type": "text", "text": "You are careful."}],
        "tools": [{"name": "read_file", "input_schema": {"type": "object"}}],
    })
    .to_string();
    let messages = Value::Array(messages);
    format!("{},\"messages\":{messages}}}", &head[..head.len() - 1]).into_bytes()
}

/// A stream of `events` text deltas.
fn stream(events: usize) -> Vec<u8> {
    let usage = json!({"input_tokens": 4, "output_tokens": 1, "cache_read_input_tokens": 12_200});
    let mut body = String::new();
    let mut event = |name: &str, data: &Value| {
        body.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    };
    let message = json!({"id": "msg_1", "model": "claude-opus-5-5", "usage": usage});
    event("message_start", &json!({"type": "message_start", "message": message}));
    for _ in 0..events {
        let delta = json!({"type": "text_delta", "text": "the next few words "});
        let data = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        event("content_block_delta", &data);
    }
    let delta =
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage});
    event("message_delta", &delta);
    event("message_stop", &json!({"type": "message_stop"}));
    body.into_bytes()
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    for bytes in [2_000, 100_000, 1_000_000] {
        let body = request(bytes);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(bytes), &body, |bencher, body| {
            bencher.iter(|| {
                let mut scanner = RequestScanner::new(7);
                body.chunks(CHUNK_BYTES).for_each(|chunk| scanner.observe(chunk));
                black_box(scanner.finish())
            });
        });
    }
    group.finish();
}

fn responses(criterion: &mut Criterion) {
    let usage = json!({"input_tokens": 9, "output_tokens": 1, "service_tier": "standard"});
    let document = json!({"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude-opus-5-5", "stop_reason": "end_turn", "usage": usage,
        "content": [{"type": "text", "text": "word ".repeat(40)}]});
    let stream = stream(200);
    let events: Vec<&[u8]> = stream.split_inclusive(|byte| *byte == b'\n').collect();
    let events: Vec<Vec<u8>> = events.chunks(3).map(<[&[u8]]>::concat).collect();
    let cases: [(&str, &str, Vec<Vec<u8>>); 3] = [
        ("json", "application/json", vec![document.to_string().into_bytes()]),
        ("sse_whole", "text/event-stream", vec![stream.clone()]),
        ("sse_by_event", "text/event-stream", events),
    ];
    let mut group = criterion.benchmark_group("response");
    for (name, content_type, chunks) in cases {
        let head = ResponseHead {
            endpoint: Endpoint::Messages,
            status: 200,
            content_type: Some(content_type),
            content_encoding: None,
            stream_requested: false,
        };
        group.throughput(Throughput::Bytes(chunks.iter().map(|chunk| chunk.len() as u64).sum()));
        group.bench_with_input(BenchmarkId::from_parameter(name), &chunks, |bencher, chunks| {
            bencher.iter(|| {
                let mut meter = Meter::new(&head);
                for chunk in chunks {
                    black_box(meter.observe(chunk));
                }
                black_box(meter.finish())
            });
        });
    }
    group.finish();
}

criterion_group!(meter, requests, responses);
criterion_main!(meter);
