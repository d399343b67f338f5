//! When a period begins and ends, in the time zone that its budget names.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{ToSpan, civil::Date};

/// How often a budget begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// At midnight.
    Day,
    /// On Monday at midnight (ISO 8601).
    Week,
    /// On the first at midnight.
    Month,
}

/// The moments between which a period lies, nanoseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounds {
    /// The first moment in it.
    pub start: i64,
    /// The first moment after it.
    pub end: i64,
}

impl Bounds {
    /// Whether a moment lies in it.
    #[must_use]
    pub const fn holds(&self, at: i64) -> bool {
        self.start <= at && at < self.end
    }
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Period; 3] = [Period::Day, Period::Week, Period::Month];

    /// The name used in the configuration, entries, labels and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        }
    }

    /// The period of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Period> {
        Period::ALL.into_iter().find(|period| period.name() == name)
    }

    /// The period that `at` (nanoseconds since 1970) lies in. Days are as long as the zone makes
    /// them: 23 or 25 hours where clocks change.
    #[must_use]
    pub fn bounds(self, at: i64, zone: &TimeZone) -> Bounds {
        let today = moment(at).to_zoned(zone.clone()).date();
        let since_monday = today.weekday().since(Weekday::Monday);
        let first = match self {
            Period::Day => today,
            Period::Week => today.saturating_sub(i32::from(since_monday).days()),
            Period::Month => today.first_of_month(),
        };
        let next = match self {
            Period::Day => first.saturating_add(1.day()),
            Period::Week => first.saturating_add(7.days()),
            Period::Month => first.saturating_add(1.month()),
        };
        Bounds { start: midnight(first, zone), end: midnight(next, zone) }
    }
}

/// The first moment of a day. Where a zone skips midnight, that is the moment after the gap.
fn midnight(date: Date, zone: &TimeZone) -> i64 {
    let start = date.to_zoned(zone.clone()).and_then(|zoned| zoned.start_of_day());
    start.map_or(0, |zoned| nanoseconds(zoned.timestamp()))
}

fn moment(at: i64) -> Timestamp {
    Timestamp::from_nanosecond(at.into()).unwrap_or_default()
}

fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

/// The time zone of an IANA name, from the database that is built in: a container may have none.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    TimeZoneDatabase::bundled().get(name).ok()
}
