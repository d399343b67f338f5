//! Budgets: a limit on spend for a scope and a period, and what is known of it at any moment.
//!
//! A budget is a signal, never a gate: nothing here refuses a call. Everything is computed from
//! charges: the exact sum of the running period, and sums of five minutes for the rates of the last
//! days. Money is whole atto-dollars, ratios are parts per million; there is no float.
//!
//! * [`Book`] adds charges up, by budget and subject.
//! * [`Figures`] is what follows from the sums: forecast, burn, time left.
//! * [`Alarms`] knows which thresholds were crossed, and which of them are new.

mod alarm;
mod book;
mod figures;
mod period;
mod sessions;

use jiff::tz::TimeZone;

pub use alarm::{Alarms, Change, Crossing, Fired};
pub use book::{Account, Book, SUBJECTS_MAX, Spent};
pub use figures::{Burn, Figures, Window};
pub use period::{Bounds, Period, zone};
pub use sessions::SESSIONS_MAX;

use super::Money;

/// Nanoseconds in a second.
pub const NS_PER_SECOND: i64 = 1_000_000_000;
/// A whole, in parts per million.
pub const PPM: i128 = 1_000_000;

/// What a budget is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All spend.
    Total,
    /// Of a team.
    Team,
    /// Of a project.
    Project,
    /// Of a user.
    User,
    /// For a model, by the name that reports show.
    Model,
}

impl Scope {
    /// All of them, in the order of the documentation.
    pub const ALL: [Scope; 5] =
        [Scope::Total, Scope::Team, Scope::Project, Scope::User, Scope::Model];

    /// The name used in the configuration, entries, labels and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Total => "total",
            Scope::Team => "team",
            Scope::Project => "project",
            Scope::User => "user",
            Scope::Model => "model",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A limit and when to speak up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its name in the configuration.
    pub name: String,
    /// What it is about.
    pub scope: Scope,
    /// Which one; `None` means each one by itself, and the only one of [`Scope::Total`].
    pub subject: Option<String>,
    /// How often it begins anew.
    pub period: Period,
    /// Where its days begin.
    pub zone: TimeZone,
    /// What may be spent in a period; above zero.
    pub limit: Money,
    /// Percent of the limit that are worth a word, ascending.
    pub percents: Vec<u16>,
    /// Whether a forecast above the limit is.
    pub forecast: bool,
    /// Whether burning too fast is.
    pub burn: bool,
    /// Slower than this, in dollars an hour, is never too fast.
    pub burn_floor: Money,
    /// What one session may spend.
    pub session_limit: Option<Money>,
}

/// How fast is too fast: a multiple of the rate that uses a budget up exactly at its period's end,
/// in a long window and in a short one. The long one makes sure that it matters, the short one that
/// it still goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// 14.4 times, over an hour and 5 minutes: a month's budget in two days.
    Fastest,
    /// 6 times, over 6 hours and 30 minutes.
    Fast,
    /// 3 times, over a day and 2 hours.
    Raised,
    /// More than evenly, over 3 days and 6 hours.
    Above,
}

impl Tier {
    /// All of them, the fastest first.
    pub const ALL: [Tier; 4] = [Tier::Fastest, Tier::Fast, Tier::Raised, Tier::Above];

    /// The multiple, in parts per million.
    #[must_use]
    pub const fn ppm(self) -> i128 {
        match self {
            Tier::Fastest => 14_400_000,
            Tier::Fast => 6_000_000,
            Tier::Raised => 3_000_000,
            Tier::Above => 1_000_000,
        }
    }

    /// The long window and the short one.
    #[must_use]
    pub const fn windows(self) -> (Window, Window) {
        match self {
            Tier::Fastest => (Window::Hour, Window::Minutes5),
            Tier::Fast => (Window::Hours6, Window::Minutes30),
            Tier::Raised => (Window::Day, Window::Hours2),
            Tier::Above => (Window::Days3, Window::Hours6),
        }
    }
}

/// What can be crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Threshold {
    /// So many percent of the limit are used.
    Percent(u16),
    /// The forecast is above the limit.
    Forecast,
    /// Money burns too fast.
    Burn(Tier),
    /// One session spent too much.
    Session,
}

impl Threshold {
    /// The name used in entries, labels and payloads: `80`, `forecast`, `burn_14.4`, `session`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Threshold::Percent(percent) => percent.to_string(),
            Threshold::Forecast => "forecast".to_owned(),
            Threshold::Burn(Tier::Fastest) => "burn_14.4".to_owned(),
            Threshold::Burn(Tier::Fast) => "burn_6".to_owned(),
            Threshold::Burn(Tier::Raised) => "burn_3".to_owned(),
            Threshold::Burn(Tier::Above) => "burn_1".to_owned(),
            Threshold::Session => "session".to_owned(),
        }
    }

    /// The inverse of [`Threshold::name`].
    #[must_use]
    pub fn named(name: &str) -> Option<Threshold> {
        let burns = Tier::ALL.into_iter().map(Threshold::Burn);
        let mut others = burns.chain([Threshold::Forecast, Threshold::Session]);
        let known = others.find(|threshold| threshold.name() == name);
        known.or_else(|| name.parse().ok().map(Threshold::Percent))
    }
}

/// `part` of `whole` in parts per million, rounded down and held at the end of the range.
#[must_use]
pub fn ppm(part: Money, whole: Money) -> i128 {
    let (part, whole) = (part.atto(), whole.atto());
    if whole <= 0 {
        return if part > 0 { i128::MAX } else { 0 };
    }
    match part.checked_mul(PPM) {
        Some(product) => product.div_euclid(whole),
        // Beyond 1.7e14 dollars; a part per million of that is far below any digit shown.
        None => part.div_euclid(whole.div_euclid(PPM).max(1)),
    }
}

/// `money` × `times` / `by`, rounded down and held at the end of the range. `by` is above zero.
pub(in crate::accounting) fn scaled(money: Money, times: i64, by: i64) -> Money {
    let by = i128::from(by.max(1));
    let atto = match money.atto().checked_mul(times.into()) {
        Some(product) => product.div_euclid(by),
        None => money.atto().div_euclid(by).saturating_mul(times.into()),
    };
    Money::from_atto(atto)
}

#[cfg(test)]
mod tests;
