use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn scan(body: &[u8]) -> RequestFacts {
    scan_in(body, body.len().max(1))
}

fn scan_in(body: &[u8], chunk_bytes: usize) -> RequestFacts {
    let mut scanner = RequestScanner::new(7);
    for chunk in body.chunks(chunk_bytes) {
        scanner.observe(chunk);
    }
    scanner.finish()
}

/// What a full parser says of the same bytes; `None` where it refuses them or they are no object.
fn oracle(body: &[u8]) -> Option<RequestFacts> {
    let value: Value = serde_json::from_slice(body).ok()?;
    value.as_object()?;
    let user_id = text_in(&value["metadata"], "user_id");
    Some(RequestFacts {
        bytes: body.len() as u64,
        malformed: false,
        max_tokens: value["max_tokens"].as_u64(),
        messages_hash: None,
        model: text_in(&value, "model"),
        session: user_id.as_deref().and_then(session_in),
        stream: value["stream"] == true,
        user_id,
        ..RequestFacts::default()
    })
}

#[test]
fn an_agent_request_gives_its_facts() {
    let user = json!({"device_id": "d", "session_id": "5a4b"}).to_string();
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": 128_000, "stream": true,
        "metadata": {"user_id": user},
        "messages": [{"role": "user", "content": "a \"model\": \"x\" \\"}],
    })
    .to_string();
    let facts = scan(body.as_bytes());
    assert_eq!(facts.model.as_deref(), Some("claude-opus-5-5"));
    assert_eq!((facts.max_tokens, facts.stream, facts.malformed), (Some(128_000), true, false));
    assert_eq!(facts.session.as_deref(), Some("5a4b"));
    assert_eq!(facts.user_id, Some(user));
    assert_eq!(facts.bytes, body.len() as u64);
}

#[test]
fn only_the_top_level_counts_and_the_last_of_a_repeated_key() {
    let body = br#" { "tools":[{"model":"no","stream":true}] ,
        "model":"first", "mod\u0065l" : "last\u002d1","stream":true,"stream" :false } "#;
    let facts = scan(body);
    assert_eq!(facts.model.as_deref(), Some("last-1"));
    assert!(!facts.stream && !facts.malformed);
    assert_eq!(facts.messages_hash, None);
}

#[test]
fn what_is_no_whole_object_is_malformed() {
    let bodies: [&[u8]; 11] = [
        b"",
        b"[]",
        b"{",
        b"{}x",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{,}",
        b"x",
        b"\"",
        b"{\"a\":1,}",
        b"{\"a",
    ];
    for body in bodies {
        assert!(scan(body).malformed, "{}", String::from_utf8_lossy(body));
    }
    assert!(!scan(b" {} ").malformed);
    assert!(!scan(b"{\"a\":{}}\n").malformed);
}

#[test]
fn captures_are_bounded() {
    let long = "m".repeat(METADATA_BYTES_MAX);
    let body = json!({"model": long, "metadata": {"user_id": long}, "max_tokens": 5}).to_string();
    let facts = scan(body.as_bytes());
    assert_eq!((facts.model, facts.user_id, facts.max_tokens), (None, None, Some(5)));
    assert!(!facts.malformed);
}

#[test]
fn the_hash_tells_messages_apart_and_nothing_else() {
    let hash = |body: &str| scan(body.as_bytes()).messages_hash;
    let one = hash(r#"{"stream":true,"messages":[{"role":"user"}]}"#);
    assert!(one.is_some());
    assert_eq!(one, hash(r#"{"messages":[{"role":"user"}],"stream":false,"max_tokens":9}"#));
    assert_ne!(one, hash(r#"{"messages":[{"role":"User"}]}"#));
    assert_eq!(one, hash(r#"{"messages":["first"],"messages":[{"role":"user"}]}"#));
    let mut seeded = RequestScanner::new(8);
    seeded.observe(br#"{"messages":[{"role":"user"}]}"#);
    assert_ne!(one, seeded.finish().messages_hash);
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = "[a-z\"\\\\\n\u{e9}\u{1f600}{}\\[\\]:, ]{0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Objects with the interesting keys in any order, repeated, spaced and escaped.
fn any_body() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("\"model\""),
        Just("\"mode\\u006c\""),
        Just("\"stream\""),
        Just("\"max_tokens\""),
        Just("\"metadata\""),
        Just("\"messages\""),
        Just("\"\\\\\""),
        Just("\"other\""),
    ];
    let user = prop_oneof![
        any_json(),
        any_json().prop_map(|user| json!({"user_id": user})),
        any_json()
            .prop_map(|session| json!({"user_id": json!({"session_id": session}).to_string()})),
        Just(json!(true)),
        any::<u32>().prop_map(Value::from),
        "[a-z0-9.-]{0,20}".prop_map(Value::from),
    ];
    let blank = "[ \t\r\n]{0,2}";
    prop::collection::vec((key, user, blank, blank, any::<bool>()), 0..8).prop_map(|members| {
        let member = |(key, value, a, b, pretty): (&str, Value, String, String, bool)| {
            let value = if pretty {
                serde_json::to_string_pretty(&value)
            } else {
                serde_json::to_string(&value)
            };
            format!("{a}{key}{b}:{a}{}{b}", value.unwrap())
        };
        format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #[test]
    fn agrees_with_a_full_parser(body in any_body()) {
        let mut facts = scan(body.as_bytes());
        let hash = facts.messages_hash.take();
        prop_assert_eq!(Some(facts), oracle(body.as_bytes()));
        prop_assert_eq!(hash.is_some(), body.contains("\"messages\""));
    }

    #[test]
    fn chunks_make_no_difference(body in any_body(), size in 1_usize..24) {
        prop_assert_eq!(scan_in(body.as_bytes(), size), scan(body.as_bytes()));
    }

    #[test]
    fn any_bytes_are_taken(body in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..9) {
        prop_assert_eq!(scan_in(&body, size), scan(&body));
    }

    #[test]
    fn damaged_bodies_are_taken(body in any_body(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let facts = scan(&body);
        prop_assert_eq!(&scan_in(&body, 3), &facts);
        // What a full parser accepts is never called malformed.
        if oracle(&body).is_some() {
            prop_assert!(!facts.malformed);
        }
    }
}

/// The facts of a body that comes in pieces of this size.
fn in_pieces(body: &[u8], size: usize) -> RequestFacts {
    let mut scanner = RequestScanner::new(7);
    for piece in body.chunks(size) {
        scanner.observe(piece);
    }
    scanner.finish_over(body.chunks(size), Wanted { offers: true, messages: true })
}

#[test]
fn the_new_results_are_those_behind_the_last_answer() {
    let asked = |id: &str, name: &str, input: Value| json!({"type": "tool_use", "id": id, "name": name, "input": input});
    let result = |id: &str, content: Value| json!({"type": "tool_result", "tool_use_id": id, "content": content});
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [asked("old", "Bash", json!({}))]},
        {"role": "user", "content": [result("old", json!("seen before"))]},
        {"role": "assistant", "content": [{"type": "text", "text": "\"tool_\" [{"},
            asked("a", "Bash", json!({"command": "ls"})), asked("b", "Skill", json!({"skill": "pdf"}))]},
        {"role": "user", "content": [result("a", json!([{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]))]},
        {"role": "system", "content": "a note"},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "b", "is_error": true, "content": "no"},
            {"type": "text", "text": "and"}, {"type": "a_future_block"}]},
    ], "tools": [{"name": "Bash", "input_schema": {}}, {"type": "custom", "name": "x"},
        {"type": "web_search_20250305", "name": "web_search"}],
       "mcp_servers": [{"type": "url", "name": "crm", "url": "https://crm.example/mcp"}],
       "inference_geo": "eu"}).to_string();
    let facts = in_pieces(body.as_bytes(), body.len());
    let seen: Vec<_> = facts
        .returned
        .iter()
        .map(|r| {
            (
                r.id.as_str(),
                r.name.as_deref(),
                r.skill.as_deref(),
                r.failed,
                r.output.canonical.clone().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("a", Some("Bash"), None, false, b"x\ny".to_vec()),
            ("b", Some("Skill"), Some("pdf"), true, b"no".to_vec()),
        ]
    );
    let offered = &facts.offered;
    assert_eq!(
        (offered.server_tools.as_slice(), offered.unread),
        (&["web_search".to_owned()][..], false)
    );
    assert_eq!(offered.mcp_servers[0].url.as_deref(), Some("https://crm.example/mcp"));
    assert_eq!(offered.inference_geo.as_deref(), Some("eu"));
    for size in 1..body.len() {
        assert_eq!(in_pieces(body.as_bytes(), size), facts, "pieces of {size}");
    }
}

#[test]
fn the_beginning_of_an_answer_is_not_the_last_answer() {
    let with = |last: Value| {
        let mut messages = vec![
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}),
        ];
        messages.push(last);
        let body = json!({"messages": messages}).to_string();
        in_pieces(body.as_bytes(), 7).returned.len()
    };
    assert_eq!(with(json!({"role": "assistant", "content": "{"})), 1, "a prefill");
    assert_eq!(with(json!({"role": "user", "content": "more"})), 1);
    let answered = json!({"messages": [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]},
        {"role": "assistant", "content": "done"}, {"role": "user", "content": "thanks"}]});
    assert_eq!(in_pieces(answered.to_string().as_bytes(), 9).returned, []);
    for strange in [
        "{\"messages\":{\"a\":[{}]}}",
        "{\"messages\":[[],1,\"x\",{\"role\":7}]}",
        "{\"messages\":[]}",
    ] {
        assert_eq!(in_pieces(strange.as_bytes(), 3).returned, []);
    }
}

#[test]
fn what_cannot_be_read_is_said_and_not_passed_over() {
    let result = |key: &str| format!(r#"{{"type":"tool_result",{key},"content":"x"}}"#);
    let body = |last: &str| {
        let asked = r#"{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"B","input":{}}]}"#;
        format!(r#"{{"messages":[{asked},{last}],"tools":[{{"name":"B"}}]}}"#)
    };
    let user = |blocks: &str| format!(r#"{{"role":"user","content":[{blocks}]}}"#);
    let facts = |last: &str| in_pieces(body(last).as_bytes(), 11);
    let plain = facts(&user(&result(r#""tool_use_id":"a""#)));
    assert_eq!((plain.returned.len(), plain.offered.unread), (1, false));
    // A key in escapes is a key.
    let escaped = facts(
        &user(&result(r#""tool\u005fuse_id":"a""#)).replace("tool_result", "tool\\u005fresult"),
    );
    assert_eq!((escaped.returned.len(), escaped.offered.unread), (1, false));
    // Beginnings of an answer hide no result, however many there are.
    let begun = r#"{"role":"assistant","content":"x"}"#;
    let hidden = facts(&format!("{},{begun},{begun}", user(&result(r#""tool_use_id":"a""#))));
    assert_eq!((hidden.returned.len(), hidden.offered.unread), (1, false));
    for last in [
        user(&result(r#""tool_use_id":"a","tool_use_id":"b""#)),
        r#"{"role":"user","role":"assistant","content":[]}"#.to_owned(),
        vec![user(""); 64].join(","),
        vec![user(&result(r#""tool_use_id":"a""#)); 1_001].join(","),
    ] {
        assert!(facts(&last).offered.unread, "{}", &last[..60]);
    }
    for more in [r#""tools":{}"#, r#""mcp_servers":[1"#, r#""mcp_servers":{}"#] {
        let body = format!(r#"{{"messages":[],{more}}}"#);
        let facts = in_pieces(body.as_bytes(), 5);
        assert!(facts.offered.unread || facts.malformed, "{more}");
    }
}
