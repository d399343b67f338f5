//! Results of message batches: each is priced once, whatever number of times it is fetched.

use serde_json::{Value, json};

use super::Rig;
use super::support::client::{Raw, Request, Response};
use super::support::message::atto;
use super::support::sidecar::{Options, Sidecar, Site};
use super::support::wire::End;
use super::support::{batch, encoding, eventually};

fn fetch(requests: usize, scenario: &str) -> Request {
    Request::new("GET", &format!("/v1/messages/batches/{}/results", batch::id(requests)))
        .header("x-api-key", "sk-ant-test-fake")
        .header("x-fake-scenario", scenario)
}

fn create(requests: usize) -> Request {
    let one = json!({"custom_id": "c", "params": {"model": "claude-opus-5-5"}});
    Request::json("/v1/messages/batches", &json!({"requests": vec![one; requests]}))
}

/// How many results of a batch cost something.
fn succeeded(requests: usize) -> u64 {
    (0..requests).filter_map(batch::figures).count() as u64
}

fn body(requests: usize) -> Vec<u8> {
    (0..requests).map(batch::line).collect::<String>().into_bytes()
}

/// The sum of all that was recorded, and how many exchanges that is.
fn total(site: &Site) -> (i128, u64) {
    let total = site.report("team")["total"].clone();
    (atto(&total["usd"]), total["exchanges"].as_u64().unwrap())
}

/// What the ledger says of a fetch.
fn closing(site: &Site, response: &Response) -> Value {
    let lines = site.ledger_lines();
    let mut lines = lines.iter().map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let is_it =
        |line: &Value| line["kind"] == "closed" && line["body"]["exchange"] == response.exchange();
    lines.find(is_it).map(|line| line["body"].clone()).expect("the fetch is closed")
}

#[tokio::test]
async fn each_result_is_priced_once_and_the_body_is_untouched() {
    let rig = Rig::new().await;
    for (nth, scenario) in ["batch", "batch_split", "batch_length"].into_iter().enumerate() {
        let response = rig.sidecar.call(&fetch(40, scenario)).await;
        assert_eq!((response.status, &response.body), (200, &body(40)), "{scenario}");
        let tally = closing(&rig.site, &response)["batch"].clone();
        let seen = if nth == 0 { "priced" } else { "repeated" };
        let expected = json!({"canceled": 8, "errored": 8, "expired": 8, seen: succeeded(40)});
        assert_eq!(tally, expected, "{scenario}");
        assert_eq!(total(&rig.site), (batch::bill(40), succeeded(40) + nth as u64 + 1));
    }
    let metrics = rig.sidecar.metrics().await;
    let cost = metrics.sum("claude_cost_usd_total", &[]);
    assert!((cost - batch::bill(40) as f64 / 1e18).abs() < 1e-9, "{cost}");
    let results = |result: &str| {
        metrics.sum("claude_batch_results_total", &[&format!("result=\"{result}\"")])
    };
    assert_eq!((results("priced"), results("repeated")), (16.0, 32.0));
    assert_eq!(metrics.sum("claude_requests_total", &[]), 0.0, "a result is no request");
    // FOCUS knows the tier, said or implied, and has the same sum.
    let focus = rig.site.ok(&["report", "--format", "focus"]);
    let header: Vec<&str> = focus.lines().next().unwrap().split(',').collect();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (billed, tier, model) = (place("BilledCost"), place("x_ServiceTier"), place("x_Model"));
    let mut sum = 0;
    for line in focus.lines().skip(1) {
        // One field in the middle holds commas: what is behind it is counted from the end.
        let from_end = |place: usize| line.rsplit(',').nth(header.len() - 1 - place);
        sum += atto(&Value::from(line.split(',').nth(billed)));
        let served = (from_end(tier), from_end(model));
        assert_eq!(served, (Some("batch"), Some("claude-opus-5-5")), "{line}");
    }
    assert_eq!(sum, batch::bill(40), "{focus}");
    // The rows add up in every dimension, and the caller's names are nowhere.
    let by_model = rig.site.report("model");
    let rows = by_model["rows"].as_array().unwrap();
    let opus = rows.iter().find(|row| row["model"] == "claude-opus-5-5").unwrap();
    assert_eq!(atto(&opus["usd"]), batch::bill(40), "{by_model}");
    let ledger = rig.site.ledger_lines().concat();
    assert!(!String::from_utf8_lossy(&ledger).contains("Jane"));
    let priced = rig.site.exchanges().into_iter().find(|one| atto_or_zero(one) > 0).unwrap();
    let page = rig.site.ok(&["exchanges", priced["id"].as_str().unwrap()]);
    assert!(page.contains(&batch::id(40)) && page.contains("batches"), "{page}");
}

fn atto_or_zero(exchange: &Value) -> i128 {
    if exchange["usd"].is_null() { 0 } else { atto(&exchange["usd"]) }
}

#[tokio::test]
async fn compressed_results_are_read_on_the_way() {
    for name in ["gzip", "deflate", "br", "zstd"] {
        let rig = Rig::new().await;
        rig.fake.encoding(Some(name));
        let response = rig.sidecar.call(&fetch(30, "batch_split")).await;
        assert_eq!(response.body, rig.fake.last().sent, "{name}");
        assert_eq!(encoding::decode(name, &response.body), body(30), "{name}");
        assert_eq!(total(&rig.site).0, batch::bill(30), "{name}");
    }
}

#[tokio::test]
async fn a_restart_or_a_kill_prices_nothing_twice() {
    let mut rig = Rig::new().await;
    let options = Options::to(&rig.fake.url);
    rig.sidecar.call(&fetch(25, "batch")).await;
    rig.sidecar.kill();
    // Without the index all that is known is in the ledger.
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(rig.site.data.join(file));
    }
    for again in 1..=2 {
        rig.sidecar = Sidecar::start(&rig.site, &options);
        let response = rig.sidecar.call(&fetch(25, "batch")).await;
        let tally = closing(&rig.site, &response)["batch"].clone();
        assert_eq!(tally["repeated"], succeeded(25), "{tally}");
        assert_eq!(total(&rig.site), (batch::bill(25), succeeded(25) + 1 + again));
        rig.sidecar.stop();
    }
    let told = rig.site.ok(&["audit", "verify"]);
    assert!(told.contains("every call's row in index.sqlite"), "{told}");
}

#[tokio::test]
async fn of_two_fetches_at_once_each_result_is_in_one() {
    let rig = Rig::new().await;
    let (mut one, mut two) =
        (Raw::connect(rig.sidecar.address).await, Raw::connect(rig.sidecar.address).await);
    one.send(&fetch(50, "batch_gate")).await;
    two.send(&fetch(50, "batch_gate")).await;
    let waiting =
        || (rig.fake.seen().iter().filter(|seen| seen.at_gate).count() == 2).then_some(());
    eventually("both stand in the middle", waiting).await;
    rig.fake.open_gate();
    rig.fake.open_gate();
    let (one, two) = (one.response().await, two.response().await);
    assert_eq!((one.body == body(50), two.body == body(50)), (true, true));
    let priced = |response: &Response| {
        let tally = closing(&rig.site, response)["batch"].clone();
        let count = |kind: &str| tally[kind].as_u64().unwrap_or(0);
        assert_eq!(count("priced") + count("repeated"), succeeded(50), "{tally}");
        count("priced")
    };
    assert_eq!(priced(&one) + priced(&two), succeeded(50));
    assert_eq!(total(&rig.site), (batch::bill(50), succeeded(50) + 2));
}

#[tokio::test]
async fn what_passed_before_a_cut_is_priced_and_the_rest_next_time() {
    let rig = Rig::new().await;
    let cut = rig.sidecar.call(&fetch(40, "batch_cut")).await;
    assert_ne!(cut.end, End::Clean);
    let first = closing(&rig.site, &cut);
    assert_eq!(first["flags"], json!(["partial"]), "{first}");
    let (usd, _) = total(&rig.site);
    assert!(0 < usd && usd < batch::bill(40), "{usd}");
    rig.sidecar.call(&fetch(40, "batch")).await;
    assert_eq!(total(&rig.site), (batch::bill(40), succeeded(40) + 2));
}

#[tokio::test]
async fn a_line_that_cannot_be_read_is_flagged_and_counted() {
    let rig = Rig::new().await;
    let response = rig.sidecar.call(&fetch(10, "batch_damaged")).await;
    assert!(response.body.len() > 5 << 20, "the client got every byte");
    let closing = closing(&rig.site, &response);
    assert_eq!(closing["batch"]["unreadable"], 2, "{closing}");
    let flags = json!(["inspection_truncated", "unparseable", "usage_unknown"]);
    assert_eq!(closing["flags"], flags, "{closing}");
    assert_eq!(total(&rig.site).0, batch::bill(10));
    let unreadable = ["result=\"unreadable\""];
    let metrics = rig.sidecar.metrics().await;
    assert_eq!(metrics.sum("claude_batch_results_total", &unreadable), 2.0);
    assert!(rig.site.ok(&["report"]).contains("of unknown usage"));
}

#[tokio::test]
async fn results_are_paid_by_who_made_the_batch() {
    let mut site = Site::new();
    site.env("THE_KEY", "sk-ant-upstream");
    let rig = Rig::with(site, "[upstream]\nkey = \"env:THE_KEY\"\n").await;
    let keys = ["research", "platform"].map(|team| rig.site.add_key(&["--team", team]));
    let with = |request: Request, key: &str| request.without("x-api-key").header("x-api-key", key);
    rig.sidecar.call(&with(create(20), &keys[0])).await;
    rig.sidecar.call(&with(fetch(20, "batch"), &keys[1])).await;
    // Nobody knows who made this one.
    rig.sidecar.call(&with(fetch(15, "batch"), &keys[1])).await;
    let report = rig.site.report("team");
    for (team, requests) in [("research", 20), ("platform", 15)] {
        let rows = report["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["team"] == team).unwrap();
        assert_eq!(atto(&row["usd"]), batch::bill(requests), "{report}");
    }
    // Remembered by the ledger, not by the process.
    rig.sidecar.call(&with(create(10), &keys[0])).await;
    let (site, fake) = (rig.site, rig.fake);
    rig.sidecar.kill();
    let config = "[upstream]\nkey = \"env:THE_KEY\"\n";
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(config));
    sidecar.call(&with(fetch(10, "batch"), &keys[1])).await;
    let report = site.report("team");
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["team"] == "research").unwrap();
    assert_eq!(atto(&row["usd"]), batch::bill(20) + batch::bill(10), "{report}");
}

#[tokio::test]
async fn a_price_that_changed_since_is_a_doubt_unless_the_making_was_seen() {
    let site = Site::new();
    let lately = jiff::Zoned::now().date().yesterday().unwrap().yesterday().unwrap();
    let text = format!("[[override]]\nfrom = {lately}\ndiscount = \"0.5\"\nsource = \"c\"\n");
    let file = site.file("contract.toml", &text).display().to_string();
    let rig = Rig::with(site, &format!("[pricing]\nfiles = [{file:?}]\n")).await;
    rig.sidecar.call(&create(10)).await;
    for (requests, flags) in [(10, json!([])), (5, json!(["batch_day_unknown"]))] {
        let fetch = rig.sidecar.call(&fetch(requests, "batch")).await;
        let (page, id) = (rig.site.ok(&["exchanges", &fetch.exchange()]), batch::id(requests));
        assert!(page.contains("batch results") && page.contains("\"priced\":"), "{page}");
        let priced = rig
            .site
            .exchanges()
            .into_iter()
            .filter(|one| one["id"].as_str().unwrap().starts_with(&format!("{id}/")));
        let found: Vec<Value> = priced.map(|one| one["flags"].clone()).collect();
        assert_eq!(found, vec![flags; succeeded(requests) as usize]);
    }
    assert_eq!(total(&rig.site).0, (batch::bill(10) + batch::bill(5)) / 2);
}
