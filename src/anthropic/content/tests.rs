use super::*;

#[test]
fn a_stream_is_put_together_and_a_document_is_the_same() {
    let stream = "event: x\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":\
        {\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"Bash\",\"input\":{}}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\
        \"partial_json\":\"{\\\"a\\\":\"}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\
        \"partial_json\":\"1}\"}}\n\n";
    let document = r#"{"content":[{"type":"tool_use","id":"t","name":"Bash","input":{"a":1}}]}"#;
    assert_eq!(of_response(stream.as_bytes()), of_response(document.as_bytes()));
}

#[test]
fn results_and_images_of_a_request_are_read() {
    let message = br#"{"role":"user","content":[
        {"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"x"}]},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}"#;
    let pieces = of_request(&[message.to_vec()]);
    assert_eq!((pieces[0].kind, pieces[0].text.as_str()), ("tool_result", "x"));
    assert_eq!(pieces[1].data, Some(("image/png".to_owned(), "AAAA".to_owned())));
    assert!(pieces[1].text.is_empty());
}

/// The pieces of one message of a user with these blocks: kind, text, and type of data.
fn read(blocks: &str) -> Vec<(&'static str, String, String)> {
    let message = format!("{{\"role\":\"user\",\"content\":[{blocks}]}}");
    let pieces = of_request(&[message.into_bytes()]);
    let parts = pieces.into_iter().map(|piece| {
        (piece.kind, piece.text, piece.data.map(|(media, _)| media).unwrap_or_default())
    });
    parts.collect()
}

fn is(kind: &'static str, text: &str, media: &str) -> (&'static str, String, String) {
    (kind, text.to_owned(), media.to_owned())
}

const IMAGE: &str =
    r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}"#;
const PDF: &str = r#"{"type":"document","title":"Scan","source":
    {"type":"base64","media_type":"application/pdf","data":"JVBE"}}"#;

#[test]
fn what_stands_in_a_result_is_a_piece_of_its_own() {
    let result = |content: &str| {
        read(&format!(r#"{{"type":"tool_result","tool_use_id":"t","content":[{content}]}}"#))
    };
    let text = r#"{"type":"text","text":"one"}"#;
    assert_eq!(result(IMAGE), [is("image", "", "image/png")]);
    assert_eq!(
        result(&[text, IMAGE, text, PDF].join(",")),
        [
            is("tool_result", "one\none", ""),
            is("image", "", "image/png"),
            is("document", "Scan", ""),
            is("document", "", "application/pdf"),
        ]
    );
    let found = r#"{"type":"search_result","source":"https://a.example/","title":"T",
        "content":[{"type":"text","text":"hit"}]}"#;
    let pieces = result(found);
    assert_eq!((pieces.len(), pieces[0].0), (1, "search_result"));
    assert!(pieces[0].1.contains("hit") && pieces[0].1.contains("a.example"), "{pieces:?}");
    assert_eq!(result(""), [is("tool_result", "", "")]);
}

#[test]
fn every_source_of_a_document_is_read() {
    let document = |source: &str| read(&format!(r#"{{"type":"document","source":{source}}}"#));
    let text = r#"{"type":"text","media_type":"text/plain","data":"seen"}"#;
    assert_eq!(document(text), [is("document", "seen", "")]);
    let content =
        format!(r#"{{"type":"content","content":[{{"type":"text","text":"seen"}},{IMAGE}]}}"#);
    assert_eq!(document(&content), [is("document", "seen", ""), is("image", "", "image/png")]);
    let content = r#"{"type":"content","content":"seen"}"#;
    assert_eq!(document(content), [is("document", "seen", "")]);
    let url = r#"{"type":"url","url":"https://a.example/x.pdf"}"#;
    assert_eq!(document(url), [is("document", "https://a.example/x.pdf", "")]);
    let file = r#"{"type":"file","file_id":"file_1"}"#;
    assert_eq!(document(file), [is("document", "file_1", "")]);
    let unknown = document(r#"{"type":"tape","at":"seen"}"#);
    assert!(unknown[0].1.contains("seen"), "{unknown:?}");
    let about = r#"{"type":"document","title":"T","context":"C","source":
        {"type":"text","data":"seen"}}"#;
    assert_eq!(read(about), [is("document", "T\nC", ""), is("document", "seen", "")]);
}

#[test]
fn results_of_the_apis_own_tools_keep_their_text_and_not_their_data() {
    let fetched = |document: &str| {
        let pieces = of_response(
            format!(
                r#"{{"content":[{{"type":"web_fetch_tool_result","tool_use_id":"t","content":
                {{"type":"web_fetch_result","url":"https://a.example/","content":{document}}}}}]}}"#
            )
            .as_bytes(),
        );
        assert_eq!(pieces[0].kind, "web_fetch_tool_result");
        assert!(pieces[0].text.contains("a.example"), "{pieces:?}");
        assert!(!pieces[0].text.contains("JVBE") && !pieces[0].text.contains("page"));
        pieces
    };
    let pieces = fetched(PDF);
    assert_eq!(pieces[2].data, Some(("application/pdf".to_owned(), "JVBE".to_owned())));
    let page = r#"{"type":"document","source":{"type":"text","data":"page"}}"#;
    assert_eq!(fetched(page)[1].text, "page");
    let found = read(
        r#"{"type":"web_search_tool_result","content":[{"type":"web_search_result","title":"hit"}]},
        {"type":"bash_code_execution_tool_result","content":{"type":"x","stdout":"out"}},
        {"type":"mcp_tool_result","content":[{"type":"text","text":"mcp"}]},
        {"type":"of tomorrow","deep":[{"type":"base64","media_type":"a/b","data":"AAAA"}]}"#,
    );
    assert_eq!(found[0].0, "web_search_tool_result");
    assert!(found[0].1.contains("hit") && found[1].1.contains("out"), "{found:?}");
    assert_eq!(found[2], is("mcp_tool_result", "mcp", ""));
    assert_eq!((found[3].0, found[3].1.contains("AAAA")), ("other", false));
    assert_eq!(found[4], is("other", "", "a/b"));
    // A block in a block in a block ends.
    let deep = "{\"type\":\"image\",\"source\":".repeat(50) + "0" + &"}".repeat(50);
    assert_eq!(read(&deep).len(), 1);
}

#[test]
fn converse_says_the_same_in_its_own_words() {
    let pieces = read(
        r#"{"text":"Hi"},
        {"image":{"format":"png","source":{"bytes":"AAAA"}}},
        {"document":{"format":"pdf","name":"Scan","source":{"bytes":"JVBE"}}},
        {"toolUse":{"toolUseId":"t","name":"Bash","input":{"a":1}}},
        {"toolResult":{"toolUseId":"t","content":[{"text":"x"},{"json":{"b":2}}]}},
        {"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},
        {"of tomorrow":{"c":3}}"#,
    );
    assert_eq!(
        pieces,
        [
            is("text", "Hi", ""),
            is("image", "", "image/png"),
            is("document", "Scan", ""),
            is("document", "", "application/pdf"),
            is("tool_use", r#"{"a":1}"#, ""),
            is("tool_result", "x", ""),
            is("text", r#"{"b":2}"#, ""),
            is("thinking", "hm", ""),
            is("other", r#"{"of tomorrow":{"c":3}}"#, ""),
        ]
    );
    let answer = br#"{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}}}"#;
    assert_eq!(of_response(answer)[0].text, "hello");
}

#[test]
fn frames_that_make_no_sense_end_the_reading() {
    assert_eq!(of_response(&[0; 40]), []);
    assert_eq!(of_response(&[0, 0, 0, 255, 0, 0, 0, 1]), []);
    assert_eq!(of_response(&[0, 0, 0, 16, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]), []);
}
