//! Bedrock, Vertex and Foundry: every form is metered, and priced for where the model runs.

use serde_json::json;

use super::Rig;
use super::support::client::Request;
use super::support::converse;
use super::support::message::{Figures, atto};
use super::support::sidecar::Site;

const TURN: Figures = Figures::new(4, 11_000, 1_200, 0, 74);

fn post(target: &str) -> Request {
    let plain = Request::messages("burst", true);
    Request { target: target.to_owned(), ..plain }
}

/// With the surcharge of one region.
fn regional(list: i128) -> i128 {
    list / 10 * 11
}

#[tokio::test]
async fn converse_is_metered_in_both_forms() {
    let rig = Rig::new().await;
    let list = converse::FIGURES.list_cost();
    for verb in ["converse", "converse-stream"] {
        for (model, usd) in [
            ("global.anthropic.claude-opus-5-5", list),
            ("us.anthropic.claude-opus-5-5", regional(list)),
            ("anthropic.claude-opus-5-5", regional(list)),
        ] {
            let (response, record) = rig.call(&post(&format!("/model/{model}/{verb}"))).await;
            assert_eq!(response.body, rig.fake.last().sent, "{verb}");
            assert_eq!(record["usage"]["output_tokens"], 74, "{record}");
            assert_eq!(record["usage"]["cache_creation"]["ephemeral_1h_input_tokens"], 1_200);
            assert_eq!(record["stop_reason"], "end_turn", "{record}");
            assert_eq!(record["flags"], json!([]), "{record}");
            assert_eq!(record["streamed"], json!(verb == "converse-stream"), "{record}");
            assert_eq!((&record["model"], atto(&record["usd"])), (&json!(model), usd), "{verb}");
        }
    }
}

#[tokio::test]
async fn a_profiles_address_names_the_model() {
    let rig = Rig::new().await;
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2F";
    let (_, record) =
        rig.call(&post(&format!("/model/{arn}us.anthropic.claude-opus-5-5/converse"))).await;
    assert_eq!(record["model"], "us.anthropic.claude-opus-5-5", "{record}");
    assert_eq!(atto(&record["usd"]), regional(converse::FIGURES.list_cost()), "{record}");
    // What an account's own profile stands for is not known: unpriced, not guessed.
    let (_, record) = rig.call(&post(&format!("/model/{arn}p1/converse"))).await;
    assert_eq!((&record["usd"], &record["flags"]), (&json!(null), &json!(["unpriced"])));
}

#[tokio::test]
async fn vertex_is_dearer_in_one_region() {
    let rig = Rig::new().await;
    for (location, usd) in [
        ("global", TURN.list_cost()),
        ("us-east5", regional(TURN.list_cost())),
        ("eu", regional(TURN.list_cost())),
    ] {
        for verb in ["rawPredict", "streamRawPredict"] {
            let path = format!("/v1/projects/p/locations/{location}/publishers/anthropic/models");
            let (_, record) = rig.call(&post(&format!("{path}/claude-opus-5-5:{verb}"))).await;
            assert_eq!(atto(&record["usd"]), usd, "{location} {verb}: {record}");
        }
    }
}

#[tokio::test]
async fn foundry_is_told_by_the_configuration() {
    for (config, usd) in [
        ("", TURN.list_cost()),
        ("[upstream]\nplatform = \"foundry_us_data_zone\"\n", regional(TURN.list_cost())),
    ] {
        let rig = Rig::with(Site::new(), config).await;
        let (_, record) = rig.call(&post("/v1/messages?beta=true")).await;
        assert_eq!(atto(&record["usd"]), usd, "{record}");
    }
}

#[tokio::test]
async fn probes_are_recognised_in_every_form() {
    let rig = Rig::new().await;
    let invoke = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1,
        "messages": [{"role": "user", "content": "x"}]});
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "x"}]}],
        "inferenceConfig": {"temperature": 0.5, "maxTokens": 1}});
    for (verb, body) in [("invoke", &invoke), ("converse", &converse)] {
        let target = format!("/model/global.anthropic.claude-opus-5-5/{verb}");
        let (_, record) = rig.call(&Request::json(&target, body)).await;
        assert_eq!(record["flags"], json!(["probe"]), "{record}");
        assert!(atto(&record["usd"]) > 0, "probes are billed: {record}");
    }
}
