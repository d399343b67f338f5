//! Which files support which criteria: for the page, and for `audit export --control`.

use std::fmt::Write as _;

/// A table of a bundle. Its events in `ocsf.jsonl` go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Calls; the sample and the sums by team and model go with them.
    Exchanges,
    Tools,
    /// Refusals and denials.
    Access,
    Changes,
    /// What is missing: no events.
    Gaps,
    /// What was kept of calls, in counts: no events.
    Contents,
}

impl Table {
    pub(super) const ALL: [Table; 6] = [
        Table::Exchanges,
        Table::Tools,
        Table::Access,
        Table::Changes,
        Table::Gaps,
        Table::Contents,
    ];

    pub(super) const fn file(self) -> &'static str {
        match self {
            Table::Exchanges => "exchanges.csv",
            Table::Tools => "tools.csv",
            Table::Access => "access.csv",
            Table::Changes => "changes.csv",
            Table::Gaps => "gaps.csv",
            Table::Contents => "contents.csv",
        }
    }
}

/// Criteria that the same files support.
pub(super) struct Control {
    criteria: &'static [&'static str],
    pub(super) what: &'static str,
    tables: &'static [Table],
    /// What is in every bundle.
    standing: &'static [&'static str],
}

const fn control(
    criteria: &'static [&'static str],
    what: &'static str,
    tables: &'static [Table],
    standing: &'static [&'static str],
) -> Control {
    Control { criteria, what, tables, standing }
}

/// TSC 2017 and HIPAA by number, in our words.
pub(super) const CONTROLS: [Control; 12] = [
    control(
        &["CC6.1", "CC6.2", "CC6.3"],
        "who may use the API: keys, teams, refusals",
        &[Table::Exchanges, Table::Access],
        &[],
    ),
    control(
        &["CC6.6"],
        "calls turned away at the gate (CC6.4, CC6.5: no file)",
        &[Table::Access],
        &[],
    ),
    control(
        &["CC6.7", "CC6.8"],
        "what tools and models agents may use",
        &[Table::Tools, Table::Access],
        &[],
    ),
    control(&["CC7.1"], "changes of configuration and of rules", &[Table::Changes], &[]),
    control(
        &["CC7.2", "CC7.3"],
        "activity, failures and anomalies by time",
        &[Table::Exchanges, Table::Tools, Table::Access],
        &[],
    ),
    control(&["CC7.4"], "crashes, recoveries, periods without a record", &[Table::Gaps], &[]),
    control(&["CC8.1"], "each change: digest before and after, by whom", &[Table::Changes], &[]),
    control(
        &["C1.1", "C1.2"],
        "no content in the ledger; what was kept beside it, redacted",
        &[Table::Tools, Table::Contents],
        &["ledger/"],
    ),
    control(
        &["PI1.2", "PI1.3"],
        "calls priced completely and exactly",
        &[Table::Exchanges],
        &["reconciliation.json"],
    ),
    control(
        &["PI1.4", "PI1.5"],
        "records that cannot be changed unseen",
        &[],
        &["audit/", "MANIFEST.sha256"],
    ),
    control(
        &["P4.1", "P6.1"],
        "use of the API by team, user, project; contents kept of it",
        &[Table::Exchanges, Table::Contents],
        &[],
    ),
    control(
        &["164.312(b)"],
        "record and examination of activity (HIPAA)",
        &Table::ALL,
        &["ledger/", "audit/"],
    ),
];

impl Control {
    /// Its criteria, as a text.
    pub(super) fn criteria(&self) -> String {
        self.criteria.join(", ")
    }

    /// The files that support it, as a text.
    pub(super) fn files(&self) -> String {
        let tables: Vec<&str> = match self.tables {
            all if all.len() == Table::ALL.len() => vec!["all tables"],
            some => some.iter().map(|table| table.file()).collect(),
        };
        [&tables[..], self.standing].concat().join(", ")
    }

    /// Whether one of these was asked for; without any, all are.
    pub(super) fn is_chosen(&self, asked: &[String]) -> bool {
        asked.is_empty() || asked.iter().any(|name| self.criteria.contains(&name.as_str()))
    }
}

/// The criteria that were asked for, by their names here, each once.
pub(super) fn named(asked: &[String]) -> Result<Vec<String>, String> {
    let known = || CONTROLS.iter().flat_map(|control| control.criteria);
    for name in asked {
        if !known().any(|known| known.eq_ignore_ascii_case(name)) {
            let mut why = format!("--control {name}: no file supports it; known are");
            known().for_each(|known| _ = write!(why, " {known}"));
            return Err(why);
        }
    }
    let is_asked = |known: &&&str| asked.iter().any(|name| known.eq_ignore_ascii_case(name));
    Ok(known().filter(is_asked).map(|name| (*name).to_owned()).collect())
}

/// Whether a table supports what was asked for.
pub(super) fn holds(asked: &[String], table: Table) -> bool {
    let mut chosen = CONTROLS.iter().filter(|control| control.is_chosen(asked));
    asked.is_empty() || chosen.any(|control| control.tables.contains(&table))
}

/// Whether any events do.
pub(super) fn holds_events(asked: &[String]) -> bool {
    Table::ALL.into_iter().any(|table| table != Table::Gaps && holds(asked, table))
}
