use super::payload::{alert, id, resolved, severity, slack, webhook};
use super::*;
use crate::privacy::Identifier;
use crate::record::{BudgetCrossed, ErrorClassSeen};

/// 2026-11-25 12:00 UTC.
const NOW: i64 = 1_795_608_000 * NS_PER_SECOND;
const HOUR: i64 = 3600 * NS_PER_SECOND;

fn crossed(threshold: &str) -> Noticed {
    let burn = threshold.starts_with("burn");
    let session = (threshold == "session").then(|| Identifier::known("s-1"));
    let usd = |text: &str| text.parse().unwrap();
    let notice = Notice::Crossed(Box::new(BudgetCrossed {
        budget: "search-month".into(),
        forecast_usd: usd("612.5"),
        limit_usd: usd("500"),
        name: Some("search".into()),
        period: "month".into(),
        period_end: 1_796_083_200 * NS_PER_SECOND,
        period_start: 1_793_491_200 * NS_PER_SECOND,
        rate_usd_per_hour: burn.then(|| usd("20.004")),
        scope: "team".into(),
        session_usd: session.as_ref().map(|_| usd("7")),
        session,
        threshold: threshold.into(),
        used_usd: usd("402.105"),
    }));
    Noticed { sequence: 42, at: NOW, notice }
}

fn error() -> Noticed {
    let class = Identifier::known("billing_error");
    let notice = Notice::Error(ErrorClassSeen { class, count: 2, team: "search".into() });
    Noticed { sequence: 43, at: NOW, notice }
}

#[test]
fn a_webhook_holds_exact_amounts_and_a_stable_id() {
    let body = webhook(&crossed("80"), "wb-1");
    assert_eq!(body["id"], id("wb-1", 42));
    for (field, value) in [
        ("kind", "budget_crossed"),
        ("at", "2026-11-25T12:00:00Z"),
        ("severity", "warning"),
        ("used_usd", "402.105"),
        ("period_start", "2026-11-01T00:00:00Z"),
        ("period_end", "2026-12-01T00:00:00Z"),
        (
            "summary",
            "Budget search-month of team search: $402.10 of $500.00 a month used; $612.50 \
             expected by 2026-12-01 00:00:00 UTC.",
        ),
    ] {
        assert_eq!(body[field], value);
    }
    let session = webhook(&crossed("session"), "wb-1");
    assert_eq!((&session["session"], &session["session_usd"]), (&"s-1".into(), &"7".into()));
    assert_eq!(webhook(&error(), "wb-1")["class"], "billing_error");
}

#[test]
fn slack_gets_a_text_and_blocks() {
    let body = slack(&crossed("burn_6"), "wb-1");
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("$20.00 an hour over 6h, more than 6 times"), "{text}");
    let block = body["blocks"][0]["text"]["text"].as_str().unwrap();
    let title = "*Budget search-month of team search: burns too fast*";
    assert!(block.starts_with(":red_circle:") && block.contains(title), "{block}");
    assert!(slack(&error(), "wb-1")["text"].as_str().unwrap().contains("billing_error"));
}

#[test]
fn an_alert_ends_with_what_it_is_about() {
    let ends = |noticed: &Noticed| alert(noticed, "wb-1", NOW + HOUR)["endsAt"].clone();
    assert_eq!(ends(&crossed("100")), "2026-12-01T00:00:00Z");
    assert_eq!(ends(&crossed("forecast")), "2026-12-01T00:00:00Z");
    assert_eq!(ends(&crossed("burn_1")), "2026-11-25T13:05:00Z", "five minutes after the sending");
    assert_eq!(ends(&crossed("session")), "2026-11-25T13:00:00Z");
    assert_eq!(ends(&error()), "2026-11-25T13:00:00Z");
    assert_eq!(resolved(&crossed("100"), "wb-1", NOW)["endsAt"], "2026-11-25T12:00:00Z");
    let labels = &alert(&crossed("100"), "wb-1", NOW)["labels"];
    for (label, value) in [
        ("alertname", "WeighbridgeBudget"),
        ("budget", "search-month"),
        ("scope", "team"),
        ("name", "search"),
        ("period", "month"),
        ("threshold", "100"),
        ("severity", "critical"),
        ("instance", "wb-1"),
    ] {
        assert_eq!(labels[label], value);
    }
    let severities = ["50", "80", "95", "100", "forecast", "burn_14.4", "burn_3", "session"]
        .map(|threshold| severity(&crossed(threshold).notice));
    let (info, warning, critical) = ("info", "warning", "critical");
    let all = [info, warning, warning, critical, warning, critical, warning, warning];
    assert_eq!(severities, all);
}

#[test]
fn what_is_over_is_not_told_any_more() {
    let end = 1_796_083_200 * NS_PER_SECOND;
    assert!(is_current(&crossed("80"), end - 1) && !is_current(&crossed("80"), end));
    let late = Noticed { at: end - 1, ..crossed("80") };
    assert!(is_current(&late, end + HOUR / 2) && !is_current(&late, end + HOUR));
    let burn = crossed("burn_6");
    assert!(is_current(&burn, NOW + 23 * HOUR) && !is_current(&burn, NOW + 24 * HOUR));
    assert!(!is_current(&error(), NOW + 24 * HOUR));
}
