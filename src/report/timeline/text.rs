//! The timeline as text for people: a head with sums, the agents, then each turn as a tree.

use std::fmt::Write as _;

use super::branches::{calls_words, columns, columns_of, turn};
use super::tree::{Node, Widths, wrap, write};
use super::{Agent, Mark, Timeline};
use crate::accounting::Money;
use crate::agent::query::Ended;
use crate::agent::tool_use::Gap;
use crate::report::period::readable;
use crate::report::render::usd_readable;
use crate::report::session::Figures;
use crate::report::text::{NOTHING, lasted, printable, thousands};

/// Lines are at least and at most so wide, whatever the terminal.
const COLUMNS_MIN: usize = 72;
const COLUMNS_MAX: usize = 110;
/// What an id takes behind a line: a UUID and the space before it.
const ID_COLUMNS: usize = 38;
/// Sub-agents in the table of agents; the JSON form has all.
const AGENTS_SHOWN: usize = 20;
/// Columns of the head's names.
const HEAD: usize = 14;

impl Timeline {
    /// The text for a terminal of so many columns.
    #[must_use]
    pub fn text(&self, columns: usize) -> String {
        let ids = columns >= COLUMNS_MIN + ID_COLUMNS;
        let figures = if ids { columns - ID_COLUMNS } else { columns };
        let widths = Widths { figures: figures.clamp(COLUMNS_MIN, COLUMNS_MAX), ids };
        let mut text = String::new();
        self.head(widths, &mut text);
        self.agents_table(widths, &mut text);
        if self.left_out.turns > 0 {
            let (turns, usd) = (thousands(self.left_out.turns), self.left_out.figures.amount(4));
            let _ = writeln!(text, "{turns} earlier turns are not listed, together {usd} USD\n");
        }
        if !self.turns.is_empty() {
            text.push_str(&columns_line("turns", widths));
        }
        for (place, one) in self.turns.iter().enumerate() {
            text.push_str(if place == 0 { "" } else { "\n" });
            write(&turn(one, &self.agents, widths.ids), widths, &mut text);
        }
        self.unverified_part(widths, &mut text);
        self.left_out_note(&mut text);
        if !ids && !self.turns.is_empty() {
            text.push_str("\nids of calls and tools are shown from 110 columns on, and in JSON\n");
        }
        text
    }

    fn head(&self, widths: Widths, text: &mut String) {
        let session = &self.session;
        let _ = writeln!(text, "session {}\n", printable(&session.id));
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                let room = widths.figures.saturating_sub(HEAD + 2);
                for (place, part) in wrap(&printable(value), room).iter().enumerate() {
                    let name = if place == 0 { name } else { "" };
                    let _ = writeln!(text, "  {name:<HEAD$}{part}");
                }
            }
        };
        line("team", session.team.as_deref().unwrap_or(NOTHING));
        line("time (UTC)", &self.span());
        line("models", &session.models.join(", "));
        line("mode", &self.modes.join(", "));
        line("history", &self.marks.iter().map(mark).collect::<Vec<_>>().join(", "));
        line("turns", &self.turn_words());
        line("calls", &self.call_words());
        line("tokens", &thousands(session.figures.tokens));
        line("usd", &amount_words(&session.figures));
        line("tools", &self.tool_words());
        line("completeness", &self.completeness_words());
        let gaps = |(gap, count): (&Gap, &u64)| format!("{} × {}", thousands(*count), gap.words());
        line("gaps", &self.gaps.iter().map(gaps).collect::<Vec<_>>().join(", "));
        text.push('\n');
    }

    fn span(&self) -> String {
        let from = self.turns.iter().map(|turn| turn.from).chain([self.session.first]).min();
        let to = self.turns.iter().map(|turn| turn.to).chain([self.session.last]).max();
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        let us = u64::try_from(to.saturating_sub(from) / 1000).unwrap_or(0);
        let (start, end) = (readable(from), readable(to));
        // The day once, where there is one.
        let same = end.get(..10) == start.get(..10);
        let end = if same { end.get(11..).unwrap_or_default() } else { &end };
        format!("{start} to {end}, {}", lasted(us))
    }

    fn turn_words(&self) -> String {
        let count = |which: Option<Ended>| {
            let turns = self.turns.iter().filter(|turn| turn.first.is_some());
            turns.filter(|turn| turn.ended == which).count() as u64
        };
        let known = [Some(Ended::Answered), Some(Ended::Failed), Some(Ended::Left), None];
        let words = known.map(|which| (count(which), which.map_or("running", Ended::name)));
        let all = self.left_out.turns + words.iter().map(|(count, _)| count).sum::<u64>();
        counted(all, &words)
    }

    fn call_words(&self) -> String {
        let subs: Vec<&Agent> = self.agents.iter().filter(|agent| agent.id.is_some()).collect();
        let mut words = thousands(self.session.figures.exchanges);
        if !subs.is_empty() {
            let calls: u64 = subs.iter().map(|agent| agent.figures.exchanges).sum();
            let agents = match subs.len() {
                1 => "1 sub-agent".to_owned(),
                more => format!("{} sub-agents", thousands(more as u64)),
            };
            let _ = write!(words, ", {} of them by {agents}", thousands(calls));
        }
        words
    }

    fn tool_words(&self) -> String {
        let tools = &self.session.tools;
        let states = tools.counts().map(|(state, count)| (count, state.words()));
        let states: Vec<_> = states.chain([(tools.running, "running")]).collect();
        counted(tools.all(), &states)
    }

    fn completeness_words(&self) -> String {
        let tools = &self.session.tools;
        let Some(percent) = tools.completeness() else { return NOTHING.to_owned() };
        let (all, accounted) = tools.accounted();
        let noun = if all == 1 { "tool call" } else { "tool calls" };
        let (all, accounted) = (thousands(all), thousands(accounted));
        format!("{percent} %: {accounted} of {all} {noun} accounted for")
    }

    /// The agents, where there is more than the main one.
    fn agents_table(&self, widths: Widths, text: &mut String) {
        if self.agents.iter().all(|agent| agent.id.is_none()) {
            return;
        }
        text.push_str(&columns_line("agents", widths));
        let mut agents: Vec<&Agent> = self.agents.iter().collect();
        // The main one first, then by cost.
        agents.sort_by_key(|agent| (agent.id.is_some(), std::cmp::Reverse(agent.figures.usd)));
        let mut line = |left: String, right: String, id: Option<&str>| {
            let id = id.map(|id| printable(id).into_owned()).unwrap_or_default();
            write(&Node { left, right, id, children: Vec::new() }, widths, text);
        };
        for agent in agents.iter().take(AGENTS_SHOWN) {
            let calls = agent.figures.exchanges;
            let left = format!("{}, {}", agent.name(widths.ids), calls_words(calls));
            // The main one waits for its user in between.
            let time = agent.id.as_ref().map(|_| agent.time()).unwrap_or_default();
            line(left, columns(&time, &agent.figures), agent.id.as_deref());
        }
        if let Some(rest) = agents.get(AGENTS_SHOWN..).filter(|rest| !rest.is_empty()) {
            let mut sum = Figures::default();
            rest.iter().for_each(|agent| sum.merge(&agent.figures));
            let left = format!("{} more, {}", rest.len(), calls_words(sum.exchanges));
            line(left, columns("", &sum), None);
        }
        text.push('\n');
    }

    fn unverified_part(&self, widths: Widths, text: &mut String) {
        if self.unverified.is_empty() {
            return;
        }
        text.push_str("\nunverified: hooks speak of these tool calls, the traffic does not\n");
        for judged in &self.unverified {
            let seen = &judged.call.seen;
            let at = seen.span_ns().map(|(first, _)| i64::try_from(first).unwrap_or(0));
            let at = at.map_or_else(|| NOTHING.to_owned(), readable);
            let tool = judged.call.tool.as_deref().unwrap_or("unnamed");
            let said = [
                (seen.announced.is_some(), "announced"),
                (seen.done.is_some(), "done"),
                (seen.batched.is_some(), "in a batch"),
                (seen.denied.is_some(), "denied"),
            ];
            let said: Vec<&str> =
                said.into_iter().filter_map(|(there, word)| there.then_some(word)).collect();
            let (at, tool) = (at.get(11..).unwrap_or(&at), printable(tool));
            let left = format!("  {at}  {tool}  {}", said.join(", "));
            let id = printable(&judged.call.id).into_owned();
            write(&Node { left, id, ..Node::default() }, widths, text);
        }
    }

    fn left_out_note(&self, text: &mut String) {
        let left = &self.left_out;
        let mut parts = Vec::new();
        for (count, noun) in [(left.calls, "calls"), (left.tools, "tool calls")] {
            if count > 0 {
                parts.push(format!("{} {noun}", thousands(count)));
            }
        }
        if !parts.is_empty() {
            let parts = parts.join(" and ");
            let _ = writeln!(text, "\nnot listed: {parts}; the sums hold them");
        }
    }
}

/// The names of the figures, at their right edge.
fn columns_line(name: &str, widths: Widths) -> String {
    let names = columns_of("time", "tokens", "usd");
    let room = widths.figures.saturating_sub(names.chars().count());
    format!("{name:<room$}{names}\n")
}

/// How many there are, and of what kind where that says more.
fn counted(all: u64, kinds: &[(u64, &str)]) -> String {
    let known: Vec<&(u64, &str)> = kinds.iter().filter(|(count, _)| *count > 0).collect();
    let words = known.iter().map(|(count, word)| format!("{} {word}", thousands(*count)));
    match all {
        0 => String::new(),
        all => format!("{}: {}", thousands(all), words.collect::<Vec<_>>().join(", ")),
    }
}

/// All amounts that there are.
fn amount_words(figures: &Figures) -> String {
    let mut words = usd_readable(figures.usd, 6);
    let more = [(figures.estimated, "estimated more"), (figures.notional, "notional")];
    for (amount, what) in more {
        if amount != Money::ZERO {
            let _ = write!(words, ", {} {what}", usd_readable(amount, 6));
        }
    }
    if figures.unpriced > 0 {
        let _ = write!(words, ", {} unpriced", calls_words(figures.unpriced));
    }
    words
}

/// `18:02:47 startup`, `18:20:01 compacted (auto)`.
fn mark(mark: &Mark) -> String {
    let at = readable(mark.at);
    let clock = at.get(11..).unwrap_or_default();
    let reason = mark.reason.as_deref();
    match (mark.event.as_str(), reason) {
        ("SessionStart", Some(source)) => format!("{clock} {source}"),
        ("PostCompact", Some(trigger)) => format!("{clock} compacted ({trigger})"),
        ("PostCompact", None) => format!("{clock} compacted"),
        ("SessionEnd", Some(reason)) => format!("{clock} ended ({reason})"),
        ("SessionEnd", None) => format!("{clock} ended"),
        (event, _) => format!("{clock} {event}"),
    }
}
