//! `gaps.csv`: what is missing, and why. Most of it the ledger names itself; what is found here is
//! results of tools that no hook named, and followers of the ledger that were behind it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::facts::{Facts, Follower};
use super::tables::{Entry, moment, text};

/// The columns.
pub(super) const HEAD: [&str; 7] = ["index", "at", "kind", "reason", "count", "from", "to"];
/// The most calls of tools that wait for their result, and the most sessions with a row of their
/// own.
const ASKED_MAX: usize = 1_000_000;
const SESSIONS_MAX: usize = 100_000;
/// Where sessions beyond that are counted.
const OTHERS: &str = "(others)";

/// A row.
pub(super) type Cells = [String; HEAD.len()];

/// Why a line of the ledger is a gap.
pub(super) fn reason(entry: &Entry<'_>) -> String {
    match entry.kind {
        "reserve" => "the disk was full: the reserve was used".to_owned(),
        "recovered" => "a start found an unclean end".to_owned(),
        "rollback" => {
            "lines that were signed are missing: somebody put an older state back".to_owned()
        }
        "clock_jump" => {
            let ms = text(&entry.body["ms"]);
            format!("the wall clock jumped by {ms} ms: times on both sides do not compare")
        }
        _ => text(&entry.body["reason"]),
    }
}

/// The row of a line.
pub(super) fn named(entry: &Entry<'_>, reason: &str) -> Cells {
    let body = &entry.body;
    let time = |value: &Value| value.as_u64().map_or_else(String::new, moment);
    let count = ["count", "entries", "interrupted"].iter().find_map(|name| body.get(*name));
    [
        entry.index.to_string(),
        moment(entry.at_ns),
        entry.kind.to_owned(),
        reason.to_owned(),
        count.map_or_else(String::new, text),
        time(&body["from"]),
        time(&body["to"]),
    ]
}

/// The row of a start after an unclean end: what was written after the last line that is there, and
/// was covered by no sync, is gone.
pub(super) fn unclean(entry: &Entry<'_>, ended_ns: Option<u64>) -> Cells {
    let mut cells = named(
        entry,
        "the process before did not end cleanly: what no sync covered after its last line is gone",
    );
    cells[5] = ended_ns.map_or_else(String::new, moment);
    cells[6] = moment(entry.at_ns);
    cells
}

/// Runs of the process: when the last line of the one before was written.
#[derive(Default)]
pub(super) struct Runs {
    boot: String,
    last_ns: Option<u64>,
    pub(super) ended_ns: Option<u64>,
}

impl Runs {
    /// Takes in a line's run and time.
    pub(super) fn line(&mut self, boot: &str, at_ns: u64) {
        if self.boot != boot {
            boot.clone_into(&mut self.boot);
            self.ended_ns = self.last_ns;
        }
        self.last_ns = Some(at_ns);
    }
}

/// The rows of followers that were behind the tree when the export began.
pub(super) fn behind(facts: &Facts) -> impl Iterator<Item = Cells> {
    let size = facts.tree.size;
    facts.behind().map(move |follower| {
        let Follower { name, covers } = follower;
        [
            covers.to_string(),
            facts.extracted_at.clone(),
            "follower_behind".to_owned(),
            format!("{name} covers {covers} of {size} lines"),
            (size - covers).to_string(),
            String::new(),
            String::new(),
        ]
    })
}

/// One call of a tool.
#[derive(Clone, Copy, Default)]
struct Asked {
    in_traffic: bool,
    by_hook: bool,
}

/// Results of one session that no hook named.
struct Missing {
    /// The line of the first.
    index: u64,
    from_ns: u64,
    to_ns: u64,
    count: u64,
}

/// Calls of tools that clients run, and whether a hook named them by the time the result was sent:
/// a client waits for the answers to its hooks (`agent::tool_use`).
#[derive(Default)]
pub(super) struct Hooked {
    /// Asked for or announced, and not returned, by id.
    asked: HashMap<String, Asked>,
    /// By session.
    missing: BTreeMap<String, Missing>,
    /// All results that no hook named, and all that were judged.
    pub(super) count: u64,
    pub(super) judged: u64,
}

impl Hooked {
    /// An answer asked for a tool.
    pub(super) fn asked(&mut self, tool: &Value) {
        if tool["kind"] == "client" {
            self.seen(tool["id"].as_str().unwrap_or_default(), |call| call.in_traffic = true);
        }
    }

    fn seen(&mut self, id: &str, say: impl FnOnce(&mut Asked)) {
        if let Some(call) = self.asked.get_mut(id) {
            say(call);
        } else if self.asked.len() < ASKED_MAX {
            say(self.asked.entry(id.to_owned()).or_default());
        }
    }

    /// A hook named calls; its line may stand before that of the answer that asked for them.
    pub(super) fn hook(&mut self, body: &Value) {
        let batch = body["tools"].as_array().into_iter().flatten().map(|tool| &tool["id"]);
        for id in batch.chain([&body["tool_use"]]).filter_map(Value::as_str) {
            self.seen(id, |call| call.by_hook = true);
        }
    }

    /// The result of a tool was sent. What was asked for before the period is not judged.
    pub(super) fn returned(&mut self, entry: &Entry<'_>, tool: &Value) {
        let id = tool["id"].as_str().unwrap_or_default();
        let Some(call) = self.asked.remove(id).filter(|call| call.in_traffic) else { return };
        self.judged += 1;
        if call.by_hook {
            return;
        }
        self.count += 1;
        let mut session = text(&entry.body["session"]);
        if self.missing.len() >= SESSIONS_MAX && !self.missing.contains_key(&session) {
            OTHERS.clone_into(&mut session);
        }
        let (index, at) = (entry.index, entry.at_ns);
        let first = Missing { index, from_ns: at, to_ns: at, count: 0 };
        let missing = self.missing.entry(session).or_insert(first);
        missing.count += 1;
        missing.to_ns = at;
    }

    /// A row for each session.
    pub(super) fn rows(self) -> impl Iterator<Item = Cells> {
        self.missing.into_iter().map(|(session, missing)| {
            let session = if session.is_empty() { "calls without a session" } else { &session };
            [
                missing.index.to_string(),
                moment(missing.from_ns),
                "hook_missing".to_owned(),
                format!("no hook named these results of tools, the traffic alone did: {session}"),
                missing.count.to_string(),
                moment(missing.from_ns),
                moment(missing.to_ns),
            ]
        })
    }
}
