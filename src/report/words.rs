//! What a statement says in words, for the HTML page and for Markdown alike. Plain text: each form
//! escapes it for itself.

use super::period::{self, NS_PER_DAY, NS_PER_HOUR};
use super::render::usd_readable;
use super::statement::{Before, Statement};
use super::text::{NOTHING, thousands};
use crate::accounting::Money;

/// An amount that is not in the total, or a doubt about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// What it is.
    pub name: &'static str,
    /// How much, from and to; absent where nobody knows.
    pub amount: Option<(Money, Money)>,
    /// How many exchanges.
    pub exchanges: u64,
    /// What it means.
    pub text: &'static str,
    /// What is named, and how often it occurs: from outside, to be escaped.
    pub names: Vec<(String, u64)>,
}

/// A paragraph about how to read a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paragraph {
    /// What it is about.
    pub name: &'static str,
    /// The text.
    pub text: String,
    /// What is named at its end: from outside, to be escaped.
    pub names: Vec<String>,
}

/// How a total compares with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// More, by so many tenths of a percent.
    Up(u64),
    /// Less, by so many tenths of a percent.
    Down(u64),
    /// The same to a tenth of a percent.
    Same,
    /// There was nothing before.
    New,
}

impl Change {
    /// From `before` to `now`.
    #[must_use]
    pub fn between(before: Money, now: Money) -> Change {
        if before <= Money::ZERO {
            return if now > Money::ZERO { Change::New } else { Change::Same };
        }
        let difference = now.atto().saturating_sub(before.atto());
        let size = permille(Money::from_atto(difference.saturating_abs()), before);
        match (size, difference > 0) {
            (0, _) => Change::Same,
            (size, true) => Change::Up(size),
            (size, false) => Change::Down(size),
        }
    }

    /// In words.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Change::Up(size) => format!("{} more", percent(size)),
            Change::Down(size) => format!("{} less", percent(size)),
            Change::Same => "the same".to_owned(),
            Change::New => "new".to_owned(),
        }
    }
}

/// `part` in thousandths of `whole`, rounded to the nearest; 0 where there is no whole.
#[must_use]
pub fn permille(part: Money, whole: Money) -> u64 {
    if whole <= Money::ZERO || part <= Money::ZERO {
        return 0;
    }
    // Where the product would not fit, a thousand atto-dollars are not what matters.
    let (mut part, mut whole) = (part.atto(), whole.atto());
    while part.max(whole) > i128::MAX / 4000 {
        (part, whole) = (part / 1000, (whole / 1000).max(1));
    }
    u64::try_from((part * 2000 + whole) / (whole * 2)).unwrap_or(u64::MAX)
}

/// Thousandths as a percentage with one decimal.
#[must_use]
pub fn percent(permille: u64) -> String {
    format!("{}.{} %", thousands(permille / 10), permille % 10)
}

/// One part of a whole as a percentage; never 0 for something.
#[must_use]
pub fn share(part: Money, whole: Money) -> String {
    if whole <= Money::ZERO {
        return NOTHING.to_owned();
    }
    match permille(part, whole) {
        0 if part > Money::ZERO => "<0.1 %".to_owned(),
        size => percent(size),
    }
}

/// `1 call`, `2 calls`.
#[must_use]
pub fn calls(count: u64) -> String {
    format!("{} {}", thousands(count), if count == 1 { "call" } else { "calls" })
}

impl Statement {
    /// Decimals of amounts: a small total needs more than cents to say anything.
    #[must_use]
    pub fn decimals(&self) -> u32 {
        let one = Money::from_nano(1_000_000_000, 0);
        let most = self.total.usd.max(self.total.notional).max(self.total.estimated_max);
        if most > Money::ZERO && most < one { 4 } else { 2 }
    }

    /// An amount for people: `$1,234.56`.
    #[must_use]
    pub fn dollars(&self, amount: Money) -> String {
        dollars(amount, self.decimals())
    }

    /// From one amount to another, or one where they are the same.
    #[must_use]
    pub fn range(&self, low: Money, high: Money) -> String {
        let (low, high) = (self.dollars(low), self.dollars(high));
        if low == high { low } else { format!("{low} – {high}") }
    }

    /// The period in words.
    #[must_use]
    pub fn period_text(&self) -> String {
        if self.from < self.to {
            return period_text(self.from, self.to);
        }
        match self.frame.period.from {
            Some(from) => format!("From {} on", period::long_day(from.0)),
            None => "All that was recorded".to_owned(),
        }
    }

    /// What the total is compared with, in words.
    #[must_use]
    pub fn change_text(&self) -> String {
        let Some(before) = &self.frame.before else {
            return "No period before to compare with.".to_owned();
        };
        let Before { from, to, sums, began } = before;
        let since = format!("{} before", length(to.saturating_sub(*from)));
        let usd = self.dollars(sums.usd);
        if sums.exchanges == 0 {
            return format!("Nothing was recorded in the {since}.");
        }
        if let Some(began) = began {
            let began = period::long_day(*began);
            return format!("{usd} in the {since}, recorded only from {began} on.");
        }
        match self.change() {
            Some(Change::New) | None => format!("{usd} in the {since}."),
            Some(Change::Same) => format!("The same as in the {since}: {usd}."),
            Some(change) => format!("{} than in the {since}: {usd}.", change.text()),
        }
    }

    /// What a reader of the total must know at once.
    #[must_use]
    pub fn beside(&self) -> String {
        let parts: Vec<String> = self
            .apart()
            .iter()
            .map(|Apart { name, amount, exchanges, .. }| match (*name, amount) {
                ("Still open" | "Unknown usage" | "Unpriced", _) | (_, None) => {
                    format!("{} {}", calls(*exchanges), name.to_lowercase())
                }
                ("Ranges", Some((_, most))) => format!("up to {} of ranges", self.dollars(*most)),
                (_, Some((low, high))) => {
                    format!("{} {}", self.range(*low, *high), name.to_lowercase())
                }
            })
            .collect();
        match parts.is_empty() {
            true => "All of it reported by the API and priced; nothing is estimated.".to_owned(),
            false => format!("Not in it: {}.", parts.join(", ")),
        }
    }

    /// How the total compares with the same length of time before, where that is fair.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        let before = self.frame.before.as_ref()?;
        let whole = before.began.is_none() && before.sums.exchanges > 0;
        whole.then(|| Change::between(before.sums.usd, self.total.usd))
    }

    /// What is not in the total, and every doubt about it.
    #[must_use]
    pub fn apart(&self) -> Vec<Apart> {
        let sums = &self.total;
        let all = [
            Apart {
                name: "Estimated",
                amount: Some((sums.estimated, sums.estimated_max)),
                exchanges: sums.guessed,
                text: "Cut off before the API had reported all of their usage. This is what they \
                       may have cost beyond the reported part, estimated from complete answers of \
                       this deployment.",
                names: Vec::new(),
            },
            Apart {
                name: "Unpriced",
                amount: None,
                exchanges: sums.unpriced,
                text: "No rate is known for the model on the day. Their cost is unknown, not zero.",
                names: self.unpriced.clone(),
            },
            Apart {
                name: "Notional",
                amount: Some((sums.notional, sums.notional)),
                exchanges: sums.subscribed,
                text: "Made with a subscription login. At the API's prices they would have cost \
                       this; nobody is billed for them by the token.",
                names: Vec::new(),
            },
            Apart {
                name: "Ranges",
                amount: Some((Money::ZERO, minus(sums.usd_max, sums.usd))),
                exchanges: sums.ranges,
                text: "What the API bills follows from its response only as a range. The total \
                       holds the lower end; up to this much may come on top.",
                names: Vec::new(),
            },
            Apart {
                name: "Unknown usage",
                amount: None,
                exchanges: sums.unknown,
                text: "Ended before any usage was reported; the API billed them or not.",
                names: Vec::new(),
            },
            Apart {
                name: "Still open",
                amount: None,
                exchanges: sums.open,
                text: "Not finished when this statement was made.",
                names: Vec::new(),
            },
        ];
        all.into_iter().filter(|apart| apart.exchanges > 0).collect()
    }

    fn payers(&self) -> String {
        let rule = "The team comes from the credential a call was made with, never from what a \
                    request says about itself. Models and token kinds are those of each line item.";
        if self.total.moved == 0 {
            return rule.to_owned();
        }
        let (count, usd) = (calls(self.total.moved), self.total.moved_usd);
        format!("{rule} Corrections moved {count} with ${usd} to the team shown here.")
    }

    /// How to read it: method, prices, completeness.
    #[must_use]
    pub fn method(&self) -> Vec<Paragraph> {
        let versions = match self.pricing_versions.as_slice() {
            [] => "No rate was needed.",
            [_] => "Pricing table:",
            _ => "Pricing tables:",
        };
        let damaged = match self.frame.damaged {
            0 => "Every line of the ledger could be read.".to_owned(),
            count => format!(
                "{} lines of the ledger cannot be read; what they say is missing here.",
                thousands(count)
            ),
        };
        let removed = self.frame.kept_since.map_or_else(String::new, |since| {
            let since = period::readable(since);
            format!(" Older lines were removed as ledger.retention_months asks: nothing from before {since} is here.")
        });
        let partial = match self.total.partial {
            0 => String::new(),
            count => format!(" {} ended early: their output is a lower bound.", calls(count)),
        };
        let recorded = match self.instances.as_slice() {
            [] => "Nothing was recorded.",
            [_] => "Recorded by the instance",
            _ => "Recorded by the instances",
        };
        let made = period::readable(self.frame.made_at);
        let paragraph = |name, text| Paragraph { name, text, names: Vec::new() };
        vec![
            paragraph(
                "What is counted",
                "Every call to the Claude API that went through Weighbridge, with the usage that \
                 the API itself reported for it. Each attempt counts as a call; a call that \
                 several models worked on counts for each of them. Tokens are those that are \
                 billed, or would be at the API's prices. Days are UTC; a call belongs to the day \
                 it began."
                    .to_owned(),
            ),
            paragraph(
                "Amounts",
                format!(
                    "Quantity × rate, line by line, in whole units of 10⁻¹⁸ dollars, rounded only \
                     for display. The exact total is ${}. List is what the published prices \
                     would come to, contracted what is paid after negotiated discounts; taxes and \
                     credits are not known here.",
                    self.total.usd
                ),
            ),
            Paragraph {
                name: "Prices",
                text: versions.to_owned(),
                names: self.pricing_versions.clone(),
            },
            paragraph("Who pays", self.payers()),
            paragraph(
                "Cache",
                "Saved: what reads and writes would have cost as plain input, less what they did \
                 cost. Waste: what was paid beyond plain input for writes that no later call of \
                 the same session and model read in time, and for writing again what had expired. \
                 A prefix that only other sessions read counts as waste."
                    .to_owned(),
            ),
            Paragraph {
                name: "Completeness",
                text: format!("Made on {made} UTC. {damaged}{removed}{partial} {recorded}"),
                names: self.instances.clone(),
            },
        ]
    }
}

/// An amount for people, with its dollar sign in front.
fn dollars(amount: Money, decimals: u32) -> String {
    let text = usd_readable(amount, decimals);
    for sign in ["<", ">-", "-"] {
        if let Some(rest) = text.strip_prefix(sign) {
            let sign = sign.replace('-', "−");
            return format!("{sign}${rest}");
        }
    }
    format!("${text}")
}

fn minus(amount: Money, less: Money) -> Money {
    amount.checked_sub(less).unwrap_or(Money::ZERO)
}

/// A length of time: `day`, `30 days`, `21.9 days`, `8 hours`, `30 minutes`.
fn length(ns: i64) -> String {
    if ns < NS_PER_DAY {
        let minutes = ns / (NS_PER_HOUR / 60);
        return match minutes {
            ..120 => format!("{minutes} minutes"),
            _ => format!("{} hours", minutes / 60),
        };
    }
    let tenths = ns.saturating_add(NS_PER_DAY / 20) / (NS_PER_DAY / 10);
    match (tenths / 10, tenths % 10) {
        (1, 0) => "day".to_owned(),
        (days, 0) => format!("{days} days"),
        (days, tenth) => format!("{days}.{tenth} days"),
    }
}

/// Whole days as days, both ends included; anything else to the second.
fn period_text(from: i64, to: i64) -> String {
    let whole = |at: i64| at.rem_euclid(NS_PER_DAY) == 0;
    if !whole(from) || !whole(to) {
        return format!("{} – {}", period::readable(from), period::readable(to));
    }
    let last = to.saturating_sub(NS_PER_DAY);
    if from == last {
        return period::long_day(from);
    }
    format!("{} – {}", period::long_day(from), period::long_day(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_have_their_sign_in_front() {
        for (amount, shown) in [
            ("1234.565", "$1,234.56"),
            ("-0.5", "−$0.50"),
            ("0.0000001", "<$0.01"),
            ("-0.0000001", ">−$0.01"),
            ("0", "$0.00"),
        ] {
            assert_eq!(dollars(usd(amount), 2), shown);
        }
    }

    #[test]
    fn changes_are_rounded_and_never_divide_by_nothing() {
        let between = |a: &str, b: &str| Change::between(usd(a), usd(b)).text();
        assert_eq!(between("8", "9"), "12.5 % more");
        assert_eq!(between("9", "8"), "11.1 % less");
        assert_eq!(between("0", "8"), "new");
        assert_eq!(between("0", "0"), "the same");
        assert_eq!(between("100000", "100000.1"), "the same");
        let (tiny, huge) = (Money::from_atto(1), Money::from_atto(i128::MAX));
        assert!(matches!(Change::between(tiny, huge), Change::Up(_)));
        assert_eq!(share(tiny, huge), "<0.1 %");
        assert_eq!(permille(huge, huge), 1000);
    }

    #[test]
    fn periods_are_said_as_people_do() {
        let day = NS_PER_DAY;
        assert_eq!(period_text(0, day), "1 January 1970");
        assert_eq!(period_text(0, 3 * day), "1 January 1970 – 3 January 1970");
        let odd = period_text(0, day + 1_000_000_000);
        for (ns, shown) in [
            (day, "day"),
            (30 * day, "30 days"),
            (day * 219 / 10, "21.9 days"),
            (8 * NS_PER_HOUR, "8 hours"),
            (NS_PER_HOUR / 2, "30 minutes"),
        ] {
            assert_eq!(length(ns), shown);
        }
        assert_eq!(odd, "1970-01-01 00:00:00 – 1970-01-02 00:00:01");
    }
}
