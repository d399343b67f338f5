//! Modifiers, server tools and billing rules: what the table says beside rates.

use jiff::civil::Date;

use super::table::{RefusalBilling, Role};
use super::{ATTO_PER_PICO, Model};
use crate::accounting::Money;

/// Whether `day` is in the half-open range.
pub(in crate::accounting) fn holds(from: Option<Date>, to: Option<Date>, day: Date) -> bool {
    from.is_none_or(|from| from <= day) && to.is_none_or(|to| day < to)
}

/// What multiplies the rates of all five kinds of token.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::accounting) struct Modifiers {
    pub(in crate::accounting) batch: Modifier,
    pub(in crate::accounting) inference_geo_us: Modifier,
    pub(in crate::accounting) bedrock_regional: Modifier,
    pub(in crate::accounting) bedrock_gov: Modifier,
    pub(in crate::accounting) vertex_regional: Modifier,
    pub(in crate::accounting) foundry_us_data_zone: Modifier,
}

impl Modifiers {
    /// All of them, in the order of the table.
    pub(in crate::accounting) const fn all(&self) -> [&Modifier; 6] {
        [
            &self.batch,
            &self.inference_geo_us,
            &self.bedrock_regional,
            &self.bedrock_gov,
            &self.vertex_regional,
            &self.foundry_us_data_zone,
        ]
    }
}

/// An exact fraction, and where it holds.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::accounting) struct Modifier {
    pub(in crate::accounting) name: &'static str,
    pub(in crate::accounting) num: i128,
    pub(in crate::accounting) den: i128,
    pub(in crate::accounting) from: Date,
    pub(in crate::accounting) released_from: Option<Date>,
    pub(in crate::accounting) sources: Vec<String>,
}

impl Modifier {
    /// Whether it holds for this model on this day.
    pub(in crate::accounting) fn covers(&self, model: &Model, day: Date) -> bool {
        self.from <= day && self.released_from.is_none_or(|from| from <= model.released)
    }

    /// `scale` times this fraction; exact, because the loader has checked that the denominators
    /// which can come together divide [`ATTO_PER_PICO`].
    pub(in crate::accounting) fn apply(&self, scale: i128) -> Option<i128> {
        scale.checked_mul(self.num)?.checked_div(self.den)
    }

    /// Whether `scale` keeps whole after this fraction, on top of a batch's.
    pub(super) fn is_exact_after(&self, batch: &Modifier) -> bool {
        let dens = batch.den.checked_mul(self.den);
        dens.and_then(|dens| ATTO_PER_PICO.checked_rem(dens)) == Some(0)
    }
}

/// Server tools, each by period.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::accounting) struct Tools {
    pub(in crate::accounting) web_search: Vec<Tool>,
    pub(in crate::accounting) web_fetch: Vec<Tool>,
    pub(in crate::accounting) code_execution: Vec<ContainerTool>,
}

/// A tool that is paid by the request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::accounting) struct Tool {
    pub(in crate::accounting) from: Option<Date>,
    pub(in crate::accounting) to: Option<Date>,
    /// One request.
    pub(in crate::accounting) price: Money,
    pub(in crate::accounting) sources: Vec<String>,
}

/// A tool that is paid by the time its container runs.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::accounting) struct ContainerTool {
    pub(in crate::accounting) from: Option<Date>,
    pub(in crate::accounting) to: Option<Date>,
    /// One hour; a second has no finite decimal price.
    pub(in crate::accounting) price: Money,
    pub(in crate::accounting) minimum_seconds: u64,
    pub(in crate::accounting) free_hours_per_month: u64,
    pub(in crate::accounting) sources: Vec<String>,
}

/// What is billed, beside how much it costs.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::accounting) struct Rules {
    pub(super) refusals: Vec<RefusalRule>,
    pub(super) usage: Vec<(String, Role)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct RefusalRule {
    pub(super) from: Date,
    pub(super) to: Option<Date>,
    pub(super) billing: RefusalBilling,
    pub(super) categories: Vec<String>,
}

/// Whether something is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::accounting) enum Billing {
    /// Yes.
    Billed,
    /// No.
    Free,
    /// Not to be known: the truth is a range.
    Unsure,
}

impl Rules {
    /// Whether a refusal before any output is billed. `category` is `None` where the API names
    /// none, which is never billed.
    pub(in crate::accounting) fn refusal(&self, day: Date, category: Option<&str>) -> Billing {
        let rule = self.refusals.iter().find(|rule| holds(Some(rule.from), rule.to, day));
        let named = |rule: &&RefusalRule| {
            category.is_some_and(|category| rule.categories.iter().any(|known| known == category))
        };
        match rule.filter(named).map(|rule| rule.billing) {
            None => Billing::Free,
            Some(RefusalBilling::Billed) => Billing::Billed,
            Some(RefusalBilling::Uncertain) => Billing::Unsure,
        }
    }

    /// Whether an attempt that declined before any output is billed: its category is not in the
    /// response, so from the first day of any rule on it cannot be known.
    pub(in crate::accounting) fn declined(&self, day: Date) -> Billing {
        let any = self.refusals.iter().any(|rule| holds(Some(rule.from), rule.to, day));
        if any { Billing::Unsure } else { Billing::Free }
    }

    /// What an iteration of this type is to the bill; `None` where no rule knows it.
    pub(in crate::accounting) fn role(&self, kind: &str) -> Option<Role> {
        self.usage.iter().find(|(known, _)| known == kind).map(|(_, role)| *role)
    }

    /// The rule's own copy of an iteration's type.
    pub(in crate::accounting) fn name(&self, kind: &str) -> Option<&str> {
        self.usage.iter().find(|(known, _)| known == kind).map(|(known, _)| known.as_str())
    }
}
