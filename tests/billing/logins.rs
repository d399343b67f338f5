//! Subscription logins: amounts are notional, and in no sum with billed ones.

use serde_json::{Value, json};

use super::Rig;
use super::support::client::Request;
use super::support::message::{Figures, atto};
use super::support::sidecar::Site;

const TURN: Figures = Figures::new(4, 11_000, 1_200, 0, 74);

fn with_login() -> Request {
    Request::messages("burst", true)
        .without("x-api-key")
        .header("authorization", "Bearer sk-ant-oat01-fake")
        .header("anthropic-beta", "oauth-2025-04-20")
}

#[tokio::test]
async fn a_login_costs_nothing_by_the_token() {
    let rig = Rig::new().await;
    let (_, login) = rig.call(&with_login()).await;
    assert_eq!((&login["notional"], atto(&login["usd"])), (&json!(true), TURN.list_cost()));
    let (_, key) = rig.call(&Request::messages("burst", true)).await;
    assert_eq!(key["notional"], json!(false), "{key}");
    // It is not published which of two credentials pays: a bill is not to be hidden.
    let (_, both) = rig.call(&with_login().header("x-api-key", "sk-ant-api03-fake")).await;
    assert_eq!(both["notional"], json!(false), "{both}");

    let total = &rig.site.report("team")["total"];
    assert_eq!(atto(&total["usd"]), 2 * TURN.list_cost(), "{total}");
    assert_eq!(atto(&total["notional_usd"]), TURN.list_cost(), "{total}");
    let metrics = rig.sidecar.metrics().await;
    let cost = TURN.list_cost() as f64 / 1e18;
    for (family, times) in [("claude_cost_usd_total", 2.0), ("claude_notional_cost_usd_total", 1.0)]
    {
        let sum = metrics.sum(family, &[]);
        assert!((sum - times * cost).abs() < 1e-12, "{family}: {sum}");
    }
}

#[tokio::test]
async fn workload_identities_are_billed_where_the_configuration_says_so() {
    let rig = Rig::with(Site::new(), "[upstream]\noauth_tokens = \"billed\"\n").await;
    let (_, record) = rig.call(&with_login()).await;
    assert_eq!((&record["notional"], atto(&record["usd"])), (&json!(false), TURN.list_cost()));
}

#[tokio::test]
async fn the_key_that_replaces_a_virtual_one_says_what_is_billed() {
    for (upstream, notional) in [("sk-ant-oat01-shared", true), ("sk-ant-api03-shared", false)] {
        let mut site = Site::new();
        site.env("THE_KEY", upstream);
        let rig = Rig::with(site, "[upstream]\nkey = \"env:THE_KEY\"\n").await;
        let key = rig.site.add_key(&["--team", "search"]);
        let (_, record) = rig
            .call(&Request::messages("burst", true).without("x-api-key").header("x-api-key", &key))
            .await;
        assert_eq!(record["notional"], Value::from(notional), "{record}");
    }
}
