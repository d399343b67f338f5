//! Each crossing is an entry, and is told once, whatever happens in between.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;

use super::support::api::Fake;
use super::support::client::Request;
use super::support::eventually;
use super::support::sidecar::{Options, Sidecar, files};
use super::{Rig, call, calls, settles, told};

/// Long enough that what is told twice would have come.
const QUIET: Duration = Duration::from_millis(2500);

fn budget(rig: &Rig, notify: &str, more: &str) -> String {
    let usd = rig.worth(10);
    format!(
        "[budget.all]\nusd = '{usd}'\nthresholds = [50, 80, 100]\nforecast = false\n\
         burn = false\nnotify = [{notify}]\n{more}\n"
    )
}

async fn is_quiet(sidecar: &Sidecar, channel: &str) {
    let label = format!("channel=\"{channel}\"");
    settles(sidecar, "weighbridge_notifications_pending", &[&label], 0.0).await;
}

fn field<'a>(told: &'a [(super::Seen, Value)], name: &str) -> Vec<&'a str> {
    told.iter().map(|(_, body)| body[name].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_threshold_is_told_once_in_three_shapes_over_restarts() {
    let rig = Rig::new().await;
    let (hook, chat, alerts) =
        (Fake::start("burst").await, Fake::start("burst").await, Fake::start("burst").await);
    let config = budget(&rig, "'hook', 'chat', 'alerts'", "")
        + &format!("[notify.hook]\nurl = '{}/echo'\n", hook.url)
        + &format!("[notify.chat]\nkind = 'slack'\nurl = '{}/echo'\n", chat.url)
        + &format!("[notify.alerts]\nkind = 'alertmanager'\nurl = '{}'\n", alerts.url);
    let sidecar = rig.start(&config);
    calls(&sidecar, 4).await;
    eventually("50 % is told", || (told(&hook).len() == 1).then_some(())).await;
    for channel in ["hook", "chat", "alerts"] {
        is_quiet(&sidecar, channel).await;
    }
    sidecar.kill();
    let sidecar = rig.start(&config);
    calls(&sidecar, 3).await;
    eventually("80 % is told", || (told(&hook).len() == 2).then_some(())).await;
    calls(&sidecar, 4).await;
    eventually("100 % is told", || (told(&hook).len() == 3).then_some(())).await;
    for channel in ["hook", "chat", "alerts"] {
        is_quiet(&sidecar, channel).await;
    }
    assert_eq!(sidecar.metrics().await.sum("claude_budget_crossings_total", &[]), 2.0);
    sidecar.stop();
    let sidecar = rig.start(&config);
    calls(&sidecar, 1).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(rig.thresholds(), ["50", "80", "100"]);
    let counts = [&hook, &chat, &alerts].map(|receiver| told(receiver).len());
    assert_eq!(counts, [3, 3, 3]);

    let hooked = told(&hook);
    assert_eq!(field(&hooked, "threshold"), ["50", "80", "100"]);
    assert_eq!(field(&hooked, "severity"), ["info", "warning", "critical"]);
    for (seen, body) in &hooked {
        assert_eq!(seen.head.get("idempotency-key"), body["id"].as_str());
        assert_eq!(seen.head.get("content-type"), Some("application/json"));
        assert_eq!((&body["kind"], &body["budget"]), (&"budget_crossed".into(), &"all".into()));
    }
    let entry = &rig.entries("budget_crossed")[1];
    assert_eq!(hooked[1].1["used_usd"], entry["used_usd"]);
    let (_, message) = &told(&chat)[2];
    assert!(message["text"].as_str().unwrap().contains("Budget all"), "{message}");
    assert_eq!(message["blocks"][0]["type"], "section");
    let (seen, posted) = &told(&alerts)[2];
    assert_eq!(seen.target, "/api/v2/alerts");
    let alert = &posted[0];
    assert_eq!(alert["labels"]["threshold"], "100");
    assert_eq!(alert["labels"]["alertname"], "WeighbridgeBudget");
    assert_eq!(alert["endsAt"], hooked[2].1["period_end"]);
    // After a restart it is told again what holds, as one: Alertmanager may have forgotten.
    let again = alerts.seen().into_iter().rfind(|s| s.head.get("idempotency-key").is_none());
    let again: Value = serde_json::from_slice(&again.expect("it is told again").body).unwrap();
    assert_eq!(again.as_array().unwrap().len(), 3);
    sidecar.stop();
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_receiver_that_is_down_hears_everything_once_it_is_up() {
    let rig = Rig::new().await;
    let address = free_address();
    let config =
        budget(&rig, "'hook'", "") + &format!("[notify.hook]\nurl = 'http://{address}/echo'\n");
    let sidecar = rig.start(&config);
    calls(&sidecar, 4).await;
    let failed = async |sidecar: &Sidecar| {
        let start = std::time::Instant::now();
        while sidecar.metrics().await.sum("weighbridge_notifications_total", &["failed"]) < 2.0 {
            assert!(start.elapsed() < super::support::SOON, "it is not tried again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    failed(&sidecar).await;
    sidecar.kill();
    let sidecar = rig.start(&config);
    calls(&sidecar, 3).await;
    eventually("80 % is an entry", || (rig.thresholds().len() == 2).then_some(())).await;
    sidecar.kill();
    let sidecar = rig.start(&config);
    failed(&sidecar).await;
    settles(&sidecar, "weighbridge_notifications_pending", &["hook"], 2.0).await;
    let hook = Fake::start_at(address, "burst").await;
    is_quiet(&sidecar, "hook").await;
    let mut told_once = told(&hook);
    told_once.sort_by_key(|(_, body)| body["sequence"].as_u64());
    assert_eq!(field(&told_once, "threshold"), ["50", "80"]);
    sidecar.kill();
    let sidecar = rig.start(&config);
    calls(&sidecar, 1).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(told(&hook).len(), 2, "what was taken is not told again");
    sidecar.stop();
}

#[tokio::test]
async fn error_types_are_told_once_and_secrets_are_not_shown() {
    let mut rig = Rig::new().await;
    let (hook, elsewhere) = (Fake::start("burst").await, Fake::start("redirect").await);
    rig.site.env("HOOK", &format!("{}/echo?k=hunter2hunter2", hook.url));
    rig.site.env("TOKEN", "s3cr3ts3cr3t");
    let errors = "errors = ['billing_error', 'authentication_error', 'credit_balance_too_low']\n";
    let config = format!("[notify.hook]\nurl = 'env:HOOK'\ntoken = 'env:TOKEN'\n{errors}")
        + &format!("[notify.away]\nurl = '{}/echo'\nerrors = ['billing_error']\n", elsewhere.url);
    let sidecar = rig.start(&config);
    let refused = call().without("x-api-key").header("x-api-key", "wbk_nobody");
    assert_eq!(sidecar.call(&refused).await.status, 401);
    for _ in 0..3 {
        assert_eq!(sidecar.call(&Request::messages("e402", true)).await.status, 402);
    }
    eventually("it is told", || (told(&hook).len() == 1).then_some(())).await;
    is_quiet(&sidecar, "hook").await;
    sidecar.kill();
    let sidecar = rig.start(&config);
    assert_eq!(sidecar.call(&Request::messages("e402", true)).await.status, 402);
    tokio::time::sleep(QUIET).await;
    let once = told(&hook);
    assert_eq!(field(&once, "class"), ["billing_error"], "our own refusal is not the API's");
    assert_eq!(once[0].1["team"], "unattributed");
    assert_eq!(once[0].0.head.get("authorization"), Some("Bearer s3cr3ts3cr3t"));
    assert_eq!(rig.entries("error_class_seen").len(), 1);
    // The reason behind the API's word is a class of its own.
    assert_eq!(sidecar.call(&Request::messages("credit", true)).await.status, 400);
    eventually("the reason is told", || (told(&hook).len() == 2).then_some(())).await;
    assert_eq!(field(&told(&hook), "class"), ["billing_error", "credit_balance_too_low"]);
    // A redirect is not followed: it is tried again at the same place.
    assert!(elsewhere.count() >= 2);
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("weighbridge_notifications_pending", &["channel=\"away\""]), 1.0);
    sidecar.stop();
    // Nowhere in the log, the data directory, or what `check` shows.
    let mut written = Vec::new();
    files(&rig.site.data, &mut written);
    written.push(rig.site.path("said.txt"));
    let config = rig.site.path("weighbridge.toml");
    let check = rig.site.run(&["check", "--config", config.to_str().unwrap()]).stdout;
    let texts = written.iter().map(|path| std::fs::read(path).unwrap()).chain([check]);
    for text in texts {
        let text = String::from_utf8_lossy(&text).into_owned();
        for secret in ["hunter2", "s3cr3t"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn one_runaway_session_and_a_fire_are_told() {
    let rig = Rig::new().await;
    let hook = Fake::start("burst").await;
    let session = format!("session_usd = '{}'\n", rig.worth(3));
    let fire = format!(
        "[budget.fire]\nusd = '{}'\nperiod = 'day'\nthresholds = []\nforecast = false\n\
         burn_floor_usd_per_hour = '0'\nnotify = ['hook']\n",
        rig.worth(10)
    );
    let config = budget(&rig, "'hook'", &session).replace("[50, 80, 100]", "[]")
        + &fire
        + &format!("[notify.hook]\nurl = '{}/echo'\n", hook.url);
    let sidecar = rig.start(&config);
    let of = |name: &str| call().header("x-claude-code-session-id", name);
    for name in ["s-calm", "s-wild", "s-calm", "s-wild", "s-wild", "s-wild"] {
        assert_eq!(sidecar.call(&of(name)).await.status, 200);
    }
    // 7 calls in an hour of a budget of 10 a day are 16.8 times the even rate.
    eventually("both are told", || (told(&hook).len() == 2).then_some(())).await;
    is_quiet(&sidecar, "hook").await;
    sidecar.kill();
    let sidecar = rig.start(&config);
    assert_eq!(sidecar.call(&of("s-wild")).await.status, 200);
    tokio::time::sleep(QUIET).await;
    let mut all = told(&hook);
    all.sort_by_key(|(_, body)| body["threshold"].as_str().unwrap().to_owned());
    assert_eq!(field(&all, "threshold"), ["burn_14.4", "session"]);
    assert_eq!(all[1].1["session"], "s-wild");
    assert!(all[0].1["rate_usd_per_hour"].as_str().is_some());
    assert_eq!(rig.entries("budget_crossed").len(), 2);
    sidecar.stop();
}

#[tokio::test]
async fn what_is_wrong_is_said_at_the_start() {
    let rig = Rig::new().await;
    for (text, said) in [
        ("[budget.a]\nusd = '1'\nnotify = ['pager']", "add [notify.pager]"),
        ("[budget.a]\nusd = '1'\nlimit = '2'", "limit"),
        ("[notify.a]\nurl = 'env:NOT_THERE'", "NOT_THERE is not set"),
        ("[notify.a]\nurl = 'file:none.txt'", "notify.a.url"),
    ] {
        let options = Options::to(&rig.fake.url).config(text);
        let (status, errors) = Sidecar::try_start(&rig.site, &options).unwrap_err();
        assert!(!status.success() && errors.contains(said), "{errors}");
    }
}
