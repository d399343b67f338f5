//! A collector that is down under load: nothing is lost, memory is bounded, calls do not notice.
//!
//! `WEIGHBRIDGE_OUTAGE_SECONDS` and `WEIGHBRIDGE_OUTAGE_RATE` (calls a second) make it longer;
//! `make soak` takes 60 and 500. Latency decides nothing here: it is printed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::config;
use super::support::api::Fake;
use super::support::client::{Raw, Request};
use super::support::collector::{Collector, attribute};
use super::support::sidecar::{Options, Sidecar, Site};

const CONNECTIONS: u32 = 16;
/// How long the rest may take once the collector is back.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
/// What may be held more while the collector is down: allocator and buffers, not what waits.
const GROWTH_KIB_MAX: u64 = 48 * 1024;

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Calls at a steady rate; gives the exchanges and how long each call took.
async fn load(sidecar: &Sidecar, seconds: u32, rate: u32) -> (BTreeSet<String>, Vec<Duration>) {
    let every = Duration::from_secs(1) * CONNECTIONS / rate;
    let calls = rate * seconds / CONNECTIONS;
    let mut connections = Vec::new();
    for n in 0..CONNECTIONS {
        let address = sidecar.address;
        connections.push(tokio::spawn(async move {
            let mut raw = Raw::connect(address).await;
            let mut due = Instant::now() + every * n / CONNECTIONS;
            let mut done = Vec::new();
            for call in 0..calls {
                tokio::time::sleep_until(due.into()).await;
                let request = Request::plain("hello")
                    .header("x-fake-scenario", "plain")
                    .header("X-Claude-Code-Session-Id", &format!("session-{n}-{call}"));
                raw.send(&request).await;
                let response = raw.response().await;
                done.push((response.exchange(), due.elapsed()));
                due += every;
            }
            done
        }));
    }
    let (mut exchanges, mut took) = (BTreeSet::new(), Vec::new());
    for connection in connections {
        for (exchange, elapsed) in connection.await.unwrap() {
            exchanges.insert(exchange);
            took.push(elapsed);
        }
    }
    took.sort_unstable();
    (exchanges, took)
}

fn latency(phase: &str, took: &[Duration]) {
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    eprintln!("{phase}: {} calls, p50 {:?}, p99 {:?}", took.len(), at(50), at(99));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_outage_under_load_loses_nothing() {
    let seconds = setting("WEIGHBRIDGE_OUTAGE_SECONDS", 3);
    let rate = setting("WEIGHBRIDGE_OUTAGE_RATE", 150);
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let collector = Collector::start().await;
    let address = collector.address.to_string();
    let export = config(&format!("http://{address}"), "signals = ['traces']");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&export));
    let (mut all, took) = load(&sidecar, seconds.min(10), rate).await;
    latency("collector up", &took);
    let seen = |collector: &Collector| -> BTreeSet<String> {
        let spans = collector.spans();
        let ids = spans.iter().map(|span| attribute(&span.attributes, "weighbridge.exchange"));
        ids.filter(|id| !id.is_empty()).collect()
    };
    let before = resident_kib(sidecar.pid());
    collector.stop().await;
    let mut got = seen(&collector);
    let (more, took) = load(&sidecar, seconds, rate).await;
    latency("collector down", &took);
    let grown = resident_kib(sidecar.pid()).saturating_sub(before);
    eprintln!("memory: {before} KiB before, {grown} KiB more at the end of the outage");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    all.extend(more);
    let back = Collector::on(&address).await;
    let since = Instant::now();
    loop {
        got.extend(seen(&back));
        if got == all {
            break;
        }
        let lost = all.difference(&got).count();
        assert!(since.elapsed() < CATCH_UP_MAX, "{lost} of {} spans are not there", all.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("{} calls, all there {:?} after the collector came back", all.len(), since.elapsed());
    back.assert_strict();
}
