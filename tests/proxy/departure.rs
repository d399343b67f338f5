//! Ends that are not the answer's own: departures, cuts, silence. And that nothing is held back.

use std::time::{Duration, Instant};

use super::Rig;
use super::support::api::{DEPARTURE, Ended};
use super::support::client::{Raw, Request, Response};
use super::support::script::SLOW_PAUSE;
use super::support::wire::{End, find};
use super::support::{eventually, sidecar};

/// Waits until the call that upstream saw last is recorded with an end, and gives it.
async fn closed(site: &sidecar::Site) -> serde_json::Value {
    let ask = || {
        let last = site.exchanges().pop()?;
        (!last["outcome"].is_null() && !last["closed_at"].is_null()).then_some(last)
    };
    eventually("the call is closed", ask).await
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call_upstream_within_a_second() {
    for (scenario, by_reset) in [("stall", true), ("stall", false), ("head_never", false)] {
        let rig = Rig::new("").await;
        let mut raw = Raw::connect(rig.sidecar.address).await;
        raw.send(&Request::messages(scenario, true)).await;
        eventually("the call is upstream", || (rig.fake.count() == 1).then_some(())).await;
        if scenario == "stall" {
            raw.read_until(b"event: ping").await;
        }
        let left = Instant::now();
        if by_reset {
            raw.reset();
        } else {
            drop(raw);
        }
        let gone = || (rig.fake.last().ended == Ended::PeerLeft).then_some(());
        eventually("upstream is told", gone).await;
        let late = rig.fake.last().ended_at.unwrap().saturating_duration_since(left);
        assert!(late < DEPARTURE, "{scenario}: {late:?} after the client");
        let record = closed(&rig.site).await;
        assert_eq!(record["outcome"], "client_left", "{scenario}: {record}");
    }
}

#[tokio::test]
async fn a_cut_upstream_is_a_cut_for_the_client() {
    for scenario in ["cut", "cut_early", "cut_fin", "cut_half", "cut_tool"] {
        let rig = Rig::new("").await;
        let response = rig.call(&Request::messages(scenario, true)).await;
        let seen = rig.fake.last();
        assert_ne!(response.end, End::Clean, "{scenario}: the client must see the cut");
        assert!(seen.sent.starts_with(&response.body), "{scenario}: only what the API sent");
        assert!(find(&response.body, b"message_stop").is_none(), "{scenario}: no invented end");
        let record = rig.site.exchange(&response.exchange());
        assert_eq!(record["outcome"], "upstream_error", "{scenario}: {record}");
        assert_eq!(record["usage"]["input_tokens"], 4, "{scenario}: what was seen is kept");
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_an_api_error() {
    for scenario in ["reset_before", "not_http"] {
        let rig = Rig::new("").await;
        let response = rig.call(&Request::messages(scenario, true)).await;
        assert!((500..600).contains(&response.status), "{scenario}: {}", response.status);
        assert_eq!(response.error_type(), "api_error", "{scenario}");
        let record = rig.site.exchange(&response.exchange());
        assert_eq!(record["outcome"], "upstream_error", "{scenario}: {record}");
        assert_eq!(rig.fake.count(), 1, "{scenario}: not sent a second time");
    }
    let Rig { site, fake, sidecar } = Rig::new("").await;
    drop(fake);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let response = sidecar.call(&Request::messages("basic", true)).await;
    assert!((500..600).contains(&response.status), "{}", response.status);
    assert_eq!(site.exchange(&response.exchange())["outcome"], "upstream_error");
}

#[tokio::test]
async fn silence_has_a_limit() {
    let limits = "[upstream]\nhead_timeout = \"700ms\"\nidle_timeout = \"700ms\"\n";
    let rig = Rig::new(limits).await;
    let response = rig.call(&Request::messages("head_never", true)).await;
    assert!((500..600).contains(&response.status), "{}", response.status);
    assert!(!response.error_type().is_empty());
    assert_eq!(rig.site.exchange(&response.exchange())["outcome"], "timed_out");
    let response = rig.call(&Request::messages("stall", true)).await;
    assert_ne!(response.end, End::Clean);
    let record = rig.site.exchange(&response.exchange());
    assert_eq!((&record["outcome"], &record["status"]), (&"timed_out".into(), &200.into()));
    assert_eq!(record["usage"]["input_tokens"], 4);
    // A slow stream is not a silent one: each event starts the wait anew.
    let response = rig.call(&Request::messages("slow", true)).await;
    assert_eq!(response.end, End::Clean);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let rig = Rig::new("[upstream]\nidle_timeout = \"700ms\"\n").await;
    let mut raw = Raw::connect(rig.sidecar.address).await;
    raw.send(&Request::new("GET", "/unending")).await;
    assert!(raw.head().await.is_some_and(|head| head.line.contains("200")));
    let record = closed(&rig.site).await;
    assert_eq!(record["outcome"], "timed_out", "{record}");
    let gone = || (rig.fake.last().ended == Ended::PeerLeft).then_some(());
    eventually("upstream is told", gone).await;
}

#[tokio::test]
async fn a_departure_is_recorded_where_the_record_waits_for_the_disk() {
    let rig = Rig::new("[ledger]\ndurability = \"power\"\n").await;
    for streamed in [true, false, true, false] {
        let mut raw = Raw::connect(rig.sidecar.address).await;
        raw.send(&Request::messages("basic", streamed)).await;
        if streamed {
            raw.read_until(b"message_start").await;
        }
        raw.reset();
    }
    let ended = || {
        let all = rig.site.exchanges();
        (all.iter().all(|call| !call["outcome"].is_null())).then_some(all.len())
    };
    let known = eventually("every call has its end", ended).await;
    let upstream = rig.fake.count();
    assert!(upstream >= 2, "the streams had begun");
    assert!(known >= upstream, "no call upstream without a record: {known} of {upstream}");
}

#[tokio::test]
async fn the_first_events_do_not_wait_for_the_later_ones() {
    for encoding in [None, Some("gzip"), Some("br"), Some("zstd")] {
        let rig = Rig::new("").await;
        rig.fake.encoding(encoding);
        let mut raw = Raw::connect(rig.sidecar.address).await;
        raw.send(&Request::messages("gate", true)).await;
        let head = raw.head().await.expect("a head");
        let seen = || Some(rig.fake.last()).filter(|seen| seen.at_gate);
        let seen = eventually("the API waits in the middle", seen).await;
        assert!(!seen.sent.is_empty());
        raw.read_at_least(seen.sent.len()).await;
        rig.fake.open_gate();
        let response = raw.rest(head).await;
        assert_eq!((response.end, response.body), (End::Clean, rig.fake.last().sent));
    }
}

/// Gaps between the pieces of a paced answer, in order of size.
fn gaps(response: &Response) -> Vec<Duration> {
    let mut gaps: Vec<_> = response.pieces.windows(2).map(|w| w[1].0 - w[0].0).collect();
    gaps.sort();
    gaps
}

#[tokio::test]
async fn paced_events_are_not_stepped() {
    let rig = Rig::new("").await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let response = rig.call(&Request::messages("slow", true)).await;
        assert_eq!(response.end, End::Clean);
        all.extend(gaps(&response));
    }
    all.sort();
    assert!(all.len() >= 50, "{} gaps: the events were merged", all.len());
    // Nagle with delayed acknowledgements makes it 40 ms and more.
    let median = all[all.len() / 2];
    assert!(median < SLOW_PAUSE + Duration::from_millis(20), "median gap {median:?}");
}
