//! The table for people: what holds on a day, and what changed between two.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::table::{RefusalBilling, Role};
use super::{Contract, Model, Period, PriceBook, Rates, Tiers, holds, per_million};

/// Columns of [`rows`].
pub const HEADER: [&str; 11] = [
    "model", "from", "to", "state", "mode", "prompt >", "input", "write 5m", "write 1h", "read",
    "output",
];
/// How many of the columns are text.
pub const TEXT_COLUMNS: usize = 5;

/// A line about the whole table.
#[must_use]
pub fn summary(book: &PriceBook) -> String {
    let periods: usize = book.models.iter().map(|model| model.periods.len()).sum();
    let (models, names) = (book.models.len(), book.names.len());
    let sources = book.sources.len();
    let agreed = match book.contracts.0.len() {
        1 => "1 override".to_owned(),
        agreed => format!("{agreed} overrides"),
    };
    let official = book.sources.values().filter(|s| s.kind == super::SourceKind::Official).count();
    format!(
        "pricing table {} is sound: {models} models under {names} names, {periods} periods, \
         {sources} sources ({official} official), {agreed}; compared with its sources \
         on {}",
        book.version, book.checked
    )
}

/// Every rate that holds on `day`, or of all days, of one model or of all.
#[must_use]
pub fn rows(book: &PriceBook, day: Option<Date>, model: Option<&str>) -> Vec<Vec<String>> {
    let wanted = model.map(|name| book.find(name).map(|(model, _)| model.id.as_str()));
    let mut rows = Vec::new();
    for model in &book.models {
        if wanted.is_some_and(|wanted| wanted != Some(&*model.id)) {
            continue;
        }
        let periods = model.periods.iter().map(|period| ("confirmed", period));
        let unused = model.unused.iter().map(|(state, period)| (*state, period));
        for (state, period) in periods.chain(unused) {
            let holds = |day| period.from <= day && period.to.is_none_or(|to| day < to);
            if day.is_none_or(|day| state == "confirmed" && holds(day)) {
                period_rows(&mut rows, model, (state, period));
            }
        }
    }
    rows
}

/// Columns of [`overrides`], all of them text.
pub const OVERRIDES_HEADER: [&str; 5] = ["override for", "from", "to", "price", "source"];

/// Every negotiated price that holds on `day`, or of all days, and concerns one model or any.
#[must_use]
pub fn overrides(book: &PriceBook, day: Option<Date>, model: Option<&str>) -> Vec<Vec<String>> {
    let wanted = model.map(|name| book.find(name).map_or(name, |(model, _)| model.id.as_str()));
    let concerned = book.contracts.0.iter().filter(|one| {
        day.is_none_or(|day| holds(Some(one.from), one.to, day))
            && (wanted.is_none() || one.model.is_none() || one.model.as_deref() == wanted)
    });
    concerned.map(|one| override_row(one).to_vec()).collect()
}

fn override_row(one: &Contract) -> [String; 5] {
    let team = one.team.as_ref().map(|team| format!("team {team}"));
    let scope = [team, one.model.clone(), one.kind.map(|kind| kind.name().to_owned())];
    let scope: Vec<String> = scope.into_iter().flatten().collect();
    let scope = if scope.is_empty() { "everything".to_owned() } else { scope.join(", ") };
    [scope, one.from.to_string(), end(one.to), one.price.to_string(), one.source.clone()]
}

fn period_rows(rows: &mut Vec<Vec<String>>, model: &Model, (state, period): (&str, &Period)) {
    let to = period.to.map_or_else(|| "–".to_owned(), |to| to.to_string());
    let modes = [("standard", Some(&period.standard)), ("fast", period.fast.as_ref())];
    for (mode, tiers) in modes {
        for (above, rates) in tiers.into_iter().flat_map(each) {
            let mut row = vec![model.id.clone(), period.from.to_string(), to.clone()];
            row.extend([state.to_owned(), mode.to_owned(), above.to_string()]);
            row.extend(figures(&rates).map(per_million));
            rows.push(row);
        }
    }
}

fn each(tiers: &Tiers) -> impl Iterator<Item = (u64, Rates)> + '_ {
    std::iter::once((0, tiers.base)).chain(tiers.above.iter().copied())
}

const fn figures(rates: &Rates) -> [u64; 5] {
    [rates.input, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read, rates.output]
}

/// What differs from `old` to `new`, one line each.
#[must_use]
pub fn difference(old: &PriceBook, new: &PriceBook) -> Vec<String> {
    let mut lines = Vec::new();
    let (before, after) = (facts(old), facts(new));
    for (name, fact) in &before {
        match after.get(name) {
            None => lines.push(format!("- {name}: {fact}")),
            Some(now) if now != fact => lines.push(format!("~ {name}: {fact} → {now}")),
            Some(_) => {}
        }
    }
    for (name, fact) in &after {
        if !before.contains_key(name) {
            lines.push(format!("+ {name}: {fact}"));
        }
    }
    lines
}

/// Everything that can change a price, by name.
fn facts(book: &PriceBook) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for row in rows(book, None, None) {
        let [model, from, to, state, mode, above, rates @ ..] = row.as_slice() else { continue };
        let tier = if above == "0" { String::new() } else { format!(", prompt above {above}") };
        let name = format!("{model}, {state} from {from}, {mode}{tier}");
        let labels = ["input", "write 5m", "write 1h", "read", "output"];
        let rates: Vec<String> =
            labels.iter().zip(rates).map(|(label, rate)| format!("{label} {rate}")).collect();
        facts.insert(name, format!("{} (to {to})", rates.join(", ")));
    }
    for (name, place) in &book.names {
        let id = book.models.get(*place).map_or("", |model| model.id.as_str());
        facts.insert(format!("name {name}"), id.to_owned());
    }
    for modifier in book.modifiers.all() {
        let since = modifier
            .released_from
            .map_or_else(String::new, |from| format!(", models released from {from}"));
        let fact = format!("{}/{} from {}{since}", modifier.num, modifier.den, modifier.from);
        facts.insert(format!("modifier {}", modifier.name), fact);
    }
    let start = |from: Option<Date>| from.map_or_else(|| "ever".to_owned(), |day| day.to_string());
    let tools = [("web_search", &book.tools.web_search), ("web_fetch", &book.tools.web_fetch)];
    for (name, periods) in tools {
        for tool in periods {
            let name = format!("tool {name}, from {}", start(tool.from));
            facts.insert(name, format!("{} a request (to {})", tool.price, end(tool.to)));
        }
    }
    for tool in &book.tools.code_execution {
        let name = format!("tool code_execution, from {}", start(tool.from));
        let (least, free) = (tool.minimum_seconds, tool.free_hours_per_month);
        let price = format!("{} an hour, at least {least} s, {free} h free", tool.price);
        facts.insert(name, format!("{price} (to {})", end(tool.to)));
    }
    for rule in &book.rules.refusals {
        let name = format!("rule refusal, from {}", rule.from);
        let billing = match rule.billing {
            RefusalBilling::Billed => "billed",
            RefusalBilling::Uncertain => "billed or not",
        };
        let what = format!("{billing}: {}", rule.categories.join(", "));
        facts.insert(name, format!("{what} (to {})", end(rule.to)));
    }
    for (kind, role) in &book.rules.usage {
        let bills = match role {
            Role::Attempt => "an attempt at the answer",
            Role::Fallback => "an attempt of another model",
            Role::Aside => "beside the answer",
        };
        facts.insert(format!("rule usage {kind}"), bills.to_owned());
    }
    for one in &book.contracts.0 {
        let [scope, from, to, price, source] = override_row(one);
        let name = format!("override for {scope}, from {from}");
        facts.insert(name, format!("{price}, {source} (to {to})"));
    }
    facts
}

fn end(to: Option<Date>) -> String {
    to.map_or_else(|| "–".to_owned(), |day| day.to_string())
}
