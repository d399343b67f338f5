//! Moments as people write them: UTC days and RFC 3339 instants; half-open periods.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Nanoseconds in a day.
pub const NS_PER_DAY: i64 = 86_400_000_000_000;
/// Nanoseconds in an hour.
pub const NS_PER_HOUR: i64 = 3_600_000_000_000;

/// One end of a period, in nanoseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

/// A text is neither a day nor an instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a date; write a UTC day like 2026-11-20 or an instant like 2026-11-20T08:00:00Z"
)]
pub struct MomentError(pub String);

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MomentError(text.chars().take(64).collect());
        // Checked by length first: a date parser also takes forms that are not a plain day.
        let instant = if text.len() == "2026-11-20".len() {
            let date: Date = text.parse().map_err(|_| error())?;
            date.to_zoned(TimeZone::UTC).map_err(|_| error())?.timestamp()
        } else {
            text.parse::<Timestamp>().map_err(|_| error())?
        };
        i64::try_from(instant.as_nanosecond()).map(Moment).map_err(|_| error())
    }
}

/// A plain day where it is the start of one, else RFC 3339.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.rem_euclid(NS_PER_DAY) == 0 {
            return f.write_str(&day(self.0.div_euclid(NS_PER_DAY)));
        }
        f.write_str(&instant(self.0))
    }
}

/// `from` included, `to` not; an absent end is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first moment inside.
    pub from: Option<Moment>,
    /// The first moment after.
    pub to: Option<Moment>,
}

impl Period {
    /// Whether a moment lies in it.
    #[must_use]
    pub fn contains(&self, at: i64) -> bool {
        self.from.is_none_or(|from| at >= from.0) && self.to.is_none_or(|to| at < to.0)
    }
}

/// RFC 3339 in UTC, with as many decimals as it has.
#[must_use]
pub fn instant(ns: i64) -> String {
    timestamp(ns).to_string()
}

/// For people: to the second, without the zone.
#[must_use]
pub fn readable(ns: i64) -> String {
    timestamp(ns).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The name of a day counted from 1970.
#[must_use]
pub fn day(number: i64) -> String {
    timestamp(number.saturating_mul(NS_PER_DAY)).strftime("%Y-%m-%d").to_string()
}

/// The name of an hour counted from 1970: its first instant.
#[must_use]
pub fn hour(number: i64) -> String {
    timestamp(number.saturating_mul(NS_PER_HOUR)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first moment of the month (UTC) that `ns` lies in, and that of the next month.
#[must_use]
pub fn month(ns: i64) -> (i64, i64) {
    let date = timestamp(ns).to_zoned(TimeZone::UTC).date().first_of_month();
    let start = |date: Date| {
        let zoned = date.to_zoned(TimeZone::UTC).ok();
        zoned.and_then(|zoned| i64::try_from(zoned.timestamp().as_nanosecond()).ok())
    };
    let next = date.checked_add(jiff::Span::new().months(1)).ok();
    let first = start(date).unwrap_or(ns);
    (first, next.and_then(start).unwrap_or(first))
}

/// A day for people: `22 November 2026`.
#[must_use]
pub fn long_day(ns: i64) -> String {
    timestamp(ns).strftime("%-d %B %Y").to_string()
}

/// A day for an axis: `22 Nov`.
#[must_use]
pub fn short_day(ns: i64) -> String {
    timestamp(ns).strftime("%-d %b").to_string()
}

/// A month for people: `Nov 2026`.
#[must_use]
pub fn short_month(ns: i64) -> String {
    timestamp(ns).strftime("%b %Y").to_string()
}

fn timestamp(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_instants_are_read_and_shown() {
        for text in ["1970-01-01", "2026-11-20", "2026-11-20T08:00:00Z", "2026-11-20T08:00:00.5Z"] {
            assert_eq!(text.parse::<Moment>().unwrap().to_string(), text);
        }
        let shifted = "2026-11-20T08:00:00+02:00".parse::<Moment>().unwrap();
        assert_eq!(shifted.to_string(), "2026-11-20T06:00:00Z");
        assert_eq!("2026-11-20T00:00:00Z".parse::<Moment>().unwrap().to_string(), "2026-11-20");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "2026-13-01", "20261120", "yesterday", "2026-11-20T08:00:00", "2026-W47-5"]
        {
            let message = text.parse::<Moment>().unwrap_err().to_string();
            assert!(message.contains("2026-11-20T08:00:00Z"), "{text}");
        }
    }
}
