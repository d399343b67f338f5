//! What the redactor found, what was kept, and what was dropped.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounterVec};

use super::build::Build;
use super::labels::Label as Names;
use crate::privacy::Label;

/// The families about redaction and kept contents.
pub struct Privacy {
    redactions: IntCounterVec,
    duration: Histogram,
    kept: IntCounterVec,
    dropped: IntCounterVec,
    teams: Arc<Names>,
}

/// Why a content is not kept though its team asks for it.
pub const DROPPED: [&str; 6] = ["busy", "erased", "failed", "timed_out", "too_long", "unwritten"];

impl Privacy {
    pub(super) fn new(build: &Build<'_>, teams: &Arc<Names>) -> Result<Privacy, prometheus::Error> {
        let privacy = Privacy {
            redactions: build.counters(
                "claude_redactions_total",
                "Findings that were taken out of contents before they were kept, by label.",
                &["team", "label"],
            )?,
            duration: build.histogram_of(
                "weighbridge_redaction_seconds",
                "How long the redaction of one block took, beside the path of calls.",
                &REDACTION_BUCKETS,
            )?,
            kept: build.counters(
                "weighbridge_kept_blocks_total",
                "Blocks of content that were sealed beside the ledger, redacted.",
                &["team"],
            )?,
            dropped: build.counters(
                "weighbridge_dropped_contents_total",
                "Contents that a team asks to keep and that were dropped, by reason.",
                &["reason"],
            )?,
            teams: Arc::clone(teams),
        };
        for reason in DROPPED {
            privacy.dropped.with_label_values(&[reason]);
        }
        Ok(privacy)
    }

    /// One block was redacted.
    pub fn redacted(&self, team: &str, counts: &[u32; Label::ALL.len()], took: Duration) {
        self.duration.observe(took.as_secs_f64());
        let team = self.teams.bounded(team);
        for (count, label) in counts.iter().zip(Label::ALL).filter(|(count, _)| **count > 0) {
            let labels = [team.as_str(), label.as_str()];
            self.redactions.with_label_values(&labels).inc_by(u64::from(*count));
        }
    }

    /// Blocks were sealed.
    pub fn kept(&self, team: &str, blocks: usize) {
        let team = self.teams.bounded(team);
        self.kept.with_label_values(&[team.as_str()]).inc_by(blocks as u64);
    }

    /// Contents were dropped.
    pub fn dropped(&self, reason: &'static str, contents: u64) {
        self.dropped.with_label_values(&[reason]).inc_by(contents);
    }
}

/// From 10 µs to 5 s.
const REDACTION_BUCKETS: [f64; 12] =
    [0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 1.0, 5.0];
