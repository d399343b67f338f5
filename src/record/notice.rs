//! What is worth telling somebody: a budget's threshold was crossed, a class of errors was seen.
//! The entry comes first, the notification follows from it.

use serde::{Deserialize, Serialize};

use crate::accounting::Money;
use crate::accounting::budget::{Bounds, Change, Crossing, Fired, Threshold, Tier};
use crate::privacy::Identifier;

/// A budget's threshold was crossed. Once a period, subject and threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetCrossed {
    /// The budget's name in the configuration.
    pub budget: String,
    /// Expected at the period's end by then.
    pub forecast_usd: Money,
    /// The limit.
    pub limit_usd: Money,
    /// Which team, project, … of the scope; absent for all spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `day`, `week` or `month`.
    pub period: String,
    /// The first moment after the period, nanoseconds since 1970 (UTC).
    pub period_end: i64,
    /// Its first moment, nanoseconds since 1970 (UTC).
    pub period_start: i64,
    /// Of a burn tier: dollars an hour over its long window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_usd_per_hour: Option<Money>,
    /// `total`, `team`, `project`, `user` or `model`.
    pub scope: String,
    /// Of a session's limit: the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// What that session spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_usd: Option<Money>,
    /// `80`, `forecast`, `burn_14.4`, `session`, …
    pub threshold: String,
    /// Used in the period by then.
    pub used_usd: Money,
}

/// A burn tier was quiet for long enough: it can fire again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRearmed {
    /// The budget's name in the configuration.
    pub budget: String,
    /// Which team, project, … of the scope; absent for all spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `burn_14.4`, …
    pub threshold: String,
}

/// The API answered with an error of a class that somebody wants to hear of, for the first time
/// after a quiet while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorClassSeen {
    /// `billing_error`, `overloaded_error`, …
    pub class: Identifier,
    /// How often by now.
    pub count: u64,
    /// Who called first.
    pub team: String,
}

fn named(subject: &str) -> Option<String> {
    (!subject.is_empty()).then(|| subject.to_owned())
}

impl BudgetCrossed {
    /// A crossing as it is written down.
    #[must_use]
    pub fn new(crossing: &Crossing) -> BudgetCrossed {
        let Crossing { budget, subject, bounds, threshold, used, forecast, per_hour, session } =
            crossing;
        let session_name = session.as_ref().map(|(name, _)| name.as_bytes());
        BudgetCrossed {
            budget: budget.name.clone(),
            forecast_usd: *forecast,
            limit_usd: budget.limit,
            name: named(subject),
            period: budget.period.name().to_owned(),
            period_end: bounds.end,
            period_start: bounds.start,
            rate_usd_per_hour: *per_hour,
            scope: budget.scope.name().to_owned(),
            // It was an identifier when it came in.
            session: session_name.and_then(Identifier::plain),
            session_usd: session.as_ref().map(|(_, usd)| *usd),
            threshold: threshold.name(),
            used_usd: *used,
        }
    }

    /// Which team, project, …; empty for all spend.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// What was crossed; `None` where a newer version wrote it.
    #[must_use]
    pub fn crossed(&self) -> Option<Threshold> {
        Threshold::named(&self.threshold)
    }

    /// Whether it is about the spend of a whole period, and stays true until that ends.
    #[must_use]
    pub fn is_of_period(&self) -> bool {
        matches!(self.crossed(), Some(Threshold::Percent(_) | Threshold::Forecast))
    }

    /// The period.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        Bounds { start: self.period_start, end: self.period_end }
    }

    /// As far as it decides what fires again.
    #[must_use]
    pub fn fired(&self) -> Option<Fired<'_>> {
        Some(Fired {
            budget: &self.budget,
            subject: self.subject(),
            start: self.period_start,
            threshold: self.crossed()?,
            limit: self.limit_usd,
            session: self.session.as_ref().map(Identifier::as_str),
        })
    }
}

impl BudgetRearmed {
    /// As it is written down; `None` for a crossing.
    #[must_use]
    pub fn of(change: &Change) -> Option<BudgetRearmed> {
        let Change::Rearmed { budget, subject, tier } = change else { return None };
        let threshold = Threshold::Burn(*tier).name();
        Some(BudgetRearmed { budget: budget.name.clone(), name: named(subject), threshold })
    }

    /// The tier; `None` where a newer version wrote it.
    #[must_use]
    pub fn tier(&self) -> Option<Tier> {
        match Threshold::named(&self.threshold)? {
            Threshold::Burn(tier) => Some(tier),
            _ => None,
        }
    }
}

/// Any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A threshold was crossed.
    Crossed(Box<BudgetCrossed>),
    /// A burn tier can fire again: nobody is told.
    Rearmed(BudgetRearmed),
    /// A class of errors was seen.
    Error(ErrorClassSeen),
}

/// One of them with its place in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// Its index in the ledger.
    pub sequence: u64,
    /// When it was written, nanoseconds since 1970 (UTC).
    pub at: i64,
    /// What it says.
    pub notice: Notice,
}

impl Notice {
    /// From an entry's kind and body; `None` for any other kind, or a body that is none.
    #[must_use]
    pub fn parse(kind: &str, body: &str) -> Option<Notice> {
        match kind {
            "budget_crossed" => serde_json::from_str(body).ok().map(Notice::Crossed),
            "budget_rearmed" => serde_json::from_str(body).ok().map(Notice::Rearmed),
            "error_class_seen" => serde_json::from_str(body).ok().map(Notice::Error),
            _ => None,
        }
    }
}
