use super::*;
use crate::accounting::{Money, Usage};
use crate::privacy::Identifier;
use crate::record::exchange::Endpoint;
use crate::record::{ChargeRecord, Outcome};

fn name(text: &str) -> Identifier {
    Identifier::plain(text.as_bytes()).unwrap()
}

fn opening(team: &str, model: &str) -> Opening {
    let opened = serde_json::json!({"attempt": 1, "call": "e", "endpoint": "messages",
        "exchange": "e", "method": "POST", "model": model, "streamed": 0, "team": team});
    serde_json::from_value(opened).unwrap()
}

fn closing(usd: Option<Money>) -> Closing {
    let closed = serde_json::json!({"duration_us": 2_000_000, "exchange": "e",
        "outcome": "completed", "response_bytes": 1, "status": 200, "stop_reason": "end_turn"});
    let charge = usd.map(|usd| ChargeRecord { usd: Some(usd), ..ChargeRecord::default() });
    Closing { charge, ..serde_json::from_value(closed).unwrap() }
}

/// The samples of a family and their sum.
fn samples(text: &str, family: &str) -> (usize, f64) {
    let start = format!("{family}{{");
    let values = text.lines().filter(|line| line.starts_with(&start));
    let values = values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
    values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value))
}

#[test]
fn half_a_million_names_make_a_bounded_number_of_series_and_every_sum_stays() {
    let metrics = Metrics::new().unwrap();
    let limits = RateLimits { limit: [Some(4_000); 4], ..RateLimits::default() };
    // 2⁻¹⁰ dollars: sums of it are exact in a float, too.
    let usd: Money = "0.0009765625".parse().unwrap();
    let (teams, models) = (10_000, 50);
    let mut opening = opening("", "m");
    let mut closing = closing(Some(usd));
    closing.usage = Some(Usage { output_tokens: Some(3), ..Usage::default() });
    for team in 0..teams {
        let team = format!("team-{team}");
        opening.team.clone_from(&team);
        for model in 0..models {
            opening.model = Some(name(&format!("model-{model}")));
            metrics.opened(&opening, 0);
            metrics.closed(&opening, &closing);
        }
        metrics.limits_seen(&team, &limits);
    }
    let text = metrics.expose(0).unwrap();
    let calls = f64::from(teams * models);
    assert_eq!(samples(&text, "claude_requests_total"), (PAIRS_MAX + 1, calls));
    assert_eq!(samples(&text, "claude_cost_usd_total"), (PAIRS_MAX + 1, calls / 1024.0));
    assert_eq!(samples(&text, "claude_tokens_total"), (5 * (PAIRS_MAX + 1), calls * 3.0));
    assert_eq!(samples(&text, "claude_ratelimit_limit").0, 4 * (LABEL_VALUES_MAX + 1));
    assert_eq!(samples(&text, "claude_stop_reasons_total"), (models as usize + 1, calls));
    assert!(text.lines().count() < 20_000, "{} lines", text.lines().count());
    let overflow = text.lines().find(|l| l.starts_with("weighbridge_label_overflow_total "));
    assert!(overflow.is_some_and(|line| !line.ends_with(" 0")), "{overflow:?}");
}

#[test]
fn failures_of_one_pair_are_bounded() {
    let metrics = Metrics::new().unwrap();
    let opening = opening("t", "m");
    for kind in 0..1_000_u16 {
        let error = Some(name(&format!("error_{kind}")));
        let closing = Closing { status: Some(kind), error_type: error, ..closing(None) };
        metrics.closed(&opening, &closing);
    }
    let text = metrics.expose(0).unwrap();
    // One more for the rest, and one for plain successes.
    assert_eq!(samples(&text, "claude_requests_total"), (FAILURES_MAX + 2, 1_000.0));
}

#[test]
fn a_closing_counts_where_it_belongs() {
    let metrics = Metrics::new().unwrap();
    let money = |text: &str| Some(text.parse::<Money>().unwrap());
    let mut opening = Opening { streamed: 1, attempt: 2, ..opening("search", "m") };
    let mut closing = closing(money("0.5"));
    closing.first_token_us = Some(500_000);
    closing.usage = Some(Usage { output_tokens: Some(60), ..Usage::default() });
    closing.charge.as_mut().unwrap().cache_savings_usd = money("0.25");
    metrics.closed(&opening, &closing);
    closing.charge.as_mut().unwrap().cache_savings_usd = money("-0.125");
    closing.stop_reason = Some(name("a_new_reason"));
    metrics.closed(&opening, &closing);
    // Cut: no speed, an estimate.
    closing.outcome = Outcome::UpstreamError;
    closing.flags = vec![crate::accounting::Flag::Estimated];
    closing.charge.as_mut().unwrap().estimated_usd = money("0.0625");
    closing.error_class = Some(name("context_length_exceeded"));
    closing.error_type = Some(name("invalid_request_error"));
    metrics.closed(&opening, &closing);
    // A subscription: nothing of it is anybody's money.
    closing.charge.as_mut().unwrap().notional = 1;
    metrics.closed(&opening, &closing);
    opening.endpoint = Endpoint::Models;
    metrics.closed(&opening, &closing);

    let text = metrics.expose(0).unwrap();
    let has = |line: &str| assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    has(r#"claude_output_tokens_per_second_sum{model="m"} 80"#);
    has(r#"claude_output_tokens_per_second_count{model="m"} 2"#);
    has(r#"claude_retries_total{model="m",team="search"} 4"#);
    has(r#"claude_stop_reasons_total{model="m",stop_reason="end_turn"} 1"#);
    has(r#"claude_stop_reasons_total{model="m",stop_reason="a_new_reason"} 3"#);
    has(r#"claude_cost_usd_total{model="m",team="search"} 1.5"#);
    has(r#"claude_notional_cost_usd_total{model="m",team="search"} 0.5"#);
    has(r#"claude_cache_savings_usd_total{model="m",team="search"} 0.25"#);
    has(r#"claude_cache_losses_usd_total{model="m",team="search"} 0.25"#);
    has(r#"claude_estimated_cost_usd_total{model="m",team="search"} 0.0625"#);
    has(r#"claude_estimated_requests_total{model="m",team="search"} 1"#);
    let refined = r#"{error_type="context_length_exceeded",model="m",status="200",team="search"}"#;
    has(&format!("claude_requests_total{refined} 2"));
    has(r#"weighbridge_exchanges_total{endpoint="messages",outcome="completed"} 2"#);
    has(r#"weighbridge_exchanges_total{endpoint="models",outcome="upstream_error"} 1"#);
}

#[test]
fn one_version_of_the_prices_is_in_force() {
    let metrics = Metrics::new().unwrap();
    for version in ["a", "b", "b"] {
        metrics.health.show_prices(version, 1_764_028_800);
    }
    let text = metrics.expose(0).unwrap();
    assert_eq!(samples(&text, "weighbridge_pricing_info"), (1, 1.0));
    assert!(text.contains(r#"weighbridge_pricing_info{version="b"} 1"#), "{text}");
    assert!(text.contains("weighbridge_pricing_checked_timestamp_seconds 1764028800"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_described() {
    let text = Metrics::new().unwrap().expose(0).unwrap();
    for family in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"]
    {
        assert!(text.contains(&format!("# TYPE {family} ")), "{family} is missing");
    }
}
