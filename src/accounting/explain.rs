//! A charge with its working, for people who check bills: quantity × rate × modifiers = amount.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::accounting::call::Call;
use crate::accounting::charge::{Agreed, Basis, Charge, LineItem, LineKind, Rating, seconds};
use crate::accounting::money::ATTO_PER_USD;
use crate::accounting::price_book::{Discount, Modifier, Period, Price, PriceBook, per_million};
use crate::accounting::{Flag, Money, TokenKind};

/// What the columns of a line hold, before it is known how wide they are.
struct Row {
    what: String,
    quantity: String,
    rate: String,
    amount: String,
}

/// The amount in one line, and what must be known about it.
#[must_use]
pub fn summary(charge: &Charge<'_>, flags: &[Flag]) -> String {
    let mut text = match (charge.total, charge.max) {
        (None, _) => match &charge.unknown {
            None => "unpriced\n".to_owned(),
            Some(unknown) => format!("unpriced: {unknown}\n"),
        },
        (Some(total), None) => format!("{total} USD\n"),
        (Some(total), Some(max)) => format!("{total} to {max} USD\n"),
    };
    notes(&mut text, flags);
    text
}

/// The whole working. `flags` are the charge's and those of reading the usage.
#[must_use]
pub fn text(book: &PriceBook, call: &Call<'_>, charge: &Charge<'_>, flags: &[Flag]) -> String {
    let model = charge.model.unwrap_or(call.model);
    let mut text = format!("{model} on {} (UTC), in US dollars\n", call.day);
    let groups = groups(charge);
    let rows = || groups.iter().flat_map(|(_, rows)| rows);
    let width = |of: &dyn Fn(&Row) -> usize| rows().map(of).max().unwrap_or(0);
    let (what, quantity) = (width(&|r| r.what.len()), width(&|r| r.quantity.len()));
    let rate = width(&|r| r.rate.chars().count());
    let total = charge.total.map_or_else(|| "unknown".to_owned(), |total| total.to_string());
    let sums = sums(charge, &total);
    let amounts = rows().map(|r| &r.amount).chain(sums.iter().map(|(_, amount)| amount));
    let point = Point::of(amounts.map(String::as_str));
    for (title, rows) in &groups {
        let _ = writeln!(text, "\n{title}");
        for row in rows {
            let Row { what: name, quantity: count, rate: at, .. } = row;
            let pad = rate.saturating_sub(at.chars().count());
            let amount = point.aligned(&row.amount);
            let line = format!("  {name:<what$}  {count:>quantity$} × {at}{:pad$}  = {amount}", "");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    let left = what.saturating_add(quantity).saturating_add(rate).saturating_add(11);
    text.push('\n');
    for (name, amount) in &sums {
        let line = format!("{name:<left$}{}", point.aligned(amount));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    remarks(&mut text, charge, flags);
    notes(&mut text, flags);
    sources(&mut text, book, call, charge);
    let _ = writeln!(text, "\nPricing table {}", book.version());
    text
}

/// What the sums do not say by themselves.
fn remarks(text: &mut String, charge: &Charge<'_>, flags: &[Flag]) {
    if let Some(unknown) = &charge.unknown {
        let _ = writeln!(text, "\nUnpriced: {unknown}.");
    }
    let is_free = charge.total == Some(Money::ZERO) && charge.lines.is_empty();
    if is_free && charge.unsure.is_empty() {
        let reasons = [Flag::NotBilled, Flag::RefusalNotBilled, Flag::UnknownIteration];
        let reason = reasons.into_iter().find(|flag| flags.contains(flag));
        let reason = reason.map_or("no count is above zero", Flag::meaning);
        let _ = writeln!(text, "\nNothing is billed: {reason}.");
    }
    let parts = match (charge.upper.is_empty(), charge.unsure.is_empty()) {
        (true, true) => return,
        (true, false) => "with the lines under \"Billed or not\" added",
        (false, true) => "with each line under \"At most\" in place of its like",
        (false, false) => {
            "with each line under \"At most\" in place of its like, and those under \"Billed or \
             not\" added"
        }
    };
    let _ = writeln!(text, "\nThe total at most is the total at least {parts}.");
}

/// Lines in groups, each with its title; what is billed or not, and what may cost more, come last.
fn groups(charge: &Charge<'_>) -> Vec<(String, Vec<Row>)> {
    let mut groups: Vec<(String, Vec<Row>)> = Vec::new();
    let sure = charge.lines.iter().map(|line| (title(line), line));
    let unsure = charge.unsure.iter();
    let unsure = unsure.map(|line| (format!("Billed or not: {}", title(line)), line));
    let upper = charge.upper.iter().map(|line| (format!("At most: {}", title(line)), line));
    for (title, line) in sure.chain(unsure).chain(upper) {
        match groups.last_mut() {
            Some((last, rows)) if *last == title && !restarts(rows, line) => rows.push(row(line)),
            _ => groups.push((title, vec![row(line)])),
        }
    }
    groups
}

/// The sums under the lines, by name.
fn sums(charge: &Charge<'_>, total: &str) -> Vec<(String, String)> {
    let mut sums = Vec::new();
    if let Some(list) = charge.list.filter(|_| charge.list != charge.total) {
        sums.push(("At list price".to_owned(), list.to_string()));
    }
    match charge.max {
        None => sums.push(("Total".to_owned(), total.to_owned())),
        Some(max) => {
            sums.push(("Total, at least".to_owned(), total.to_owned()));
            sums.push(("Total, at most".to_owned(), max.to_string()));
        }
    }
    if let Some(saved) = charge.cache_savings {
        let (name, amount) = if saved < Money::ZERO {
            let extra = Money::ZERO.checked_sub(saved).unwrap_or_default();
            ("Extra cost of caching against uncached input", extra)
        } else {
            ("Saved by caching against uncached input", saved)
        };
        sums.push((format!("({name})"), amount.to_string()));
    }
    sums
}

/// A second iteration of the same type and model begins with a kind that was already there.
fn restarts(rows: &[Row], line: &LineItem<'_>) -> bool {
    rows.iter().any(|row| row.what == name_of(line.kind))
}

/// What a group of lines is about: a step and its model, or the server's tools.
fn title(line: &LineItem<'_>) -> String {
    let Basis::Tokens(rating, _) = &line.basis else { return "Server tools".to_owned() };
    let step = match line.step {
        None => "Answer",
        Some("message") => "Answer, one step",
        Some("fallback_message") => "Answer after a fallback",
        Some("compaction") => "Compaction of the conversation",
        Some("advisor_message") => "Advisor",
        Some(other) => other,
    };
    let mode = if rating.fast { ", fast mode" } else { "" };
    let tier = tier(rating);
    format!("{step}: {}{mode}{tier}", rating.model.id)
}

/// Named only where the model has prices by length.
fn tier(rating: &Rating<'_>) -> String {
    let row = rating.period.fast.as_ref().filter(|_| rating.fast);
    let tiers = row.unwrap_or(&rating.period.standard);
    match (rating.above, tiers.above.first()) {
        (0, None) => String::new(),
        (0, Some((first, _))) => format!(", prompt of up to {} tokens", thousands(*first)),
        (above, _) => format!(", prompt above {} tokens", thousands(above)),
    }
}

const fn name_of(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Tokens(TokenKind::Input) => "input, uncached",
        LineKind::Tokens(TokenKind::Output) => "output",
        LineKind::Tokens(TokenKind::CacheRead) => "cache read",
        LineKind::Tokens(TokenKind::CacheWrite5m) => "cache write, 5 minutes",
        LineKind::Tokens(TokenKind::CacheWrite1h) => "cache write, 1 hour",
        LineKind::WebSearch => "web search",
        LineKind::WebFetch => "web fetch",
        LineKind::CodeExecution => "code execution",
    }
}

fn row(line: &LineItem<'_>) -> Row {
    let (quantity, rate) = match &line.basis {
        Basis::Tokens(rating, agreed) => {
            let kind = match line.kind {
                LineKind::Tokens(kind) => kind,
                _ => TokenKind::Input,
            };
            (format!("{} tokens", thousands(line.quantity)), token_rate(rating, *agreed, kind))
        }
        Basis::Requests(tool) => {
            let per_1000 = tool.price.atto().checked_mul(1000).map(Money::from_atto);
            let rate = format!("{} per 1,000", per_1000.unwrap_or_default());
            (format!("{} requests", thousands(line.quantity)), rate)
        }
        Basis::Time(tool, used, billed) => {
            let (price, least) = (tool.price, thousands(tool.minimum_seconds));
            let free = seconds(used.saturating_sub(*billed));
            let rate = format!("{price} per hour (at least {least} s each; {free} s free)");
            (format!("{} s", seconds(*used)), rate)
        }
    };
    let what = name_of(line.kind).to_owned();
    Row { what, quantity, rate, amount: line.amount.to_string() }
}

fn token_rate(rating: &Rating<'_>, agreed: Agreed<'_>, kind: TokenKind) -> String {
    let list = dollars(rating.rates.of(kind));
    let (rate, discount) = match agreed {
        Agreed::List => (format!("{list} per million"), None),
        Agreed::Discount(discount) => (format!("{list} per million"), Some(discount)),
        Agreed::Contract(contract) => match contract.price {
            Price::Discount(discount) => (format!("{list} per million"), Some(discount)),
            Price::Rate(pico) => {
                (format!("{} per million (agreed; list {list})", dollars(pico)), None)
            }
        },
    };
    let mut text = rate;
    for modifier in [rating.batch, rating.place].into_iter().flatten() {
        let factor = factor(modifier.num, modifier.den);
        let _ = write!(text, " × {factor} {}", label(modifier));
    }
    if let Some(Discount { num, den }) = discount {
        let _ = write!(text, " × {} agreed", factor(num, den));
    }
    text
}

/// A price per million tokens with two decimals at least, as prices are written.
fn dollars(pico: u64) -> String {
    let text = per_million(pico);
    let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    match decimals {
        0 => format!("{text}.00"),
        1 => format!("{text}0"),
        _ => text,
    }
}

/// A factor as a decimal where it has a short one, else as the fraction it is.
fn factor(num: i128, den: i128) -> String {
    let atto = num.checked_mul(ATTO_PER_USD);
    match atto.filter(|atto| atto.checked_rem(den) == Some(0)) {
        Some(atto) => Money::from_atto(atto.checked_div(den).unwrap_or(0)).to_string(),
        None => format!("{num}/{den}"),
    }
}

fn label(modifier: &Modifier) -> &'static str {
    match modifier.name {
        "inference_geo_us" => "US-only",
        "bedrock_regional" => "Bedrock region",
        "bedrock_gov" => "Bedrock GovCloud",
        "vertex_regional" => "Vertex region",
        "foundry_us_data_zone" => "US Data Zone",
        other => other,
    }
}

/// Under the lines: which period each rate is from, and where that was read.
fn sources(text: &mut String, book: &PriceBook, call: &Call<'_>, charge: &Charge<'_>) {
    let mut facts: BTreeMap<String, String> = BTreeMap::new();
    let read = |ids: &[String]| {
        let texts = ids.iter().filter_map(|id| book.source(id));
        let texts = texts.map(|source| format!("{}, read {}", source.reference, source.retrieved));
        texts.collect::<Vec<_>>().join("\n    ")
    };
    for line in charge.lines.iter().chain(&charge.unsure).chain(&charge.upper) {
        match &line.basis {
            Basis::Tokens(rating, agreed) => {
                let Period { from, to, sources, .. } = rating.period;
                let until = to.map_or_else(String::new, |to| format!(" until {to}"));
                let name = format!("{}, price since {from}{until}", rating.model.id);
                facts.insert(name, read(sources));
                for modifier in [rating.batch, rating.place].into_iter().flatten() {
                    let Modifier { num, den, from, sources, .. } = modifier;
                    let name =
                        format!("{} × {}, since {from}", label(modifier), factor(*num, *den));
                    facts.insert(name, read(sources));
                }
                facts.extend(agreements(book, call, line, (rating, agreed)));
            }
            Basis::Requests(tool) => {
                facts.insert(name_of(line.kind).to_owned(), read(&tool.sources));
            }
            Basis::Time(tool, ..) => {
                facts.insert(name_of(line.kind).to_owned(), read(&tool.sources));
            }
        }
    }
    if !facts.is_empty() {
        text.push_str("\nWhere the prices come from\n");
    }
    for (name, source) in facts {
        let _ = writeln!(text, "  {name}\n    {source}");
    }
}

/// The negotiated price that is paid for a line, and those that hold and are not.
fn agreements(
    book: &PriceBook,
    call: &Call<'_>,
    line: &LineItem<'_>,
    (rating, agreed): (&Rating<'_>, &Agreed<'_>),
) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let (applied, reason) = match agreed {
        Agreed::List => (None, "a rate is one of standard mode"),
        Agreed::Discount(_) => {
            facts.push(("agreed discount".to_owned(), "named in the question".to_owned()));
            (None, "the question names a discount")
        }
        Agreed::Contract(contract) => {
            facts.push((format!("agreed price, since {}", contract.from), contract.source.clone()));
            (Some(*contract), "a more specific price takes its place")
        }
    };
    let LineKind::Tokens(kind) = line.kind else { return facts };
    let who = (call.facts.team, call.day);
    for other in book.contracts.holding(who, &rating.model.id, kind) {
        if applied.is_none_or(|applied| !std::ptr::eq(applied, other)) {
            let (price, what) = (&other.price, name_of(line.kind));
            let name = format!("agreed {price}, not for {what} of {}: {reason}", rating.model.id);
            facts.push((name, other.source.clone()));
        }
    }
    facts
}

fn notes(text: &mut String, flags: &[Flag]) {
    if !flags.is_empty() {
        text.push_str("\nWhat must be known\n");
    }
    for flag in flags {
        let _ = writeln!(text, "  {}: {}", flag.name(), flag.meaning());
    }
}

/// Amounts under each other with the decimal points in one column.
struct Point {
    before: usize,
    after: usize,
}

impl Point {
    fn of<'a>(amounts: impl Iterator<Item = &'a str>) -> Point {
        let mut point = Point { before: 0, after: 0 };
        for amount in amounts {
            let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
            point.before = point.before.max(whole.len());
            point.after = point.after.max(fraction.len());
        }
        point
    }

    fn aligned(&self, amount: &str) -> String {
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        let (before, after) = (self.before, self.after);
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{whole:>before$}{dot}{fraction:<after$}")
    }
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
