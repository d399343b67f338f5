//! Budgets as a table and as JSON.

use serde_json::{Value, json};

use super::period::instant;
use super::render::{table, usd_readable};
use super::text::{NOTHING, printable};
use crate::accounting::Money;
use crate::accounting::budget::{Book, Burn, Figures, PPM, Scope, Window};
use crate::accounting::money::ATTO_PER_USD;

/// Columns of the table.
const HEADER: [&str; 8] = ["budget", "of", "used", "limit", "%", "forecast", "left", "burn 1h"];
/// Of them, those that are text.
const TEXT_COLUMNS: usize = 2;
/// From this many dollars on, cents are noise.
const CENTS_MAX: i128 = 1000 * ATTO_PER_USD;
/// Atto-units of one part per million, to write a ratio as a decimal.
const ATTO_PER_PPM: i128 = 1_000_000_000_000;

/// The table at `now`, with notes under it.
#[must_use]
pub fn budget_table(book: &Book, now: i64, fancy: bool) -> String {
    let header = HEADER.map(str::to_owned);
    let rows: Vec<Vec<String>> = book.figures(now).map(|figures| cells(&figures)).collect();
    let mut text = table(&header, &rows, TEXT_COLUMNS, fancy);
    for account in book.accounts() {
        let name = &account.budget().name;
        if rows.iter().all(|row| row[0] != *name) {
            text.push_str(&format!("note: nothing was spent from budget {name} yet\n"));
        }
        let untracked = account.untracked();
        if untracked > 0 {
            text.push_str(&format!(
                "note: {untracked} charges of more subjects of budget {name} are not shown one by \
                 one\n"
            ));
        }
    }
    text
}

fn cells(figures: &Figures) -> Vec<String> {
    let budget = &figures.budget;
    let of = match budget.scope {
        Scope::Total => "total".to_owned(),
        scope => format!("{} {}", scope.name(), printable(&figures.subject)),
    };
    vec![
        budget.name.clone(),
        of,
        usd(figures.used),
        format!("{}/{}", usd(budget.limit), budget.period.name()),
        Money::from_atto(figures.used_ppm.saturating_mul(100 * ATTO_PER_PPM)).display_rounded(1),
        usd(figures.forecast),
        figures.seconds_left.map_or_else(|| NOTHING.to_owned(), left),
        times(figures.burn(Window::Hour)),
    ]
}

fn usd(money: Money) -> String {
    usd_readable(money, if money.atto() < CENTS_MAX { 2 } else { 0 })
}

/// A ratio in tenths: `14.4×`.
fn times(burn: Burn) -> String {
    let tenths = burn.ratio_ppm.saturating_mul(10) / PPM;
    match tenths {
        0 if burn.ratio_ppm > 0 => "<0.1×".to_owned(),
        10_000.. => ">999×".to_owned(),
        _ => format!("{}.{}×", tenths / 10, tenths % 10),
    }
}

/// The two largest units of a time.
fn left(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (1000.., _) => ">999d".to_owned(),
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Everything, amounts and ratios exact, as decimal texts.
#[must_use]
pub fn budget_json(book: &Book, now: i64) -> Value {
    let ratio = |ppm: i128| Money::from_atto(ppm.saturating_mul(ATTO_PER_PPM)).to_string();
    let one = |figures: Figures| {
        let budget = &figures.budget;
        let burn = figures.burns.map(|burn| {
            json!({
                "window": burn.window.name(),
                "ratio": ratio(burn.ratio_ppm),
                "usd_per_hour": burn.per_hour,
            })
        });
        json!({
            "budget": budget.name,
            "scope": budget.scope.name(),
            "name": figures.subject,
            "period": budget.period.name(),
            "timezone": budget.zone.iana_name().unwrap_or("UTC"),
            "period_start": instant(figures.bounds.start),
            "period_end": instant(figures.bounds.end),
            "limit_usd": budget.limit,
            "used_usd": figures.used,
            "used_ratio": ratio(figures.used_ppm),
            "forecast_usd": figures.forecast,
            "seconds_left": figures.seconds_left,
            "burn": burn,
        })
    };
    let untracked = book.accounts().iter().filter(|account| account.untracked() > 0);
    let untracked: Value =
        untracked.map(|a| (a.budget().name.clone(), Value::from(a.untracked()))).collect();
    json!({
        "at": instant(now),
        "budgets": book.figures(now).map(one).collect::<Vec<_>>(),
        "untracked": untracked,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::accounting::budget::{Budget, Period, Spent, zone};

    /// 2026-11-25 12:00 UTC.
    const NOW: i64 = 1_795_608_000_000_000_000;

    #[test]
    fn a_table_fits_a_terminal_and_json_is_exact() {
        let budget = |name: &str, scope| Budget {
            name: name.to_owned(),
            scope,
            subject: None,
            period: Period::Month,
            zone: zone("Europe/Berlin").unwrap(),
            limit: "12000".parse().unwrap(),
            percents: Vec::new(),
            forecast: true,
            burn: true,
            burn_floor: Money::ZERO,
            session_limit: None,
        };
        let budgets = [("company-month", Scope::Total), ("each-team", Scope::Team)];
        let mut budgets = budgets.map(|(name, scope)| Arc::new(budget(name, scope))).to_vec();
        budgets.push(Arc::new(budget("users", Scope::User)));
        let mut book = Book::new(&budgets, NOW);
        let team = Some("search-and-rank".to_owned());
        let usd = "9876.543210000000000001".parse().unwrap();
        book.add(&Spent { at: NOW, usd, team, ..Spent::default() });
        let text = budget_table(&book, NOW, true);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        for part in
            ["team search-and-rank", "9,877", "12,000/month", "82.3", "5h 9m", "nothing was spent"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = budget_json(&book, NOW);
        assert_eq!(json["budgets"][1]["used_usd"], "9876.543210000000000001");
        assert_eq!(json["budgets"][0]["timezone"], "Europe/Berlin");
        assert_eq!(json["budgets"][0]["period_start"], "2026-10-31T23:00:00Z");
    }

    #[test]
    fn times_are_short() {
        assert_eq!([90, 7260, 90_000, i64::MAX].map(left), ["1m", "2h 1m", "1d 1h", ">999d"]);
    }
}
