//! How many charges one core computes per second; at least one million are asked for.

#![expect(clippy::expect_used, reason = "a benchmark that cannot start must say so")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weighbridge::accounting::price_book::PriceBook;
use weighbridge::accounting::{Call, Usage};

const PLAIN: &str = r#"{"input_tokens": 1237, "output_tokens": 643}"#;
const EVERYTHING: &str = r#"{
    "input_tokens": 61237, "output_tokens": 643, "cache_read_input_tokens": 70001,
    "cache_creation_input_tokens": 6152,
    "cache_creation": {"ephemeral_5m_input_tokens": 4099, "ephemeral_1h_input_tokens": 2053},
    "server_tool_use": {"web_search_requests": 3},
    "service_tier": "batch", "inference_geo": "us", "speed": "standard"
}"#;

fn charges(criterion: &mut Criterion) {
    let book = PriceBook::embedded().expect("the embedded table is valid");
    let day = jiff::civil::date(2026, 11, 20);
    let mut group = criterion.benchmark_group("charge");
    group.throughput(Throughput::Elements(1));
    for (name, model, text) in [
        ("plain", "claude-opus-5-5", PLAIN),
        ("every_line_and_modifier", "claude-haiku-5-5[1m]", EVERYTHING),
        ("bedrock_name", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", PLAIN),
        ("unpriced", "claude-unheard-of", PLAIN),
    ] {
        let usage: Usage = serde_json::from_str(text).expect("the usage is valid");
        group.bench_function(name, |bencher| {
            bencher.iter(|| book.charge(&Call::new(black_box(model), day, black_box(&usage))));
        });
    }
    group.finish();
}

criterion_group!(benches, charges);
criterion_main!(benches);
