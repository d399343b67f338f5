//! What `ipe.json` says was asked for and left out, against the lines that are there.

use super::export::{SHARES_UID, SHARES_UNSEEN, not_provable, query};
use super::facts::{Facts, Sample};
use crate::audit::line::Envelope;
use crate::audit::verify::{Chain, Damages};
use crate::cli::source;
use crate::report::Period;

/// The claims while the lines are read.
pub(super) struct Claims<'f> {
    facts: &'f Facts,
    /// As it was asked for; absent where it cannot be read.
    period: Option<Period>,
    /// Closings of the period whose opening is not there: how many, and the first.
    alone: (u64, u64),
    /// The first line that lies on the wrong side of the period's beginning or end.
    misplaced: Option<u64>,
}

impl<'f> Claims<'f> {
    /// Those that need no line. A whole is not a part, nobody chose the sample, and what is not
    /// provable follows from the rest.
    pub(super) fn of(facts: &'f Facts, damages: &mut Damages) -> Claims<'f> {
        let (tree, period, lines) = (&facts.tree, facts.period, facts.lines);
        let (from, to) = (&facts.parameters.from, &facts.parameters.to);
        if from.is_none() && (period.first, lines.first) != (tree.pruned, tree.pruned) {
            damages.add(tree.pruned, "lines before the period's first are left out, unsaid");
        }
        if to.is_none() && lines.end != tree.size {
            damages.add(lines.end, "lines after the period's last are left out, unsaid");
        }
        if tree.pruned > lines.first {
            damages.add(None, "ipe.json calls lines pruned that are in the bundle");
        }
        let is_within = lines.first <= period.first && period.first <= period.end;
        if !is_within || period.end != lines.end || lines.end > tree.size {
            damages.add(None, "ipe.json names lines that its tree and its period do not cover");
        }
        if facts.sample != Sample::of(&tree.root) {
            damages.add(None, "ipe.json draws the sample by another rule or seed");
        }
        let shares = facts.agent_shares_uid.as_str();
        let are_ours = facts.not_provable == not_provable(facts)
            && facts.query == query(&facts.parameters)
            && [SHARES_UID, SHARES_UNSEEN].contains(&shares);
        if facts.is_of_this_form() && !are_ours {
            damages.add(None, "ipe.json words its question or its limits in another way");
        }
        let asked = source::period(from.as_deref(), to.as_deref()).ok();
        if asked.is_none() {
            damages.add(None, "ipe.json names a period that is none");
        }
        Claims { facts, period: asked, alone: (0, 0), misplaced: None }
    }

    /// Takes a line in. The period is that of the lines' own clock: from the first line at or after
    /// its beginning to the last before its end.
    pub(super) fn line(&mut self, found: &Envelope<'_>, closes_alone: bool) {
        let (span, index) = (self.facts.period, found.index);
        if closes_alone && index >= span.first {
            let (count, first) = self.alone;
            self.alone = (count + 1, if count == 0 { index } else { first });
        }
        let Some(period) = self.period else { return };
        let at = i64::try_from(found.wall_ns).unwrap_or(i64::MAX);
        let is_early = period.from.is_some_and(|from| at < from.0);
        let is_late = period.to.is_some_and(|to| at >= to.0);
        let has_from = period.from.is_some();
        let is_misplaced = match index {
            index if index < span.first => has_from && !is_early,
            index => index == span.first && is_early || index + 1 == span.end && is_late,
        };
        if is_misplaced {
            self.misplaced.get_or_insert(index);
        }
    }

    /// No line follows. Gives what is not provable.
    pub(super) fn finish(self, chain: &Chain, damages: &mut Damages) -> Option<String> {
        if let Some(at) = self.misplaced {
            let what = format!("line {at} is not where the period that was asked for puts it");
            damages.add(at, what);
        }
        let (count, first) = self.alone;
        let has_reason = chain.gaps > 0 || self.facts.tree.pruned > 0 || chain.open_overflow;
        if count > 0 && self.facts.lines.first > 0 && !has_reason {
            let what = format!("line {first} closes an exchange whose opening is left out");
            damages.add(first, what);
            return None;
        }
        (count > 0).then(|| {
            let why =
                if chain.gaps > 0 { "gaps in the ledger say why" } else { "they were pruned" };
            format!("{count} closings have no opening: {why}")
        })
    }
}
