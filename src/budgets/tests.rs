use super::*;
use crate::accounting::Money;
use crate::accounting::budget::{Period, Scope, zone};
use crate::privacy::Identifier;
use crate::record::Noticed;

/// 2026-11-25 12:00 UTC.
const NOW: i64 = 1_795_608_000 * 1_000_000_000;

fn budgets(head: u64) -> Budgets {
    let budget = Budget {
        name: "all".to_owned(),
        scope: Scope::Total,
        subject: None,
        period: Period::Day,
        zone: zone("UTC").unwrap(),
        limit: "10".parse().unwrap(),
        percents: vec![50],
        forecast: false,
        burn: false,
        burn_floor: Money::ZERO,
        session_limit: None,
    };
    Budgets::new(vec![Arc::new(budget)], vec!["overloaded_error".to_owned()], head, NOW)
}

fn spent(usd: &str) -> Spent {
    Spent { at: NOW, usd: usd.parse().unwrap(), ..Spent::default() }
}

fn used(budgets: &Budgets) -> Option<String> {
    budgets.figures(NOW).map(|figures| figures[0].used.to_string())
}

fn from_ledger(budgets: &Budgets, usd: &str) -> Loaded {
    let mut book = Book::new(&budgets.watched, NOW);
    book.add(&spent(usd));
    Loaded { book, notices: Vec::new(), errors: ErrorWatch::default() }
}

#[test]
fn what_stands_before_the_place_comes_from_the_ledger_and_the_rest_from_memory() {
    let budgets = budgets(7);
    budgets.spent(6, spent("100"));
    budgets.spent(7, spent("1"));
    assert_eq!(used(&budgets), None, "absent until the ledger's sums are there");
    assert!(budgets.due(NOW).is_empty());
    budgets.spent(8, spent("0.5"));
    budgets.loaded(from_ledger(&budgets, "2"), NOW);
    assert_eq!(used(&budgets).unwrap(), "3.5");
    budgets.spent(5, spent("100"));
    budgets.spent(9, spent("1"));
    assert_eq!(used(&budgets).unwrap(), "4.5", "one that came late is in the ledger's sums");
}

#[test]
fn a_correction_makes_the_sums_anew_while_calls_go_on() {
    let budgets = budgets(0);
    assert_eq!(budgets.begin_load(|| 9, NOW), None, "the first one runs");
    budgets.loaded(from_ledger(&budgets, "2"), NOW);
    assert_eq!(budgets.begin_load(|| 9, NOW), None, "nothing has moved");
    budgets.spent(8, spent("1"));
    budgets.stale();
    assert_eq!(budgets.begin_load(|| 10, NOW), Some(10));
    budgets.spent(9, spent("1"));
    budgets.spent(10, spent("0.25"));
    assert_eq!(used(&budgets).unwrap(), "4.25", "the old ones stay in force");
    budgets.loaded(from_ledger(&budgets, "1.5"), NOW);
    assert_eq!(used(&budgets).unwrap(), "1.75");
}

#[test]
fn an_inbox_that_overflows_makes_the_sums_anew() {
    let budgets = budgets(0);
    budgets.loaded(from_ledger(&budgets, "0"), NOW);
    for sequence in 0..INBOX_MAX as u64 + 1 {
        budgets.spent(sequence, spent("0.000001"));
    }
    assert_eq!(budgets.begin_load(|| 70_000, NOW), Some(70_000));
    budgets.loaded(from_ledger(&budgets, "0.065537"), NOW);
    assert_eq!(used(&budgets).unwrap(), "0.065537");
}

#[test]
fn a_class_of_errors_is_told_once_an_episode() {
    let budgets = budgets(0);
    budgets.error_seen(1, "overloaded_error", "search", NOW);
    budgets.loaded(from_ledger(&budgets, "0"), NOW);
    let told = |now: i64| {
        let due = budgets.due(now);
        due.iter().for_each(|due| budgets.confirm(due, now));
        due.len()
    };
    assert_eq!((told(NOW), told(NOW)), (1, 0));
    let quiet = errors::QUIET_NS;
    budgets.error_seen(2, "overloaded_error", "search", NOW + quiet);
    assert_eq!(told(NOW + quiet), 0, "the same episode");
    budgets.error_seen(3, "overloaded_error", "search", NOW + 2 * quiet + 1);
    assert_eq!(told(NOW + 2 * quiet + 1), 1);
}

#[test]
fn what_was_told_before_a_restart_is_not_told_again() {
    let budgets = budgets(5);
    let crossed = |percent: &str| BudgetCrossed {
        budget: "all".to_owned(),
        forecast_usd: Money::ZERO,
        limit_usd: "10".parse().unwrap(),
        name: None,
        period: "day".to_owned(),
        period_end: NOW,
        period_start: budgets.watched[0].period.bounds(NOW, &budgets.watched[0].zone).start,
        rate_usd_per_hour: None,
        scope: "total".to_owned(),
        session: None,
        session_usd: None,
        threshold: percent.to_owned(),
        used_usd: "6".parse().unwrap(),
    };
    let notice = Notice::Crossed(Box::new(crossed("50")));
    let mut loaded = from_ledger(&budgets, "6");
    loaded.notices.push(Noticed { sequence: 3, at: NOW, notice });
    loaded.errors.seen("overloaded_error", "search", NOW);
    loaded.errors.told("overloaded_error", NOW);
    budgets.loaded(loaded, NOW);
    assert!(budgets.due(NOW).is_empty());
    let class = Identifier::known("overloaded_error");
    budgets.confirm(&Due::Error(ErrorClassSeen { class, count: 1, team: String::new() }), NOW);
    assert_eq!(budgets.holds(&crossed("80"), NOW), Some(false), "another period");
}

#[test]
fn a_clock_that_was_wrong_leaves_no_wrong_sums() {
    let budgets = budgets(0);
    budgets.loaded(from_ledger(&budgets, "2"), NOW);
    let day = 24 * 3600 * 1_000_000_000;
    budgets.spent(3, Spent { at: NOW + 40 * day, ..spent("7") });
    assert_eq!(used(&budgets).unwrap(), "2", "one that is far ahead begins no period");
    budgets.spent(4, Spent { at: NOW + 1, ..spent("1") });
    assert_eq!(budgets.figures(NOW + day).unwrap()[0].used, Money::ZERO, "tomorrow, it seems");
    assert_eq!(budgets.begin_load(|| 5, NOW), Some(5), "it is today again");
    assert_eq!(used(&budgets), None);
    budgets.loaded(from_ledger(&budgets, "3"), NOW);
    assert_eq!(used(&budgets).unwrap(), "3");
    assert_eq!(budgets.begin_load(|| 6, NOW), None);
    // The day that it was ahead to: what was charged in it then is in the ledger alone.
    let far = NOW + 40 * day;
    budgets.spent(7, Spent { at: far, ..spent("7") });
    assert_eq!(budgets.begin_load(|| 8, NOW + 1), None, "not before it comes");
    assert_eq!(budgets.begin_load(|| 8, far), Some(8));
}
