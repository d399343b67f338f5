//! The tables of a bundle: worked out of the ledger's lines alone, so that whoever has the lines
//! can work them out again.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::changes;
use super::controls::{self, Table};
use super::facts::{Derived, Facts};
use super::gaps::{self, Hooked, Runs};
use super::ocsf::{self, Events};
use super::sink::{Output, Sink, row};
use crate::accounting::Money;
use crate::audit::verify::OPEN_MAX;
use crate::record::encoding::Line;
use crate::report::period;

/// Rows of the sample.
pub(super) const SAMPLE_ROWS: usize = 25;
/// Teams with a model that are told apart in the reconciliation; the rest is one group.
const GROUPS_MAX: usize = 10_000;
/// Sessions whose team is remembered, for events of hooks, which name none.
const SESSIONS_MAX: usize = 100_000;
/// Kinds of changes that are counted apart.
const KINDS_MAX: usize = 64;
/// Days of the chart.
const DAYS_MAX: usize = 4_000;

const EXCHANGES: [&str; 23] = [
    "exchange",
    "opened_index",
    "closed_index",
    "opened_at",
    "closed_at",
    "team",
    "user",
    "project",
    "session",
    "agent",
    "endpoint",
    "method",
    "model",
    "outcome",
    "status",
    "error_type",
    "duration_us",
    "input_tokens",
    "output_tokens",
    "usd",
    "pricing",
    "request_id",
    "key",
];
const TOOLS: [&str; 10] =
    ["index", "at", "source", "team", "session", "agent", "tool", "tool_use", "result", "bytes"];
const ACCESS: [&str; 11] = [
    "index", "at", "decision", "team", "session", "agent", "exchange", "tool", "rule", "layer",
    "policy",
];
const CHANGES: [&str; 8] = ["index", "at", "kind", "what", "by_uid", "before", "after", "detail"];
const CONTENTS: [&str; 9] =
    ["index", "at", "exchange", "team", "session", "mode", "pieces", "redactions", "dropped"];

/// One line, read.
pub(super) struct Entry<'a> {
    pub(super) index: u64,
    pub(super) at_ns: u64,
    pub(super) kind: &'a str,
    pub(super) body: Value,
    /// Leaf hashes of the line and of the one before.
    pub(super) leaf: String,
    pub(super) previous: String,
}

/// What is remembered of an opening.
pub(super) struct Opened {
    pub(super) index: u64,
    pub(super) at_ns: u64,
    pub(super) body: Value,
}

/// The tables while they are made.
pub(super) struct Tables {
    facts: Facts,
    /// As in [`Table::ALL`]; absent where what was asked for needs none.
    files: [Option<Output>; 6],
    events: Events,
    open: HashMap<String, Opened>,
    sessions: HashMap<String, String>,
    hooked: Hooked,
    runs: Runs,
    sample: BTreeMap<[u8; 32], Vec<String>>,
    groups: BTreeMap<(String, String), (u64, Money)>,
    usd: Money,
    derived: Derived,
}

/// A value as a cell.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A moment as a cell.
pub(super) fn moment(ns: u64) -> String {
    period::instant(i64::try_from(ns).unwrap_or(i64::MAX))
}

/// A table's first row.
const fn head(table: Table) -> &'static [&'static str] {
    match table {
        Table::Exchanges => &EXCHANGES,
        Table::Tools => &TOOLS,
        Table::Access => &ACCESS,
        Table::Changes => &CHANGES,
        Table::Gaps => &gaps::HEAD,
        Table::Contents => &CONTENTS,
    }
}

impl Tables {
    /// Begins the tables. `facts` says which lines count and what is asked for.
    pub(super) fn begin(sink: &Sink, facts: &Facts) -> io::Result<Tables> {
        let asked = &facts.parameters.controls;
        let table = |table: Table| -> io::Result<Option<Output>> {
            if !controls::holds(asked, table) {
                return Ok(None);
            }
            let mut output = sink.begin(table.file())?;
            row(&mut output, head(table))?;
            output.rows = 0;
            Ok(Some(output))
        };
        let [exchanges, tools, access, changes, gaps, contents] = Table::ALL.map(table);
        Ok(Tables {
            facts: facts.clone(),
            files: [exchanges?, tools?, access?, changes?, gaps?, contents?],
            events: Events::begin(sink, facts, controls::holds_events(asked))?,
            open: HashMap::new(),
            sessions: HashMap::new(),
            hooked: Hooked::default(),
            runs: Runs::default(),
            sample: BTreeMap::new(),
            groups: BTreeMap::new(),
            usd: Money::ZERO,
            derived: Derived::default(),
        })
    }

    /// Whether what was asked for needs a table and its events.
    const fn has(&self, table: Table) -> bool {
        self.files[table as usize].is_some()
    }

    fn put<C: AsRef<str>>(
        &mut self,
        table: Table,
        cells: impl IntoIterator<Item = C>,
    ) -> io::Result<()> {
        self.files[table as usize].as_mut().map_or(Ok(()), |output| row(output, cells))
    }

    /// Takes a line in.
    pub(super) fn line(&mut self, line: &[u8], leaf: String) -> io::Result<()> {
        // What does not parse is damage, and named as that by whoever checks the lines.
        let Ok(found) = Line::parse(line) else { return Ok(()) };
        let Ok(body) = serde_json::from_str::<Value>(found.body.get()) else { return Ok(()) };
        let entry = Entry {
            index: found.index,
            at_ns: found.wall_ns,
            kind: found.kind,
            body,
            leaf,
            previous: found.previous.to_string(),
        };
        self.runs.line(found.boot, entry.at_ns);
        let counts = entry.index >= self.facts.period.first;
        match entry.kind {
            "opened" => {
                self.opened(entry);
                Ok(())
            }
            "closed" => self.closed(&entry, counts),
            _ if !counts => Ok(()),
            "tools_asked" | "tools_returned" => self.tools(&entry),
            "hook" => self.hook(&entry),
            "rule_applied" => self.rule(&entry),
            "content_kept" => self.content(&entry),
            "clock_jump" | "gap" | "reserve" | "recovered" | "rollback" => {
                let count = entry.body["count"].as_u64().unwrap_or(0);
                self.derived.missing = self.derived.missing.saturating_add(count);
                self.gap(gaps::named(&entry, &gaps::reason(&entry)))
            }
            "batch_created" | "batch_result" | "error_class_seen" | "heartbeat" => Ok(()),
            _ => self.change(&entry),
        }
    }

    fn opened(&mut self, entry: Entry<'_>) {
        let (session, team) = (text(&entry.body["session"]), text(&entry.body["team"]));
        if !session.is_empty() && self.sessions.len() < SESSIONS_MAX {
            self.sessions.entry(session).or_insert(team);
        }
        if self.open.len() < OPEN_MAX {
            let Entry { index, at_ns, body, .. } = entry;
            self.open.insert(text(&body["exchange"]), Opened { index, at_ns, body });
        }
    }

    /// Whether team and session are those that were asked for.
    fn wanted(&self, team: &str, session: &str) -> bool {
        let is = |asked: &Option<String>, found: &str| asked.as_ref().is_none_or(|a| a == found);
        is(&self.facts.parameters.team, team) && is(&self.facts.parameters.session, session)
    }

    fn closed(&mut self, entry: &Entry<'_>, counts: bool) -> io::Result<()> {
        let id = text(&entry.body["exchange"]);
        let opened = self.open.remove(&id);
        let nothing = Value::Null;
        let opening = opened.as_ref().map_or(&nothing, |opened| &opened.body);
        let (team, session) = (text(&opening["team"]), text(&opening["session"]));
        if !counts || !self.wanted(&team, &session) {
            return Ok(());
        }
        let body = &entry.body;
        let model = if body["model"].is_null() { &opening["model"] } else { &body["model"] };
        let place = |f: fn(&Opened) -> String| opened.as_ref().map_or_else(String::new, f);
        let cells = vec![
            id.clone(),
            place(|o| o.index.to_string()),
            entry.index.to_string(),
            place(|o| moment(o.at_ns)),
            moment(entry.at_ns),
            team.clone(),
            text(&opening["user"]),
            text(&opening["project"]),
            session,
            text(&opening["agent"]),
            text(&opening["endpoint"]),
            text(&opening["method"]),
            text(model),
            text(&body["outcome"]),
            text(&body["status"]),
            text(&body["error_type"]),
            text(&body["duration_us"]),
            text(&body["usage"]["input_tokens"]),
            text(&body["usage"]["output_tokens"]),
            text(&body["charge"]["usd"]),
            text(&body["charge"]["pricing"]),
            text(&body["request_id"]),
            text(&opening["key"]),
        ];
        self.put(Table::Exchanges, &cells)?;
        self.count(entry, &team, &text(model));
        self.draw(&id, cells);
        if body["outcome"] == "refused" {
            self.derived.denials += 1;
            let reason = text(&body["error_type"]);
            let session = text(&opening["session"]);
            let cells = [
                entry.index.to_string(),
                moment(entry.at_ns),
                "refused".to_owned(),
                team,
                session,
                text(&opening["agent"]),
                id,
                String::new(),
                reason,
                "gate".to_owned(),
                String::new(),
            ];
            self.put(Table::Access, cells)?;
        }
        let is_refused = body["outcome"] == "refused";
        if self.has(Table::Exchanges) || is_refused && self.has(Table::Access) {
            self.events.call(entry, opening)?;
        }
        Ok(())
    }

    /// Adds a call to the sums.
    fn count(&mut self, entry: &Entry<'_>, team: &str, model: &str) {
        let body = &entry.body;
        let status = body["status"].as_u64().unwrap_or(0);
        let refused = body["outcome"] == "refused";
        self.derived.calls += 1;
        self.derived.refused += u64::from(refused);
        let failed = body["outcome"] != "completed" || status >= 400;
        self.derived.failed += u64::from(failed && !refused);
        let charge = &body["charge"];
        self.derived.unpriced += u64::from(charge.is_object() && charge["usd"].is_null());
        let usd = charge["usd"].as_str().and_then(|text| text.parse().ok()).unwrap_or(Money::ZERO);
        self.usd = self.usd.saturating_add(usd);
        let mut group = (team.to_owned(), model.to_owned());
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&group) {
            group = ("(others)".to_owned(), String::new());
        }
        let sums = self.groups.entry(group).or_insert((0, Money::ZERO));
        *sums = (sums.0 + 1, sums.1.saturating_add(usd));
        if let Some(day) = self.day(entry.at_ns) {
            day.0 += 1;
            day.1 += u64::from(refused);
        }
    }

    fn day(&mut self, at_ns: u64) -> Option<&mut (u64, u64)> {
        let name = moment(at_ns).get(..10)?.to_owned();
        let room = self.derived.days.len() < DAYS_MAX || self.derived.days.contains_key(&name);
        room.then(|| self.derived.days.entry(name).or_default())
    }

    /// Keeps the calls whose rank is lowest: SHA-256 of the seed, a colon and the call's id.
    fn draw(&mut self, id: &str, mut cells: Vec<String>) {
        let rank = digest(&SHA256, format!("{}:{id}", self.facts.sample.seed).as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(rank.as_ref());
        let last = self.sample.last_key_value().map(|(key, _)| *key);
        if self.sample.len() >= SAMPLE_ROWS && last.is_some_and(|last| key > last) {
            return;
        }
        cells.insert(0, crate::audit::merkle::Hash::new(key).to_string());
        self.sample.insert(key, cells);
        if self.sample.len() > SAMPLE_ROWS {
            self.sample.pop_last();
        }
    }

    fn tools(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let (team, session) = (text(&entry.body["team"]), text(&entry.body["session"]));
        if !self.wanted(&team, &session) {
            return Ok(());
        }
        let asked = entry.kind == "tools_asked";
        for tool in entry.body["tools"].as_array().into_iter().flatten() {
            let result = match (asked, tool["failed"].as_u64().unwrap_or(0)) {
                (true, _) => "asked",
                (false, 0) => "returned",
                (false, _) => "failed",
            };
            let bytes = if asked { &tool["input"]["bytes"] } else { &tool["output"]["bytes"] };
            let cells = [
                entry.index.to_string(),
                moment(entry.at_ns),
                "traffic".to_owned(),
                team.clone(),
                session.clone(),
                text(&entry.body["agent"]),
                text(&tool["name"]),
                text(&tool["id"]),
                result.to_owned(),
                text(bytes),
            ];
            self.put(Table::Tools, cells)?;
            if asked {
                self.hooked.asked(tool);
            } else {
                self.hooked.returned(entry, tool);
            }
            self.derived.tools += u64::from(!asked);
            if !asked && self.has(Table::Tools) {
                self.events.tool(entry, tool)?;
            }
        }
        Ok(())
    }

    fn hook(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let body = &entry.body;
        self.hooked.hook(body);
        let session = text(&body["session"]);
        let team = self.sessions.get(&session).cloned().unwrap_or_default();
        if body["tool"].is_null() || !self.wanted(&team, &session) {
            return Ok(());
        }
        let cells = [
            entry.index.to_string(),
            moment(entry.at_ns),
            "hook".to_owned(),
            team,
            session,
            text(&body["agent"]),
            text(&body["tool"]),
            text(&body["tool_use"]),
            text(&body["event"]),
            text(&body["input"]["bytes"]),
        ];
        self.put(Table::Tools, cells)
    }

    fn rule(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let body = &entry.body;
        let (team, session) = (text(&body["team"]), text(&body["session"]));
        if !self.wanted(&team, &session) {
            return Ok(());
        }
        let action = text(&body["action"]);
        let denied = action != "observed";
        self.derived.denials += u64::from(denied);
        if denied && let Some(day) = self.day(entry.at_ns) {
            day.1 += 1;
        }
        let mut cells = vec![entry.index.to_string(), moment(entry.at_ns), action, team, session];
        let names = ["agent", "exchange", "tool", "rule", "layer", "policy"];
        cells.extend(names.map(|name| text(&body[name])));
        self.put(Table::Access, cells)?;
        if denied && self.has(Table::Access) { self.events.denial(entry) } else { Ok(()) }
    }

    fn content(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let body = &entry.body;
        let (team, session) = (text(&body["team"]), text(&body["session"]));
        if !self.wanted(&team, &session) {
            return Ok(());
        }
        // `NAME 3, DATE 1`
        let counts = |counts: &Value| {
            let each = counts.as_object().into_iter().flatten();
            each.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let cells = [
            entry.index.to_string(),
            moment(entry.at_ns),
            text(&body["exchange"]),
            team,
            session,
            text(&body["mode"]),
            text(&body["pieces"]),
            counts(&body["redactions"]),
            counts(&body["dropped"]),
        ];
        self.put(Table::Contents, cells)
    }

    fn change(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.derived.changes += 1;
        let kinds = &mut self.derived.kinds;
        if kinds.len() < KINDS_MAX || kinds.contains_key(entry.kind) {
            *kinds.entry(entry.kind.to_owned()).or_default() += 1;
        }
        let body = &entry.body;
        let after = match entry.kind {
            "started" => &body["config"],
            _ => &body["after"],
        };
        let cells = [
            entry.index.to_string(),
            moment(entry.at_ns),
            entry.kind.to_owned(),
            changes::told(entry.kind, body),
            changes::by_uid(body),
            text(&body["before"]),
            text(after),
            body.to_string(),
        ];
        self.put(Table::Changes, cells)?;
        if entry.kind == "started" && body["previous"] == "crash" {
            self.gap(gaps::unclean(entry, self.runs.ended_ns))?;
        }
        if self.has(Table::Changes) { self.events.change(entry) } else { Ok(()) }
    }

    fn gap(&mut self, cells: gaps::Cells) -> io::Result<()> {
        self.derived.gaps += 1;
        self.put(Table::Gaps, cells)
    }

    /// Ends the tables, and says what follows from them.
    pub(super) fn finish(mut self, sink: &mut Sink) -> io::Result<Derived> {
        self.derived.unhooked = self.hooked.count;
        self.derived.hookable = self.hooked.judged;
        for cells in gaps::behind(&self.facts).chain(std::mem::take(&mut self.hooked).rows()) {
            if let Some(output) = self.files[Table::Gaps as usize].as_mut() {
                row(output, cells)?;
            }
        }
        let mut derived = self.derived;
        let has_calls = self.files[Table::Exchanges as usize].is_some();
        for (file, table) in self.files.into_iter().zip(Table::ALL) {
            let Some(file) = file else { continue };
            derived.rows.insert(table.file().to_owned(), file.rows);
            sink.end(file)?;
        }
        if let Some(rows) = self.events.finish(sink)? {
            derived.rows.insert(ocsf::FILE.to_owned(), rows);
        }
        if has_calls {
            let mut sample = sink.begin("sample.csv")?;
            row(&mut sample, std::iter::once("rank").chain(EXCHANGES))?;
            for cells in self.sample.values() {
                row(&mut sample, cells)?;
            }
            derived.rows.insert("sample.csv".to_owned(), sample.rows - 1);
            sink.end(sample)?;
            reconcile(&self.groups, derived.calls, self.usd, sink)?;
        }
        let first = self.facts.period.first;
        self.open.retain(|_, opened| opened.index < self.facts.period.end);
        derived.still_open =
            self.open.values().filter(|opened| opened.index >= first).count() as u64;
        derived.usd = self.usd.to_string();
        Ok(derived)
    }
}

/// The sums by team and model, and whether they add up to the whole.
fn reconcile(
    groups: &BTreeMap<(String, String), (u64, Money)>,
    calls: u64,
    usd: Money,
    sink: &mut Sink,
) -> io::Result<()> {
    let sum = groups
        .values()
        .fold((0, Money::ZERO), |sum, group| (sum.0 + group.0, sum.1.saturating_add(group.1)));
    let listed: Vec<Value> = groups
        .iter()
        .map(|((team, model), (calls, usd))| {
            json!({"team": team, "model": model, "calls": calls, "usd": usd.to_string()})
        })
        .collect();
    let told = json!({
        "groups": listed,
        "sum_of_groups": {"calls": sum.0, "usd": sum.1.to_string()},
        "total": {"calls": calls, "usd": usd.to_string()},
        "agrees": sum == (calls, usd),
    });
    let mut output = sink.begin("reconciliation.json")?;
    writeln!(output, "{told:#}")?;
    sink.end(output)
}
