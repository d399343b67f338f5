//! Adds up exchanges by dimension, exactly.

use std::collections::{BTreeSet, HashMap};

use super::dimension::Dimension;
use super::period::{self, NS_PER_DAY, NS_PER_HOUR, Period};
use super::sums::{Facts, Sums};

/// Sums by the values of some dimensions. Indexes of several instances are added one after the
/// other.
#[derive(Debug)]
pub struct Tally {
    by: Vec<Dimension>,
    groups: HashMap<Vec<u8>, Sums>,
    pricing: BTreeSet<String>,
    last_pricing: String,
    key: Vec<u8>,
}

/// Kinds of value in an encoded key.
const ABSENT: u8 = 0;
const TEXT: u8 = 1;
const NUMBER: u8 = 2;

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(by: Vec<Dimension>) -> Tally {
        let (groups, pricing) = (HashMap::new(), BTreeSet::new());
        Tally { by, groups, pricing, last_pricing: String::new(), key: Vec::new() }
    }

    /// What is grouped by.
    #[must_use]
    pub fn by(&self) -> &[Dimension] {
        &self.by
    }

    /// Counts one exchange. `value` gives a dimension's value by its place in [`Tally::by`]; it is
    /// not asked for days and hours, which follow from the time.
    pub fn add<'v>(&mut self, facts: &Facts<'_>, mut value: impl FnMut(usize) -> Option<&'v str>) {
        self.key.clear();
        for (place, dimension) in self.by.iter().enumerate() {
            let step = match dimension {
                Dimension::Day => NS_PER_DAY,
                Dimension::Hour => NS_PER_HOUR,
                _ => {
                    push_text(&mut self.key, value(place));
                    continue;
                }
            };
            self.key.push(NUMBER);
            self.key.extend_from_slice(&facts.opened_at.div_euclid(step).to_le_bytes());
        }
        match self.groups.get_mut(&self.key) {
            Some(sums) => sums.add(facts),
            None => self.groups.entry(self.key.clone()).or_default().add(facts),
        }
        // Almost always the same as before.
        if let Some(pricing) = facts.pricing.filter(|pricing| *pricing != self.last_pricing) {
            pricing.clone_into(&mut self.last_pricing);
            self.pricing.insert(pricing.to_owned());
        }
    }

    /// The report. Groups by time are in the order of time, all others by what they cost.
    #[must_use]
    pub fn finish(self, period: Period) -> Report {
        let mut total = Sums::default();
        let mut rows = Vec::with_capacity(self.groups.len());
        for (key, sums) in self.groups {
            total.merge(&sums);
            rows.push(ReportRow { values: decode(&key, &self.by), sums });
        }
        if self.by.iter().any(Dimension::is_time) {
            rows.sort_unstable_by(|a, b| a.values.cmp(&b.values));
        } else {
            rows.sort_unstable_by(|a, b| {
                b.sums.usd.cmp(&a.sums.usd).then_with(|| a.values.cmp(&b.values))
            });
        }
        let pricing_versions = self.pricing.into_iter().collect();
        Report { period, by: self.by, rows, total, pricing_versions, kept_since: None }
    }
}

/// A finished report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it covers.
    pub period: Period,
    /// What it is grouped by.
    pub by: Vec<Dimension>,
    /// The groups.
    pub rows: Vec<ReportRow>,
    /// The sum over all groups.
    pub total: Sums,
    /// The pricing tables that gave the rates.
    pub pricing_versions: Vec<String>,
    /// Calls from before this moment were removed from a ledger, nanoseconds since 1970 (UTC).
    pub kept_since: Option<i64>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// Its value of each dimension; absent where the exchanges have none.
    pub values: Vec<Option<String>>,
    /// Its sums.
    pub sums: Sums,
}

fn push_text(key: &mut Vec<u8>, value: Option<&str>) {
    let Some(text) = value else {
        key.push(ABSENT);
        return;
    };
    key.push(TEXT);
    key.extend_from_slice(&(text.len() as u64).to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}

/// The inverse of what [`Tally::add`] encodes.
fn decode(mut key: &[u8], by: &[Dimension]) -> Vec<Option<String>> {
    let mut values = Vec::with_capacity(by.len());
    for dimension in by {
        let Some((kind, rest)) = key.split_first() else { break };
        let number = rest.first_chunk::<8>();
        let Some(number) = number.copied().filter(|_| *kind != ABSENT) else {
            key = rest;
            values.push(None);
            continue;
        };
        key = &rest[8..];
        if *kind == NUMBER {
            let number = i64::from_le_bytes(number);
            let hourly = *dimension == Dimension::Hour;
            values.push(Some(if hourly { period::hour(number) } else { period::day(number) }));
        } else {
            let length = usize::try_from(u64::from_le_bytes(number)).unwrap_or(0);
            let (text, rest) = key.split_at(length.min(key.len()));
            values.push(Some(String::from_utf8_lossy(text).into_owned()));
            key = rest;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Money;

    #[test]
    fn groups_by_text_and_time_and_keeps_absence_apart() {
        let mut tally = Tally::new(vec![Dimension::Team, Dimension::Hour]);
        let tiny: Money = "0.0000000055".parse().unwrap();
        for (team, hour) in [(Some("a"), 1), (None, 1), (Some(""), 1), (Some("a"), 1)] {
            let facts =
                Facts { opened_at: hour * NS_PER_HOUR, usd: Some(tiny), ..Facts::default() };
            tally.add(&facts, |_| team);
        }
        let report = tally.finish(Period::default());
        let names: Vec<Option<&str>> = report.rows.iter().map(|r| r.values[0].as_deref()).collect();
        assert_eq!(names, [None, Some(""), Some("a")]);
        assert_eq!(report.rows[2].values[1].as_deref(), Some("1970-01-01T01:00:00Z"));
        assert_eq!(report.rows[2].sums.usd.to_string(), "0.000000011");
        assert_eq!(report.total.usd.to_string(), "0.000000022");
    }
}
