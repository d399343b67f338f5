//! Reports that people send: HTML, Markdown, FOCUS. They add up, and nothing in them acts.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod recorded;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use recorded::{DAY, HOUR, Log, closed, closing, json, month, name, opened, opening, run};
use serde_json::Value;
use weighbridge::accounting::attribution::CostCentre;
use weighbridge::accounting::usage::{CacheCreation, Iteration};
use weighbridge::accounting::{Flag, Money, TokenKind, Usage};
use weighbridge::index::Index;
use weighbridge::record::correction::Chosen;
use weighbridge::record::{ChargeRecord, Closing, Entry, LineRecord, Opening, Reattributed};
use weighbridge::report::{Frame, Period, Statement, StatementBuilder};

fn month_in(dir: &Path) {
    month::write(&mut Log::new(dir, "i"), 3);
}

fn usd(value: &Value) -> Money {
    value.as_str().unwrap().parse().unwrap()
}

fn statement(dirs: &[&Path]) -> Statement {
    let mut builder = StatementBuilder::default();
    for dir in dirs {
        let index = Index::open_for_reading(dir, &mut |_, _| ()).unwrap();
        index.charges(Period::default(), false, |exchange| builder.add(exchange)).unwrap();
        builder.end_instance(i64::MAX);
    }
    builder.finish(Frame::default())
}

/// Every way of adding up comes to the same amounts.
fn assert_sums_agree(dirs: &[&Path]) -> Result<(), TestCaseError> {
    let total = &json(dirs, "report --by team --format json")["total"];
    for by in ["team", "session", "model", "day", "user", "outcome"] {
        let report = json(dirs, &format!("report --by {by} --format json"));
        for key in
            ["usd", "usd_max", "list_usd", "estimated_usd", "estimated_max_usd", "notional_usd"]
        {
            let sum: Money =
                report["rows"].as_array().unwrap().iter().map(|row| usd(&row[key])).sum();
            prop_assert_eq!(sum, usd(&total[key]), "{} by {}", key, by);
        }
    }
    let lines = run(dirs, "exchanges --format jsonl").unwrap();
    let exchanges: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let amount = |row: &Value| if row["usd"].is_null() { Money::ZERO } else { usd(&row["usd"]) };
    let sum: Money = exchanges.iter().map(amount).sum();
    prop_assert_eq!(sum, usd(&total["usd"]).saturating_add(usd(&total["notional_usd"])));

    let focus = recorded::csv::rows(&run(dirs, "report --format focus").unwrap());
    let column = |name: &str| -> Money {
        let values = focus.iter().map(|row| row[name].as_str()).filter(|value| !value.is_empty());
        values.map(|value| value.parse::<Money>().unwrap()).sum()
    };
    for cost in ["BilledCost", "ContractedCost", "EffectiveCost"] {
        prop_assert_eq!(column(cost), usd(&total["usd"]), "{}", cost);
    }
    prop_assert_eq!(column("ListCost"), usd(&total["list_usd"]));
    prop_assert_eq!(column("x_NotionalCost"), usd(&total["notional_usd"]));
    prop_assert_eq!(column("x_EstimatedCost"), usd(&total["estimated_usd"]));
    let above = usd(&total["usd_max"]).checked_sub(usd(&total["usd"])).unwrap();
    let most = usd(&total["estimated_max_usd"]).saturating_add(above);
    prop_assert_eq!(column("x_EstimatedCostMax"), most);

    let statement = statement(dirs);
    assert_tokens_agree(dirs, total, &focus, &statement)?;
    let (usd_total, list) = (usd(&total["usd"]), usd(&total["list_usd"]));
    prop_assert_eq!(statement.total.usd, usd_total);
    prop_assert_eq!(statement.teams.iter().map(|(_, s)| s.usd).sum::<Money>(), usd_total);
    prop_assert_eq!(statement.days.values().map(|s| s.usd).sum::<Money>(), usd_total);
    prop_assert_eq!(statement.buckets().iter().map(|b| b.usd).sum::<Money>(), usd_total);
    for shares in [&statement.models, &statement.kinds] {
        prop_assert_eq!(shares.iter().map(|(_, s)| s.usd).sum::<Money>(), usd_total);
        prop_assert_eq!(shares.iter().map(|(_, s)| s.list).sum::<Money>(), list);
    }
    Ok(())
}

/// Tokens of each kind are the same in every form.
fn assert_tokens_agree(
    dirs: &[&Path],
    total: &Value,
    focus: &[recorded::csv::Record],
    statement: &Statement,
) -> Result<(), TestCaseError> {
    let csv = recorded::csv::rows(&run(dirs, "report --by model --format csv").unwrap());
    for (place, kind) in TokenKind::ALL.into_iter().enumerate() {
        let key = match kind {
            TokenKind::Input => "input_tokens".to_owned(),
            TokenKind::Output => "output_tokens".to_owned(),
            other => format!("{}_tokens", other.name()),
        };
        let count = total[&key].as_u64().unwrap();
        let number = |text: &String| text.parse::<u64>().unwrap();
        let of_csv: u64 = csv.iter().map(|row| number(&row[&key])).sum();
        prop_assert_eq!(of_csv, count, "csv: {}", key);
        let of_focus = focus.iter().filter(|row| row["x_TokenType"] == kind.name());
        let of_focus: u64 = of_focus.map(|row| number(&row["ConsumedQuantity"])).sum();
        prop_assert_eq!(of_focus, count, "focus: {}", key);
        let share = statement.kinds.iter().find(|(name, _)| name == kind.name());
        let of_kinds = share.map_or(0, |(_, share)| share.quantity);
        prop_assert_eq!(of_kinds, count, "statement: {}", key);
        prop_assert_eq!(statement.total.tokens[place], count, "total: {}", key);
    }
    let all: u64 = statement.total.tokens.iter().sum();
    prop_assert_eq!(statement.models.iter().map(|(_, share)| share.quantity).sum::<u64>(), all);
    Ok(())
}

#[test]
fn an_advisor_counts_in_every_form_and_for_both_models() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let line = |kind: &str, model: Option<&str>, quantity| LineRecord {
        kind: kind.to_owned(),
        list_usd: None,
        model: model.map(name),
        quantity,
        usd: Money::from_nano(1000, 0),
    };
    let advisor = Some("claude-fable-5-2");
    let lines = vec![
        line("input", None, 700),
        line("output", None, 90),
        line("input", advisor, 5000),
        line("output", advisor, 600),
    ];
    let usage = Usage {
        input_tokens: Some(700),
        iterations: vec![Iteration { kind: "advisor_message".to_owned(), ..Iteration::default() }],
        output_tokens: Some(90),
        ..Usage::default()
    };
    let mut closing = Closing { usage: Some(usage), ..closing("e", Some("0.000004")) };
    closing.charge.as_mut().unwrap().lines = lines;
    log.put(&opened(opening("e")), DAY);
    log.put(&closed(closing), DAY + HOUR);
    log.flush();
    let total = &json(&[dir.path()], "report --format json")["total"];
    assert_eq!((&total["input_tokens"], &total["output_tokens"]), (&5700.into(), &690.into()));
    assert_sums_agree(&[dir.path()]).unwrap();
    let models = statement(&[dir.path()]).models;
    let calls: Vec<_> = models.iter().map(|(_, share)| share.exchanges).collect();
    assert_eq!(calls, [1, 1], "{models:?}");
    let kinds = statement(&[dir.path()]).kinds;
    assert!(kinds.iter().all(|(_, share)| share.exchanges == 1), "{kinds:?}");
}

#[test]
fn every_attempt_counts_in_every_list() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let usage = || Some(Usage { input_tokens: Some(10), ..Usage::default() });
    let overloaded = |id: &str| Closing { charge: None, usage: None, ..closing(id, None) };
    let mut paid = Closing { usage: usage(), ..closing("c", Some("1")) };
    let mut subscribed = Closing { usage: usage(), ..closing("d", Some("1")) };
    subscribed.charge.as_mut().unwrap().notional = 1;
    paid.flags = Vec::new();
    let unpriced = Closing { usage: usage(), ..closing("e", None) };
    for closing in [overloaded("a"), overloaded("b"), paid, subscribed, unpriced] {
        let id = closing.exchange.clone();
        let model = closing.model.clone();
        log.put(&opened(Opening { model, ..opening(&id) }), DAY);
        log.put(&closed(closing), DAY + HOUR);
    }
    log.flush();
    let dirs = &[dir.path()];
    assert_sums_agree(dirs).unwrap();
    let statement = statement(dirs);
    let sessions = &json(dirs, "sessions --format json")["sessions"][0];
    let (_, session) = &statement.sessions[0];
    assert_eq!(session.share.exchanges, 5);
    assert_eq!(sessions["exchanges"], session.share.exchanges);
    assert_eq!(sessions["tokens"], session.share.quantity);
    assert_eq!(sessions["usd"], session.share.usd.to_string());
    assert_eq!(statement.teams[0].1.exchanges, 5);
    assert_eq!(statement.models.iter().map(|(_, share)| share.exchanges).sum::<u64>(), 5);
}

#[test]
fn a_moved_call_shows_in_focus_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    for id in ["a", "b"] {
        let usage = Some(Usage { input_tokens: Some(10), ..Usage::default() });
        log.put(&opened(opening(id)), DAY);
        log.put(&closed(Closing { usage, ..closing(id, Some("1")) }), DAY + HOUR);
    }
    let correction = Reattributed {
        chosen: Chosen { exchanges: vec!["b".to_owned()], ..Chosen::default() },
        id: "r".to_owned(),
        payer: CostCentre { team: "research".to_owned(), user: None, project: None },
        reason: name("FIN-214"),
    };
    log.put(&Entry::Reattributed(Box::new(correction)), DAY + 2 * HOUR);
    log.flush();
    let text = run(&[dir.path()], "report --format focus").unwrap();
    let rows = recorded::csv::assert_focus(&text);
    let teams = rows.iter().map(|row| (row["x_Team"].as_str(), row["x_MovedFrom"].as_str()));
    let teams: BTreeSet<_> = teams.collect();
    assert_eq!(teams, BTreeSet::from([("research", "search"), ("search", "")]));
    assert_sums_agree(&[dir.path()]).unwrap();
}

#[test]
fn several_data_directories_are_named_in_either_way() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, id) in [(&one, "first"), (&two, "second")] {
        let mut log = Log::new(dir.path(), id);
        log.put(&opened(opening(id)), DAY);
        log.put(&closed(closing(id, Some("1"))), DAY + HOUR);
        log.flush();
    }
    let (a, b) = (one.path().display(), two.path().display());
    for dirs in [format!("--data-dir {a} {b}"), format!("--data-dir {a} --data-dir {b}")] {
        let report = json(&[], &format!("report --format json {dirs}"));
        assert_eq!(report["total"]["exchanges"], 2);
        let lines = run(&[], &format!("exchanges --format jsonl {dirs}")).unwrap();
        assert_eq!(lines.lines().count(), 2);
        let one = json(&[], &format!("exchanges second {dirs} --format jsonl"));
        assert_eq!(one["id"], "second");
        let sessions = json(&[], &format!("sessions {dirs} --format json"));
        assert_eq!(sessions["sessions"][0]["exchanges"], 2);
        let session = json(&[], &format!("sessions session-1 --format json {dirs}"));
        assert_eq!(session["timeline"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn every_amount_of_a_call_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let amount = |text: &str| Some(text.parse::<Money>().unwrap());
    let charge = ChargeRecord {
        cache_savings_usd: amount("-0.25"),
        estimated_max_usd: amount("0.5"),
        estimated_usd: amount("0.125"),
        lines: Vec::new(),
        list_usd: amount("2.5"),
        notional: 0,
        pricing: "p".to_owned(),
        usd: amount("2.0000000055"),
        usd_max: amount("3"),
    };
    log.put(&opened(opening("e")), DAY);
    log.put(&closed(Closing { charge: Some(charge), ..closing("e", None) }), DAY + HOUR);
    log.flush();
    let shown = json(&[dir.path()], "exchanges e --format jsonl");
    for (key, value) in [
        ("usd", "2.0000000055"),
        ("usd_max", "3"),
        ("list_usd", "2.5"),
        ("estimated_usd", "0.125"),
        ("estimated_max_usd", "0.5"),
        ("cache_savings_usd", "-0.25"),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert_eq!(shown["notional"], false);
    let table = run(&[dir.path()], "report").unwrap();
    assert!(!table.contains("no call was recorded"), "{table}");
    assert!(table.contains("estimated at 0.1250 to 0.5000 more than reported"), "{table}");
    assert!(table.contains("usd is the lower end, 3.0000 the upper"), "{table}");
}

#[test]
fn a_month_adds_up_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    month_in(dir.path());
    assert_sums_agree(&[dir.path()]).unwrap();
    let shown = run(&[dir.path()], "report --format markdown").unwrap();
    let total = json(&[dir.path()], "report --by day --format json")["total"]["usd"].clone();
    assert!(shown.contains(&format!("The exact total is ${}", total.as_str().unwrap())), "{shown}");
}

/// A call as the generator makes it.
#[derive(Clone, Debug)]
struct Made {
    team: u8,
    model: u8,
    session: u8,
    hour: u64,
    /// (kind, own model, quantity, amount per piece, list above it)
    lines: Vec<(u8, bool, u64, i128, i128)>,
    /// What the lines do not break down.
    rest: i128,
    estimated: Option<(i128, i128)>,
    above: Option<i128>,
    standing: u8,
}

fn made() -> impl Strategy<Value = Made> {
    let line = (0_u8..8, any::<bool>(), 1_u64..100_000, 0_i128..10_i128.pow(13), 0_i128..1000);
    let amount = || proptest::option::weighted(0.2, 0_i128..10_i128.pow(18));
    let estimated = amount().prop_map(|low| low.map(|low| (low, low / 3)));
    (
        (0_u8..4, 0_u8..4, 0_u8..4, 0_u64..200),
        proptest::collection::vec(line, 0..6),
        prop_oneof![9 => Just(0), 1 => 0_i128..10_i128.pow(18)],
        (estimated, amount()),
        0_u8..10,
    )
        .prop_map(
            |((team, model, session, hour), lines, rest, (estimated, above), standing)| Made {
                team,
                model,
                session,
                hour,
                lines,
                rest,
                estimated,
                above,
                standing,
            },
        )
}

const NAMES: [&str; 4] = ["plain", "=cmd()|'a", "<script>alert(1)</script>", "a\"&b"];
const KINDS: [&str; 8] = [
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "web_search",
    "code_execution",
    "+new",
];

impl Made {
    fn charge(&self) -> ChargeRecord {
        let atto = Money::from_atto;
        let line = |(kind, own, quantity, price, above): &(u8, bool, u64, i128, i128)| {
            let pieces = i128::from(*quantity);
            LineRecord {
                kind: KINDS[usize::from(*kind)].to_owned(),
                list_usd: (*above > 0).then(|| atto(pieces * (price + above))),
                model: (!own).then(|| name(NAMES[usize::from(*kind) % 4])),
                quantity: *quantity,
                // Not every amount is a whole price times a quantity.
                usd: atto(pieces * price + i128::from(above % 5 == 1)),
            }
        };
        let lines: Vec<LineRecord> = self.lines.iter().map(line).collect();
        let rest = atto(self.rest);
        let usd = lines.iter().map(|line| line.usd).sum::<Money>().saturating_add(rest);
        let list = lines.iter().map(|line| line.list_usd.unwrap_or(line.usd));
        let list = list.sum::<Money>().saturating_add(rest);
        ChargeRecord {
            cache_savings_usd: None,
            estimated_max_usd: self.estimated.map(|(low, more)| atto(low + more)),
            estimated_usd: self.estimated.map(|(low, _)| atto(low)),
            lines,
            list_usd: (list != usd).then_some(list),
            notional: u8::from(self.standing == 1),
            pricing: "2026-11:abc".to_owned(),
            usd: Some(usd),
            usd_max: self.above.map(|above| usd.saturating_add(atto(above))),
        }
    }

    /// Opens the call; returns how it closes, where it does.
    fn open(&self, log: &mut Log, id: &str) -> Option<(Closing, u64)> {
        let named = |place: u8| NAMES[usize::from(place)];
        let opening = Opening {
            team: named(self.team).to_owned(),
            user: (self.team > 1).then(|| named(self.model).to_owned()),
            session: (self.session > 0).then(|| name(named(self.session))),
            model: (self.model > 0).then(|| name(named(self.model))),
            tags: BTreeMap::from([("t".to_owned(), name(named(self.session)))]),
            ..opening(id)
        };
        let at = DAY + self.hour * HOUR;
        log.put(&opened(opening), at);
        let charge = self.charge();
        let usage = Some(reported(&charge));
        let mut closing = Closing { model: None, usage, ..closing(id, Some("0")) };
        closing.charge = Some(charge);
        match self.standing {
            2 => {
                closing.flags = vec![Flag::Unpriced];
                closing.charge = Some(ChargeRecord::default());
            }
            3 => (closing.charge, closing.usage) = (None, None),
            4 => return None,
            // Refused before any output: used, and free.
            5 => {
                let usd = Some(Money::ZERO);
                closing.charge = Some(ChargeRecord { usd, ..ChargeRecord::default() });
            }
            6 => (closing.charge, closing.flags) = (None, vec![Flag::NotBilled]),
            _ => {}
        }
        Some((closing, at + HOUR))
    }
}

/// The usage that comes with such a charge: the parts stand beside the whole where they are
/// billed one by one.
fn reported(charge: &ChargeRecord) -> Usage {
    let count = |kind: &str| {
        let own = charge.lines.iter().filter(|line| line.model.is_none() && line.kind == kind);
        own.map(|line| line.quantity).sum()
    };
    let [input, output, read, short, long] = TokenKind::ALL.map(|kind| count(kind.name()));
    let parts = charge.lines.iter().filter(|line| line.model.is_some());
    let part = |_: &LineRecord| Iteration { kind: "advisor".to_owned(), ..Iteration::default() };
    Usage {
        cache_creation: Some(CacheCreation {
            ephemeral_1h_input_tokens: Some(long),
            ephemeral_5m_input_tokens: Some(short),
        }),
        cache_creation_input_tokens: Some(short + long),
        cache_read_input_tokens: Some(read),
        input_tokens: Some(input),
        iterations: parts.map(part).collect(),
        output_tokens: Some(output),
        ..Usage::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is recorded, by several instances, with several models in one call: every form
    /// adds up to the same amounts, keeps FOCUS's rules, and lets no name act.
    #[test]
    fn every_form_adds_up(calls in proptest::collection::vec(made(), 0..40)) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut logs = [Log::new(one.path(), "i"), Log::new(two.path(), "j")];
        let dirs = [one.path(), two.path()];
        let mut late = Vec::new();
        for (n, call) in calls.iter().enumerate() {
            let log = &mut logs[n % 2];
            match call.open(log, &format!("e{n}")) {
                // Indexed while it is open, closed afterwards.
                Some(closing) if n % 3 == 0 => late.push((n % 2, closing)),
                Some((closing, at)) => log.put(&closed(closing), at),
                None => {}
            }
        }
        logs.iter_mut().for_each(Log::flush);
        run(&dirs, "report").unwrap();
        for (place, (closing, at)) in late {
            logs[place].put(&closed(closing), at);
        }
        logs.iter_mut().for_each(Log::flush);
        assert_sums_agree(&dirs)?;
        let focus = run(&dirs, "report --by user,tag:t --format focus").unwrap();
        recorded::csv::assert_focus(&focus);
        let page = run(&dirs, "report --by user,tag:t --format html").unwrap();
        assert_page_is_whole(&page);
        let text = run(&dirs, "report --by user --format markdown").unwrap();
        // Every other part stands between backticks, where nothing is markup.
        let outside: String = text.split('`').step_by(2).collect();
        prop_assert!(!outside.contains("<script") && !outside.contains("cmd()"), "{}", outside);
    }
}

/// Balanced tags, quoted attributes, nothing loaded from elsewhere, nothing that runs.
#[track_caller]
fn assert_page_is_whole(page: &str) {
    for bad in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        "src=",
        "href=",
        "url(",
        "@import",
        "http:",
        "https:",
        "onload",
        "javascript",
    ] {
        assert!(!page.contains(bad), "{bad} in {page}");
    }
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let (before, rest) = body.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let mut open: Vec<&str> = Vec::new();
    let text = format!("{before}{after}");
    for part in text.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(!text.contains('>'), "a bare > in {text:?}");
        for entity in text.split('&').skip(1) {
            let end = entity.find(';').unwrap_or(99);
            assert!(end <= 5, "a bare & in {text:?}");
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).next().unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in {page}");
        } else if !tag.ends_with('/') && name != "meta" && name != "col" {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0], "left open");
}

#[test]
fn the_page_says_what_matters_and_loads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    month_in(dir.path());
    let page =
        run(&[dir.path()], "report --from 2026-11-01 --to 2026-11-15 --format html").unwrap();
    assert_page_is_whole(&page);
    for part in [
        "1 November 2026 – 14 November 2026",
        "than in the 14 days before",
        "By team",
        "By model",
        "By token kind",
        "Top sessions",
        "Prompt cache",
        "Not in the total",
        "How to read this",
        "claude-mythos-preview",
        "2026-11-22.1+7c6868eae046",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let long =
        run(&[dir.path()], "report --from 2026-01-01 --to 2027-01-01 --format html").unwrap();
    assert!(long.contains("<h2>By month</h2>") && long.contains("Oct 2026"));
    assert_page_is_whole(&long);
}

#[test]
fn nothing_recorded_is_said_and_not_drawn() {
    let dir = tempfile::tempdir().unwrap();
    month_in(dir.path());
    for line in ["--from 2030-01-01 --to 2030-02-01", "--to 2020-01-01"] {
        let page = run(&[dir.path()], &format!("report {line} --format html")).unwrap();
        assert_page_is_whole(&page);
        assert!(page.contains("No call was recorded in this period") && !page.contains("<svg"));
        let text = run(&[dir.path()], &format!("report {line} --format markdown")).unwrap();
        assert!(text.contains("No call was recorded"), "{text}");
        let focus = run(&[dir.path()], &format!("report {line} --format focus")).unwrap();
        assert_eq!(focus.lines().count(), 1);
        let table = run(&[dir.path()], &format!("report {line}")).unwrap();
        assert!(table.contains("note: no call was recorded in this period"), "{table}");
    }
}

#[test]
fn focus_keeps_the_rules_and_says_what_is_not_billed() {
    let dir = tempfile::tempdir().unwrap();
    month_in(dir.path());
    let text = run(&[dir.path()], "report --by hour,user,session --format focus").unwrap();
    let rows = recorded::csv::assert_focus(&text);
    let of = |flag: &str| {
        let found: Vec<_> = rows.iter().filter(|row| row[flag] == "true").collect();
        assert!(!found.is_empty(), "{flag}");
        found
    };
    for row in of("x_Unpriced") {
        assert_eq!(
            (row["x_Model"].as_str(), row["BilledCost"].as_str()),
            ("claude-mythos-preview", "")
        );
    }
    for row in of("x_Estimated") {
        assert_eq!((row["BilledCost"].as_str(), row["EffectiveCost"].as_str()), ("0", "0"));
        assert_ne!(row["x_EstimatedCost"], "");
    }
    for row in of("x_Notional") {
        assert_eq!(row["BilledCost"], "0");
        assert_ne!(row["x_NotionalCost"], "");
    }
    let platform = rows.iter().find(|row| {
        row["SubAccountId"] == "platform"
            && row["SkuId"] == "claude-opus-5-5/output"
            && row["x_Estimated"] == "false"
    });
    let row = platform.unwrap();
    assert_eq!((row["ListUnitPrice"].as_str(), row["ContractedUnitPrice"].as_str()), ("20", "18"));
    assert_eq!(row["PricingUnit"], "1000000 Tokens");
    assert!(row["Tags"].contains("weighbridge/session"), "{}", row["Tags"]);
    assert_eq!(&row["ChargePeriodEnd"][13..], ":00:00Z");
}
