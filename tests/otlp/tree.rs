//! The tree of spans and what stands on them.

use super::support::client::Request;
use super::support::collector::attribute;
use super::{Rig, SESSION, call, named};

#[tokio::test]
async fn a_query_holds_its_calls_and_its_sub_agents() {
    let rig = Rig::new("").await;
    // A tool call, a sub-agent while the tool runs, a repetition, the final answer.
    let tool = rig.sidecar.call(&call("basic", None)).await;
    rig.sidecar.call(&call("plain", Some("agent-7"))).await;
    rig.sidecar.call(&call("e529", None)).await;
    let last = rig.sidecar.call(&call("plain", None)).await;
    let spans = rig.spans(6).await;
    rig.collector.assert_strict();
    let [query] = named(&spans, "claude_query")[..] else { panic!("{spans:#?}") };
    let [agent] = named(&spans, "invoke_agent")[..] else { panic!("{spans:#?}") };
    let chats = named(&spans, "chat claude-opus-5-5");
    assert_eq!((spans.len(), chats.len()), (6, 4));
    assert!(query.parent_span_id.is_empty() && query.links.is_empty());
    assert_eq!(agent.parent_span_id, query.span_id);
    for chat in &chats {
        let id = attribute(&chat.attributes, "gen_ai.agent.id");
        let parent = if id.is_empty() { query } else { agent };
        assert_eq!(chat.parent_span_id, parent.span_id);
        assert_eq!(chat.trace_id, query.trace_id);
        assert_eq!(attribute(&chat.attributes, "gen_ai.conversation.id"), SESSION);
        assert!(chat.start_time_unix_nano >= query.start_time_unix_nano);
        assert!(chat.end_time_unix_nano <= query.end_time_unix_nano);
    }
    assert_eq!(attribute(&query.attributes, "claude.query.exchanges"), "4");
    let length = last.body.len().to_string();
    assert_eq!(attribute(&query.attributes, "response.length"), length);

    let of = |exchange: &str| {
        let own = |span: &&&opentelemetry_proto::tonic::trace::v1::Span| {
            attribute(&span.attributes, "weighbridge.exchange") == exchange
        };
        *chats.iter().find(own).unwrap()
    };
    let record = rig.site.exchange(&tool.exchange());
    let span = of(&tool.exchange());
    let is = |name: &str, value: &str| {
        assert_eq!(attribute(&span.attributes, name), value, "{name}");
    };
    is("gen_ai.operation.name", "chat");
    is("gen_ai.provider.name", "anthropic");
    is("gen_ai.request.model", "claude-opus-5-5");
    is("gen_ai.response.model", "claude-opus-5-5");
    is("gen_ai.request.stream", "true");
    is("gen_ai.request.max_tokens", "1024");
    is("gen_ai.response.finish_reasons", record["stop_reason"].as_str().unwrap_or("tool_use"));
    // 4 uncached, 11,000 and 1,200 written to the cache.
    is("gen_ai.usage.input_tokens", "12204");
    is("gen_ai.usage.cache_write.input_tokens", "12200");
    is("gen_ai.usage.cache_creation.input_tokens", "");
    is("gen_ai.usage.cache_read.input_tokens", "0");
    is("gen_ai.usage.output_tokens", "74");
    is("claude.cost.usd", record["usd"].as_str().unwrap());
    is("gen_ai.usage.cost.currency", "USD");
    is("claude.outcome", "completed");
    is("claude.request_id", "req_01FAKE");
    is("claude.team", "unattributed");
    is("server.address", "127.0.0.1");
    is("server.port", &rig.fake.address.port().to_string());
    let amount = attribute(&span.attributes, "gen_ai.usage.cost.amount");
    let exact = record["usd"].as_str().unwrap();
    assert_eq!(amount.parse::<f64>().unwrap(), exact.parse::<f64>().unwrap());

    let failed = chats.iter().find(|chat| chat.status.as_ref().is_some_and(|s| s.code == 2));
    assert_eq!(attribute(&failed.unwrap().attributes, "error.type"), "overloaded_error");
}

#[tokio::test]
async fn a_clients_trace_is_joined() {
    let rig = Rig::new("").await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    rig.sidecar.call(&call("basic", None).header("traceparent", &parent)).await;
    rig.sidecar.call(&call("plain", None)).await;
    let spans = rig.spans(3).await;
    rig.collector.assert_strict();
    let [query] = named(&spans, "claude_query")[..] else { panic!("{spans:#?}") };
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == trace), "one trace for all");
    let chats = named(&spans, "chat claude-opus-5-5");
    let joined = chats.iter().find(|chat| hex(&chat.parent_span_id) == "b7ad6b7169203331");
    let joined = joined.expect("the client's span is the parent");
    assert_eq!(query.links.len(), 1);
    assert_eq!(query.links[0].span_id, joined.span_id);
    assert!(query.parent_span_id.is_empty());
    let other = chats.iter().find(|chat| chat.span_id != joined.span_id).unwrap();
    assert_eq!(other.parent_span_id, query.span_id);
}

#[tokio::test]
async fn names_of_1_41_by_a_switch() {
    let rig = Rig::new("semconv = 'v1_41'").await;
    rig.sidecar.call(&call("basic", None)).await;
    rig.sidecar.call(&call("plain", None)).await;
    let spans = rig.spans(3).await;
    let chats = named(&spans, "chat claude-opus-5-5");
    let written = |name: &str| {
        chats.iter().filter(|chat| attribute(&chat.attributes, name) == "12200").count()
    };
    assert_eq!(written("gen_ai.usage.cache_creation.input_tokens"), 1);
    assert_eq!(written("gen_ai.usage.cache_write.input_tokens"), 0);
    let amounts = chats
        .iter()
        .filter(|chat| !attribute(&chat.attributes, "gen_ai.usage.cost.amount").is_empty());
    assert_eq!(amounts.count(), 0);
}

#[tokio::test]
async fn other_paths_have_spans_of_their_own() {
    let rig = Rig::new("").await;
    rig.sidecar.call(&Request::new("GET", "/v1/models?limit=1000")).await;
    let count = Request::json(
        "/v1/messages/count_tokens",
        &serde_json::json!({
            "model": "claude-opus-5-5", "messages": []
        }),
    );
    rig.sidecar.call(&count).await;
    let spans = rig.spans(2).await;
    rig.collector.assert_strict();
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty()));
    assert_eq!(named(&spans, "GET models").len(), 1);
    let [counted] = named(&spans, "count_tokens claude-opus-5-5")[..] else { panic!("{spans:#?}") };
    assert_eq!(attribute(&counted.attributes, "gen_ai.usage.input_tokens"), "");
}
