use std::collections::BTreeSet;

use super::*;

const RATES: &str = include_str!("../../../tests/fixtures/pricing/rates.csv");
const NAMES: &str = include_str!("../../../tests/fixtures/pricing/names.csv");

/// A small table that parses; tests break it at one place each.
const SMALL: &str = r#"
[table]
schema = 2
version = "t.1"
checked = 2026-11-22
currency = "USD"
unit = "usd_per_mtok"

[source.page]
kind = "official"
reference = "the page"
retrieved = 2026-11-22

[source.one]
kind = "third_party"
reference = "a table"
retrieved = 2026-11-22

[modifier.batch]
num = 1
den = 2
from = 2024-10-08
sources = ["page"]

[modifier.inference_geo_us]
num = 11
den = 10
from = 2026-02-05
released_from = 2026-02-01
sources = ["page"]

[modifier.bedrock_regional]
num = 11
den = 10
from = 2025-09-29
released_from = 2025-09-29
sources = ["page"]

[modifier.bedrock_gov]
num = 6
den = 5
from = 2025-09-29
sources = ["page"]

[modifier.vertex_regional]
num = 11
den = 10
from = 2025-09-29
sources = ["page"]

[modifier.foundry_us_data_zone]
num = 11
den = 10
from = 2025-09-29
sources = ["page"]

[[tool.web_search]]
price_per_1000 = "10"
sources = ["page"]

[[tool.web_fetch]]
to = 2026-03-01
price_per_1000 = "0"
sources = ["page"]

[[tool.web_fetch]]
from = 2026-03-01
price_per_1000 = "2"
sources = ["page"]

[[tool.code_execution]]
price_per_hour = "0.05"
minimum_seconds = 300
free_hours_per_month = 1550
sources = ["page"]

[[rule.refusal]]
from = 2026-09-24
to = 2026-10-09
billing = "uncertain"
categories = ["bio"]
sources = ["page"]

[[rule.refusal]]
from = 2026-10-09
billing = "billed"
categories = ["bio"]
sources = ["page"]

[[rule.usage]]
iteration = "message"
bills = "attempt"
sources = ["page"]

[[model]]
id = "claude-a"
aliases = ["claude-a-20260101"]

[[model.period]]
from = 2026-01-01
to = 2026-02-01
state = "confirmed"
sources = ["page"]

[[model.period.tier]]
prompt_tokens_gt = 0
input = "1"
cache_write_5m = "1.25"
cache_write_1h = "2"
cache_read = "0.1"
output = "5"

[[model.period]]
from = 2026-02-01
state = "confirmed"
sources = ["page"]

[[model.period.tier]]
prompt_tokens_gt = 0
input = "2"
cache_write_5m = "2.5"
cache_write_1h = "4"
cache_read = "0.2"
output = "0.000001"

[[model]]
id = "claude-b"

[[model.period]]
from = 2026-01-01
state = "confirmed"
sources = ["page"]

[[model.period.tier]]
prompt_tokens_gt = 0
input = "3"
cache_write_5m = "3"
cache_write_1h = "3"
cache_read = "3"
output = "3"
"#;

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// `SMALL` with the first `old` replaced; the text must be there.
fn changed(old: &str, new: &str) -> String {
    assert!(SMALL.contains(old), "{old}");
    SMALL.replacen(old, new, 1)
}

fn rows(mode: &str, period: &Period, tiers: &Tiers, id: &str) -> Vec<String> {
    let to = period.to.map_or_else(String::new, |to| to.to_string());
    let base = std::iter::once((0, tiers.base)).chain(tiers.above.iter().copied());
    base.map(|(above, r)| {
        let rates = [r.input, r.cache_write_5m, r.cache_write_1h, r.cache_read, r.output];
        let rates = rates.map(|rate| rate.to_string()).join(",");
        format!("{id},{},{to},{mode},{above},{rates}", period.from)
    })
    .collect()
}

/// A row of the fixture with its decimal dollars as pico-dollars per token.
fn row_in_pico(row: &str) -> String {
    let fields = row.split(',').enumerate().map(|(column, field)| {
        if column < 5 {
            return field.to_owned();
        }
        (field.parse::<Money>().unwrap().atto() / 1_000_000_000_000).to_string()
    });
    fields.collect::<Vec<_>>().join(",")
}

#[test]
fn every_row_is_the_researched_one_and_none_is_left_out() {
    let book = PriceBook::embedded().unwrap();
    let mut held = BTreeSet::new();
    for model in &book.models {
        for period in &model.periods {
            held.extend(rows("standard", period, &period.standard, &model.id));
            let fast = period.fast.as_ref();
            held.extend(fast.into_iter().flat_map(|fast| rows("fast", period, fast, &model.id)));
        }
    }
    let expected: BTreeSet<String> = RATES.lines().skip(1).map(row_in_pico).collect();
    assert_eq!(held, expected);
    assert_eq!((expected.len(), book.models().count()), (55, 28));
}

#[test]
fn every_name_leads_to_its_model_and_no_other_name_does() {
    let book = PriceBook::embedded().unwrap();
    let mut names = BTreeSet::new();
    for line in NAMES.lines().skip(1) {
        let (id, name) = line.split_once(',').unwrap();
        let forms = ["", "[1m]", "@default"].map(|suffix| format!("{name}{suffix}"));
        for form in forms.into_iter().chain([format!("eu.anthropic.{name}")]) {
            assert_eq!(book.find(&form).unwrap().0.id, id, "{form}");
        }
        names.insert(name.to_owned());
        names.extend(platform::vertex_form(name));
    }
    assert_eq!(book.names.keys().cloned().collect::<BTreeSet<_>>(), names);
    for unknown in [
        "",
        "claude-opus-6",
        "claude-opus",
        "claude-opus-5-5-20260922",
        "claude-mythos-preview",
        "Claude-Opus-5-5",
        "claude-opus-5-5@20260922",
        "claude-haiku-4",
    ] {
        assert!(book.find(unknown).is_none(), "{unknown}");
    }
}

#[test]
fn the_version_names_the_very_text() {
    let book = PriceBook::parse(SMALL).unwrap();
    let (version, hash) = book.version().split_once('+').unwrap();
    assert_eq!((version, hash.len()), ("t.1", 12));
    assert!(hash.bytes().all(|b| b.is_ascii_hexdigit()));
    let other = PriceBook::parse(&format!("{SMALL}\n# a comment\n")).unwrap();
    assert_ne!(other.version(), book.version());
    assert!(PriceBook::embedded().unwrap().version().starts_with("2026-11-22.2+"));
}

#[test]
fn periods_are_half_open_and_hold_no_day_before_the_first() {
    let book = PriceBook::parse(SMALL).unwrap();
    let input = |on: &str| {
        let (model, _) = book.find("claude-a").unwrap();
        model.period(day(on)).map(|period| period.standard.rates(0).1.of(TokenKind::Input))
    };
    assert_eq!(input("2025-12-31"), None);
    assert_eq!(input("2026-01-01"), Some(1_000_000));
    assert_eq!(input("2026-01-31"), Some(1_000_000));
    assert_eq!(input("2026-02-01"), Some(2_000_000));
    assert_eq!(input("2099-01-01"), Some(2_000_000));
}

#[test]
fn announced_and_withdrawn_periods_never_price() {
    for state in ["announced", "withdrawn"] {
        let second = "from = 2026-02-01\nstate = \"confirmed\"";
        let text = changed(second, &format!("from = 2026-02-01\nstate = \"{state}\""));
        let book = PriceBook::parse(&text).unwrap();
        let (model, _) = book.find("claude-a").unwrap();
        assert!(model.period(day("2026-01-31")).is_some());
        assert!(model.period(day("2026-02-01")).is_none(), "{state}");
    }
    let book = PriceBook::embedded().unwrap();
    let (sonnet, _) = book.find("claude-sonnet-5").unwrap();
    let rates = sonnet.period(day("2026-09-02")).unwrap().standard.rates(0).1;
    assert_eq!(rates.of(TokenKind::Input), 2_000_000, "the increase of 2026-09-01 was cancelled");
}

#[test]
fn refuses_contradictions_and_names_the_place() {
    let second = "model claude-a, period from 2026-02-01";
    let first = "model claude-a, period from 2026-01-01";
    let output = format!("{second}, tier above 0, output");
    let price = |text: &str| Problem::Price(text.to_owned());
    let source = "to = 2026-02-01\nstate = \"confirmed\"\nsources = [\"page\"]";
    let sources = |list: &str| source.replace("\"page\"", list);
    let cases: Vec<(String, &str, Problem)> = vec![
        (changed("to = 2026-02-01", "to = 2026-01-31"), second, Problem::Gap),
        (changed("to = 2026-02-01", "to = 2026-02-02"), second, Problem::Overlap),
        (changed("to = 2026-02-01\n", ""), second, Problem::Overlap),
        (changed("to = 2026-02-01", "to = 2026-01-01"), first, Problem::EmptyPeriod),
        (changed("\"0.000001\"", "\"0.0000010\""), &output, price("0.0000010")),
        (changed("\"0.000001\"", "\"-1\""), &output, price("-1")),
        (changed("\"0.000001\"", "\"1e3\""), &output, price("1e3")),
        (changed("\"0.000001\"", "\"\""), &output, price("")),
        (changed(source, &sources("")), first, Problem::NoSource),
        (changed(source, &sources("\"one\"")), first, Problem::WeakSources),
        (changed(source, &sources("\"one\", \"one\"")), first, Problem::WeakSources),
        (changed(source, &sources("\"x\"")), first, Problem::UnknownSource("x".to_owned())),
        (changed("\"a table\"", "\" \""), "source one", Problem::EmptyReference),
        (
            changed("\"claude-b\"", "\"claude-a\""),
            "model claude-a",
            Problem::DuplicateName("claude-a".to_owned()),
        ),
        (
            changed("\"claude-b\"", "\"claude-a@20260101\""),
            "model claude-a@20260101",
            Problem::DuplicateName("claude-a@20260101".to_owned()),
        ),
        (
            changed("\"claude-b\"", "\"claude-b[1m]\""),
            "model claude-b[1m]",
            Problem::Name("claude-b[1m]".to_owned()),
        ),
        (changed("prompt_tokens_gt = 0", "prompt_tokens_gt = 1"), first, Problem::FirstTier),
        (changed("den = 2", "den = 0"), "modifier batch", Problem::Fraction),
        (
            changed("den = 2", "den = 3"),
            "modifier inference_geo_us with a batch",
            Problem::InexactFractions,
        ),
        (
            changed("iteration = \"message\"", "iteration = \"mess\""),
            "rule usage",
            Problem::NoRule("message"),
        ),
        (changed("to = 2026-10-09", "to = 2026-10-08"), "rule refusal", Problem::Gap),
        (changed("to = 2026-03-01", "to = 2026-03-02"), "tool web_fetch", Problem::Overlap),
        (
            changed("price_per_1000 = \"10\"", "price_per_1000 = \"x\""),
            "tool web_search",
            price("x"),
        ),
    ];
    for (text, expected_place, expected) in cases {
        match PriceBook::parse(&text) {
            Err(PriceBookError::Content { line, place, problem }) => {
                assert_eq!((place.as_str(), problem), (expected_place, expected));
                assert!(line > 0 || expected_place == "rule usage", "{place}");
            }
            other => panic!("{expected:?}: {other:?}"),
        }
    }
}

#[test]
fn tiers_must_ascend_and_a_model_needs_a_confirmed_period() {
    let tier = SMALL.split("[[model.period.tier]]").nth(1).unwrap();
    let tier = tier.split("[[").next().unwrap();
    let twice = format!("{tier}[[model.period.tier]]{tier}");
    let error = PriceBook::parse(&changed(tier, &twice)).unwrap_err();
    assert!(matches!(error, PriceBookError::Content { problem: Problem::TierOrder, .. }));
    let higher = twice.replacen("gt = 0", "gt = 7", 2).replacen("gt = 7", "gt = 0", 1);
    assert!(PriceBook::parse(&changed(tier, &higher)).is_ok());
    let last = "from = 2026-01-01\nstate = \"confirmed\"";
    let error = PriceBook::parse(&changed(last, &last.replace("confirmed", "announced")));
    assert!(matches!(error, Err(PriceBookError::Content { problem: Problem::NoPeriod, .. })));
}

#[test]
fn weak_sources_pass_where_the_author_says_so() {
    let source = "to = 2026-02-01\nstate = \"confirmed\"\nsources = [\"page\"]";
    let single = source.replace("\"page\"", "\"one\"") + "\nconfidence = \"single\"";
    assert!(PriceBook::parse(&changed(source, &single)).is_ok());
}

#[test]
fn refuses_what_is_not_the_format_and_shows_the_line() {
    let line_of =
        |text: &str, needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    for (old, new) in [
        ("state = \"confirmed\"", "state = \"sure\""),
        ("aliases =", "alias ="),
        ("num = 1\n", "num = 1.5\n"),
        ("input = \"1\"", "input = 1"),
        ("[modifier.batch]", "[modifier.flex]"),
        ("currency = \"USD\"", "currency = \"EUR\""),
        ("from = 2026-01-01", "from = 2026-01-01T00:00:00Z"),
        ("from = 2026-01-01", "from = 2026-02-30"),
    ] {
        let text = changed(old, new);
        let message = PriceBook::parse(&text).unwrap_err().to_string();
        let line = format!("line {}", line_of(&text, new.trim()));
        assert!(message.contains(&line), "{new}: {message}");
    }
    let error = PriceBook::parse(&changed("schema = 2", "schema = 1")).unwrap_err();
    assert!(matches!(error, PriceBookError::Schema(1)));
}

#[test]
fn an_error_names_the_line_where_the_wrong_thing_stands() {
    let cases = [
        ("to = 2026-02-01\n", "to = 2026-02-02\n", "[[model.period]]", 1),
        ("input = \"2\"", "input = \"two\"", "input = \"two\"", 0),
        ("reference = \"a table\"", "reference = \"\"", "[source.one]", 0),
        ("den = 5", "den = 0", "[modifier.bedrock_gov]", 0),
    ];
    for (old, new, needle, nth) in cases {
        let text = changed(old, new);
        let mut lines = text.lines().enumerate().filter(|(_, line)| line.contains(needle));
        let expected = lines.nth(nth).unwrap().0 + 1;
        let message = PriceBook::parse(&text).unwrap_err().to_string();
        assert!(message.contains(&format!("line {expected}: ")), "{new}: {message}");
    }
}

#[test]
fn a_table_says_when_it_is_old() {
    let book = PriceBook::parse(SMALL).unwrap();
    assert_eq!(book.days_too_old(day("2026-11-01")), None);
    assert_eq!(book.days_too_old(day("2026-12-22")), None);
    assert_eq!(book.days_too_old(day("2026-12-23")), Some(31));
    assert_eq!(book.days_too_old(day("2027-11-22")), Some(365));
    let checked = book.checked;
    assert_eq!(book.checked_after(checked), None);
    assert_eq!(book.checked_after(day("2020-01-01")), Some(checked));
}

fn file(name: &str, text: &str) -> PricingFile {
    PricingFile { name: name.to_owned(), text: text.to_owned() }
}

const AGREED: &str = r#"
[[override]]
from = 2026-01-01
discount = "0.1"
source = "contract 1"

[[override]]
from = 2026-01-01
to = 2026-02-01
team = "search"
model = "claude-a-20260101"
kind = "output"
rate = "4.5"
source = "contract 2"
"#;

#[test]
fn the_most_specific_agreement_holds() {
    let book = PriceBook::load(&[file("t", SMALL), file("a", AGREED)], &[]).unwrap();
    let found = |team, on: &str, model, kind| {
        let found = book.contracts.find((team, day(on)), model, kind);
        found.map(|contract| contract.source.as_str())
    };
    let (one, two) = (Some("contract 1"), Some("contract 2"));
    let search = Some("search");
    assert_eq!(found(search, "2026-01-31", "claude-a", TokenKind::Output), two);
    assert_eq!(found(search, "2026-02-01", "claude-a", TokenKind::Output), one);
    assert_eq!(found(search, "2026-01-31", "claude-a", TokenKind::Input), one);
    assert_eq!(found(search, "2026-01-31", "claude-b", TokenKind::Output), one);
    assert_eq!(found(None, "2026-01-31", "claude-a", TokenKind::Output), one);
    assert_eq!(found(search, "2025-12-31", "claude-a", TokenKind::Output), None);
}

#[test]
fn overrides_change_the_version_and_may_not_contradict_themselves() {
    let base = PriceBook::load(&[file("t", SMALL)], &[]).unwrap();
    let agreed = PriceBook::load(&[file("a", AGREED), file("t", SMALL)], &[]).unwrap();
    assert!(agreed.version().starts_with(&format!("{}+", base.version())));
    let embedded = PriceBook::load(&[], &[]).unwrap();
    assert_eq!(embedded.version(), PriceBook::embedded().unwrap().version());

    let load = |text: &str| PriceBook::load(&[file("t", SMALL), file("a", text)], &[]);
    for (old, new, problem) in [
        ("rate = \"4.5\"\n", "", "either a discount or a rate"),
        ("model = \"claude-a-20260101\"\n", "", "name both"),
        ("claude-a-20260101", "claude-c", "no model is called \"claude-c\""),
        ("discount = \"0.1\"", "discount = \"10\"", "\"10\" is not a discount"),
        ("team = \"search\"", "taem = \"search\"", "unknown field `taem`"),
        ("source = \"contract 1\"", "source = \"\"", "reference is empty"),
        (
            "team = \"search\"\nmodel = \"claude-a-20260101\"\nkind = \"output\"\nrate = \"4.5\"",
            "discount = \"0.2\"",
            "line 7: override: holds for the same tokens",
        ),
    ] {
        assert!(AGREED.contains(old), "{old}");
        let message = load(&AGREED.replacen(old, new, 1)).unwrap_err().to_string();
        assert!(message.starts_with("a: ") && message.contains(problem), "{new}: {message}");
    }
    let twice = PriceBook::load(&[file("t", SMALL), file("u", SMALL)], &[]).unwrap_err();
    assert!(matches!(twice, LoadError::TwoTables { .. }));
}

#[test]
fn a_difference_names_what_changed() {
    let old = PriceBook::parse(SMALL).unwrap();
    assert_eq!(listing::difference(&old, &old), [""; 0]);
    let text = changed("input = \"2\"", "input = \"2.5\"").replace("claude-b", "claude-c");
    let new = PriceBook::parse(&text.replace("num = 6", "num = 7")).unwrap();
    let lines = listing::difference(&old, &new);
    let has = |start: &str, part: &str| {
        lines.iter().any(|line| line.starts_with(start) && line.contains(part))
    };
    assert!(has("~ claude-a, confirmed from 2026-02-01", "input 2, "), "{lines:#?}");
    assert!(has("- claude-b", "") && has("+ claude-c", "") && has("+ name claude-c", ""));
    assert!(has("~ modifier bedrock_gov", "6/5 from 2025-09-29 → 7/5"), "{lines:#?}");
}
