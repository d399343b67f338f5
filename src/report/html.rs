//! A statement as one page that can be sent and printed: no script, nothing from elsewhere.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::statement::Statement;
use super::text::{html as escaped, thousands};
use super::words::Change;
use crate::accounting::Money;

mod chart;
mod notes;
mod tables;

const STYLE: &str = include_str!("html/style.css");

impl Statement {
    /// The page.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = String::with_capacity(64 * 1024);
        let title = format!("Claude API spend, {}", self.period_text());
        let _ = write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
            escaped(&title)
        );
        self.headline(&mut page);
        if self.total.exchanges == 0 {
            page.push_str(
                "<section class=\"empty\"><h2>No call was recorded in this period</h2>\
                 <p>Nothing went through Weighbridge, or it was recorded elsewhere: name that \
                 data directory with <code>--data-dir</code>.</p></section>\n",
            );
        } else {
            self.over_time(&mut page);
            self.lists(&mut page);
            self.sessions_section(&mut page);
            self.cache_section(&mut page);
        }
        if self.total.exchanges > 0 {
            self.apart_section(&mut page);
        }
        self.breakdown_section(&mut page);
        self.method_section(&mut page);
        self.days_section(&mut page);
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    /// An amount to cents with its exact value behind it.
    fn amount(&self, usd: Money) -> String {
        let shown = escaped(&self.dollars(usd));
        format!("<span class=\"usd\" title=\"${usd} exactly\">{shown}</span>")
    }

    fn headline(&self, page: &mut String) {
        let total = &self.total;
        let arrow = match self.change() {
            Some(Change::Up(_)) => "<span class=\"arrow\">▲</span> ",
            Some(Change::Down(_)) => "<span class=\"arrow\">▼</span> ",
            _ => "",
        };
        let _ = write!(
            page,
            "<header>\n<p class=\"kicker\">Usage statement</p>\n<h1>Claude API spend</h1>\n\
             <p class=\"period\">{} <span class=\"muted\">(UTC)</span></p>\n\
             <div class=\"total\"><p class=\"figure\">{}</p>\n<div><p class=\"change\">{arrow}{}</p>\n\
             <p class=\"beside\">{}</p></div></div>\n",
            escaped(&self.period_text()),
            self.amount(total.usd),
            escaped(&self.change_text()),
            escaped(&if total.exchanges > 0 { self.beside() } else { String::new() })
        );
        if total.exchanges == 0 {
            return page.push_str("</header>\n");
        }
        let discount = total.list.checked_sub(total.usd).unwrap_or(Money::ZERO);
        let list_note = match discount {
            Money::ZERO => "no discount".to_owned(),
            _ => format!("{} discount", self.amount(discount)),
        };
        let waste = self.waste.usd();
        let tokens = total.tokens.iter().fold(0, |all: u64, count| all.saturating_add(*count));
        page.push_str("<dl class=\"key\">\n");
        for (name, figure, note) in [
            ("Calls", thousands(total.exchanges), format!("{} tokens", short_count(tokens))),
            ("At list prices", self.amount(total.list), list_note),
            ("Cache saved", self.amount(self.savings), "vs plain input".to_owned()),
            ("Cache waste", self.amount(waste), "writes in vain".to_owned()),
        ] {
            let _ = writeln!(
                page,
                "<div><dt>{name}</dt><dd>{figure}<span class=\"note\">{note}</span></dd></div>"
            );
        }
        page.push_str("</dl>\n</header>\n");
    }

    fn over_time(&self, page: &mut String) {
        let by = if self.is_by_month() { "month" } else { "day" };
        let buckets = self.buckets();
        // One column says no more than the total.
        if buckets.len() < 2 {
            return;
        }
        let _ = write!(page, "<section>\n<h2>By {by}</h2>\n");
        chart::columns(&buckets, self, page);
        page.push_str("</section>\n");
    }
}

/// A large count in short, with the whole of it behind it.
fn count_cell(count: u64) -> String {
    format!("<span title=\"{}\">{}</span>", thousands(count), short_count(count))
}

/// `950`, `12.3 k`, `884 k`, `4.5 M`, `1.2 bn`: rounded to what is shown, half to even.
fn short_count(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000, "k"), (1_000_000, "M"), (1_000_000_000, "bn")];
    if count < UNITS[0].0 {
        return count.to_string();
    }
    let mut shown = String::new();
    for (unit, name) in UNITS {
        let tenths = rounded(count, unit / 10);
        let whole = rounded(count, unit);
        shown = match tenths {
            0..1000 => format!("{}.{} {name}", tenths / 10, tenths % 10),
            _ => format!("{} {name}", thousands(whole)),
        };
        // What rounds up to a thousand is one of the next unit.
        if whole < 1000 {
            break;
        }
    }
    shown
}

/// `count` in so many pieces of `unit`, half to even.
fn rounded(count: u64, unit: u64) -> u64 {
    let (whole, rest) = (count / unit, count % unit);
    match (rest.saturating_mul(2)).cmp(&unit) {
        Ordering::Less => whole,
        Ordering::Equal => whole + whole % 2,
        Ordering::Greater => whole + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rounded_to_what_is_shown() {
        for (count, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0 k"),
            (1_050, "1.0 k"),
            (1_150, "1.2 k"),
            (99_949, "99.9 k"),
            (99_950, "100 k"),
            (883_879, "884 k"),
            (883_500, "884 k"),
            (884_500, "884 k"),
            (999_499, "999 k"),
            (999_500, "1.0 M"),
            (4_560_000, "4.6 M"),
            (999_999_999, "1.0 bn"),
            (1_234_567_000_000, "1,235 bn"),
            (u64::MAX, "18,446,744,074 bn"),
        ] {
            assert_eq!(short_count(count), shown, "{count}");
        }
    }
}
