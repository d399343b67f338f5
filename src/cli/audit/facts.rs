//! What a bundle says of itself (`ipe.json`: information produced by the entity).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tables::SAMPLE_ROWS;

/// Version of the bundle's form: what its tables, events and page look like, and the words of
/// `ipe.json`. It is raised with every change of theirs. Lines, tiles and signatures of older forms
/// are verified the same.
pub(super) const FORMAT: u32 = 4;
/// The file's name.
pub(super) const FILE: &str = "ipe.json";

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    /// Version of the bundle's form.
    pub(super) format: u32,
    /// What was asked, in words.
    pub(super) query: String,
    pub(super) parameters: Parameters,
    /// When the export began, RFC 3339; the zone of all times in the bundle.
    pub(super) extracted_at: String,
    pub(super) time_zone: String,
    /// Who ran the export, and whose the data directory is.
    pub(super) operator_uid: u32,
    pub(super) data_directory_uid: u32,
    /// What can be seen of whether the agent runs as the user that owns the ledger.
    pub(super) agent_shares_uid: String,
    pub(super) program: Program,
    pub(super) instance: String,
    /// The lines of the bundle; before the period's first line stand those that opened its calls.
    pub(super) lines: Span,
    /// The lines of the period.
    pub(super) period: Span,
    pub(super) tree: Tree,
    /// Who follows the ledger, and how far they had come: the operator's word.
    #[serde(default)]
    pub(super) followers: Vec<Follower>,
    /// Found while exporting.
    pub(super) damages: Vec<String>,
    pub(super) not_provable: Vec<String>,
    pub(super) sample: Sample,
    pub(super) derived: Derived,
}

/// What the export was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) team: Option<String>,
    pub(super) session: Option<String>,
    /// Criteria: only what supports them was written; everything without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) controls: Vec<String>,
    pub(super) ocsf: String,
}

/// What made the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    pub(super) version: String,
    pub(super) sha256: Option<String>,
}

/// Indices, the second one left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) end: u64,
}

/// The tree that all files are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tree {
    pub(super) size: u64,
    pub(super) root: String,
    /// Lines before this index were pruned: their hashes are in the tiles.
    #[serde(default)]
    pub(super) pruned: u64,
    /// Whether a checkpoint of this size was signed.
    pub(super) signed: bool,
    pub(super) checkpoints: u64,
}

/// The index, an exporter or a witness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Follower {
    pub(super) name: String,
    /// The lines that it has.
    pub(super) covers: u64,
}

/// How `sample.csv` was drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    pub(super) seed: String,
    pub(super) rule: String,
}

impl Sample {
    /// The one way to draw it: nobody chooses the root of the tree.
    pub(super) fn of(root: &str) -> Sample {
        let rule = format!(
            "the {SAMPLE_ROWS} calls of exchanges.csv whose SHA-256 of the text seed:exchange is \
             lowest; the seed is the tree's root, which nobody chooses"
        );
        Sample { seed: root.to_owned(), rule }
    }
}

/// What follows from the lines alone: whoever has them works it out again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Derived {
    /// Rows or lines by file.
    pub(super) rows: BTreeMap<String, u64>,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
    pub(super) unpriced: u64,
    pub(super) still_open: u64,
    pub(super) usd: String,
    pub(super) tools: u64,
    /// Results of tools that clients run and the period's answers asked for, and those of which
    /// no hook told.
    #[serde(default)]
    pub(super) hookable: u64,
    #[serde(default)]
    pub(super) unhooked: u64,
    pub(super) denials: u64,
    pub(super) changes: u64,
    /// Changes by kind.
    #[serde(default)]
    pub(super) kinds: BTreeMap<String, u64>,
    pub(super) gaps: u64,
    /// Entries that gaps say are missing.
    pub(super) missing: u64,
    /// Calls and denials by day.
    pub(super) days: BTreeMap<String, (u64, u64)>,
}

impl Facts {
    /// Followers that did not have all lines of the tree.
    pub(super) fn behind(&self) -> impl Iterator<Item = &Follower> {
        self.followers.iter().filter(|follower| follower.covers < self.tree.size)
    }

    /// Whether this program makes tables, events and page as they were made.
    pub(super) const fn is_of_this_form(&self) -> bool {
        self.format == FORMAT
    }

    /// Whether the files that are the same in every bundle are those of this program.
    pub(super) fn is_of_this_version(&self) -> bool {
        self.program.version == env!("CARGO_PKG_VERSION")
    }
}
