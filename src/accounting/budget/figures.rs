//! What follows from a subject's sums: forecast, burn, time left.
//!
//! * **Window**: what was spent in the last so many seconds, from sums of five minutes. The oldest
//!   of them is only partly in the window and counts with that part.
//! * **Burn ratio**: the rate over a window, by the rate that uses the limit up exactly at the
//!   period's end if it is kept from its start (limit / length of the period).
//! * **Forecast**: used + time left × mean of two rates: of the period so far, and of the last day.
//!   The first says what this period is like, the second what it is like now. The period so far
//!   counts as an hour at least, so that the first call after midnight is no forecast.
//! * **Time left**: what is left of the limit at the rate of the last day.

use std::sync::Arc;

use super::super::Money;
use super::book::{Account, Sums, bucket_of};
use super::{Bounds, Budget, NS_PER_SECOND, ppm, scaled};

/// The seconds of one sum.
pub(super) const BUCKET_SECONDS: i64 = 300;
/// The longest window.
pub(super) const WINDOW_SECONDS_MAX: i64 = Window::Days3.seconds();
/// A period so far counts as this long at least, for its rate.
const ELAPSED_SECONDS_MIN: i64 = 3600;

/// How far back a rate looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// 5 minutes.
    Minutes5,
    /// 30 minutes.
    Minutes30,
    /// An hour.
    Hour,
    /// 2 hours.
    Hours2,
    /// 6 hours.
    Hours6,
    /// A day.
    Day,
    /// 3 days.
    Days3,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: [Window; 7] = [
        Window::Minutes5,
        Window::Minutes30,
        Window::Hour,
        Window::Hours2,
        Window::Hours6,
        Window::Day,
        Window::Days3,
    ];

    /// The name used in labels and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Window::Minutes5 => "5m",
            Window::Minutes30 => "30m",
            Window::Hour => "1h",
            Window::Hours2 => "2h",
            Window::Hours6 => "6h",
            Window::Day => "1d",
            Window::Days3 => "3d",
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Window::Minutes5 => 300,
            Window::Minutes30 => 1800,
            Window::Hour => 3600,
            Window::Hours2 => 7200,
            Window::Hours6 => 21_600,
            Window::Day => 86_400,
            Window::Days3 => 259_200,
        }
    }
}

/// How fast money goes over one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burn {
    /// The window.
    pub window: Window,
    /// Dollars an hour.
    pub per_hour: Money,
    /// By the even rate, in parts per million.
    pub ratio_ppm: i128,
}

/// What is known of one subject of one budget at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The budget.
    pub budget: Arc<Budget>,
    /// Which team, project, …; empty for all spend.
    pub subject: String,
    /// The running period.
    pub bounds: Bounds,
    /// Used in it, exactly.
    pub used: Money,
    /// By the limit, in parts per million.
    pub used_ppm: i128,
    /// Expected at its end.
    pub forecast: Money,
    /// The rates, in the order of [`Window::ALL`].
    pub burns: [Burn; 7],
    /// Until the limit is used up at the rate of the last day; `None` without spend in it.
    pub seconds_left: Option<i64>,
}

impl Figures {
    pub(super) fn new(account: &Account, subject: &str, sums: &Sums, now: i64) -> Figures {
        let (budget, bounds) = (Arc::clone(account.budget()), account.bounds());
        let limit = budget.limit;
        let windows = window_sums(sums, now);
        let seconds = |ns: i64| ns.div_euclid(NS_PER_SECOND);
        let length = seconds(bounds.end.saturating_sub(bounds.start)).max(1);
        let elapsed = seconds(now.saturating_sub(bounds.start)).clamp(0, length);
        let burns = std::array::from_fn(|place| {
            let (window, sum) = windows[place];
            let even = scaled(limit, window.seconds(), length);
            let per_hour = scaled(sum, 3600, window.seconds());
            Burn { window, per_hour, ratio_ppm: ppm(sum, even) }
        });
        let day = windows[Window::Day as usize].1;
        let left = length.saturating_sub(elapsed);
        let by_period = scaled(sums.used, left, elapsed.max(ELAPSED_SECONDS_MIN));
        let by_day = scaled(day, left, Window::Day.seconds());
        let more = scaled(by_period.saturating_add(by_day), 1, 2);
        Figures {
            subject: subject.to_owned(),
            bounds,
            used: sums.used,
            used_ppm: ppm(sums.used, limit),
            forecast: sums.used.saturating_add(more),
            burns,
            seconds_left: seconds_left(limit, sums.used, day),
            budget,
        }
    }

    /// The burn over one window.
    #[must_use]
    pub fn burn(&self, window: Window) -> Burn {
        self.burns[window as usize]
    }

    /// Whether so many percent of the limit are used.
    #[must_use]
    pub fn reaches(&self, percent: u16) -> bool {
        self.used.atto() >= scaled(self.budget.limit, percent.into(), 100).atto()
    }
}

/// What was spent in each window that ends at `now`, in one pass from the newest sum back.
fn window_sums(sums: &Sums, now: i64) -> [(Window, Money); 7] {
    let newest = bucket_of(now);
    let bucket_ns = BUCKET_SECONDS.saturating_mul(NS_PER_SECOND);
    // How much of the newest five minutes has passed: so much of the oldest is out of the window.
    let passed = now.rem_euclid(bucket_ns).div_euclid(NS_PER_SECOND);
    let mut buckets = sums.buckets.range(..=newest).rev().peekable();
    let mut whole = Money::ZERO;
    Window::ALL.map(|window| {
        let count = window.seconds().div_euclid(BUCKET_SECONDS);
        let oldest = newest.saturating_sub(count);
        while let Some((_, usd)) = buckets.next_if(|(bucket, _)| **bucket > oldest) {
            whole = whole.saturating_add(*usd);
        }
        let partly = sums.buckets.get(&oldest).copied().unwrap_or_default();
        let part = scaled(partly, BUCKET_SECONDS.saturating_sub(passed), BUCKET_SECONDS);
        (window, whole.saturating_add(part))
    })
}

fn seconds_left(limit: Money, used: Money, day: Money) -> Option<i64> {
    if day <= Money::ZERO {
        return None;
    }
    let left = limit.atto().saturating_sub(used.atto()).max(0);
    // In whole nano-dollars: seconds need no more, and the product stays in range.
    let (left, day) = (left.div_euclid(1_000_000_000), day.atto().div_euclid(1_000_000_000).max(1));
    let seconds = left.saturating_mul(Window::Day.seconds().into()).div_euclid(day);
    Some(i64::try_from(seconds).unwrap_or(i64::MAX))
}
