use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600 * NS_PER_SECOND;

fn at(text: &str) -> i64 {
    i64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap()
}

fn usd(text: &str) -> Money {
    text.parse().unwrap()
}

fn budget(scope: Scope, period: Period, limit: &str) -> Budget {
    Budget {
        name: "b".to_owned(),
        scope,
        subject: None,
        period,
        zone: TimeZone::UTC,
        limit: usd(limit),
        percents: vec![50, 80, 95, 100],
        forecast: true,
        burn: true,
        burn_floor: usd("1"),
        session_limit: None,
    }
}

fn spent(moment: i64, amount: &str) -> Spent {
    let (team, session) = (Some("search".to_owned()), Some("s1".to_owned()));
    Spent { at: moment, usd: usd(amount), team, session, ..Spent::default() }
}

/// Names of what fires at `now`; all of it is confirmed.
fn fire(alarms: &mut Alarms, book: &mut Book, now: i64) -> Vec<String> {
    book.settle(now);
    let due = alarms.due(book, now);
    due.iter().for_each(|change| alarms.confirm(book, change, now));
    assert_eq!(alarms.due(book, now), [], "once");
    let name = |change: &Change| match change {
        Change::Crossed(crossing) => crossing.threshold.name(),
        Change::Rearmed { tier, .. } => format!("rearmed {}", Threshold::Burn(*tier).name()),
    };
    due.iter().map(name).collect()
}

#[test]
fn periods_begin_at_midnight_of_their_zone() {
    let bounds = |period: Period, name: &str, moment: &str| {
        let found = period.bounds(at(moment), &zone(name).unwrap());
        let text = |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).unwrap().to_string();
        (text(found.start), text(found.end), (found.end - found.start) / HOUR)
    };
    let of = |a: &str, b: &str, hours| (a.to_owned(), b.to_owned(), hours);
    // Berlin leaves summer time on 25 October 2026 and enters it on 29 March 2026.
    assert_eq!(
        bounds(Period::Month, "Europe/Berlin", "2026-10-31T22:59:59Z"),
        of("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", 31 * 24 + 1)
    );
    assert_eq!(
        bounds(Period::Month, "Europe/Berlin", "2026-03-15T12:00:00Z"),
        of("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", 31 * 24 - 1)
    );
    assert_eq!(
        bounds(Period::Day, "Europe/Berlin", "2026-10-25T12:00:00Z"),
        of("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25)
    );
    // Where midnight is skipped the day begins after the gap.
    assert_eq!(
        bounds(Period::Day, "Africa/Cairo", "2026-04-24T12:00:00Z"),
        of("2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z", 23)
    );
    assert_eq!(
        bounds(Period::Week, "America/New_York", "2026-11-25T01:00:00Z"),
        of("2026-11-23T05:00:00Z", "2026-11-30T05:00:00Z", 168)
    );
    assert_eq!(
        bounds(Period::Month, "UTC", "2028-02-29T23:59:59Z"),
        of("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z", 29 * 24)
    );
    assert!(zone("Europe/Atlantis").is_none());
}

#[test]
fn a_charge_counts_in_the_period_of_its_moment() {
    let now = at("2026-11-25T00:00:00Z");
    let budgets = [Arc::new(budget(Scope::Total, Period::Day, "10"))];
    let mut book = Book::new(&budgets, now);
    book.add(&spent(now - 1, "1"));
    book.add(&spent(now, "2"));
    let figures = |book: &Book, now| book.figures(now).next().unwrap();
    assert_eq!(figures(&book, now).used, usd("2"));
    assert_eq!(figures(&book, now + 1).burn(Window::Hour).per_hour, usd("3"), "rates look back");
    book.settle(now + 24 * HOUR - 1);
    book.add(&spent(now + 24 * HOUR, "0.5"));
    let next = figures(&book, now + 24 * HOUR);
    assert_eq!((next.used, next.bounds.start), (usd("0.5"), now + 24 * HOUR));
    book.settle(now + 30 * 24 * HOUR);
    let later = figures(&book, now + 30 * 24 * HOUR);
    assert_eq!((later.used, later.forecast, later.seconds_left), (Money::ZERO, Money::ZERO, None));
}

#[test]
fn windows_forecast_and_time_left_follow_their_rule() {
    let now = at("2026-11-16T00:00:00Z");
    let budgets = [Arc::new(budget(Scope::Total, Period::Month, "300"))];
    let mut book = Book::new(&budgets, now);
    for day in 1..=15 {
        book.add(&spent(now - day * 24 * HOUR, "6"));
    }
    let figures = book.figures(now).next().unwrap();
    assert_eq!((figures.used, figures.used_ppm), (usd("90"), 300_000));
    // 6 a day so far; on the last day 6 as well: 15 days at 6 more.
    assert_eq!(figures.forecast, usd("180"));
    assert_eq!(figures.seconds_left, Some(35 * 86_400));
    let day = figures.burn(Window::Day);
    assert_eq!((day.per_hour, day.ratio_ppm), (usd("0.25"), 600_000));
    // The oldest five minutes count with the part that is still in the window.
    let mut book = Book::new(&budgets, now);
    book.add(&spent(now - 300 * NS_PER_SECOND, "1"));
    let later = now + 60 * NS_PER_SECOND;
    let figures = book.figures(later).next().unwrap();
    assert_eq!(figures.burn(Window::Minutes5).per_hour, usd("9.6"), "0.8 of it");
}

#[test]
fn subjects_are_told_apart_and_bounded() {
    let now = at("2026-11-25T12:00:00Z");
    let only = Budget { subject: Some("search".into()), ..budget(Scope::Team, Period::Day, "1") };
    let each = budget(Scope::Team, Period::Day, "1");
    let user = budget(Scope::User, Period::Day, "1");
    let mut book = Book::new(&[only, each, user].map(Arc::new), now);
    assert_eq!(book.figures(now).map(|f| f.subject).collect::<Vec<_>>(), ["search"]);
    book.add(&spent(now, "0.1"));
    for number in 0..SUBJECTS_MAX + 5 {
        book.add(&Spent { team: Some(format!("t{number}")), ..spent(now, "0.1") });
    }
    let [only, each, user] = book.accounts() else { panic!("three") };
    let counts = [only, each, user].map(|account| account.figures(now).count());
    assert_eq!(counts, [1, SUBJECTS_MAX, 0], "nobody is not a user");
    assert_eq!((only.untracked(), each.untracked()), (0, 6));
    assert_eq!(only.figures(now).next().unwrap().used, usd("0.1"));
}

#[test]
fn each_threshold_fires_once_a_period() {
    let now = at("2026-11-25T12:00:00Z");
    let one = Budget { burn: false, ..budget(Scope::Team, Period::Day, "10") };
    let mut book = Book::new(&[Arc::new(one)], now);
    let mut alarms = Alarms::new(&book);
    assert!(fire(&mut alarms, &mut book, now).is_empty());
    book.add(&spent(now, "4"));
    assert!(fire(&mut alarms, &mut book, now).is_empty());
    book.add(&spent(now, "1"));
    assert_eq!(fire(&mut alarms, &mut book, now), ["50"]);
    book.add(&spent(now, "3"));
    assert_eq!(fire(&mut alarms, &mut book, now), ["80", "forecast"]);
    book.add(&spent(now, "9"));
    assert_eq!(fire(&mut alarms, &mut book, now), ["95", "100"]);
    assert!(fire(&mut alarms, &mut book, now + HOUR).is_empty());
    let tomorrow = now + 24 * HOUR;
    book.settle(tomorrow);
    book.add(&spent(tomorrow, "5"));
    assert_eq!(fire(&mut alarms, &mut book, tomorrow), ["50", "forecast"]);
}

#[test]
fn what_has_fired_is_known_again_and_another_limit_arms_only_what_is_not_reached() {
    let now = at("2026-11-25T12:00:00Z");
    let fired = |percent: u16, limit: &str| Fired {
        budget: "b",
        subject: "search",
        start: at("2026-11-25T00:00:00Z"),
        threshold: Threshold::Percent(percent),
        limit: usd(limit),
        session: None,
    };
    let one = Budget { burn: false, forecast: false, ..budget(Scope::Team, Period::Day, "10") };
    let mut book = Book::new(&[Arc::new(one)], now);
    book.add(&spent(now, "8.5"));
    let mut alarms = Alarms::new(&book);
    for percent in [50, 80] {
        alarms.restore(&book, &fired(percent, "10"), now);
    }
    alarms.restore(&book, &Fired { start: 0, ..fired(95, "10") }, now);
    assert!(fire(&mut alarms, &mut book, now).is_empty());
    // It was 9, of which 8.5 is 94 %; now the same spend is 85 % of 10, later 96 %.
    let mut alarms = Alarms::new(&book);
    for percent in [50, 80, 95] {
        alarms.restore(&book, &fired(percent, "8.6"), now);
    }
    assert!(fire(&mut alarms, &mut book, now).is_empty());
    book.add(&spent(now, "1.1"));
    assert_eq!(fire(&mut alarms, &mut book, now), ["95"]);
}

#[test]
fn burn_tiers_need_both_windows_and_the_floor_and_rest_before_they_fire_again() {
    let start = at("2026-11-10T00:00:00Z");
    let one = Budget { forecast: false, ..budget(Scope::Total, Period::Month, "7200") };
    let mut book = Book::new(&[Arc::new(one)], start);
    let mut alarms = Alarms::new(&book);
    // 10 an hour is even; 200 in an hour is 20 times that, and holds back the slower tiers.
    book.add(&spent(start, "200"));
    let soon = start + 60 * NS_PER_SECOND;
    assert_eq!(fire(&mut alarms, &mut book, soon), ["burn_14.4"]);
    // It is over after 10 minutes; a new one within the hour says nothing new.
    assert!(fire(&mut alarms, &mut book, start + HOUR / 2).is_empty());
    book.add(&spent(start + HOUR / 2, "200"));
    assert!(fire(&mut alarms, &mut book, start + HOUR / 2).is_empty());
    let fired = fire(&mut alarms, &mut book, start + 2 * HOUR);
    assert_eq!(fired, ["rearmed burn_14.4"]);
    // Over 6 hours it was 6.7 times the even rate; nothing in the last half hour, though.
    assert!(fire(&mut alarms, &mut book, start + 2 * HOUR).is_empty());
    book.add(&spent(start + 2 * HOUR, "40"));
    assert_eq!(fire(&mut alarms, &mut book, start + 2 * HOUR), ["burn_6"]);

    let small = Budget { forecast: false, ..budget(Scope::Total, Period::Month, "1") };
    let small = Budget { percents: Vec::new(), ..small };
    let mut book = Book::new(&[Arc::new(small)], start);
    book.add(&spent(start, "0.99"));
    let mut alarms = Alarms::new(&book);
    assert!(fire(&mut alarms, &mut book, soon).is_empty(), "below a dollar an hour");
}

#[test]
fn a_session_fires_once_and_memory_is_bounded() {
    let now = at("2026-11-25T12:00:00Z");
    let one = Budget { session_limit: Some(usd("2")), ..budget(Scope::Total, Period::Day, "1000") };
    let mut book = Book::new(&[Arc::new(one)], now);
    let mut alarms = Alarms::new(&book);
    book.add(&spent(now, "1.5"));
    assert!(fire(&mut alarms, &mut book, now).is_empty());
    book.add(&spent(now, "0.5"));
    assert_eq!(fire(&mut alarms, &mut book, now), ["session"]);
    book.add(&spent(now, "5"));
    assert!(fire(&mut alarms, &mut book, now).is_empty());
    assert!(book.accounts()[0].holds("", Threshold::Session, Some("s1"), now));
    for number in 0..SESSIONS_MAX + 1 {
        let moment = now + i64::try_from(number).unwrap();
        book.add(&Spent { session: Some(format!("x{number}")), ..spent(moment, "0.001") });
    }
    assert!(book.accounts()[0].sessions.len() <= SESSIONS_MAX);
}

#[test]
fn names_are_read_as_they_are_written() {
    let burns = Tier::ALL.map(Threshold::Burn);
    let others = [Threshold::Percent(50), Threshold::Forecast, Threshold::Session];
    let names: BTreeSet<String> = burns.into_iter().chain(others).map(Threshold::name).collect();
    assert_eq!(names.len(), 7);
    for name in names {
        assert_eq!(Threshold::named(&name).unwrap().name(), name);
    }
    assert_eq!(Threshold::named("colour"), None);
}

proptest! {
    /// Whatever is charged when, in whatever parts it is added up: the sum of the period is the sum
    /// of its charges, and the sums of five minutes add up to the charges within reach.
    #[test]
    fn sums_are_the_sums_of_charges(
        charges in proptest::collection::vec((0_i64..60 * 24, 0_i128..1_000_000_000_000), 0..200),
        cut in 0_usize..200,
    ) {
        let start = at("2026-11-01T00:00:00Z");
        let now = start + 40 * 24 * HOUR;
        let budgets = [Arc::new(budget(Scope::Total, Period::Month, "100"))];
        let facts: Vec<Spent> = charges.iter().map(|(hour, atto)| Spent {
            at: start + (hour * HOUR).min(40 * 24 * HOUR),
            usd: Money::from_atto(*atto),
            ..Spent::default()
        }).collect();
        let (first, second) = facts.split_at(cut.min(facts.len()));
        let mut book = Book::new(&budgets, now);
        first.iter().for_each(|fact| book.add(fact));
        let mut other = Book::new(&budgets, now);
        second.iter().for_each(|fact| other.add(fact));
        book.merge(other, now);
        let sum = |from: i64| facts.iter().filter(|f| f.at >= from).map(|f| f.usd).sum::<Money>();
        let account = &book.accounts()[0];
        let sums = &account.subjects[""];
        prop_assert_eq!(sums.used, sum(account.bounds().start));
        let reach = now - 259_500 * NS_PER_SECOND;
        let kept: Money = sums.buckets.values().copied().sum();
        prop_assert_eq!(kept, sum(reach - reach.rem_euclid(300 * NS_PER_SECOND)));
    }
}
