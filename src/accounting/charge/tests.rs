use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::accounting::Iteration;
use crate::accounting::usage::{CacheCreation, ServerToolUse};

const CASES: &str = include_str!("../../../tests/fixtures/pricing/cases.json");

#[derive(Deserialize)]
struct Case {
    id: String,
    dimension: String,
    model: String,
    date: String,
    usage: Usage,
    expected_usd: Option<Money>,
}

fn book() -> PriceBook {
    PriceBook::embedded().unwrap()
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
}

fn charge(model: &str, day: &str, usage: &Usage) -> Charge {
    book().charge(model, day.parse().unwrap(), usage).unwrap()
}

fn total(model: &str, usage: &Usage) -> Option<String> {
    charge(model, "2026-11-20", usage).total.map(|total| total.to_string())
}

fn assert_unknown(model: &str, day: &str, usage: &Usage, flag: Flag) {
    let expected = Charge { lines: vec![], total: None, flags: vec![flag] };
    assert_eq!(charge(model, day, usage), expected, "{model} {day} {usage:?}");
}

#[test]
fn agrees_to_the_last_digit_with_independent_arithmetic() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    assert_eq!(cases.len(), 60);
    for case in cases {
        let charge = charge(&case.model, &case.date, &case.usage);
        assert_eq!(charge.total, case.expected_usd, "{} ({})", case.id, case.dimension);
        let is_unpriced = charge.flags.contains(&Flag::Unpriced);
        assert_eq!(is_unpriced, case.dimension == "unpriced", "{}", case.id);
    }
}

#[test]
fn itemises_each_kind_at_its_own_rate() {
    let usage = Usage {
        cache_creation: Some(CacheCreation {
            ephemeral_1h_input_tokens: Some(5),
            ephemeral_5m_input_tokens: Some(4),
        }),
        cache_creation_input_tokens: Some(9),
        cache_read_input_tokens: Some(3),
        server_tool_use: Some(ServerToolUse {
            web_search_requests: Some(6),
            web_fetch_requests: Some(7),
        }),
        ..usage(1, 2)
    };
    let charge = charge("claude-opus-5-5", "2026-11-20", &usage);
    let lines = charge.lines.iter().map(|l| (l.kind.name(), l.quantity, l.amount.to_string()));
    let expected = [
        ("input", 1, "0.000004"),
        ("output", 2, "0.00004"),
        ("cache_read", 3, "0.0000006"),
        ("cache_write_5m", 4, "0.00002"),
        ("cache_write_1h", 5, "0.00004"),
        ("web_search", 6, "0.06"),
    ];
    assert!(lines.eq(expected.map(|(kind, n, usd)| (kind, n, usd.to_owned()))));
    assert!(charge.flags.is_empty() && charge.lines.iter().all(|line| line.model.is_none()));
}

#[test]
fn leaves_unknown_models_and_days_unpriced() {
    assert_unknown("claude-opus-6", "2026-11-20", &usage(1, 1), Flag::Unpriced);
    assert_unknown("claude-opus-5-5", "2026-09-21", &usage(1, 1), Flag::Unpriced);
    assert!(charge("claude-opus-5-5", "2026-09-22", &usage(1, 1)).total.is_some());
}

#[test]
fn the_tier_changes_strictly_above_its_bound() {
    let of = |read| Usage { cache_read_input_tokens: Some(read), ..usage(60_000, 0) };
    assert_eq!(total("claude-haiku-5-5", &of(40_000)).unwrap(), "0.0064");
    assert_eq!(total("claude-haiku-5-5", &of(40_001)).unwrap(), "0.03200005");
}

#[test]
fn a_stale_split_gives_way_to_the_total() {
    let split = |for_5m, for_1h| {
        let (ephemeral_5m_input_tokens, ephemeral_1h_input_tokens) = (for_5m, for_1h);
        Some(CacheCreation { ephemeral_1h_input_tokens, ephemeral_5m_input_tokens })
    };
    // (total, split, dollars at 5 and 8 per million, flag)
    for (total, cache_creation, usd, flag) in [
        (Some(100), None, "0.0005", None),
        (Some(100), split(None, None), "0.0005", None),
        (Some(100), split(Some(0), Some(100)), "0.0008", None),
        (Some(100), split(None, Some(100)), "0.0008", None),
        (Some(100), split(Some(0), Some(99)), "0.0005", Some(Flag::CacheSplitMismatch)),
        (Some(0), split(Some(4369), Some(0)), "0", Some(Flag::CacheSplitMismatch)),
        (Some(100), split(Some(u64::MAX), Some(101)), "0.0005", Some(Flag::CacheSplitMismatch)),
        (None, split(Some(0), Some(100)), "0.0008", None),
        (None, split(None, Some(100)), "0.0008", Some(Flag::UsageAnomaly)),
        (None, None, "0", None),
    ] {
        let usage = Usage { cache_creation, cache_creation_input_tokens: total, ..usage(0, 0) };
        let charge = charge("claude-opus-5-5", "2026-11-20", &usage);
        assert_eq!(charge.total.unwrap().to_string(), usd, "{usage:?}");
        assert_eq!(charge.flags, Vec::from_iter(flag), "{usage:?}");
    }
}

#[test]
fn a_modifier_outside_the_table_leaves_the_amount_unknown() {
    let with = |tier: &str, geo: &str, speed: &str| Usage {
        service_tier: Some(tier.to_owned()),
        inference_geo: Some(geo.to_owned()),
        speed: Some(speed.to_owned()),
        ..usage(1000, 1000)
    };
    assert_eq!(total("claude-opus-5-5", &with("standard", "global", "standard")).unwrap(), "0.024");
    let now = "2026-11-20";
    for (model, day, usage) in [
        ("claude-opus-5-5", now, with("priority", "global", "standard")),
        ("claude-opus-5-5", now, with("flex", "global", "standard")),
        ("claude-opus-5-5", now, with("standard", "eu", "standard")),
        ("claude-opus-5-5", now, with("standard", "global", "turbo")),
        // Not offered together, and no fast row.
        ("claude-opus-5-5", now, with("batch", "global", "fast")),
        ("claude-sonnet-5-5", now, with("standard", "global", "fast")),
        // Fast mode ended on that day.
        ("claude-opus-4-8", "2026-11-30", with("standard", "global", "fast")),
        // Before batches existed; a model that has no US-only inference; twice a geography.
        ("claude-3-haiku-20240307", "2024-10-07", with("batch", "global", "standard")),
        ("claude-opus-4-5", now, with("standard", "us", "standard")),
        ("us.anthropic.claude-opus-5-5", now, with("standard", "us", "standard")),
    ] {
        assert_unknown(model, day, &usage, Flag::UnknownModifier);
    }
    let batch =
        charge("claude-3-haiku-20240307", "2024-10-08", &with("batch", "global", "standard"));
    assert_eq!(batch.total.unwrap().to_string(), "0.00075");
}

#[test]
fn fast_mode_that_was_removed_bills_at_standard_on_opus_4_6() {
    let fast = Usage { speed: Some("fast".to_owned()), ..usage(1000, 500) };
    let on = |day| charge("claude-opus-4-6", day, &fast).total.unwrap().to_string();
    assert_eq!((on("2026-06-27").as_str(), on("2026-06-28").as_str()), ("0.105", "0.0175"));
}

#[test]
fn bedrock_multiplies_only_models_since_the_split() {
    for (model, usd) in [
        ("global.anthropic.claude-opus-5-5", "0.024"),
        ("anthropic.claude-opus-5-5", "0.0264"),
        ("jp.anthropic.claude-opus-5-5", "0.0264"),
        ("us-gov.anthropic.claude-opus-5-5", "0.0288"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "0.0198"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "0.09"),
        ("eu.anthropic.claude-opus-4-6-v1", "0.033"),
        ("claude-opus-4-1@20250805", "0.09"),
    ] {
        assert_eq!(total(model, &usage(1000, 1000)).as_deref(), Some(usd), "{model}");
    }
}

#[test]
fn iterations_with_a_bill_of_their_own_are_not_priced() {
    let of = |parts: &[(&str, Option<&str>)]| {
        let parts = parts.iter().map(|(kind, model)| Iteration {
            kind: (*kind).to_owned(),
            model: model.map(str::to_owned),
            ..Iteration::default()
        });
        Usage { iterations: parts.collect(), ..usage(1000, 1000) }
    };
    for parts in [
        &[("message", None)][..],
        &[("message", Some("claude-opus-5-5")), ("message", Some("claude-opus-5-5[1m]"))],
    ] {
        assert_eq!(total("claude-opus-5-5", &of(parts)).as_deref(), Some("0.024"), "{parts:?}");
    }
    for parts in [
        &[("compaction", None), ("message", None)][..],
        &[("message", None), ("advisor_message", Some("claude-opus-5-5"))],
        &[("message", None), ("fallback_message", Some("claude-opus-4-8"))],
        &[("something_new", None)],
        &[("message", Some("claude-fable-5"))],
        &[("message", Some("claude-unheard-of"))],
    ] {
        assert_unknown("claude-opus-5-5", "2026-11-20", &of(parts), Flag::UnknownIteration);
    }
}

#[test]
fn a_missing_count_is_flagged_and_never_zero() {
    let nothing = Usage { service_tier: Some("standard".to_owned()), ..Usage::default() };
    assert_unknown("claude-opus-5-5", "2026-11-20", &nothing, Flag::UsageUnknown);
    let half =
        charge("claude-opus-5-5", "2026-11-20", &Usage { output_tokens: None, ..usage(7, 0) });
    assert_eq!(half.total.unwrap().to_string(), "0.000028");
    assert_eq!(half.flags, [Flag::UsageAnomaly]);
    let zero = charge("claude-opus-5-5", "2026-11-20", &usage(0, 0));
    assert_eq!(zero, Charge { lines: vec![], total: Some(Money::ZERO), flags: vec![] });
}

#[test]
fn an_amount_beyond_the_range_is_an_error() {
    let text = include_str!("../../../pricing/claude.toml");
    let dear = text.replacen("input = \"8\"", "input = \"1000000000000\"", 1);
    let book = PriceBook::parse(&dear).unwrap();
    let day = "2026-11-20".parse().unwrap();
    let charged = book.charge("claude-fable-5-2", day, &usage(1 << 63, 0));
    assert_eq!(charged, Err(MoneyOverflow));
}

/// Usage with a consistent split and any known modifier.
fn any_usage(most: u64) -> impl Strategy<Value = Usage> {
    let word = |words: &'static [&'static str]| {
        proptest::option::of(proptest::sample::select(words)).prop_map(|w| w.map(str::to_owned))
    };
    let tier = word(&["standard", "batch"]);
    let geo = word(&["us", "global", "not_available"]);
    let speed = word(&["standard", "fast"]);
    let half = most / 2;
    ((0..=most, 0..=most, 0..=most), (0..=half, 0..=half), 0..=most, (tier, geo, speed)).prop_map(
        |((input, output, read), (for_5m, for_1h), searches, (tier, geo, speed))| Usage {
            cache_creation: Some(CacheCreation {
                ephemeral_1h_input_tokens: Some(for_1h),
                ephemeral_5m_input_tokens: Some(for_5m),
            }),
            cache_creation_input_tokens: Some(for_5m + for_1h),
            cache_read_input_tokens: Some(read),
            server_tool_use: Some(ServerToolUse {
                web_search_requests: Some(searches),
                web_fetch_requests: None,
            }),
            service_tier: tier,
            inference_geo: geo,
            speed,
            ..usage(input, output)
        },
    )
}

/// One more token of the kind.
fn with_one_more(usage: &Usage, kind: TokenKind) -> Usage {
    let mut more = usage.clone();
    let split = more.cache_creation.get_or_insert_default();
    let counts = match kind {
        TokenKind::Input => vec![&mut more.input_tokens],
        TokenKind::Output => vec![&mut more.output_tokens],
        TokenKind::CacheRead => vec![&mut more.cache_read_input_tokens],
        TokenKind::CacheWrite5m => {
            vec![&mut split.ephemeral_5m_input_tokens, &mut more.cache_creation_input_tokens]
        }
        TokenKind::CacheWrite1h => {
            vec![&mut split.ephemeral_1h_input_tokens, &mut more.cache_creation_input_tokens]
        }
    };
    for count in counts {
        *count = count.map(|n| n + 1);
    }
    more
}

proptest! {
    /// For every model: the sum of the lines, no overflow up to 2⁶³, and a price or a flag.
    #[test]
    fn the_total_is_the_sum_of_its_lines(usage in any_usage(1 << 63)) {
        let book = book();
        for model in book.models() {
            let charge = book.charge(model, "2026-11-20".parse().unwrap(), &usage).unwrap();
            let sum: Money = charge.lines.iter().map(|line| line.amount).sum();
            match charge.total {
                Some(total) => prop_assert_eq!((total, charge.flags.len()), (sum, 0)),
                None => prop_assert_eq!((charge.lines.len(), charge.flags.len()), (0, 1)),
            }
        }
    }

    /// For every model: one more token of any kind never costs less, tiers included.
    #[test]
    fn more_tokens_never_cost_less(usage in any_usage(120_000)) {
        let book = book();
        let day = "2026-11-20".parse().unwrap();
        for model in book.models() {
            let before = book.charge(model, day, &usage).unwrap().total;
            for kind in TokenKind::ALL {
                let after = book.charge(model, day, &with_one_more(&usage, kind)).unwrap().total;
                prop_assert!(before <= after, "{} {:?}", model, kind);
                prop_assert_eq!(before.is_some(), after.is_some());
            }
        }
    }
}
