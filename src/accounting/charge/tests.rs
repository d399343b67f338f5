use proptest::prelude::*;

use super::*;
use crate::accounting::call::{Dated, Facts, Refusal};
use crate::accounting::price_book::Platform;
use crate::accounting::usage::{CacheCreation, ServerToolUse};
use crate::accounting::{Iteration, Usage};

fn book() -> &'static PriceBook {
    static BOOK: std::sync::LazyLock<PriceBook> =
        std::sync::LazyLock::new(|| PriceBook::embedded().unwrap());
    &BOOK
}

fn call<'a>(model: &'a str, day: &str, usage: &'a Usage) -> Call<'a> {
    Call::new(model, day.parse().unwrap(), usage)
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
}

fn charge(model: &str, day: &str, usage: &Usage) -> Charge<'static> {
    book().charge(&call(model, day, usage)).unwrap()
}

fn total(model: &str, usage: &Usage) -> Option<String> {
    charge(model, "2026-11-20", usage).total.map(|total| total.to_string())
}

/// No lines, no amounts, and these flags.
fn assert_unknown(model: &str, day: &str, usage: &Usage, flags: &[Flag]) {
    let charge = charge(model, day, usage);
    let (unknown, flags) = (charge.unknown.clone(), flags.to_vec());
    assert!(unknown.is_some(), "{model} {day} {usage:?}");
    let expected = Charge { model: charge.model, flags, unknown, ..Charge::default() };
    assert_eq!(charge, expected, "{model} {day} {usage:?}");
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
    assert!(charge.flags.is_empty() && charge.list == charge.total && charge.max.is_none());
}

#[test]
fn leaves_unknown_models_and_days_unpriced() {
    assert_unknown("claude-opus-6", "2026-11-20", &usage(1, 1), &[Flag::Unpriced]);
    assert_unknown("claude-opus-5-5", "2026-09-21", &usage(1, 1), &[Flag::Unpriced]);
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
        (Some(100), None, "0.0005", Some(Flag::CacheSplitMissing)),
        (Some(100), split(None, None), "0.0005", Some(Flag::CacheSplitMissing)),
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
        ("claude-opus-5-5", now, with("flex", "global", "standard")),
        ("claude-opus-5-5", now, with("standard", "eu", "standard")),
        ("claude-opus-5-5", now, with("standard", "global", "turbo")),
        // Before batches existed.
        ("claude-3-haiku-20240307", "2024-10-07", with("batch", "global", "standard")),
    ] {
        assert_unknown(model, day, &usage, &[Flag::Unpriced, Flag::UnknownModifier]);
    }
    for (model, day, usage, usd, flag) in [
        (
            "claude-opus-5-5",
            now,
            with("priority", "global", "standard"),
            "0.024",
            Flag::PriorityTier,
        ),
        // Not offered together, and no fast row.
        ("claude-opus-5-5", now, with("batch", "global", "fast"), "0.012", Flag::FastInBatch),
        (
            "claude-sonnet-5-5",
            now,
            with("standard", "global", "fast"),
            "0.012",
            Flag::FastWithoutRate,
        ),
        // Fast mode ended on that day.
        (
            "claude-opus-4-8",
            "2026-11-30",
            with("standard", "us", "fast"),
            "0.033",
            Flag::FastWithoutRate,
        ),
        // A model that has no US-only inference.
        ("claude-opus-4-5", now, with("standard", "us", "standard"), "0.03", Flag::UnknownModifier),
    ] {
        let charge = charge(model, day, &usage);
        assert_eq!((charge.total.unwrap().to_string().as_str(), charge.flags), (usd, vec![flag]));
    }
    // The region is one fact, said twice.
    let twice = charge("us.anthropic.claude-opus-5-5", now, &with("standard", "us", "standard"));
    assert_eq!((twice.total.unwrap().to_string().as_str(), twice.flags), ("0.0264", vec![]));
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

/// An iteration of so many input and output tokens.
fn step(kind: &str, model: Option<&str>, input: u64, output: u64) -> Iteration {
    Iteration {
        kind: kind.to_owned(),
        model: model.map(str::to_owned),
        input_tokens: Some(input),
        output_tokens: Some(output),
        ..Iteration::default()
    }
}

/// Total, upper end and flags.
fn outcome(charge: &Charge<'_>) -> (String, String, Vec<Flag>) {
    let text = |usd: Option<Money>| usd.map_or_else(String::new, |usd| usd.to_string());
    (text(charge.total), text(charge.max), charge.flags.clone())
}

fn with_steps(top: Usage, steps: Vec<Iteration>) -> Usage {
    Usage { iterations: steps, ..top }
}

#[test]
fn each_iteration_is_billed_at_its_own_model() {
    let (opus, fable) = ("claude-opus-5-5", Some("claude-fable-5-2"));
    let known = |usage: Usage, usd: &str| {
        let found = outcome(&charge(opus, "2026-11-20", &usage));
        assert_eq!(found, (usd.to_owned(), String::new(), vec![]), "{usage:?}");
    };
    known(with_steps(usage(1000, 1000), vec![step("message", None, 1000, 1000)]), "0.024");
    let advised = vec![
        step("message", None, 600, 400),
        step("advisor_message", fable, 1000, 1000),
        step("message", Some("claude-opus-5-5[1m]"), 400, 600),
    ];
    known(with_steps(usage(1000, 1000), advised), "0.072");
    let compacted = vec![step("compaction", None, 1000, 0), step("message", None, 1000, 1000)];
    known(with_steps(usage(1000, 1000), compacted), "0.028");
    // The advisor's model is not in the table: no amount at all.
    let unheard =
        vec![step("message", None, 1, 1), step("advisor_message", Some("claude-x"), 1, 1)];
    assert_unknown(opus, "2026-11-20", &with_steps(usage(1, 1), unheard), &[Flag::Unpriced]);
}

#[test]
fn an_unknown_iteration_is_a_range_and_flagged() {
    let steps = vec![step("message", None, 1000, 1000), step("something_new", None, 1000, 0)];
    let found =
        outcome(&charge("claude-opus-5-5", "2026-11-20", &with_steps(usage(1000, 1000), steps)));
    assert_eq!(found, ("0.024".into(), "0.028".into(), vec![Flag::UnknownIteration]));
    // Without any step of the answer the top level is the answer.
    let alone = with_steps(usage(1000, 1000), vec![step("something_new", None, 1000, 0)]);
    let found = outcome(&charge("claude-opus-5-5", "2026-11-20", &alone));
    assert_eq!(found, ("0.024".into(), "0.028".into(), vec![Flag::UnknownIteration]));
}

#[test]
fn a_top_level_that_is_not_the_sum_of_its_steps_is_flagged() {
    for top in [usage(1000, 1001), usage(999, 1000)] {
        let steps = vec![step("message", None, 500, 400), step("message", None, 500, 600)];
        let found = charge("claude-opus-5-5", "2026-11-20", &with_steps(top, steps));
        assert_eq!(found.flags, [Flag::UsageAnomaly]);
    }
}

#[test]
fn a_declined_attempt_is_free_before_the_rule_and_a_range_since() {
    let (fable, opus) = (Some("claude-fable-5"), Some("claude-opus-4-8"));
    let steps = vec![step("message", fable, 535, 0), step("fallback_message", opus, 412, 264)];
    let usage = with_steps(usage(412, 264), steps);
    for (day, max, flag) in [
        ("2026-09-10", "", Flag::RefusalNotBilled),
        ("2026-09-24", "0.01401", Flag::DeclinedUnknown),
        ("2026-11-20", "0.01401", Flag::DeclinedUnknown),
    ] {
        let found = outcome(&charge("claude-opus-4-8", day, &usage));
        assert_eq!(found, ("0.00866".to_owned(), max.to_owned(), vec![flag]), "{day}");
    }
}

#[test]
fn before_a_fallback_stands_the_model_that_was_asked_for() {
    let steps = vec![
        step("message", None, 1000, 1000),
        step("fallback_message", Some("claude-opus-5-5"), 1000, 1000),
    ];
    let usage = with_steps(usage(1000, 1000), steps);
    let facts = Facts { requested: Some("claude-fable-5-2"), ..Facts::default() };
    let asked = Call { facts, ..call("claude-opus-5-5", "2026-11-20", &usage) };
    assert_eq!(outcome(&book().charge(&asked).unwrap()).0, "0.072");
}

#[test]
fn another_model_beside_a_fast_answer_may_have_been_fast_too() {
    let steps = vec![
        step("message", Some("claude-opus-4-8"), 1000, 1000),
        step("fallback_message", Some("claude-opus-5-5"), 1000, 1000),
    ];
    let fast = Usage { speed: Some("fast".to_owned()), ..with_steps(usage(1000, 1000), steps) };
    let found = outcome(&charge("claude-opus-5-5", "2026-11-20", &fast));
    assert_eq!(found, ("0.078".into(), "0.108".into(), vec![Flag::AttemptSpeed]));
}

#[test]
fn steps_below_a_tier_that_the_whole_prompt_exceeds_are_a_range() {
    let of = |input| {
        let steps = vec![step("message", None, input, 0), step("message", None, input, 0)];
        outcome(&charge("claude-haiku-5-5", "2026-11-20", &with_steps(usage(2 * input, 0), steps)))
    };
    assert_eq!(of(50_000), ("0.01".into(), String::new(), vec![]));
    assert_eq!(of(60_000), ("0.012".into(), "0.06".into(), vec![Flag::PromptTier]));
    assert_eq!(of(100_001), ("0.100001".into(), String::new(), vec![]));
}

#[test]
fn a_refusal_before_output_is_billed_by_category_and_day() {
    let refused = |category, day, output| {
        let usage = usage(412, output);
        let facts = Facts { refusal: Some(Refusal { category }), ..Facts::default() };
        let call = Call { facts, ..call("claude-fable-5-1", day, &usage) };
        outcome(&book().charge(&call).unwrap())
    };
    let free = ("0".to_owned(), String::new(), vec![Flag::RefusalNotBilled]);
    assert_eq!(refused(None, "2026-11-20", 0), free);
    assert_eq!(refused(Some("general_harms"), "2026-10-01", 0), free);
    assert_eq!(refused(Some("bio"), "2026-09-23", 0), free);
    let range = ("0".to_owned(), "0.00412".to_owned(), vec![Flag::RefusalUnknown]);
    assert_eq!(refused(Some("bio"), "2026-09-24", 0), range);
    let billed = ("0.00412".to_owned(), String::new(), vec![]);
    assert_eq!(refused(Some("bio"), "2026-10-09", 0), billed);
    // In the middle of an answer: what was streamed.
    assert_eq!(refused(None, "2026-11-20", 1).0, "0.00417");
}

#[test]
fn the_day_of_a_price_change_is_flagged_for_moments() {
    let usage = Usage { cache_read_input_tokens: Some(10), ..usage(1, 1) };
    let on = |model: &'static str, day: &str, dated| {
        let facts = Facts { dated, ..Facts::default() };
        book().charge(&Call { facts, ..call(model, day, &usage) }).unwrap().flags
    };
    let boundary = vec![Flag::PriceBoundaryDay];
    assert_eq!(on("claude-sonnet-5-5", "2026-10-07", Dated::Moment), boundary);
    assert_eq!(on("claude-sonnet-5-5", "2026-10-07", Dated::Day), []);
    assert_eq!(on("claude-sonnet-5-5", "2026-10-08", Dated::Moment), []);
    // The day of a release has no price before it; that of the end of fast mode no other standard.
    assert_eq!(on("claude-sonnet-5-5", "2026-09-28", Dated::Moment), []);
    assert_eq!(on("claude-opus-4-8", "2026-11-30", Dated::Moment), []);
}

#[test]
fn the_day_of_a_change_is_flagged_only_for_what_was_used() {
    let facts = Facts { dated: Dated::Moment, ..Facts::default() };
    let flags = |model, day, usage: &Usage| {
        book().charge(&Call { facts, ..call(model, day, usage) }).unwrap().flags
    };
    // The price of cache reads changed on this day, and no other.
    let plain = usage(1000, 1000);
    let read = Usage { cache_read_input_tokens: Some(1), ..usage(1000, 1000) };
    assert_eq!(flags("claude-sonnet-5-5", "2026-10-07", &plain), []);
    assert_eq!(flags("claude-sonnet-5-5", "2026-10-07", &read), [Flag::PriceBoundaryDay]);
    let model = "claude-opus-4-6";
    let periods = &book().find(model).unwrap().0.periods;
    let removed = periods.windows(2).find(|two| two[0].fast.is_some() && two[1].fast.is_none());
    let day = removed.unwrap()[1].from.to_string();
    let fast = Usage { speed: Some("fast".into()), ..usage(1000, 1000) };
    let found = flags(model, &day, &fast);
    assert!(found.contains(&Flag::PriceBoundaryDay), "{day} {found:?}");
}

#[test]
fn where_it_ran_is_told_by_address_or_by_the_name_asked_for() {
    let usage = usage(1000, 1000);
    let of = |platform, requested| {
        let facts = Facts { platform, requested, ..Facts::default() };
        let call = Call { facts, ..call("claude-opus-5-5", "2026-11-20", &usage) };
        outcome(&book().charge(&call).unwrap()).0
    };
    assert_eq!(of(None, None), "0.024");
    assert_eq!(of(Some(Platform::VertexRegional), Some("claude-opus-5-5@default")), "0.0264");
    assert_eq!(of(Some(Platform::FoundryUsDataZone), None), "0.0264");
    assert_eq!(of(None, Some("eu.anthropic.claude-opus-5-5")), "0.0264");
    assert_eq!(of(None, Some("us-gov.anthropic.claude-opus-5-5")), "0.0288");
}

#[test]
fn containers_have_a_minimum_an_allowance_and_one_rounding() {
    let usage = usage(0, 0);
    let of = |seconds: &[u64], allowance| {
        let micros: Vec<u64> = seconds.iter().map(|seconds| seconds * 1_000_000).collect();
        let containers = Some(Containers { allowance, micros: &micros });
        let facts = Facts { containers, ..Facts::default() };
        let call = Call { facts, ..call("claude-opus-5-5", "2026-11-20", &usage) };
        outcome(&book().charge(&call).unwrap())
    };
    let exact = |usd: &str| (usd.to_owned(), String::new(), vec![]);
    assert_eq!(of(&[3600, 1800], Allowance::Left(0)), exact("0.075"));
    assert_eq!(of(&[3600], Allowance::Left(1_800_000_000)), exact("0.025"));
    assert_eq!(of(&[3600], Allowance::Free), exact("0"));
    let minimum = ("0.004166666666666667".to_owned(), String::new(), vec![Flag::Rounded]);
    assert_eq!(of(&[1], Allowance::Left(0)), minimum);
    let unknown = ("0".to_owned(), "0.05".to_owned(), vec![Flag::AllowanceUnknown]);
    assert_eq!(of(&[3600], Allowance::Unknown), unknown);
}

#[test]
fn list_and_contracted_stand_side_by_side() {
    let usage = Usage { cache_read_input_tokens: Some(1000), ..usage(1000, 1000) };
    let facts = Facts { discount: Some("0.25".parse().unwrap()), ..Facts::default() };
    let agreed =
        book().charge(&Call { facts, ..call("claude-opus-5-5", "2026-11-20", &usage) }).unwrap();
    let text = |usd: Option<Money>| usd.unwrap().to_string();
    assert_eq!((text(agreed.list), text(agreed.total)), ("0.0242".into(), "0.01815".into()));
    assert_eq!(agreed.lines.iter().map(|line| line.list).sum::<Money>(), agreed.list.unwrap());
    // A thousand reads at three quarters of 0.20, in place of input at three quarters of 4.
    assert_eq!(text(agreed.cache_savings), "0.00285");
}

#[test]
fn caching_that_was_never_read_costs_more_than_none() {
    let split =
        CacheCreation { ephemeral_1h_input_tokens: Some(1000), ephemeral_5m_input_tokens: Some(0) };
    let usage = Usage {
        cache_creation: Some(split),
        cache_creation_input_tokens: Some(1000),
        ..usage(0, 0)
    };
    let charge = charge("claude-opus-5-5", "2026-11-20", &usage);
    assert_eq!(charge.cache_savings.unwrap().to_string(), "-0.004");
}

#[test]
fn absurd_counts_are_flagged() {
    for usage in [usage(1 << 63, 1), usage(2_000_000_000_000, 1)] {
        assert_eq!(charge("claude-opus-5-5", "2026-11-20", &usage).flags, [Flag::UsageAnomaly]);
    }
    let tools = ServerToolUse { web_search_requests: Some(200_000), web_fetch_requests: None };
    let searches = Usage { server_tool_use: Some(tools), ..usage(1, 1) };
    assert_eq!(charge("claude-opus-5-5", "2026-11-20", &searches).flags, [Flag::UsageAnomaly]);
}

#[test]
fn a_missing_count_is_flagged_and_never_zero() {
    let nothing = Usage { service_tier: Some("standard".to_owned()), ..Usage::default() };
    assert_unknown(
        "claude-opus-5-5",
        "2026-11-20",
        &nothing,
        &[Flag::Unpriced, Flag::UsageUnknown],
    );
    let half =
        charge("claude-opus-5-5", "2026-11-20", &Usage { output_tokens: None, ..usage(7, 0) });
    assert_eq!(half.total.unwrap().to_string(), "0.000028");
    assert_eq!(half.flags, [Flag::UsageAnomaly]);
    let zero = charge("claude-opus-5-5", "2026-11-20", &usage(0, 0));
    assert_eq!((zero.total, zero.flags.len()), (Some(Money::ZERO), 0));
}

#[test]
fn an_amount_beyond_the_range_is_an_error() {
    let text = include_str!("../../../pricing/claude.toml");
    let dear = text.replacen("input = \"8\"", "input = \"1000000000000\"", 1);
    let book = PriceBook::parse(&dear).unwrap();
    let day = "2026-11-20".parse().unwrap();
    let usage = usage(1 << 63, 0);
    assert_eq!(book.charge(&Call::new("claude-fable-5-2", day, &usage)), Err(MoneyOverflow));
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
    fn the_total_is_the_sum_of_its_lines(usage in any_usage(1 << 63), steps in any_steps()) {
        let usage = with_steps(usage, steps);
        for model in book().models() {
            let charge = charge(model, "2026-11-20", &usage);
            let sum: Money = charge.lines.iter().map(|line| line.amount).sum();
            match charge.total {
                Some(total) => {
                    prop_assert_eq!(total, sum);
                    prop_assert_eq!(charge.max.unwrap_or(total), most(&charge));
                    prop_assert!(charge.max.is_none_or(|max| max > total));
                    prop_assert!(charge.max.is_none() || !charge.flags.is_empty());
                }
                None => {
                    prop_assert!(charge.lines.is_empty() && charge.max.is_none());
                    prop_assert!(charge.flags.contains(&Flag::Unpriced));
                }
            }
        }
    }

    /// For every model: one more token of any kind never costs less, tiers included.
    #[test]
    fn more_tokens_never_cost_less(usage in any_usage(120_000)) {
        for model in book().models() {
            let before = charge(model, "2026-11-20", &usage).total;
            for kind in TokenKind::ALL {
                let after = charge(model, "2026-11-20", &with_one_more(&usage, kind)).total;
                prop_assert!(before <= after, "{} {:?}", model, kind);
                prop_assert_eq!(before.is_some(), after.is_some());
            }
        }
    }

    /// A discount never costs more than list, and list is what it was without.
    #[test]
    fn a_discount_leaves_the_list_price_alone(usage in any_usage(1 << 40), off in 0_u32..=10_000) {
        let discount = Some(format!("{}.{:04}", off / 10_000, off % 10_000).parse().unwrap());
        let facts = Facts { discount, ..Facts::default() };
        let plain = charge("claude-haiku-5-5", "2026-11-20", &usage);
        let asked = Call { facts, ..call("claude-haiku-5-5", "2026-11-20", &usage) };
        let agreed = book().charge(&asked).unwrap();
        prop_assert_eq!(agreed.list, plain.total);
        prop_assert!(agreed.total <= plain.total);
        prop_assert!(!agreed.flags.contains(&Flag::Rounded));
    }
}

/// The upper end as its lines make it.
fn most(charge: &Charge<'_>) -> Money {
    let mut lines = charge.lines.clone();
    for upper in &charge.upper {
        let like = |line: &LineItem<'_>| {
            (line.kind, line.model, line.step, line.quantity)
                == (upper.kind, upper.model, upper.step, upper.quantity)
        };
        let like = lines.iter_mut().find(|line| like(line) && line.amount <= upper.amount);
        *like.unwrap() = upper.clone();
    }
    lines.iter().chain(&charge.unsure).map(|line| line.amount).sum()
}

/// Steps of any known or unknown type, by a known, an unknown or no model.
fn any_steps() -> impl Strategy<Value = Vec<Iteration>> {
    let kinds = ["message", "compaction", "advisor_message", "fallback_message", "something_new"];
    let models = [None, Some("claude-haiku-5-5"), Some("claude-opus-5-5"), Some("claude-unheard")];
    let count = || proptest::option::of(0..=1_u64 << 63);
    let one = (
        proptest::sample::select(kinds.to_vec()),
        proptest::sample::select(models.to_vec()),
        count(),
        count(),
    );
    let one = one.prop_map(|(kind, model, input_tokens, output_tokens)| Iteration {
        input_tokens,
        output_tokens,
        ..step(kind, model, 0, 0)
    });
    proptest::collection::vec(one, 0..6)
}
