//! Clocks that jump, zones that are not ours, times that clients make up, and processes that sleep.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::chain::{entries, sound, verify};
use crate::shim::Shim;
use crate::support::api::Fake;
use crate::support::client::{Raw, Request};
use crate::support::sidecar::{Options, Sidecar, Site};
use crate::support::{self, SOON, eventually};
use crate::tree::{lines, newest};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Seconds since 1970, by the machine's clock.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_secs() as i64
}

/// How far tomorrow at this second of the day (UTC) is ahead.
fn tomorrow_at(second: i64) -> i64 {
    let now = now();
    (now / DAY + 1) * DAY + second - now
}

async fn call(sidecar: &Sidecar) -> String {
    let response = sidecar.call(&Request::messages("burst", true)).await;
    assert_eq!(response.status, 200);
    response.exchange()
}

/// Waits for the jump with this number; gives its size.
async fn jump(site: &Site, number: usize) -> i64 {
    let body = eventually("the jump is written down", || {
        entries(site, "clock_jump").get(number - 1).map(|line| line["body"].clone())
    })
    .await;
    let (from, to) = (body["from"].as_i64().unwrap(), body["to"].as_i64().unwrap());
    let ms = body["ms"].as_i64().unwrap();
    assert_eq!((to - from) / 1_000_000, ms, "{body}");
    ms
}

/// Whether a jump has this size, but for the time that the test itself takes between two looks.
fn is_about(ms: i64, seconds: i64) -> bool {
    (ms - seconds * 1000).abs() < 1000
}

/// Used in the running period: as the command says, which reads the ledger.
fn used(site: &Site) -> f64 {
    let config = site.path("weighbridge.toml");
    let text = site.ok(&["budgets", "--config", config.to_str().unwrap(), "--format", "json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    all["budgets"][0]["used_usd"].as_str().unwrap().parse().unwrap()
}

/// Waits until the running sidecar shows the same.
async fn shown(sidecar: &Sidecar, usd: f64) {
    let start = std::time::Instant::now();
    loop {
        let metrics = sidecar.metrics().await;
        let shown = metrics.sum("claude_budget_used_usd", &[]);
        if (shown - usd).abs() < 1e-9 {
            return;
        }
        assert!(start.elapsed() < SOON, "{shown} is shown, {usd} was used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Each threshold of each period was crossed once.
fn assert_crossed_once(site: &Site) {
    let mut seen = HashSet::new();
    for line in entries(site, "budget_crossed") {
        let (start, threshold) = (line["body"]["period_start"].clone(), &line["body"]["threshold"]);
        assert!(seen.insert((start.as_i64(), threshold.to_string())), "{line}");
    }
    assert!(!seen.is_empty());
}

#[tokio::test]
async fn b01_a_clock_that_jumps_is_written_down_and_reopens_no_budget() {
    let (mut site, fake) = (Site::new(), Fake::start("burst").await);
    let shim = Shim::load(&mut site);
    let noon = tomorrow_at(12 * HOUR);
    shim.wall_ahead(noon);
    let options = Options::to(&fake.url).config("[budget.all]\nusd = '0.15'\nperiod = 'day'\n");
    let sidecar = Sidecar::start(&site, &options);
    call(&sidecar).await;
    let cost = used(&site);
    for _ in 0..2 {
        call(&sidecar).await;
    }
    let crossed = || {
        let crossed = entries(&site, "budget_crossed");
        crossed.iter().any(|line| line["body"]["threshold"] == "100").then_some(())
    };
    eventually("the limit is crossed", crossed).await;

    // An hour back, with a call that begins before and ends after.
    let mut running = Raw::connect(sidecar.address).await;
    running.send(&Request::messages("gate", true)).await;
    running.head().await.expect("it runs");
    shim.wall_ahead(noon - HOUR);
    let back = jump(&site, 1).await;
    assert!(is_about(back, -HOUR), "{back}");
    fake.open_gate();
    eventually("it ends", || (entries(&site, "closed").len() == 4).then_some(())).await;
    drop(running);
    let closed = entries(&site, "closed");
    let durations = closed.iter().map(|line| line["body"]["duration_us"].as_u64().unwrap());
    assert!(durations.max() < Some(SOON.as_micros() as u64), "none is an hour, or less than 0");
    let first_day = used(&site);
    assert!(first_day > 3.5 * cost, "nothing is given back: {first_day}");
    shown(&sidecar, first_day).await;

    // A day ahead: another period. And back: the first one is as it was.
    shim.wall_ahead(noon + DAY);
    let ahead = jump(&site, 2).await;
    assert!(is_about(ahead, DAY + HOUR), "{ahead}");
    call(&sidecar).await;
    shown(&sidecar, cost).await;
    shim.wall_ahead(noon);
    assert!(is_about(jump(&site, 3).await, -DAY));
    shown(&sidecar, first_day).await;
    assert!((used(&site) - first_day).abs() < 1e-9);
    // The day comes a second time: what was spent in it is not spent anew, and not forgotten.
    shim.wall_ahead(noon + DAY);
    jump(&site, 4).await;
    call(&sidecar).await;
    shown(&sidecar, 2.0 * cost).await;
    assert_crossed_once(&site);
    sidecar.stop();

    sound(&site);
    let times = site.ledger_lines();
    let times = times.iter().map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let times: Vec<u64> = times.map(|line| line["t"].as_u64().unwrap()).collect();
    assert!(!times.is_sorted(), "the order is the index, not the time");
    let (_, told) = verify(&site, &[]);
    assert!(told["not_provable"].to_string().contains("times around 4 jumps"), "{told:#}");
    let bundle = site.path("bundle");
    site.ok(&["audit", "export", "--out", bundle.to_str().unwrap()]);
    let facts = fs::read(bundle.join("ipe.json")).unwrap();
    let facts: Value = serde_json::from_slice(&facts).unwrap();
    assert_eq!(facts["derived"]["gaps"], 4);
    let gaps = fs::read_to_string(bundle.join("gaps.csv")).unwrap();
    assert_eq!(gaps.matches(",clock_jump,the wall clock jumped by ").count(), 4, "{gaps}");
    assert!(site.run(&["audit", "verify", bundle.to_str().unwrap()]).status.success());
}

#[tokio::test]
async fn b03_every_time_is_utc_whatever_the_zone() {
    let (mut site, fake) = (Site::new(), Fake::start("burst").await);
    // 22:30 of the day before in São Paulo.
    let shim = Shim::load(&mut site);
    let ahead = tomorrow_at(HOUR + HOUR / 2);
    shim.wall_ahead(ahead);
    site.env("TZ", "America/Sao_Paulo");
    let day = jiff::Timestamp::from_second(now() + ahead).unwrap().to_string()[..10].to_owned();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let id = call(&sidecar).await;
    let line = &entries(&site, "closed")[0];
    let age = now() + ahead - line["t"].as_i64().unwrap() / 1_000_000_000;
    assert!((0..=SOON.as_secs() as i64).contains(&age), "{age} s");
    let said = sidecar.stop_and_say();
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.starts_with(&day) && at.ends_with('Z'), "{line}");
    }
    let exchange = site.exchange(&id);
    for field in ["opened_at", "closed_at"] {
        let at = exchange[field].as_str().unwrap();
        assert!(at.starts_with(&day) && at.ends_with('Z'), "{exchange}");
    }
    assert_eq!(site.report("day")["rows"][0]["day"], day, "{}", site.report("day"));
    let bundle = site.path("bundle");
    site.ok(&["audit", "export", "--out", bundle.to_str().unwrap()]);
    let facts = fs::read(bundle.join("ipe.json")).unwrap();
    let facts: Value = serde_json::from_slice(&facts).unwrap();
    let at = facts["extracted_at"].as_str().unwrap();
    assert_eq!(facts["time_zone"], "UTC");
    assert!(at.starts_with(&day) && at.ends_with('Z'), "{at}");
    let calls = fs::read_to_string(bundle.join("exchanges.csv")).unwrap();
    assert!(calls.lines().nth(1).unwrap().contains(&format!(",{day}T01:3")), "{calls}");
    sound(&site);
}

#[tokio::test]
async fn b04_a_client_s_own_times_decide_nothing() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url).config("[budget.all]\nusd = '1'\n");
    let sidecar = Sidecar::start(&site, &options);
    call(&sidecar).await;
    let spent = used(&site);
    for (number, time) in ["2035-01-01T00:00:00Z", "1999-01-01T00:00:00Z"].iter().enumerate() {
        let event = json!({
            "hook_event_name": "PreToolUse", "session_id": "s", "tool_name": "Bash",
            "tool_use_id": format!("toolu_{number}"), "tool_input": {"command": "true"},
            "timestamp": time, "time": time, "created_at": time, "t": 2_051_222_400_u64,
        });
        let post = support::hooks::post(&sidecar, event.to_string().as_bytes());
        let post = post.header("Date", "Mon, 01 Jan 2035 00:00:00 GMT");
        assert_eq!(support::hooks::send(&sidecar, &post).await.status, 200);
    }
    call(&sidecar).await;
    let hooks = entries(&site, "hook");
    let times: Vec<i64> = hooks.iter().map(|line| line["t"].as_i64().unwrap()).collect();
    let since = now() - SOON.as_secs() as i64;
    assert!(times.iter().all(|t| (since..=now()).contains(&(t / 1_000_000_000))), "{times:?}");
    assert!(times.is_sorted() && hooks[0]["i"].as_u64() < hooks[1]["i"].as_u64());
    for line in site.ledger_lines() {
        let text = String::from_utf8(line).unwrap();
        assert!(!text.contains("2035-") && !text.contains("1999-"), "{text}");
        assert!(!text.contains("2051222400"), "{text}");
    }
    assert!((used(&site) - 2.0 * spent).abs() < 1e-9);
    let days = site.report("day").to_string();
    assert!(!days.contains("2035-") && !days.contains("1999-"), "{days}");
    sidecar.stop();
    sound(&site);
}

/// Longer than every bound that the sidecar has in this test, and than `CLOCK_JUMP_MIN`.
const SLEEP: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn b05_a_process_that_slept_goes_on_and_nothing_looks_tampered_with() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let witness =
        format!("[witness.worm]\nkind = 'file'\nto = '{}'\n", site.path("worm.notes").display());
    let options = Options::to(&fake.url)
        .config("[upstream]\nidle_timeout = '2s'\n[audit]\nheartbeat = '300ms'\n")
        .config(&witness);
    let sidecar = Sidecar::start(&site, &options);
    call(&sidecar).await;
    let entries_before = lines(&site);
    eventually("it is signed", || (newest(&site).size >= entries_before).then_some(())).await;
    let mut running = Raw::connect(sidecar.address).await;
    running.send(&Request::messages("gate", true)).await;
    running.head().await.expect("it runs");
    sidecar.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", sidecar.pid());
    let stopped = || fs::read_to_string(&stat).unwrap().contains(") T ").then_some(());
    eventually("it is stopped", stopped).await;
    let silent = lines(&site);
    tokio::time::sleep(SLEEP).await;
    assert_eq!(lines(&site), silent, "it sleeps");
    sidecar.signal(Signal::CONT);
    // The API said nothing for longer than it may: the call is ended, and recorded.
    eventually("it is closed", || (entries(&site, "closed").len() == 2).then_some(())).await;
    let cut = &entries(&site, "closed")[1]["body"];
    assert_ne!(cut["outcome"], "completed", "{cut}");
    assert!(cut["duration_us"].as_u64() >= Some(SLEEP.as_micros() as u64), "{cut}");
    fake.open_gate();
    drop(running);
    call(&sidecar).await;
    let entries_now = lines(&site);
    eventually("it is signed", || (newest(&site).size >= entries_now).then_some(())).await;
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("weighbridge_audit_checkpoint_errors_total", &[]), 0.0);
    assert_eq!(metrics.sum("weighbridge_audit_witness_errors_total", &[]), 0.0);
    sidecar.stop();
    for kind in ["clock_jump", "gap", "rollback", "recovered"] {
        assert!(entries(&site, kind).is_empty(), "no {kind}");
    }
    let witnessed = fs::read_to_string(site.path("worm.notes")).unwrap();
    assert!(witnessed.contains(&format!("\n{}\n", newest(&site).size)), "{witnessed}");
    sound(&site);
    Sidecar::start(&site, &options).stop();
    sound(&site);
}
