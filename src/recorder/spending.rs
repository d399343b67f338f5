//! What budgets hear of: charges and errors, after their entry is in the ledger.

use super::{Recorder, Written};
use crate::accounting::Money;
use crate::accounting::budget::Spent;
use crate::privacy::Identifier;
use crate::record::batch::BatchResult;
use crate::record::{ChargeRecord, Closing, Entry, Opening, Outcome};

impl Recorder {
    /// Counts a closing that stands in the ledger. Without budgets this is one comparison.
    pub(super) fn spent(&self, opening: &Opening, entry: &Entry, written: Written) {
        let Some(budgets) = &self.budgets else { return };
        let (Entry::Closed(closing), Some(sequence)) = (entry, written.sequence) else { return };
        let at = moment(written);
        if closing.outcome != Outcome::Refused {
            let classes = [&closing.error_type, &closing.error_class];
            for class in classes.into_iter().flatten().map(Identifier::as_str) {
                if budgets.watches(class) {
                    budgets.error_seen(sequence, class, &opening.team, at);
                }
            }
        }
        let Some(usd) = billed(closing.charge.as_ref()).filter(|_| budgets.counts()) else {
            return;
        };
        let model = model(opening, closing);
        budgets.spent(
            sequence,
            Spent {
                at,
                usd,
                team: Some(opening.team.clone()),
                project: opening.project.clone(),
                user: opening.user.clone(),
                model: model.map(|model| model.as_str().to_owned()),
                session: opening.session.as_ref().map(|session| session.as_str().to_owned()),
            },
        );
    }

    /// Counts a result of a batch that stands in the ledger.
    pub(super) fn spent_by_batch(&self, result: &BatchResult, written: Written) {
        let Some(budgets) = self.budgets.as_ref().filter(|budgets| budgets.counts()) else {
            return;
        };
        let charge = billed(result.charge.as_ref()).zip(written.sequence);
        let Some((usd, sequence)) = charge else { return };
        budgets.spent(
            sequence,
            Spent {
                at: moment(written),
                usd,
                team: Some(result.team.clone()),
                project: result.project.clone(),
                user: result.user.clone(),
                model: result.model.as_ref().map(|model| model.as_str().to_owned()),
                session: None,
            },
        );
    }
}

/// The model that answered, else the one asked for: as the index has it.
fn model<'a>(opening: &'a Opening, closing: &'a Closing) -> Option<&'a Identifier> {
    closing.model.as_ref().or(opening.model.as_ref())
}

/// What somebody is billed: no estimate, nothing that a subscription covers.
fn billed(charge: Option<&ChargeRecord>) -> Option<Money> {
    charge.filter(|charge| charge.notional == 0).and_then(|charge| charge.usd)
}

fn moment(written: Written) -> i64 {
    i64::try_from(written.stamp.wall_ns).unwrap_or(i64::MAX)
}
